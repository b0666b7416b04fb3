// Convolutions of images [B, H, W, C] by kernels [kh, kw, C, O] on a CPU, as calls from XLA programs.
//
// The three bilinear maps of a convolution (output, input gradient, kernel gradient) are reduced to one small
// matrix product, `multiply_tile`, whose sums stay in registers. Inputs are first copied to a layout in which
// the product reads consecutive memory and padding is zeros that exist; copies are small enough for the cache.
//
// Each sum is taken in an order that depends on shapes only. So results do not depend on the number of threads,
// and those of an image not on the batch. setup.py compiles this file for several instruction sets.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <vector>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

// ---------------------------------------------------------------------------------------------------------
// Vectors and elements

#if defined(__AVX512F__)
constexpr int kLanes = 16, kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kLanes = 8, kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kLanes = 4, kRegisters = 32;
#else
constexpr int kLanes = 4, kRegisters = 16;
#endif

typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef float UnalignedVec __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

inline Vec load(const void* p) { return *static_cast<const UnalignedVec*>(p); }
inline void store(void* p, Vec v) { *static_cast<UnalignedVec*>(p) = v; }

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// What is multiplied is 4 bytes: a float, or a pair of bfloat16 whose two products are added.
struct Pair {
  uint16_t first, second;
};
static_assert(sizeof(Pair) == 4);

inline void multiply_add(Vec& sum, float a, const float* b) { sum += a * load(b); }

#ifdef __AVX512BF16__
inline void multiply_add(Vec& sum, Pair a, const Pair* b) {
  int32_t bits;
  std::memcpy(&bits, &a, 4);
  sum = (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(bits), (__m512bh)_mm512_loadu_si512(b));
}
#endif

// How the numbers of an array (float, or uint16_t for bfloat16) become elements.
template <class Number>
struct Elements;

template <>
struct Elements<float> {
  using T = float;
  static constexpr int kNumbers = 1;  // in an element
  static T make(float first, float) { return first; }
  static void round(const float* from, float* to, int64_t count) { std::copy_n(from, count, to); }
};

#ifdef __AVX512BF16__
template <>
struct Elements<uint16_t> {
  using T = Pair;
  static constexpr int kNumbers = 2;
  static T make(uint16_t first, uint16_t second) { return {first, second}; }
  static void round(const float* from, uint16_t* to, int64_t count) {
    for (int64_t i = 0; i < count; i += kLanes) {
      const __mmask16 mask = count - i < kLanes ? (1u << (count - i)) - 1 : 0xffff;
      const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from + i));
      _mm256_mask_storeu_epi16(to + i, mask, (__m256i)rounded);
    }
  }
};
#endif

// ---------------------------------------------------------------------------------------------------------
// The product

// Two factors whose products are added: `a` points at numbers for the rows of a tile, `b` at vectors.
template <class T>
struct Factors {
  const T* a;
  const T* b;
};

// Widest tile of `vectors` vectors: sums, the vectors of b and one of a stay in registers.
constexpr int max_rows(int vectors) { return (kRegisters - vectors - (vectors > 1)) / vectors; }

// out[r, v] (+)= sum over `count` factors and n steps of a[r * kRowStep] * b[v], where `a_step` and `b_step`
// elements lie between steps; rows of `out` are `out_step` floats apart.
template <class T, int kRowStep, int kRows, int kVectors>
void multiply_tile(const Factors<T>* factors, int count, int64_t a_shift, int64_t a_step, int64_t b_step,
                   int64_t n, bool add, float* out, int64_t out_step) {
  Vec sums[kRows][kVectors] = {};
  for (int i = 0; i < count; ++i) {
    const T* a = factors[i].a + a_shift;
    const T* b = factors[i].b;
    for (int64_t step = 0; step < n; ++step, a += a_step, b += b_step) {
#pragma GCC unroll 32
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) multiply_add(sums[r][v], a[r * kRowStep], b + v * kLanes);
      }
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* to = out + r * out_step + v * kLanes;
      store(to, add ? load(to) + sums[r][v] : sums[r][v]);
    }
  }
}

template <class T>
using Tile = decltype(&multiply_tile<T, 1, 1, 1>);

template <class T, int kRowStep, int kVectors, int... kRows>
Tile<T> pick(int rows, std::integer_sequence<int, kRows...>) {
  static constexpr Tile<T> tiles[] = {&multiply_tile<T, kRowStep, kRows + 1, kVectors>...};
  return tiles[rows - 1];
}

template <class T, int kRowStep>
Tile<T> tile_of(int rows, int vectors) {
  switch (vectors) {
    case 1:
      return pick<T, kRowStep, 1>(rows, std::make_integer_sequence<int, max_rows(1)>());
    case 2:
      return pick<T, kRowStep, 2>(rows, std::make_integer_sequence<int, max_rows(2)>());
    default:
      return pick<T, kRowStep, 4>(rows, std::make_integer_sequence<int, max_rows(4)>());
  }
}

// The matrix product over `size` rows, in tiles of nearly the same height.
template <int kRowStep, class T>
void multiply(const std::vector<Factors<T>>& factors, int64_t a_step, int64_t b_step, int64_t n, bool add,
              float* out, int64_t out_step, int64_t size, int vectors) {
  const int64_t tiles = ceil_div(size, max_rows(vectors));
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = size * i / tiles, to = size * (i + 1) / tiles;
    tile_of<T, kRowStep>(to - from, vectors)(factors.data(), factors.size(), from * kRowStep, a_step, b_step, n, add,
                                   out + from * out_step, out_step);
  }
}

// ---------------------------------------------------------------------------------------------------------
// Threads and memory

// Calls work(0), ..., work(count - 1), in this thread and those of the pool that are free.
//
// The caller takes items like any other thread and waits only for items that run, so a busy pool delays
// nothing. A task that starts late finds no item left; it owns what it reads.
void parallel(ffi::ThreadPool& pool, int64_t count, const std::function<void(int64_t)>& work) {
  struct State {
    std::atomic<int64_t> next{0}, done{0};
  };
  auto state = std::make_shared<State>();
  auto run = [state, count, &work] {
    for (int64_t i; (i = state->next.fetch_add(1)) < count;) {
      work(i);
      if (state->done.fetch_add(1) + 1 == count) state->done.notify_all();
    }
  };
  for (int64_t i = 1; i < std::min<int64_t>(count, pool.num_threads()); ++i) pool.Schedule([run] { run(); });
  run();
  for (int64_t done; (done = state->done.load()) < count;) state->done.wait(done);
}

// Memory of a thread that grows and is kept, since fresh pages cost more than the work on them.
template <class T>
class Scratch {
 public:
  T* get(int64_t count) {
    if (count > capacity_) {
      memory_.reset(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(64))));
      capacity_ = count;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete(p, std::align_val_t(64)); }
  };
  std::unique_ptr<T, Free> memory_;
  int64_t capacity_ = 0;
};

// ---------------------------------------------------------------------------------------------------------
// Transposition of 4-byte elements

