// Convolution, its transpose and its kernel gradient as plain sums.

#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "product.h"
#include "shapes.h"
#include "threads.h"

namespace compare_gan {

constexpr int64_t kRowBytes = 192 << 10;  // of copied rows; they stay in the second-level cache
constexpr int kFewOutputs = kLanes / 2;   // up to here the vectors of the product are pixels, not outputs

// A convolution or its transpose.
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

  void run(xla::ffi::ThreadPool& pool, const Number* x, const Number* kernel, Number* y) {
    static thread_local Scratch<T> packed;
    T* weights = packed.get(packed_size());
    pack_weights(pool, kernel, weights);
    const int64_t row_bytes = plan_.in_step * depth_ * pitch_ * sizeof(T) * plan_.in_step;
    const int64_t group =
        std::clamp<int64_t>(kRowBytes / row_bytes - (bottom_ - top_) / plan_.in_step, 2, rows_ + 1);
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
    return vectors_at_once(ceil_div(out_.channels - from, kLanes), columns_);
  }

  int64_t taps() const {
    int64_t count = 0;
    for (const Phase& phase : plan_.phases) count += phase.taps.size();
    return count;
  }

  int64_t packed_size() const { return taps() * depth_ * round_up(out_.channels, kLanes); }

  // Weights in the order of the sums: [block][phase][tap][input][output in block], with zeros at the end.
  void pack_weights(xla::ffi::ThreadPool& pool, const Number* kernel, T* to) {
    const int64_t all = taps();
    std::vector<int64_t> starts;
    for (int64_t o = 0; o < out_.channels; o += few_ ? out_.channels : block_vectors(o) * kLanes) {
      starts.push_back(o);
    }
    parallel(pool, starts.size(), [&](int64_t i) {
      const int64_t from = starts[i];
      const int64_t size = few_ ? out_.channels : block_vectors(from) * kLanes;
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
  int64_t count_rows(int64_t from, int64_t to) const {
    return (to - 1 - from) * plan_.in_step + bottom_ - top_ + 1;
  }

  // A row of an image as [column % step][input][column / step], so that neighbours in the output are
  // neighbours; if the inputs fill vectors, as [column % step][vector of inputs][column / step][input], which
  // is faster.
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
      const int64_t end =
          std::clamp<int64_t>(x < in_.width ? ceil_div(in_.width - x, step) : 0, from, pitch_);
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
          Number* pixels =
              y + ((row * plan_.out_step + phase.top) * out_.width + phase.left) * out_.channels + o;
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
  void by_outputs(const std::vector<Factors<T>>& factors, int64_t columns, Number* y, int vectors,
                  int64_t outputs) const {
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

  void multiply_rows(const std::vector<Factors<T>>& factors, float* out, int64_t out_step, int64_t columns,
                     int vectors) const {
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
      const int vectors = vectors_at_once(ceil_div(columns - x, kLanes), outputs);
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
  const int64_t depth_;                                  // elements of a pixel
  int64_t top_ = 0, bottom_ = 0, left_ = 0, right_ = 0;  // least and largest dy and dx
  int64_t rows_, columns_;                               // of the largest phase
  int64_t pitch_;                                        // elements of a copied row of one input channel
  bool few_, blocked_;
};

constexpr int64_t kPixels = 128;       // of images summed at once, so that they stay in the first-level cache
constexpr int64_t kMostParts = 16;     // parts of a batch, whose sums are added at the end
constexpr int64_t kPartPixels = 1024;  // at least, if there are as many
constexpr int64_t kPartFloats = 4 << 20;  // of the sums of all parts
constexpr int64_t kOutputsAtOnce = 4 * kLanes;

// The parts of a batch for which the kernel gradient is computed apart, with `sums` floats each.
inline int64_t count_parts(const Shape& dy, int64_t sums) {
  const int64_t most = std::min(dy.batch * dy.height * dy.width / kPartPixels, kPartFloats / sums);
  return std::min(dy.batch, std::clamp<int64_t>(most, 1, kMostParts));
}

// The gradient is a sum over pixels of x[pixel + tap, input] * dy[pixel, output]. In a row of x all inputs of
// all horizontal taps are consecutive: they are one axis, J = kw * C.
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

  void run(xla::ffi::ThreadPool& pool, const Number* x, const Number* dy, Number* gradient) {
    static thread_local Scratch<float> scratch;
    const int64_t parts = count_parts(dy_, sums_);
    const int64_t slices = few_ ? 1 : ceil_div(dy_.channels, kOutputsAtOnce);
    float* sums = scratch.get(parts * sums_);
    parallel(pool, parts * slices, [&](int64_t i) {
      const int64_t part = i / slices, slice = i % slices;
      const int64_t from = slice * kOutputsAtOnce;
      const int64_t end = few_ ? dy_.channels : std::min(dy_pitch_, from + kOutputsAtOnce);
      sum_part(x, dy, x_.batch * part / parts, x_.batch * (part + 1) / parts, from, end, sums + part * sums_);
    });
    add_parts(pool, sums, parts, gradient);
  }

 private:
  // Sums of images `from` to `end`, over outputs `o` to `o_end`.
  void sum_part(const Number* x, const Number* dy, int64_t from, int64_t end, int64_t o, int64_t o_end,
                float* sums) const {
    static thread_local Scratch<T> x_scratch, dy_scratch;
    if (few_) {
      std::fill_n(sums, sums_, 0.0f);
    } else {
      for (int64_t j = 0; j < k_.height * across_; ++j) {
        std::fill_n(sums + j * sums_row_ + o, o_end - o, 0.0f);
      }
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
        const int64_t rows = std::min(rows_at_once, dy_.height - y);
        const int64_t x_rows_each = (rows - 1) * g_.stride + k_.height;
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
      const int vectors = vectors_at_once((width - o) / kLanes, across_);
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
      const int vectors = vectors_at_once(ceil_div(across_ - j, kLanes), outputs);
      multiply<1>(factors, outputs, b_step, steps_, true, sums + j, sums_row_, outputs, vectors);
      for (Factors<T>& f : factors) f.b += vectors * kLanes;
      j += vectors * kLanes;
    }
  }

  // Number `i` of row y of an image that starts `left` columns earlier, padded with zeros.
  void copy_x(const Number* image, int64_t y, T* to) const {
    const int64_t c = x_.channels, pair = g_.stride * c;  // from one pixel to the next
    const int64_t from = std::clamp<int64_t>(g_.left * c, 0, x_row_);
    const int64_t end =
        y < 0 || y >= x_.height ? from : std::clamp<int64_t>((g_.left + x_.width) * c, from, x_row_);
    const Number* row = image + (y * x_.width - g_.left) * c;
    if constexpr (std::is_same_v<Number, float>) {
      std::fill_n(to, from, 0.0f);
      if (end > from) std::copy(row + from, row + end, to + from);
      std::fill(to + end, to + x_row_, 0.0f);
    } else {
      for (int64_t i = 0; i < x_row_; ++i) {
        to[i] = E::make(i >= from && i < end ? row[i] : Number{},
                        i + pair >= from && i + pair < end ? row[i + pair] : Number{});
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

  void add_parts(xla::ffi::ThreadPool& pool, const float* sums, int64_t parts, Number* gradient) const {
    parallel(pool, k_.height, [&](int64_t tap) {
      static thread_local Scratch<float> scratch;
      float* total = scratch.get(dy_.channels);
      for (int64_t j = 0; j < across_; ++j) {
        std::fill_n(total, dy_.channels, 0.0f);
        for (int64_t part = 0; part < parts; ++part) {
          const float* s = sums + part * sums_;
          if (few_) {
            for (int64_t o = 0; o < dy_.channels; ++o) {
              total[o] += s[(tap * dy_.channels + o) * sums_row_ + j];
            }
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
  const int64_t across_;      // J
  int64_t steps_;             // elements of a row of dy
  int64_t x_row_, dy_pitch_;  // elements of a copied row of x and of a pixel of dy
  int64_t sums_row_, sums_;   // floats of a row of sums, and of all
  bool few_;
};

}  // namespace compare_gan
