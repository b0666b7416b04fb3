// Convolutions with fewer products for each square of 2x2 outputs: F(2x2, 3x3) and F(2x2, 2x2) of Lavin and
// Gray, https://arxiv.org/abs/1509.09308; compare compare_gan/nn/winograd.py. A tile of pixels and the kernel
// become as many numbers ("points") each, which are multiplied element by element, so the sum over channels
// is a matrix product for each point: 16 products in place of 36 for 3x3 elements of stride 1, 9 in place of
// 16 for 2x2. A convolution of stride 2 is a sum of four of stride 1, and its transpose consists of four: by
// 2x2 elements each if it has 4x4, by 3x3 to 2x2 if it has 5x5.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "direct.h"
#include "product.h"
#include "shapes.h"
#include "threads.h"

namespace compare_gan {

constexpr int64_t kTileFloats = 128 << 10;  // of transformed tiles; they stay in the second-level cache
constexpr int64_t kMostTiles = 128;         // at once
constexpr int64_t kLeastTiles = 64;         // even if they leave it: a large kernel is read less often

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
  static void to_output(const Vec (&m)[4], Vec (&to)[2]) {
    to[0] = m[0] + m[1] + m[2], to[1] = m[1] - m[2] - m[3];
  }
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
  static void of_input(const Vec (&x)[3], Vec (&to)[3]) {
    to[0] = x[0] - x[1], to[1] = x[1], to[2] = x[2] - x[1];
  }
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

constexpr int64_t kAbsent = -1;

// A convolution of `taps` x `taps` elements that is a part of another: its output (y, x) reads the pixels
// from (step * y + dy, step * x + dx) in steps of `step`; the kernel elements of its taps, by rows. The last
// row or column may have no elements.
struct Piece {
  int taps;
  int64_t dy, dx;
  int64_t elements[9];

  // Whether the product at a point is not always zero: the kernel's last point is its last tap.
  bool has(int point) const {
    const int row = point / (taps + 1), column = point % (taps + 1), last = taps - 1;
    return elements[(row == taps) * last * taps + (column == taps) * last] != kAbsent;
  }
};

// The elements of rows i, i + step, ... and columns j, j + step, ..., where `step` may be negative.
inline Piece piece(const Size& k, int taps, int64_t step, int64_t i, int64_t j, int64_t dy, int64_t dx) {
  Piece piece{taps, dy, dx, {}};
  for (int tap = 0; tap < taps * taps; ++tap) {
    const int64_t row = i + tap / taps * step, column = j + tap % taps * step;
    const bool present = row >= 0 && row < k.height && column >= 0 && column < k.width;
    piece.elements[tap] = present ? row * k.width + column : kAbsent;
  }
  return piece;
}

// Outputs that are computed together as a sum of pieces: (step * y + top, step * x + left).
struct Target {
  int64_t top, left;
  std::vector<Piece> pieces;
};

struct WinogradPlan {
  int64_t in_step, out_step;
  std::vector<Target> targets;
};

inline WinogradPlan winograd_convolution(const Size& k, const Geometry& g, int taps) {
  Target all{0, 0, {}};
  for (int64_t top = 0; top < g.stride; ++top) {
    for (int64_t left = 0; left < g.stride; ++left) {
      all.pieces.push_back(piece(k, taps, g.stride, top, left, top - g.top, left - g.left));
    }
  }
  return {g.stride, 1, {all}};
}

inline WinogradPlan winograd_transposed(const Size& k, const Geometry& g, int taps) {
  WinogradPlan plan{1, g.stride, {}};
  // The last element of an output's taps reads the first pixel.
  const auto last = [&](int64_t size, int64_t at) {
    return size - 1 - (size - 1 - at % g.stride) % g.stride;
  };
  for (int64_t top = 0; top < g.stride; ++top) {
    for (int64_t left = 0; left < g.stride; ++left) {
      const int64_t y = top + g.top, x = left + g.left, i = last(k.height, y), j = last(k.width, x);
      plan.targets.push_back(
          {top, left, {piece(k, taps, -g.stride, i, j, (y - i) / g.stride, (x - j) / g.stride)}});
    }
  }
  return plan;
}

// Elements along one axis of Winograd's kernel with which a convolution can be computed and is faster so; 0
// if there is none. Images consist of a whole tile at least.
inline int winograd_taps(const Size& k, const Geometry& g, const Shape& small) {
  const bool vectors = !(k.inputs % kLanes) && !(k.outputs % kLanes);
  if (!vectors || k.height != k.width || g.top < 0 || g.left < 0) return 0;
  if (small.height < 2 || small.width < 2) return 0;
  const int64_t taps = ceil_div(k.height, g.stride);
  return k.height >= 2 * g.stride && (taps == 2 || taps == 3) ? taps : 0;
}

// The tiles of 2x2 outputs of a batch, in groups that are transformed at once: whole images, or rows of tiles
// of one.
class Tiles {
 public:
  // At most `images` of them are a group.
  Tiles(int64_t height, int64_t width, int64_t images, int64_t floats_per_tile)
      : down_(ceil_div(height, 2)), across_(ceil_div(width, 2)) {
    const int64_t most = std::clamp<int64_t>(kTileFloats / floats_per_tile, kLeastTiles, kMostTiles);
    images_ = std::clamp<int64_t>(most / (down_ * across_), 1, images);
    rows_ = std::clamp<int64_t>(most / across_, 1, down_);
    groups_per_image_ = ceil_div(down_, rows_);
  }