template <int... kLane>
inline void interleave(Vec a, Vec b, Vec& low, Vec& high, std::integer_sequence<int, kLane...>) {
  constexpr int kHalf = kLanes / 2;
  low = __builtin_shufflevector(a, b, (kLane % 2 * kLanes + kLane / 2)...);
  high = __builtin_shufflevector(a, b, (kLane % 2 * kLanes + kLane / 2 + kHalf)...);
}

// to[j * to_step + i] = from[i * from_step + j] for i < rows, j < columns.
template <class T>
void transpose(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t rows, int64_t columns) {
  int64_t i = 0;
  for (; i + kLanes <= rows; i += kLanes) {
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) {
      Vec block[2][kLanes];
      for (int k = 0; k < kLanes; ++k) block[0][k] = load(from + (i + k) * from_step + j);
      int side = 0;
      for (int n = kLanes; n > 1; n /= 2, side ^= 1) {
        for (int k = 0; k < kLanes / 2; ++k) {
          interleave(block[side][k], block[side][k + kLanes / 2], block[side ^ 1][2 * k],
                     block[side ^ 1][2 * k + 1], std::make_integer_sequence<int, kLanes>());
        }
      }
      for (int k = 0; k < kLanes; ++k) store(to + (j + k) * to_step + i, block[side][k]);
    }
    for (; j < columns; ++j) {
      for (int k = 0; k < kLanes; ++k) to[j * to_step + i + k] = from[(i + k) * from_step + j];
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * to_step + i] = from[i * from_step + j];
  }
}

// ---------------------------------------------------------------------------------------------------------
// Shapes

struct Shape {  // of images [B, H, W, C]
  int64_t batch, height, width, channels;
};

struct Size {  // of a kernel [kh, kw, C, O]
  int64_t height, width, inputs, outputs;
};

struct Geometry {
  int64_t stride, top, left;  // zeros above and to the left of an image; the rest follows from shapes
};

// A kernel element, and where it reads: pixel (y, x) of the output reads pixel (step * y + dy, step * x + dx).
struct Tap {
  int64_t element, dy, dx;
};

// A part of the output, computed like a convolution: its pixel (y, x) is pixel (step * y + top, ...) of the output.
struct Phase {
  int64_t top, left;
  std::vector<Tap> taps;
};

// A convolution or its transpose.
struct Plan {
  int64_t in_step, out_step;
  std::vector<Phase> phases;
};

Plan convolution(const Size& k, const Geometry& g) {
  Phase all{0, 0, {}};
  for (int64_t i = 0; i < k.height; ++i) {
    for (int64_t j = 0; j < k.width; ++j) all.taps.push_back({i * k.width + j, i - g.top, j - g.left});
  }
  return {g.stride, 1, {all}};
}

// Pixels of the same remainder modulo the stride are one phase: they read the same kernel elements.
Plan transposed(const Size& k, const Geometry& g) {
  Plan plan{1, g.stride, {}};
  for (int64_t top = 0; top < g.stride; ++top) {
    for (int64_t left = 0; left < g.stride; ++left) {
      Phase phase{top, left, {}};
      for (int64_t i = 0; i < k.height; ++i) {
        for (int64_t j = 0; j < k.width; ++j) {
          const int64_t y = top + g.top - i, x = left + g.left - j;
          if (y % g.stride || x % g.stride) continue;
          phase.taps.push_back({i * k.width + j, y / g.stride, x / g.stride});
        }
      }
      plan.phases.push_back(phase);
    }
  }
  return plan;
}

// ---------------------------------------------------------------------------------------------------------
// Convolution and its transpose

constexpr int64_t kRowBytes = 192 << 10;  // of copied rows; they stay in the second-level cache
constexpr int kFewOutputs = kLanes / 2;   // up to here the vectors of the product are pixels, not outputs

// Where a kernel has its element for input channel c and output channel o: at c * input_step + o * output_step.
struct Weights {
  int64_t inputs, outputs, input_step, output_step;
};

template <class Number>
class Convolution {
  using E = Elements<Number>;
  using T = typename E::T;

 public:
  Convolution(const Plan& plan, const Shape& in, const Shape& out, const Weights& weights)
      : plan_(plan), in_(in), out_(out), weights_(weights), depth_(ceil_div(in.channels, E::kNumbers)) {
    for (const Phase& phase : plan.phases) {
      for (const Tap& tap : phase.taps) {
        top_ = std::min(top_, tap.dy), bottom_ = std::max(bottom_, tap.dy);
        left_ = std::min(left_, tap.dx), right_ = std::max(right_, tap.dx);
      }
    }
    rows_ = ceil_div(out.height, plan.out_step), columns_ = ceil_div(out.width, plan.out_step);
    few_ = out.channels <= kFewOutputs;
    blocked_ = !few_ && in.channels % (kLanes * E::kNumbers) == 0;
    pitch_ = columns_ + (right_ - left_) / plan.in_step;
    if (!blocked_) pitch_ = round_up(pitch_, kLanes) + kLanes;
  }

  void run(ffi::ThreadPool& pool, const Number* x, const Number* kernel, Number* y) {
    static thread_local Scratch<T> packed;
    T* weights = packed.get(packed_size());
    pack_weights(pool, kernel, weights);
    const int64_t row_bytes = plan_.in_step * depth_ * pitch_ * sizeof(T) * plan_.in_step;
    const int64_t group = std::clamp<int64_t>(kRowBytes / row_bytes - (bottom_ - top_) / plan_.in_step, 2, rows_ + 1);
    const int64_t groups = ceil_div(rows_, group);
    parallel(pool, in_.batch * groups, [&](int64_t i) {
      const int64_t image = i / groups, from = i % groups * group, to = std::min(rows_, from + group);
      static thread_local Scratch<T> rows;
      T* copied = rows.get(count_rows(from, to) * row_size() + kLanes * 4);
      for (int64_t row = 0; row < count_rows(from, to); ++row) {
        copy_row(x + image * in_.height * in_.width * in_.channels, from * plan_.in_step + top_ + row,
                 copied + row * row_size());
      }
      compute(copied, weights, from, to, y + image * out_.height * out_.width * out_.channels);
    });
  }

 private:
  // Outputs are computed in blocks of one, two or four vectors.
  int block_vectors(int64_t from) const {
    const int64_t left = ceil_div(out_.channels - from, kLanes);
    if (columns_ <= max_rows(4) && left >= 4) return 4;
    return left >= 2 ? 2 : 1;
  }

  int64_t taps() const {
    int64_t count = 0;
    for (const Phase& phase : plan_.phases) count += phase.taps.size();
    return count;
  }

  int64_t packed_size() const { return taps() * depth_ * round_up(out_.channels, kLanes); }

  // Weights in the order of the sums: [block][phase][tap][input][output in block], with zeros at the end.
  void pack_weights(ffi::ThreadPool& pool, const Number* kernel, T* to) {
    const int64_t all = taps();
    std::vector<int64_t> starts;
    const int64_t width = few_ ? out_.channels : kLanes;
    for (int64_t o = 0; o < out_.channels; o += few_ ? out_.channels : block_vectors(o) * kLanes) starts.push_back(o);
    parallel(pool, starts.size(), [&](int64_t i) {
      const int64_t from = starts[i];
      const int64_t size = few_ ? width : block_vectors(from) * kLanes;
      T* t = to + from * all * depth_;
      for (const Phase& phase : plan_.phases) {
        for (const Tap& tap : phase.taps) {
          const Number* element = kernel + tap.element * weights_.inputs * weights_.outputs;
          for (int64_t c = 0; c < in_.channels; c += E::kNumbers) {
            for (int64_t o = from; o < from + size; ++o) {
              const Number* w = element + c * weights_.input_step + o * weights_.output_step;
              const bool two = c + 1 < in_.channels;
              *t++ = o < out_.channels ? E::make(w[0], two ? w[weights_.input_step] : Number{}) : T{};
            }
          }
        }
      }
    });
  }

  int64_t row_size() const { return plan_.in_step * depth_ * pitch_; }
  int64_t count_rows(int64_t from, int64_t to) const { return (to - 1 - from) * plan_.in_step + bottom_ - top_ + 1; }

  // A row of an image as [column % step][input][column / step], so that neighbours in the output are neighbours;
  // if the inputs fill vectors, as [column % step][vector of inputs][column / step][input], which is faster.
  void copy_row(const Number* image, int64_t y, T* to) const {
    if (y < 0 || y >= in_.height) {
      std::fill_n(to, row_size(), T{});
      return;
    }
    const int64_t step = plan_.in_step;
    const Number* row = image + y * in_.width * in_.channels;
    for (int64_t q = 0; q < step; ++q, to += depth_ * pitch_) {
      const int64_t x = left_ + q;  // of column 0
      const int64_t from = x < 0 ? ceil_div(-x, step) : 0;
      const int64_t end = std::clamp<int64_t>(x < in_.width ? ceil_div(in_.width - x, step) : 0, from, pitch_);
      const int64_t lanes = blocked_ ? kLanes : 1;
      for (int64_t c = 0; c < depth_; c += lanes) {
        std::fill_n(to + c * pitch_, std::min(from, pitch_) * lanes, T{});
        std::fill(to + c * pitch_ + end * lanes, to + (c + lanes) * pitch_, T{});
      }
      const Number* source = row + (x + from * step) * in_.channels;
      if (blocked_) {
        for (int64_t i = from; i < end; ++i, source += step * in_.channels) {
          const T* pixel = reinterpret_cast<const T*>(source);
          for (int64_t c = 0; c < depth_; c += kLanes) store(to + c * pitch_ + i * kLanes, load(pixel + c));
        }
        continue;
      }
      if (in_.channels % E::kNumbers == 0) {
        transpose(reinterpret_cast<const T*>(source), step * depth_, to + from, pitch_, end - from, depth_);
        continue;
      }
      for (int64_t i = from; i < end; ++i, source += step * in_.channels) {
        for (int64_t c = 0; c < depth_; ++c) {
          const int64_t second = 2 * c + 1;
          to[c * pitch_ + i] = E::make(source[2 * c], second < in_.channels ? source[second] : Number{});
        }
      }
    }
  }

  void compute(const T* rows, const T* weights, int64_t from, int64_t to, Number* y) const {
    const int64_t all = taps();
    std::vector<Factors<T>> factors;
    for (int64_t o = 0; o < out_.channels;) {
      const int vectors = block_vectors(o);
      const int64_t width = few_ ? out_.channels : vectors * kLanes;
      const T* w = weights + o * all * depth_;
      for (const Phase& phase : plan_.phases) {
        const int64_t columns = ceil_div(out_.width - phase.left, plan_.out_step);
        for (int64_t row = from; row < to; ++row) {
          if (row * plan_.out_step + phase.top >= out_.height || columns <= 0) continue;
          factors.clear();
          const T* b = w;
          for (const Tap& tap : phase.taps) {
            const int64_t shift = tap.dx - left_, step = plan_.in_step;
            const int64_t at = ((row - from) * step + tap.dy - top_) * step + shift % step;
            const T* a = rows + at * depth_ * pitch_ + shift / step * (blocked_ ? kLanes : 1);
            const int64_t inputs = blocked_ ? kLanes : depth_;  // of a factor
            for (int64_t c = 0; c < depth_; c += inputs, b += inputs * width) {
              factors.push_back({a + c * pitch_, b});
            }
          }
          Number* pixels = y + ((row * plan_.out_step + phase.top) * out_.width + phase.left) * out_.channels + o;
          if (few_) {
            for (Factors<T>& f : factors) std::swap(f.a, f.b);
            by_pixels(factors, columns, pixels);
          } else {
            by_outputs(factors, columns, pixels, vectors, std::min(width, out_.channels - o));
          }
        }
        w += phase.taps.size() * depth_ * width;
      }
      o += width;
    }
  }

  // Vectors are output channels.
  void by_outputs(const std::vector<Factors<T>>& factors, int64_t columns, Number* y, int vectors, int64_t outputs) const {
    const int64_t width = vectors * kLanes, y_step = plan_.out_step * out_.channels;
    if constexpr (std::is_same_v<Number, float>) {
      if (outputs == width) {
        multiply_rows(factors, y, y_step, columns, vectors);
        return;
      }
    }
    static thread_local Scratch<float> sums;
    float* s = sums.get(columns * width);
    multiply_rows(factors, s, width, columns, vectors);
    for (int64_t x = 0; x < columns; ++x) E::round(s + x * width, y + x * y_step, outputs);
  }

  void multiply_rows(const std::vector<Factors<T>>& factors, float* out, int64_t out_step, int64_t columns, int vectors) const {
    if (blocked_) {
      multiply<kLanes>(factors, 1, vectors * kLanes, kLanes, false, out, out_step, columns, vectors);
    } else {
      multiply<1>(factors, pitch_, vectors * kLanes, depth_, false, out, out_step, columns, vectors);
    }
  }

  // Vectors are pixels of a row; the factors are swapped.
  void by_pixels(std::vector<Factors<T>>& factors, int64_t columns, Number* y) const {
    const int64_t outputs = out_.channels, y_step = plan_.out_step * outputs;
    float sums[kFewOutputs * 4 * kLanes], pixel[kFewOutputs];
    for (int64_t x = 0; x < columns;) {
      const int64_t left = ceil_div(columns - x, kLanes);
      const int vectors = left >= 4 && outputs <= max_rows(4) ? 4 : left >= 2 && outputs <= max_rows(2) ? 2 : 1;
      const int64_t width = vectors * kLanes;
      multiply<1>(factors, outputs, pitch_, depth_, false, sums, width, outputs, vectors);
      for (int64_t i = 0; i < std::min(width, columns - x); ++i) {
        for (int64_t o = 0; o < outputs; ++o) pixel[o] = sums[o * width + i];
        E::round(pixel, y + (x + i) * y_step, outputs);
      }
      for (Factors<T>& f : factors) f.b += width;
      x += width;
    }
  }