  int64_t most() const { return images_ * rows_ * across_; }  // in a group
  int64_t groups(int64_t images) const { return ceil_div(images, images_) * groups_per_image_; }

  // Calls visit(index in the group, image, y, x) for the tiles of a group of the images from `from` to `end`,
  // where (y, x) is the first output; returns their number.
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

// Transforms kSide x kSide pixels of image `n` from (y, x), zero outside of it, to kPoints x kPoints numbers
// for each of `channels` channels from `c`: to[point * point_step + channel / kLanes * vector_step + channel
// % kLanes].
template <auto kTransform, int kSide, int kPoints>
inline void transform_tile(const float* images, const Shape& s, int64_t n, int64_t y, int64_t x, int64_t step,
                           int64_t c, int64_t channels, float* to, int64_t point_step, int64_t vector_step) {
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
  // Groups of tiles are small enough for `threads` threads.
  WinogradConvolution(const WinogradPlan& plan, const Shape& in, const Shape& out, const Weights& weights,
                      int64_t threads)
      : plan_(plan),
        in_(in),
        out_(out),
        weights_(weights),
        depth_(plan.targets[0].pieces.size() * in.channels),
        tiles_(ceil_div(out.height, plan.out_step), ceil_div(out.width, plan.out_step),
               ceil_div(in.batch, threads), kPoints * depth_) {}

  void run(xla::ffi::ThreadPool& pool, const float* x, const float* kernel, float* y) const {
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
  void transform_weights(xla::ffi::ThreadPool& pool, const float* kernel, float* to) const {
    const int64_t inputs = in_.channels, outputs = out_.channels,
                  blocks = ceil_div(outputs, kVectors * kLanes);
    parallel(pool, plan_.targets.size() * blocks, [&](int64_t i) {
      const int64_t target = i / blocks, from = i % blocks * kVectors * kLanes,
                    width = vectors(from) * kLanes;
      float* block = to + kPoints * depth_ * (target * outputs + from);
      for (const Piece& piece : plan_.targets[target].pieces) {
        for (int64_t c = 0; c < inputs; ++c, block += width) {
          for (int64_t o = 0; o < width; o += kLanes) {
            Vec w[kTaps][kTaps] = {}, points[kSide][kSide];
            for (int tap = 0; tap < kTaps * kTaps; ++tap) {
              Vec& v = w[tap / kTaps][tap % kTaps];
              if (piece.elements[tap] == kAbsent) continue;
              const float* element = kernel + piece.elements[tap] * inputs * outputs +
                                     c * weights_.input_step + (from + o) * weights_.output_step;
              for (int lane = 0; lane < kLanes; ++lane) v[lane] = element[lane * weights_.output_step];
            }
            both_axes<W::of_kernel>(w, points);
            for (int p = 0; p < kPoints; ++p)
              store(block + p * depth_ * width + o, points[p / kSide][p % kSide]);
          }
        }
      }
    });
  }

  void compute(const Target& target, int64_t group, const float* x, const float* weights, float* y) const {
    static thread_local Scratch<float> tile_scratch, sum_scratch;
    const int64_t inputs = in_.channels, most = tiles_.most();
    float* transformed =
        tile_scratch.get(kPoints * most * depth_);  // [point][piece][vector of inputs][tile][input]
    float* sums = sum_scratch.get(kPoints * most * kVectors * kLanes);  // [point][tile][output in block]
    const int64_t count =
        tiles_.each(group, 0, in_.batch, [&](int64_t t, int64_t image, int64_t row, int64_t column) {
          float* to = transformed + t * kLanes;
          for (const Piece& piece : target.pieces) {
            transform_tile<W::of_input, kSide, kSide>(x, in_, image, row * plan_.in_step + piece.dy,
                                                      column * plan_.in_step + piece.dx, plan_.in_step, 0,
                                                      inputs, to, most * depth_, most * kLanes);
            to += most * inputs;
          }
        });
    std::vector<Factors<float>> factors;
    for (int64_t o = 0; o < out_.channels; o += vectors(o) * kLanes) {
      const int64_t width = vectors(o) * kLanes;
      for (int p = 0; p < kPoints; ++p) {
        const float* w = weights + kPoints * depth_ * o + p * depth_ * width;
        factors.clear();
        for (int64_t c = 0; c < depth_; c += kLanes) {
          if (!target.pieces[c / inputs].has(p)) continue;
          factors.push_back({transformed + p * most * depth_ + c * most, w + c * width});
        }
        multiply<kLanes>(factors, 1, width, kLanes, false, sums + p * most * width, width, count, vectors(o));
      }
      tiles_.each(group, 0, in_.batch, [&](int64_t t, int64_t image, int64_t row, int64_t column) {
        const int64_t to_y = row * plan_.out_step + target.top, to_x = column * plan_.out_step + target.left;
        const int64_t right = plan_.out_step * out_.channels, down = right * out_.width;
        float* pixel = y + ((image * out_.height + to_y) * out_.width + to_x) * out_.channels + o;
        const int rows = 1 + (to_y + plan_.out_step < out_.height),
                  columns = 1 + (to_x + plan_.out_step < out_.width);
        if (to_y >= out_.height || to_x >= out_.width) return;
        for (int64_t k = 0; k < width; k += kLanes) {
          Vec points[kSide][kSide], outputs[2][2];
          for (int p = 0; p < kPoints; ++p)
            points[p / kSide][p % kSide] = load(sums + (p * most + t) * width + k);
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
      : pieces_(plan.targets[0].pieces),
        step_(plan.in_step),
        x_(x),
        dy_(dy),
        depth_(pieces_.size() * x.channels),
        slice_(std::min(dy.channels, kOutputsAtOnce)),
        tiles_(dy.height, dy.width, dy.batch, kPoints * (depth_ + slice_) / 2) {}

  void run(xla::ffi::ThreadPool& pool, const float* x, const float* dy, float* gradient) const {
    static thread_local Scratch<float> scratch;
    const int64_t inputs = x_.channels, outputs = dy_.channels, size = kPoints * depth_ * outputs;
    const int64_t parts = count_parts(dy_, size), slices = ceil_div(outputs, slice_);
    float* sums = scratch.get(parts * size);
    parallel(pool, parts * slices, [&](int64_t i) {
      const int64_t part = i / slices, o = i % slices * slice_;
      sum_part(x, dy, x_.batch * part / parts, x_.batch * (part + 1) / parts, o,
               std::min(slice_, outputs - o), sums + part * size);
    });
    parallel(pool, depth_ / kLanes, [&](int64_t block) {
      const Piece& piece = pieces_[block * kLanes / inputs];
      for (int64_t d = block * kLanes; d < (block + 1) * kLanes; ++d) {
        for (int64_t o = 0; o < outputs; o += kLanes) {
          Vec points[kSide][kSide] = {}, elements[kTaps][kTaps];
          for (int64_t part = 0; part < parts; ++part) {
            const float* s = sums + part * size + d * outputs + o;
            for (int p = 0; p < kPoints; ++p) {
              if (piece.has(p)) points[p / kSide][p % kSide] += load(s + p * depth_ * outputs);
            }
          }
          both_axes<W::to_kernel>(points, elements);
          for (int i = 0; i < kTaps * kTaps; ++i) {
            if (piece.elements[i] == kAbsent) continue;
            store(gradient + (piece.elements[i] * inputs + d % inputs) * outputs + o,
                  elements[i / kTaps][i % kTaps]);
          }
        }
      }
    });
  }

 private:
  // [point][piece][input][output], of images `from` to `end` and outputs from `o`.
  void sum_part(const float* x, const float* dy, int64_t from, int64_t end, int64_t o, int64_t width,
                float* sums) const {
    static thread_local Scratch<float> x_scratch, dy_scratch;
    const int64_t outputs = dy_.channels, most = tiles_.most();
    float* x_tiles = x_scratch.get(kPoints * most * depth_);   // [point][tile][piece][input]
    float* dy_tiles = dy_scratch.get(kPoints * most * width);  // [point][tile][output]
    std::vector<Factors<float>> factors(1);
    for (int64_t group = 0; group < tiles_.groups(end - from); ++group) {
      const int64_t count =
          tiles_.each(group, from, end, [&](int64_t t, int64_t image, int64_t row, int64_t column) {
            float* to = x_tiles + t * depth_;
            for (const Piece& piece : pieces_) {
              transform_tile<W::of_input, kSide, kSide>(x, x_, image, row * step_ + piece.dy,
                                                        column * step_ + piece.dx, step_, 0, x_.channels, to,
                                                        most * depth_, kLanes);
              to += x_.channels;
            }
            transform_tile<W::of_output, 2, kSide>(dy, dy_, image, row, column, 1, o, width,
                                                   dy_tiles + t * width, most * width, kLanes);
          });
      for (int p = 0; p < kPoints; ++p) {
        for (int64_t k = 0; k < width;) {
          const int vectors = width - k >= 2 * kLanes ? 2 : 1;
          const auto has = [&](int64_t c) { return c < depth_ && pieces_[c / x_.channels].has(p); };
          for (int64_t c = 0, end; c < depth_; c = end) {  // consecutive pieces at once
            for (end = c + x_.channels; has(c) && has(end);) end += x_.channels;
            if (!has(c)) continue;
            factors[0] = {x_tiles + p * most * depth_ + c, dy_tiles + p * most * width + k};
            multiply<1>(factors, depth_, width, count, group > 0, sums + (p * depth_ + c) * outputs + o + k,
                        outputs, end - c, vectors);
          }
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

}  // namespace compare_gan