  const Plan& plan_;
  const Shape in_, out_;
  const Weights weights_;
  const int64_t depth_;                                       // elements of a pixel
  int64_t top_ = 0, bottom_ = 0, left_ = 0, right_ = 0;       // least and largest dy and dx
  int64_t rows_, columns_;                                    // of the largest phase
  int64_t pitch_;                                             // elements of a copied row of one input channel
  bool few_, blocked_;
};

// ---------------------------------------------------------------------------------------------------------
// Kernel gradient

constexpr int64_t kPixels = 128;              // of images summed at once, so that they stay in the first-level cache
constexpr int64_t kMostParts = 16;            // parts of a batch, whose sums are added at the end
constexpr int64_t kPartPixels = 1024;         // at least, if there are as many
constexpr int64_t kPartFloats = 4 << 20;      // of the sums of all parts
constexpr int64_t kOutputsAtOnce = 4 * kLanes;

int64_t count_parts(const Shape& dy, int64_t sums) {
  const int64_t most = std::min(dy.batch * dy.height * dy.width / kPartPixels, kPartFloats / sums);
  return std::min(dy.batch, std::clamp<int64_t>(most, 1, kMostParts));
}

// The gradient is a sum over pixels of x[pixel + tap, input] * dy[pixel, output]. In a row of x all inputs of all
// horizontal taps are consecutive: they are one axis, J = kw * C.
template <class Number>
class KernelGradient {
  using E = Elements<Number>;
  using T = typename E::T;

 public:
  KernelGradient(const Size& kernel, const Geometry& geometry, const Shape& x, const Shape& dy)
      : k_(kernel), g_(geometry), x_(x), dy_(dy), across_(kernel.width * kernel.inputs) {
    few_ = dy.channels <= kFewOutputs;
    steps_ = ceil_div(dy.width, E::kNumbers);
    dy_pitch_ = few_ ? dy.channels : round_up(dy.channels, kLanes);
    x_row_ = round_up((E::kNumbers * steps_ - 1) * g_.stride * x.channels + across_, kLanes) + 4 * kLanes;
    sums_row_ = few_ ? round_up(across_, kLanes) : dy_pitch_;
    sums_ = k_.height * (few_ ? dy.channels : across_) * sums_row_;
  }

  void run(ffi::ThreadPool& pool, const Number* x, const Number* dy, Number* gradient) {
    static thread_local Scratch<float> scratch;
    const int64_t parts = count_parts(dy_, sums_);
    const int64_t slices = few_ ? 1 : ceil_div(dy_.channels, kOutputsAtOnce);
    float* sums = scratch.get(parts * sums_);
    parallel(pool, parts * slices, [&](int64_t i) {
      const int64_t part = i / slices, slice = i % slices;
      const int64_t from = slice * kOutputsAtOnce, end = few_ ? dy_.channels : std::min(dy_pitch_, from + kOutputsAtOnce);
      sum_part(x, dy, x_.batch * part / parts, x_.batch * (part + 1) / parts, from, end, sums + part * sums_);
    });
    add_parts(pool, sums, parts, gradient);
  }

 private:
  // Sums of images `from` to `end`, over outputs `o` to `o_end`.
  void sum_part(const Number* x, const Number* dy, int64_t from, int64_t end, int64_t o, int64_t o_end, float* sums) const {
    static thread_local Scratch<T> x_scratch, dy_scratch;
    if (few_) {
      std::fill_n(sums, sums_, 0.0f);
    } else {
      for (int64_t j = 0; j < k_.height * across_; ++j) std::fill_n(sums + j * sums_row_ + o, o_end - o, 0.0f);
    }
    const int64_t rows_at_once = std::clamp<int64_t>(ceil_div(kPixels, dy_.width), 1, dy_.height);
    const int64_t images_at_once = std::max<int64_t>(1, kPixels / (dy_.height * dy_.width));
    const int64_t width = o_end - o;
    const int64_t most_rows = (rows_at_once - 1) * g_.stride + k_.height;
    T* x_rows = x_scratch.get(images_at_once * most_rows * x_row_);
    T* dy_rows = dy_scratch.get(images_at_once * rows_at_once * steps_ * width + 4 * kLanes);
    std::vector<Factors<T>> factors;
    for (int64_t image = from; image < end; image += images_at_once) {
      const int64_t images = std::min(images_at_once, end - image);
      for (int64_t y = 0; y < dy_.height; y += rows_at_once) {
        const int64_t rows = std::min(rows_at_once, dy_.height - y), x_rows_each = (rows - 1) * g_.stride + k_.height;
        for (int64_t i = 0; i < images; ++i) {
          for (int64_t row = 0; row < x_rows_each; ++row) {
            copy_x(x + (image + i) * x_.height * x_.width * x_.channels, y * g_.stride - g_.top + row,
                   x_rows + (i * x_rows_each + row) * x_row_);
          }
          for (int64_t row = 0; row < rows; ++row) {
            copy_dy(dy + ((image + i) * dy_.height + y + row) * dy_.width * dy_.channels, o, width,
                    dy_rows + (i * rows + row) * steps_ * width);
          }
        }
        for (int64_t tap = 0; tap < k_.height; ++tap) {
          factors.clear();
          for (int64_t i = 0; i < images; ++i) {
            for (int64_t row = 0; row < rows; ++row) {
              const T* a = x_rows + (i * x_rows_each + row * g_.stride + tap) * x_row_;
              factors.push_back({a, dy_rows + (i * rows + row) * steps_ * width});
            }
          }
          if (few_) {
            by_inputs(factors, sums + tap * dy_.channels * sums_row_);
          } else {
            by_outputs(factors, width, sums + tap * across_ * sums_row_ + o);
          }
        }
      }
    }
  }

  // Vectors are output channels: sums[j, o].
  void by_outputs(std::vector<Factors<T>>& factors, int64_t width, float* sums) const {
    const int64_t a_step = E::kNumbers * g_.stride * x_.channels;
    for (int64_t o = 0; o < width;) {
      const int vectors = width - o >= 4 * kLanes && across_ <= max_rows(4) ? 4 : width - o >= 2 * kLanes ? 2 : 1;
      multiply<1>(factors, a_step, width, steps_, true, sums + o, sums_row_, across_, vectors);
      for (Factors<T>& f : factors) f.b += vectors * kLanes;
      o += vectors * kLanes;
    }
  }

  // Vectors are inputs: sums[o, j].
  void by_inputs(std::vector<Factors<T>>& factors, float* sums) const {
    for (Factors<T>& f : factors) std::swap(f.a, f.b);
    const int64_t b_step = E::kNumbers * g_.stride * x_.channels, outputs = dy_.channels;
    for (int64_t j = 0; j < across_;) {
      const int64_t left = ceil_div(across_ - j, kLanes);
      const int vectors = left >= 4 && outputs <= max_rows(4) ? 4 : left >= 2 && outputs <= max_rows(2) ? 2 : 1;
      multiply<1>(factors, outputs, b_step, steps_, true, sums + j, sums_row_, outputs, vectors);
      for (Factors<T>& f : factors) f.b += vectors * kLanes;
      j += vectors * kLanes;
    }
  }

  // Number `i` of row y of an image that starts `left` columns earlier, padded with zeros.
  void copy_x(const Number* image, int64_t y, T* to) const {
    const int64_t c = x_.channels, pair = g_.stride * c;  // from one pixel to the next
    const int64_t from = std::clamp<int64_t>(g_.left * c, 0, x_row_);
    const int64_t end = y < 0 || y >= x_.height ? from : std::clamp<int64_t>((g_.left + x_.width) * c, from, x_row_);
    const Number* row = image + (y * x_.width - g_.left) * c;
    if constexpr (std::is_same_v<Number, float>) {
      std::fill_n(to, from, 0.0f);
      if (end > from) std::copy(row + from, row + end, to + from);
      std::fill(to + end, to + x_row_, 0.0f);
    } else {
      for (int64_t i = 0; i < x_row_; ++i) {
        to[i] = E::make(i >= from && i < end ? row[i] : Number{}, i + pair >= from && i + pair < end ? row[i + pair] : Number{});
      }
    }
  }

  void copy_dy(const Number* row, int64_t o, int64_t width, T* to) const {
    const int64_t c = dy_.channels, present = std::min(width, c - o);
    for (int64_t i = 0; i < steps_; ++i, to += width) {
      const Number* first = row + E::kNumbers * i * c + o;
      if constexpr (std::is_same_v<Number, float>) {
        std::copy_n(first, present, to);
      } else {
        const bool two = 2 * i + 1 < dy_.width;
        for (int64_t j = 0; j < present; ++j) to[j] = E::make(first[j], two ? first[c + j] : Number{});
      }
      std::fill(to + present, to + width, T{});
    }
  }

  void add_parts(ffi::ThreadPool& pool, const float* sums, int64_t parts, Number* gradient) const {
    parallel(pool, k_.height, [&](int64_t tap) {
      static thread_local Scratch<float> scratch;
      float* total = scratch.get(dy_.channels);
      for (int64_t j = 0; j < across_; ++j) {
        std::fill_n(total, dy_.channels, 0.0f);
        for (int64_t part = 0; part < parts; ++part) {
          const float* s = sums + part * sums_;
          if (few_) {
            for (int64_t o = 0; o < dy_.channels; ++o) total[o] += s[(tap * dy_.channels + o) * sums_row_ + j];
          } else {
            for (int64_t o = 0; o < dy_.channels; ++o) total[o] += s[(tap * across_ + j) * sums_row_ + o];
          }
        }
        E::round(total, gradient + (tap * across_ + j) * dy_.channels, dy_.channels);
      }
    });
  }

  const Size k_;
  const Geometry g_;
  const Shape x_, dy_;
  const int64_t across_;             // J
  int64_t steps_;                    // elements of a row of dy
  int64_t x_row_, dy_pitch_;         // elements of a copied row of x and of a pixel of dy
  int64_t sums_row_, sums_;          // floats of a row of sums, and of all
  bool few_;
};

// ---------------------------------------------------------------------------------------------------------
// Winograd's products

// Convolutions with fewer products for each square of 2x2 outputs: F(2x2, 3x3) and F(2x2, 2x2) of Lavin and Gray,
// https://arxiv.org/abs/1509.09308; compare compare_gan/nn/winograd.py. A tile of pixels and the kernel become as
// many numbers ("points") each, which are multiplied element by element, so the sum over channels is a matrix
// product for each point: 16 products in place of 36 for 3x3 elements of stride 1, 9 in place of 16 for 2x2. A
// convolution by 4x4 elements of stride 2 is a sum of four by 2x2, and its transpose consists of four.

constexpr int64_t kTileFloats = 128 << 10;  // of transformed tiles; they stay in the second-level cache
constexpr int64_t kMostTiles = 128;         // at once

// The transforms along one axis for kTaps elements of the kernel.
template <int kTaps>
struct Winograd;

template <>
struct Winograd<3> {
  static void of_input(const Vec (&x)[4], Vec (&to)[4]) {
    to[0] = x[0] - x[2], to[1] = x[1] + x[2], to[2] = x[2] - x[1], to[3] = x[1] - x[3];
  }
  static void of_kernel(const Vec (&w)[3], Vec (&to)[4]) {
    to[0] = w[0], to[1] = (w[0] + w[1] + w[2]) * 0.5f, to[2] = (w[0] - w[1] + w[2]) * 0.5f, to[3] = w[2];
  }
  static void to_output(const Vec (&m)[4], Vec (&to)[2]) { to[0] = m[0] + m[1] + m[2], to[1] = m[1] - m[2] - m[3]; }
  static void of_output(const Vec (&y)[2], Vec (&to)[4]) {
    to[0] = y[0], to[1] = y[0] + y[1], to[2] = y[0] - y[1], to[3] = -y[1];
  }
  static void to_kernel(const Vec (&m)[4], Vec (&to)[3]) {
    const Vec half = (m[1] + m[2]) * 0.5f;
    to[0] = m[0] + half, to[1] = (m[1] - m[2]) * 0.5f, to[2] = m[3] + half;
  }
};

template <>
struct Winograd<2> {
  static void of_input(const Vec (&x)[3], Vec (&to)[3]) { to[0] = x[0] - x[1], to[1] = x[1], to[2] = x[2] - x[1]; }
  static void of_kernel(const Vec (&w)[2], Vec (&to)[3]) { to[0] = w[0], to[1] = w[0] + w[1], to[2] = w[1]; }
  static void to_output(const Vec (&m)[3], Vec (&to)[2]) { to[0] = m[0] + m[1], to[1] = m[1] + m[2]; }
  static void of_output(const Vec (&y)[2], Vec (&to)[3]) { of_kernel(y, to); }
  static void to_kernel(const Vec (&m)[3], Vec (&to)[2]) { to_output(m, to); }
};

// Applies a transform of kFrom to kTo vectors along both axes of a square.
template <auto kTransform, int kFrom, int kTo>
inline void both_axes(const Vec (&from)[kFrom][kFrom], Vec (&to)[kTo][kTo]) {
  Vec rows[kFrom][kTo];
  for (int i = 0; i < kFrom; ++i) kTransform(from[i], rows[i]);
  for (int j = 0; j < kTo; ++j) {
    Vec column[kFrom], transformed[kTo];
    for (int i = 0; i < kFrom; ++i) column[i] = rows[i][j];
    kTransform(column, transformed);
    for (int i = 0; i < kTo; ++i) to[i][j] = transformed[i];
  }
}

// A convolution of kTaps x kTaps elements that is a part of another: its output (y, x) reads the pixels from
// (step * y + dy, step * x + dx) in steps of `step`; the kernel elements of its taps, by rows.
struct Piece {
  int64_t dy, dx;
  int64_t elements[9];
};

// Outputs that are computed together as a sum of pieces: (step * y + top, step * x + left).
struct Target {
  int64_t top, left;
  std::vector<Piece> pieces;
};

struct WinogradPlan {
  int64_t in_step, out_step;
  std::vector<Target> targets;
};

WinogradPlan winograd_convolution(const Size& k, const Geometry& g) {
  Target all{0, 0, {}};
  for (int64_t top = 0; top < g.stride; ++top) {
    for (int64_t left = 0; left < g.stride; ++left) {
      Piece piece{top - g.top, left - g.left, {}};
      int64_t* element = piece.elements;
      for (int64_t i = top; i < k.height; i += g.stride) {
        for (int64_t j = left; j < k.width; j += g.stride) *element++ = i * k.width + j;
      }
      all.pieces.push_back(piece);
    }
  }
  return {g.stride, 1, {all}};
}

WinogradPlan winograd_transposed(const Size& k, const Geometry& g) {
  WinogradPlan plan{1, g.stride, {}};
  for (int64_t top = 0; top < g.stride; ++top) {
    for (int64_t left = 0; left < g.stride; ++left) {
      // The last element of an output's taps reads the first pixel.
      const int64_t i_last = k.height - g.stride + (top + g.top) % g.stride;
      const int64_t j_last = k.width - g.stride + (left + g.left) % g.stride;
      Piece piece{(top + g.top - i_last) / g.stride, (left + g.left - j_last) / g.stride, {}};
      int64_t* element = piece.elements;
      for (int64_t i = i_last; i >= 0; i -= g.stride) {
        for (int64_t j = j_last; j >= 0; j -= g.stride) *element++ = i * k.width + j;
      }
      plan.targets.push_back({top, left, {piece}});
    }
  }
  return plan;
}

// Elements along one axis of Winograd's kernel with which a convolution can be computed and is faster so; 0 if
// there is none. The transforms of the kernel must be cheap beside those of an image.
int winograd_taps(const Size& k, const Geometry& g, const Shape& small) {
  const bool vectors = !(k.inputs % kLanes) && !(k.outputs % kLanes);
  if (!vectors || k.height != k.width || g.top < 0 || g.left < 0) return 0;
  if (16 * small.height * small.width < std::max(k.inputs, k.outputs)) return 0;
  return k.height == 3 && g.stride == 1 ? 3 : k.height == 4 && g.stride == 2 ? 2 : 0;
}

// The tiles of 2x2 outputs of a batch, in groups that are transformed at once: whole images, or rows of tiles of one.
class Tiles {
 public:
  Tiles(int64_t height, int64_t width, int64_t floats_per_tile) : down_(ceil_div(height, 2)), across_(ceil_div(width, 2)) {
    const int64_t most = std::clamp<int64_t>(kTileFloats / floats_per_tile, 16, kMostTiles);
    images_ = std::max<int64_t>(1, most / (down_ * across_));
    rows_ = std::clamp<int64_t>(most / across_, 1, down_);
    groups_per_image_ = ceil_div(down_, rows_);
  }

  int64_t most() const { return images_ * rows_ * across_; }  // in a group
  int64_t groups(int64_t images) const { return ceil_div(images, images_) * groups_per_image_; }

  // Calls visit(index in the group, image, y, x) for the tiles of a group of the images from `from` to `end`, where
  // (y, x) is the first output; returns their number.
  template <class Visit>
  int64_t each(int64_t group, int64_t from, int64_t end, Visit visit) const {
    const int64_t first = from + group / groups_per_image_ * images_, row = group % groups_per_image_ * rows_;
    int64_t index = 0;
    for (int64_t image = first; image < std::min(first + images_, end); ++image) {
      for (int64_t y = row; y < std::min(row + rows_, down_); ++y) {
        for (int64_t x = 0; x < across_; ++x) visit(index++, image, 2 * y, 2 * x);
      }
    }
    return index;
  }

 private:
  int64_t down_, across_, images_, rows_, groups_per_image_;
};

// Transforms kSide x kSide pixels of image `n` from (y, x), zero outside of it, to kPoints x kPoints numbers for each
// of `channels` channels from `c`: to[point * point_step + channel / kLanes * vector_step + channel % kLanes].
template <auto kTransform, int kSide, int kPoints>
inline void transform_tile(const float* images, const Shape& s, int64_t n, int64_t y, int64_t x, int64_t step, int64_t c,
                           int64_t channels, float* to, int64_t point_step, int64_t vector_step) {
  alignas(64) static constexpr float kZeros[kLanes] = {};
  const float* pixels[kSide][kSide];
  int64_t steps[kSide][kSide];  // between vectors of a pixel
  for (int i = 0; i < kSide; ++i) {
    for (int j = 0; j < kSide; ++j) {
      const int64_t row = y + i * step, column = x + j * step;
      const bool inside = row >= 0 && row < s.height && column >= 0 && column < s.width;
      pixels[i][j] = inside ? images + ((n * s.height + row) * s.width + column) * s.channels + c : kZeros;
      steps[i][j] = inside;
    }
  }
  for (int64_t k = 0; k < channels; k += kLanes, to += vector_step) {
    Vec from[kSide][kSide], points[kPoints][kPoints];
    for (int i = 0; i < kSide; ++i) {
      for (int j = 0; j < kSide; ++j) from[i][j] = load(pixels[i][j] + k * steps[i][j]);
    }
    both_axes<kTransform>(from, points);
    for (int i = 0; i < kPoints; ++i) {
      for (int j = 0; j < kPoints; ++j) store(to + (i * kPoints + j) * point_step, points[i][j]);
    }
  }
}

// A convolution or its transpose.
template <int kTaps>
class WinogradConvolution {
  static constexpr int kSide = kTaps + 1, kPoints = kSide * kSide, kVectors = 2;
  using W = Winograd<kTaps>;

 public:
  WinogradConvolution(const WinogradPlan& plan, const Shape& in, const Shape& out, const Weights& weights)
      : plan_(plan), in_(in), out_(out), weights_(weights), depth_(plan.targets[0].pieces.size() * in.channels),
        tiles_(ceil_div(out.height, plan.out_step), ceil_div(out.width, plan.out_step), kPoints * depth_) {}

  void run(ffi::ThreadPool& pool, const float* x, const float* kernel, float* y) const {
    static thread_local Scratch<float> scratch;
    float* weights = scratch.get(plan_.targets.size() * kPoints * depth_ * out_.channels);
    transform_weights(pool, kernel, weights);
    parallel(pool, tiles_.groups(in_.batch), [&](int64_t group) {
      const float* w = weights;
      for (const Target& target : plan_.targets) {
        compute(target, group, x, w, y);
        w += kPoints * depth_ * out_.channels;
      }
    });
  }

 private:
  int vectors(int64_t o) const { return out_.channels - o >= kVectors * kLanes ? kVectors : 1; }

  // [target][block of outputs][point][piece][input][output in block]
  void transform_weights(ffi::ThreadPool& pool, const float* kernel, float* to) const {
    const int64_t inputs = in_.channels, outputs = out_.channels, blocks = ceil_div(outputs, kVectors * kLanes);
    parallel(pool, plan_.targets.size() * blocks, [&](int64_t i) {
      const int64_t target = i / blocks, from = i % blocks * kVectors * kLanes, width = vectors(from) * kLanes;
      float* block = to + kPoints * depth_ * (target * outputs + from);
      for (const Piece& piece : plan_.targets[target].pieces) {
        for (int64_t c = 0; c < inputs; ++c, block += width) {
          for (int64_t o = 0; o < width; o += kLanes) {
            Vec w[kTaps][kTaps], points[kSide][kSide];
            for (int tap = 0; tap < kTaps * kTaps; ++tap) {
              const float* element = kernel + piece.elements[tap] * inputs * outputs + c * weights_.input_step +
                                     (from + o) * weights_.output_step;
              Vec& v = w[tap / kTaps][tap % kTaps];
              for (int lane = 0; lane < kLanes; ++lane) v[lane] = element[lane * weights_.output_step];
            }
            both_axes<W::of_kernel>(w, points);
            for (int p = 0; p < kPoints; ++p) store(block + p * depth_ * width + o, points[p / kSide][p % kSide]);
          }
        }
      }
    });
  }

  void compute(const Target& target, int64_t group, const float* x, const float* weights, float* y) const {
    static thread_local Scratch<float> tile_scratch, sum_scratch;
    const int64_t inputs = in_.channels, most = tiles_.most();
    float* transformed = tile_scratch.get(kPoints * most * depth_);     // [point][piece][vector of inputs][tile][input]
    float* sums = sum_scratch.get(kPoints * most * kVectors * kLanes);  // [point][tile][output in block]
    const int64_t count = tiles_.each(group, 0, in_.batch, [&](int64_t t, int64_t image, int64_t row, int64_t column) {
      float* to = transformed + t * kLanes;
      for (const Piece& piece : target.pieces) {
        transform_tile<W::of_input, kSide, kSide>(x, in_, image, row * plan_.in_step + piece.dy, column * plan_.in_step + piece.dx,
                       plan_.in_step, 0, inputs, to, most * depth_, most * kLanes);
        to += most * inputs;
      }
    });
    std::vector<Factors<float>> factors(depth_ / kLanes);
    for (int64_t o = 0; o < out_.channels; o += vectors(o) * kLanes) {
      const int64_t width = vectors(o) * kLanes;
      for (int p = 0; p < kPoints; ++p) {
        const float* w = weights + kPoints * depth_ * o + p * depth_ * width;
        for (int64_t c = 0; c < depth_; c += kLanes) {
          factors[c / kLanes] = {transformed + p * most * depth_ + c * most, w + c * width};
        }
        multiply<kLanes>(factors, 1, width, kLanes, false, sums + p * most * width, width, count, vectors(o));
      }
      tiles_.each(group, 0, in_.batch, [&](int64_t t, int64_t image, int64_t row, int64_t column) {
        const int64_t to_y = row * plan_.out_step + target.top, to_x = column * plan_.out_step + target.left;
        const int64_t right = plan_.out_step * out_.channels, down = right * out_.width;
        float* pixel = y + ((image * out_.height + to_y) * out_.width + to_x) * out_.channels + o;
        const int rows = 1 + (to_y + plan_.out_step < out_.height), columns = 1 + (to_x + plan_.out_step < out_.width);
        if (to_y >= out_.height || to_x >= out_.width) return;
        for (int64_t k = 0; k < width; k += kLanes) {
          Vec points[kSide][kSide], outputs[2][2];
          for (int p = 0; p < kPoints; ++p) points[p / kSide][p % kSide] = load(sums + (p * most + t) * width + k);
          both_axes<W::to_output>(points, outputs);
          for (int i = 0; i < rows; ++i) {
            for (int j = 0; j < columns; ++j) store(pixel + i * down + j * right + k, outputs[i][j]);
          }
        }
      });
    }
  }

  const WinogradPlan& plan_;
  const Shape in_, out_;
  const Weights weights_;
  const int64_t depth_;  // inputs of all pieces
  const Tiles tiles_;
};

template <int kTaps>
class WinogradKernelGradient {
  static constexpr int kSide = kTaps + 1, kPoints = kSide * kSide;
  using W = Winograd<kTaps>;

 public:
  // `plan` is that of the convolution.
  WinogradKernelGradient(const WinogradPlan& plan, const Shape& x, const Shape& dy)
      : pieces_(plan.targets[0].pieces), step_(plan.in_step), x_(x), dy_(dy), depth_(pieces_.size() * x.channels),
        slice_(std::min(dy.channels, kOutputsAtOnce)), tiles_(dy.height, dy.width, kPoints * (depth_ + slice_) / 2) {}

  void run(ffi::ThreadPool& pool, const float* x, const float* dy, float* gradient) const {
    static thread_local Scratch<float> scratch;
    const int64_t inputs = x_.channels, outputs = dy_.channels, size = kPoints * depth_ * outputs;
    const int64_t parts = count_parts(dy_, size), slices = ceil_div(outputs, slice_);
    float* sums = scratch.get(parts * size);
    parallel(pool, parts * slices, [&](int64_t i) {
      const int64_t part = i / slices, o = i % slices * slice_;
      sum_part(x, dy, x_.batch * part / parts, x_.batch * (part + 1) / parts, o, std::min(slice_, outputs - o), sums + part * size);
    });
    parallel(pool, depth_ / kLanes, [&](int64_t block) {
      const Piece& piece = pieces_[block * kLanes / inputs];
      for (int64_t d = block * kLanes; d < (block + 1) * kLanes; ++d) {
        for (int64_t o = 0; o < outputs; o += kLanes) {
          Vec points[kSide][kSide] = {}, elements[kTaps][kTaps];
          for (int64_t part = 0; part < parts; ++part) {
            const float* s = sums + part * size + d * outputs + o;
            for (int p = 0; p < kPoints; ++p) points[p / kSide][p % kSide] += load(s + p * depth_ * outputs);
          }
          both_axes<W::to_kernel>(points, elements);
          for (int i = 0; i < kTaps * kTaps; ++i) {
            store(gradient + (piece.elements[i] * inputs + d % inputs) * outputs + o, elements[i / kTaps][i % kTaps]);
          }
        }
      }
    });
  }

 private:
  // [point][piece][input][output], of images `from` to `end` and outputs from `o`.
  void sum_part(const float* x, const float* dy, int64_t from, int64_t end, int64_t o, int64_t width, float* sums) const {
    static thread_local Scratch<float> x_scratch, dy_scratch;
    const int64_t outputs = dy_.channels, most = tiles_.most();
    for (int64_t i = 0; i < kPoints * depth_; ++i) std::fill_n(sums + i * outputs + o, width, 0.0f);
    float* x_tiles = x_scratch.get(kPoints * most * depth_);   // [point][tile][piece][input]
    float* dy_tiles = dy_scratch.get(kPoints * most * width);  // [point][tile][output]
    std::vector<Factors<float>> factors(1);
    for (int64_t group = 0; group < tiles_.groups(end - from); ++group) {
      const int64_t count = tiles_.each(group, from, end, [&](int64_t t, int64_t image, int64_t row, int64_t column) {
        float* to = x_tiles + t * depth_;
        for (const Piece& piece : pieces_) {
          transform_tile<W::of_input, kSide, kSide>(x, x_, image, row * step_ + piece.dy, column * step_ + piece.dx, step_, 0, x_.channels,
                         to, most * depth_, kLanes);
          to += x_.channels;
        }
        transform_tile<W::of_output, 2, kSide>(dy, dy_, image, row, column, 1, o, width, dy_tiles + t * width, most * width, kLanes);
      });
      for (int p = 0; p < kPoints; ++p) {
        for (int64_t k = 0; k < width;) {
          const int vectors = width - k >= 2 * kLanes ? 2 : 1;
          factors[0] = {x_tiles + p * most * depth_, dy_tiles + p * most * width + k};
          multiply<1>(factors, depth_, width, count, true, sums + p * depth_ * outputs + o + k, outputs, depth_, vectors);
          k += vectors * kLanes;
        }
      }
    }
  }

  const std::vector<Piece>& pieces_;
  const int64_t step_;
  const Shape x_, dy_;
  const int64_t depth_;  // inputs of all pieces
  const int64_t slice_;  // outputs at once
  const Tiles tiles_;
};

// ---------------------------------------------------------------------------------------------------------
// Calls from XLA

Shape shape(ffi::AnyBuffer::Dimensions d) { return {d[0], d[1], d[2], d[3]}; }
Size size(ffi::AnyBuffer::Dimensions d) { return {d[0], d[1], d[2], d[3]}; }

// A 1x1 convolution does not depend on where pixels are: narrow images become one row.
void flatten_narrow(const Size& k, const Geometry& g, Shape& in, Shape& out) {
  if (k.height != 1 || k.width != 1 || g.stride != 1 || g.top || g.left) return;
  if (in.height != out.height || in.width != out.width || in.width >= max_rows(2)) return;
  for (Shape* s : {&in, &out}) *s = {s->batch, 1, s->height * s->width, s->channels};
}

template <class Number>
Number* numbers(ffi::AnyBuffer& b) {
  return static_cast<Number*>(b.untyped_data());
}

// A convolution from `in` to `out`, or its transpose.
template <class Number>
void convolve_images(ffi::ThreadPool& pool, const Geometry& g, const Size& k, bool transpose, Shape in, Shape out,
                     const Number* x, const Number* kernel, Number* y) {
  const Weights weights{in.channels, out.channels, transpose ? 1 : k.outputs, transpose ? k.outputs : 1};
  if constexpr (std::is_same_v<Number, float>) {
    if (const int taps = winograd_taps(k, g, transpose ? in : out)) {
      const WinogradPlan plan = transpose ? winograd_transposed(k, g) : winograd_convolution(k, g);
      if (taps == 3) {
        WinogradConvolution<3>(plan, in, out, weights).run(pool, x, kernel, y);
      } else {
        WinogradConvolution<2>(plan, in, out, weights).run(pool, x, kernel, y);
      }
      return;
    }
  }
  flatten_narrow(k, g, in, out);
  const Plan plan = transpose ? transposed(k, g) : convolution(k, g);
  Convolution<Number>(plan, in, out, weights).run(pool, x, kernel, y);
}

template <class Number>
void convolve(ffi::ThreadPool& pool, const Geometry& g, ffi::AnyBuffer x, ffi::AnyBuffer kernel, ffi::AnyBuffer y) {
  convolve_images(pool, g, size(kernel.dimensions()), false, shape(x.dimensions()), shape(y.dimensions()),
                  numbers<Number>(x), numbers<Number>(kernel), numbers<Number>(y));
}

template <class Number>
void convolve_transpose(ffi::ThreadPool& pool, const Geometry& g, ffi::AnyBuffer y, ffi::AnyBuffer kernel, ffi::AnyBuffer x) {
  convolve_images(pool, g, size(kernel.dimensions()), true, shape(y.dimensions()), shape(x.dimensions()),
                  numbers<Number>(y), numbers<Number>(kernel), numbers<Number>(x));
}

template <class Number>
void kernel_gradient(ffi::ThreadPool& pool, const Geometry& g, ffi::AnyBuffer x, ffi::AnyBuffer dy, ffi::AnyBuffer gradient) {
  const Size k = size(gradient.dimensions());
  Shape in = shape(x.dimensions()), out = shape(dy.dimensions());
  Number* to = numbers<Number>(gradient);
  if constexpr (std::is_same_v<Number, float>) {
    if (const int taps = winograd_taps(k, g, out)) {
      const WinogradPlan plan = winograd_convolution(k, g);
      if (taps == 3) {
        WinogradKernelGradient<3>(plan, in, out).run(pool, numbers<float>(x), numbers<float>(dy), to);
      } else {
        WinogradKernelGradient<2>(plan, in, out).run(pool, numbers<float>(x), numbers<float>(dy), to);
      }
      return;
    }
  }
  flatten_narrow(k, g, in, out);
  KernelGradient<Number>(k, g, in, out).run(pool, numbers<Number>(x), numbers<Number>(dy), to);
}

// One map for arrays of either type.
using Map = void (*)(ffi::ThreadPool&, const Geometry&, ffi::AnyBuffer, ffi::AnyBuffer, ffi::AnyBuffer);

template <Map kFloat, Map kBfloat16>
ffi::Error call(ffi::ThreadPool pool, ffi::AnyBuffer a, ffi::AnyBuffer b, ffi::Result<ffi::AnyBuffer> out,
                int64_t stride, int64_t top, int64_t left) {
  const Map map = a.element_type() == ffi::F32 ? kFloat : a.element_type() == ffi::BF16 ? kBfloat16 : nullptr;
  if (!map) return ffi::Error::InvalidArgument("compare_gan_cpu: no kernel for arrays of this type");
  if (out->element_count()) map(pool, {stride, top, left}, a, b, *out);
  return ffi::Error::Success();
}

auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::AnyBuffer>()
      .Arg<ffi::AnyBuffer>()
      .Ret<ffi::AnyBuffer>()
      .Attr<int64_t>("stride")
      .Attr<int64_t>("top")
      .Attr<int64_t>("left");
}

}  // namespace

#ifdef __AVX512BF16__
#define BOTH(map) call<map<float>, map<uint16_t>>
#else
#define BOTH(map) call<map<float>, nullptr>
#endif

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(compare_gan_convolve, (BOTH(convolve)), binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(compare_gan_convolve_transpose, (BOTH(convolve_transpose)), binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(compare_gan_kernel_gradient, (BOTH(kernel_gradient)), binding());

// The best level of `LEVELS` in __init__.py that this processor has. The generic library is asked.
extern "C" int compare_gan_level() {
#ifdef __x86_64__
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return v4 ? (__builtin_cpu_supports("avx512bf16") ? 3 : 2) : v3;
#else
  return 0;
#endif
}
