// Convolutions of bfloat16 as products of AMX tiles: a tile of 16 rows of 16 pairs times a tile of 16 pairs
// of 16 columns, accumulated in float32.
//
// Images are copied with zero padding, so that the pixels of several images form one sequence with a constant
// stride; the zeros after a row, or an image, are also those before the next. A tile has 16 pixels of this
// sequence, whatever the width of an image; outputs at padding positions are discarded. No output depends on
// another image, so it has the same bits in any batch.

#pragma once

#ifdef __AMX_BF16__

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "direct.h"
#include "product.h"
#include "shapes.h"
#include "threads.h"

namespace compare_gan {

constexpr int64_t kTile = 16;             // rows of a tile, and pairs or floats in a row
constexpr int64_t kTileSize = 2 * 256;    // numbers of a tile
constexpr int64_t kCopyBytes = 96 << 10;  // of images copied at once; they stay in the second-level cache

// Tiles 0 to 3 are sums, 4 and 5 are left factors and 6 and 7 right ones, of `pairs` pairs in the sums.
class TileRegisters {
 public:
  explicit TileRegisters(int64_t pairs) { configure(pairs); }
  ~TileRegisters() { _tile_release(); }
  TileRegisters(const TileRegisters&) = delete;

  void configure(int64_t pairs) {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } configuration;
    for (int i = 0; i < 8; ++i) {
      configuration.row_bytes[i] = 4 * (i == 4 || i == 5 ? pairs : kTile);
      configuration.rows[i] = i < 6 ? kTile : pairs;
    }
    _tile_loadconfig(&configuration);
  }
};

// The compiler does not know that tile instructions read and write memory.
inline void before_tiles() { std::atomic_signal_fence(std::memory_order_seq_cst); }

template <int kRows, int kColumns>
inline void clear_sums() {
  _tile_zero(0);
  if constexpr (kRows * kColumns > 1) _tile_zero(1);
  if constexpr (kRows * kColumns > 2) _tile_zero(2);
  if constexpr (kRows * kColumns > 3) _tile_zero(3);
}

template <int kRows, int kColumns>
inline void load_sums(const float* from, int64_t row_step, int64_t column_step, int64_t bytes) {
  const auto at = [&](int i) { return from + i / kColumns * row_step + i % kColumns * column_step; };
  _tile_loadd(0, at(0), bytes);
  if constexpr (kRows * kColumns > 1) _tile_loadd(1, at(1), bytes);
  if constexpr (kRows * kColumns > 2) _tile_loadd(2, at(2), bytes);
  if constexpr (kRows * kColumns > 3) _tile_loadd(3, at(3), bytes);
}

template <int kRows, int kColumns>
inline void store_sums(float* to, int64_t row_step, int64_t column_step, int64_t bytes) {
  const auto at = [&](int i) { return to + i / kColumns * row_step + i % kColumns * column_step; };
  _tile_stored(0, at(0), bytes);
  if constexpr (kRows * kColumns > 1) _tile_stored(1, at(1), bytes);
  if constexpr (kRows * kColumns > 2) _tile_stored(2, at(2), bytes);
  if constexpr (kRows * kColumns > 3) _tile_stored(3, at(3), bytes);
}

// Adds the products of kRows by kColumns tiles, up to four by one or two by two. `a(i)` is where left tile
// `i` begins, with rows `a_bytes` apart.
template <int kRows, int kColumns, class Left>
inline void add_products(Left a, int64_t a_bytes, const uint16_t* b, int64_t b_step) {
  static_assert(kRows * kColumns <= 4 && kColumns <= 2);
  _tile_loadd(6, b, 64);
  if constexpr (kColumns == 2) _tile_loadd(7, b + b_step, 64);
  _tile_loadd(4, a(0), a_bytes);
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (kColumns == 2) {
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kRows == 2) {
      _tile_loadd(5, a(1), a_bytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  } else {
    if constexpr (kRows > 1) {
      _tile_loadd(5, a(1), a_bytes);
      _tile_dpbf16ps(1, 5, 6);
    }
    if constexpr (kRows > 2) {
      _tile_loadd(4, a(2), a_bytes);
      _tile_dpbf16ps(2, 4, 6);
    }
    if constexpr (kRows > 3) {
      _tile_loadd(5, a(3), a_bytes);
      _tile_dpbf16ps(3, 5, 6);
    }
  }
}

// Interleaves the first `count` numbers of two rows; zeros follow.
inline void store_pairs(const uint16_t* first, const uint16_t* second, int64_t count, uint16_t* to) {
  const __mmask16 mask = count < kTile ? (1u << count) - 1 : 0xffff;
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, first));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, second));
  _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

// to[j * to_step + i] = from[i * from_step + j] for i < 32, j < 16.
inline void transpose_block(const uint16_t* from, int64_t from_step, uint16_t* to, int64_t to_step) {
  Vec block[2][kLanes];
  for (int i = 0; i < kLanes; ++i) {  // an order in which `packus` puts pixels in order
    const uint16_t* low = from + (i / 4 * 8 + i % 4) * from_step;
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low + 4 * from_step));
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low));
    block[0][i] = (Vec)_mm512_inserti64x4(_mm512_castsi256_si512(both), high, 1);
  }
  int side = 0;
  for (int n = kLanes; n > 1; n /= 2, side ^= 1) {
    for (int k = 0; k < kLanes / 2; ++k) {
      interleave(block[side][k], block[side][k + kLanes / 2], block[side ^ 1][2 * k],
                 block[side ^ 1][2 * k + 1], std::make_integer_sequence<int, kLanes>());
    }
  }
  const __m512i low = _mm512_set1_epi32(0xffff);
  for (int k = 0; k < kLanes / 2; ++k) {
    const __m512i u = (__m512i)block[side][k], v = (__m512i)block[side][k + kLanes / 2];
    _mm512_storeu_si512(to + 2 * k * to_step,
                        _mm512_packus_epi32(_mm512_and_si512(u, low), _mm512_and_si512(v, low)));
    _mm512_storeu_si512(to + (2 * k + 1) * to_step,
                        _mm512_packus_epi32(_mm512_srli_epi32(u, 16), _mm512_srli_epi32(v, 16)));
  }
}

// Along one axis output i reads pixels step * i + first, ..., step * i + last of an image.
struct Reach {
  int64_t first, last;
};

// Copies of images with zeros around them: groups of whole images, or of rows of one. A copy is [row %
// step][image][row / step][column][channel], where row and column begin at `first`.
class PaddedImages {
 public:
  // `height` and `width` are those of the output; about `most` outputs are a group, zeros included.
  PaddedImages(const Shape& in, int64_t height, int64_t width, int64_t step, Reach rows, Reach columns,
               int64_t most)
      : in_(in), height_(height), width_(width), step_(step), y_(rows), x_(columns) {
    pitch_ = pitch(in.width, width, columns);
    rows_pitch_ = pitch(in.height, height, rows);
    rows_ = height, images_ = std::clamp<int64_t>(most / (rows_pitch_ * pitch_), 1, in.batch);
    more_ = ceil_div(rows.last - rows.first + 1, step);
    if (rows_pitch_ * pitch_ > most + most / 2) {
      rows_ = std::clamp<int64_t>(most / pitch_ - more_ + 1, std::min<int64_t>(4, height), height);
      rows_ = ceil_div(height, ceil_div(height, rows_));
      rows_pitch_ = rows_ - 1 + more_;
    }
  }

  int64_t pitch() const { return pitch_; }                        // outputs from one row to the next
  int64_t row_groups() const { return ceil_div(height_, rows_); }  // of an image
  int64_t groups(int64_t images) const { return ceil_div(images, images_) * row_groups(); }
  int64_t pixel() const { return step_ * in_.channels; }  // numbers from an output to the next
  int64_t plane() const { return ((images_ * rows_pitch_ + more_) * pitch_ + 4 * kTile) * pixel() + 256; }
  int64_t size() const { return step_ * plane(); }
  // Outputs of a group at most, zeros between them included.
  int64_t most() const { return ((images_ - 1) * rows_pitch_ + rows_ - 1) * pitch_ + width_; }

  struct Group {
    int64_t image, images, row, rows;
  };
  Group group(int64_t index, int64_t from, int64_t end) const {
    const int64_t image = from + index / row_groups() * images_, row = index % row_groups() * rows_;
    return {image, std::min(images_, end - image), row, std::min(rows_, height_ - row)};
  }
  // Outputs of a group, zeros between them included.
  int64_t count(const Group& g) const {
    return ((g.images - 1) * rows_pitch_ + g.rows - 1) * pitch_ + width_;
  }

  void copy(const uint16_t* x, const Group& g, uint16_t* to) const {
    const int64_t row_size = pitch_ * pixel();
    for (int64_t q = 0; q < step_; ++q) {
      uint16_t* row = to + q * plane();
      for (int64_t image = g.image; image < g.image + g.images; ++image) {
        for (int64_t i = 0; i < rows_pitch_; ++i, row += row_size) {
          copy_row(x, image, (g.row + i) * step_ + q + y_.first, row);
        }
      }
      std::fill(row, to + (q + 1) * plane(), 0);
    }
  }

  // Where the pixel is that output 0 reads at (dy, dx).
  int64_t at(int64_t dy, int64_t dx) const {
    const int64_t row = dy - y_.first;
    return row % step_ * plane() + row / step_ * pitch_ * pixel() + (dx - x_.first) * in_.channels;
  }

  // Calls visit(index in the sequence, image, row, column) for the outputs of a group from `from` to `end`.
  template <class Visit>
  void each(const Group& g, int64_t from, int64_t end, Visit visit) const {
    int64_t column = from % pitch_, row = from / pitch_ % rows_pitch_, image = from / pitch_ / rows_pitch_;
    for (int64_t i = from; i < end;) {
      if (row < g.rows) {
        for (; column < width_ && i < end; ++column, ++i) visit(i, g.image + image, g.row + row, column);
        if (i == end) return;
      }
      i += pitch_ - column, column = 0;
      if (++row == rows_pitch_) row = 0, ++image;
    }
  }

 private:
  int64_t pitch(int64_t in, int64_t out, Reach reach) const {
    const int64_t end = (out - 1) * step_ + reach.last + 1, zeros = std::max<int64_t>(0, -reach.first);
    const int64_t pixels =
        std::max({std::min(end, in) - reach.first, end - reach.first - zeros, out * step_});
    return ceil_div(pixels, step_);
  }

  void copy_row(const uint16_t* x, int64_t image, int64_t y, uint16_t* to) const {
    const int64_t c = in_.channels, size = pitch_ * step_;
    const bool inside = y >= 0 && y < in_.height;
    const int64_t from = inside ? std::clamp<int64_t>(-x_.first, 0, size) : size;
    const int64_t end = inside ? std::clamp<int64_t>(in_.width - x_.first, from, size) : size;
    const uint16_t* row = x + ((image * in_.height + y) * in_.width + x_.first) * c;
    std::fill(to, to + from * c, 0);
    if (end > from) std::memcpy(to + from * c, row + from * c, (end - from) * c * sizeof(*to));
    std::fill(to + end * c, to + size * c, 0);
  }

  const Shape in_;
  const int64_t height_, width_, step_;
  const Reach y_, x_;
  int64_t pitch_, rows_pitch_;  // outputs from one row, and rows from one image, to the next
  int64_t rows_, images_;       // of the output, in a group
  int64_t more_;                // rows that the first output reads
};

// The kernel elements of one row that a phase uses read consecutive pixels, so their numbers are one axis of
// the sum. It is cut into tiles of equal size.
struct KernelRow {
  int64_t dy, dx;                 // of the first element
  std::vector<int64_t> elements;  // of the kernel
};

struct TilePhase {
  int64_t top, left;
  std::vector<KernelRow> rows;
  int64_t pairs = 1, tiles = 0;  // of a tile; in a row
};

inline std::vector<TilePhase> tile_phases(const Plan& plan, int64_t channels) {
  std::vector<TilePhase> phases;
  for (const Phase& phase : plan.phases) {
    TilePhase tiled{phase.top, phase.left, {}};
    std::vector<Tap> taps = phase.taps;
    std::sort(taps.begin(), taps.end(),
              [](const Tap& a, const Tap& b) { return std::pair(a.dy, a.dx) < std::pair(b.dy, b.dx); });
    for (const Tap& tap : taps) {
      if (tiled.rows.empty() || tiled.rows.back().dy != tap.dy) tiled.rows.push_back({tap.dy, tap.dx, {}});
      tiled.rows.back().elements.push_back(tap.element);
    }
    if (!taps.empty()) {
      const int64_t pairs = ceil_div(tiled.rows[0].elements.size() * channels, 2);
      tiled.tiles = ceil_div(pairs, kTile), tiled.pairs = ceil_div(pairs, tiled.tiles);
    }
    phases.push_back(tiled);
  }
  return phases;
}

// A convolution or its transpose.
class TileConvolution {
 public:
  TileConvolution(const Plan& plan, const Shape& in, const Shape& out, const Weights& weights)
      : step_(plan.out_step),
        phases_(tile_phases(plan, in.channels)),
        in_(in),
        out_(out),
        weights_(weights),
        images_(in, ceil_div(out.height, plan.out_step), ceil_div(out.width, plan.out_step), plan.in_step,
                reach(true), reach(false),
                kCopyBytes / (2 * plan.in_step * plan.in_step * in.channels)) {}

  void run(xla::ffi::ThreadPool& pool, const uint16_t* x, const uint16_t* kernel, uint16_t* y) const {
    static thread_local Scratch<uint16_t> packed;
    uint16_t* weights = packed.get(packed_size());
    pack_weights(pool, kernel, weights);
    parallel(pool, images_.groups(in_.batch), [&](int64_t i) {
      static thread_local Scratch<uint16_t> scratch;
      uint16_t* copied = scratch.get(images_.size());
      const PaddedImages::Group group = images_.group(i, 0, in_.batch);
      images_.copy(x, group, copied);
      compute(copied, weights, group, y);
    });
  }

 private:
  Reach reach(bool vertical) const {
    Reach reach{0, 0};
    for (const TilePhase& phase : phases_) {
      for (const KernelRow& row : phase.rows) {
        // The last tile of a row reads what is left of it, times zero.
        const int64_t pixels = ceil_div(phase.tiles * phase.pairs * 2, in_.channels);
        reach.first = std::min(reach.first, vertical ? row.dy : row.dx);
        reach.last = std::max(reach.last, vertical ? row.dy : row.dx + pixels - 1);
      }
    }
    return reach;
  }

  int64_t blocks() const { return ceil_div(out_.channels, 2 * kTile); }
  int64_t tiles(int64_t block) const {  // next to each other in a block
    return std::min<int64_t>(2, ceil_div(out_.channels - block * 2 * kTile, kTile));
  }
  // Numbers of the tiles of a phase for 16 outputs.
  static int64_t column(const TilePhase& phase) {
    return phase.rows.size() * phase.tiles * phase.pairs * 2 * kTile;
  }

  int64_t packed_size() const {
    int64_t size = 0;
    for (const TilePhase& phase : phases_) size += column(phase) * ceil_div(out_.channels, kTile);
    return size;
  }

  // [phase][16 outputs][row][pair][output][number of pair], with zeros after the last number and output.
  void pack_weights(xla::ffi::ThreadPool& pool, const uint16_t* kernel, uint16_t* to) const {
    parallel(pool, blocks(), [&](int64_t block) {
      uint16_t* start = to;
      for (const TilePhase& phase : phases_) {
        uint16_t* w = start + 2 * block * column(phase);
        for (int64_t tile = 0; tile < tiles(block); ++tile) {
          for (const KernelRow& row : phase.rows) {
            pack_row(kernel, row, phase.tiles * phase.pairs, (2 * block + tile) * kTile, w);
            w += phase.tiles * phase.pairs * 2 * kTile;
          }
        }
        start += column(phase) * ceil_div(out_.channels, kTile);
      }
    });
  }

  void pack_row(const uint16_t* kernel, const KernelRow& row, int64_t pairs, int64_t o, uint16_t* to) const {
    alignas(64) static constexpr uint16_t kZeros[kTile] = {};
    const int64_t channels = in_.channels, count = row.elements.size() * channels,
                  outputs = std::min(kTile, out_.channels - o);
    const auto number = [&](int64_t k) {
      return kernel + row.elements[k / channels] * weights_.inputs * weights_.outputs +
             k % channels * weights_.input_step + o * weights_.output_step;
    };
    const __mmask16 mask = (1u << outputs) - 1;
    const __m512i steps = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32(weights_.output_step));
    for (int64_t k = 0; k < 2 * pairs; k += 2, to += 2 * kTile) {
      if (weights_.output_step == 1) {
        store_pairs(k < count ? number(k) : kZeros, k + 1 < count ? number(k + 1) : kZeros, outputs, to);
      } else if (k + 1 < count && k % channels + 1 < channels) {
        _mm512_storeu_si512(
            to, _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), mask, steps, number(k), 2));
      } else {
        for (int64_t j = 0; j < 2 * kTile; ++j) {
          const bool present = k + j % 2 < count && j / 2 < outputs;
          to[j] = present ? number(k + j % 2)[j / 2 * weights_.output_step] : 0;
        }
      }
    }
  }

  void compute(const uint16_t* copied, const uint16_t* weights, const PaddedImages::Group& group,
               uint16_t* y) const {
    TileRegisters registers(1);
    std::vector<const uint16_t*> a;
    for (const TilePhase& phase : phases_) {
      registers.configure(phase.pairs);
      a.clear();
      for (const KernelRow& row : phase.rows) {
        for (int64_t i = 0; i < phase.tiles; ++i) {
          a.push_back(copied + images_.at(row.dy, row.dx) + i * phase.pairs * 2);
        }
      }
      for (int64_t block = 0; block < blocks(); ++block) {
        const uint16_t* b = weights + 2 * block * column(phase);
        if (tiles(block) == 2) {
          by_tiles<2, 2>(phase, a, b, group, block * 2 * kTile, y);
        } else {
          by_tiles<4, 1>(phase, a, b, group, block * 2 * kTile, y);
        }
      }
      weights += column(phase) * ceil_div(out_.channels, kTile);
    }
  }

  template <int kRows, int kColumns>
  void by_tiles(const TilePhase& phase, const std::vector<const uint16_t*>& a, const uint16_t* b,
                const PaddedImages::Group& group, int64_t o, uint16_t* y) const {
    alignas(64) float sums[kRows * kTile * kColumns * kTile];
    const int64_t count = images_.count(group);
    for (int64_t from = 0; from < count; from += kRows * kTile) {
      const int64_t rows = ceil_div(std::min(kRows * kTile, count - from), kTile);
      if (rows == kRows) {
        multiply<kRows, kColumns>(phase, a, from, b, sums);
      } else if (rows == 1) {
        multiply<1, kColumns>(phase, a, from, b, sums);
      } else if constexpr (kRows == 4) {
        rows == 2 ? multiply<2, 1>(phase, a, from, b, sums) : multiply<3, 1>(phase, a, from, b, sums);
      }
      write<kColumns>(phase, group, from, std::min(count, from + kRows * kTile), o, sums, y);
    }
  }

  template <int kRows, int kColumns>
  void multiply(const TilePhase& phase, const std::vector<const uint16_t*>& a, int64_t from,
                const uint16_t* b, float* sums) const {
    const int64_t step = images_.pixel(), shift = from * step, tile = phase.pairs * 2 * kTile;
    before_tiles();
    clear_sums<kRows, kColumns>();
    for (size_t k = 0; k < a.size(); ++k) {
      add_products<kRows, kColumns>([&](int i) { return a[k] + shift + i * kTile * step; }, 2 * step,
                                    b + k * tile, column(phase));
    }
    store_sums<kRows, kColumns>(sums, kTile * kColumns * kTile, kTile, 4 * kColumns * kTile);
    before_tiles();
  }

  template <int kColumns>
  void write(const TilePhase& phase, const PaddedImages::Group& group, int64_t from, int64_t end, int64_t o,
             const float* sums, uint16_t* y) const {
    const int64_t outputs = std::min(kColumns * kTile, out_.channels - o);
    const __mmask32 mask = (uint64_t{1} << outputs) - 1;
    images_.each(group, from, end, [&](int64_t i, int64_t image, int64_t row, int64_t column) {
      const int64_t to_y = row * step_ + phase.top, to_x = column * step_ + phase.left;
      if (to_y >= out_.height || to_x >= out_.width) return;
      uint16_t* to = y + ((image * out_.height + to_y) * out_.width + to_x) * out_.channels + o;
      const float* s = sums + (i - from) * kColumns * kTile;
      if constexpr (kColumns == 2) {
        const __m512bh rounded = _mm512_cvtne2ps_pbh(_mm512_load_ps(s + kTile), _mm512_load_ps(s));
        _mm512_mask_storeu_epi16(to, mask, (__m512i)rounded);
      } else {
        _mm256_mask_storeu_epi16(to, mask, (__m256i)_mm512_cvtneps_pbh(_mm512_load_ps(s)));
      }
    });
  }

  const int64_t step_;
  const std::vector<TilePhase> phases_;
  const Shape in_, out_;
  const Weights weights_;
  const PaddedImages images_;
};

// The gradient is a sum over pixels of x[pixel + tap, input] * dy[pixel, output], so pairs are neighbouring
// pixels. Left tiles are 16 inputs of one tap. If the inputs do not fill a tile, those of all horizontal taps
// are one axis.
class TileKernelGradient {
 public:
  TileKernelGradient(const Size& k, const Geometry& g, const Shape& x, const Shape& dy)
      : k_(k),
        step_(g.stride),
        x_(x),
        dy_(dy),
        merged_(x.channels < kTile),
        depth_(merged_ ? k.width * x.channels : x.channels),
        images_(x, dy.height, dy.width, g.stride, {-g.top, k.height - 1 - g.top},
                {-g.left, k.width - 1 - g.left}, kPixelsAtOnce),
        pixels_(round_up(images_.most(), 2 * kTile)),
        span_(round_up(pixels_ + (k.height - 1) / g.stride * images_.pitch() + (k.width - 1) / g.stride,
                       2 * kTile)) {
    // Rows of a tile are in different sets of the cache.
    pitch_ = span_ / (2 * kTile) % 2 ? span_ : span_ + 2 * kTile;
    for (int64_t i = 0; i < k.height; ++i) {
      for (int64_t j = 0; j < (merged_ ? 1 : k.width); ++j) {
        const int64_t plane = i % step_ * step_ + j % step_;
        taps_.push_back(plane * kTile * pitch_ + i / step_ * images_.pitch() + j / step_);
      }
    }
  }

  void run(xla::ffi::ThreadPool& pool, const uint16_t* x, const uint16_t* dy, uint16_t* gradient) const {
    static thread_local Scratch<float> scratch;
    const int64_t size = tiles_of_inputs() * taps_.size() * columns() * kTile * kTile;
    const int64_t parts = std::min(count_parts(dy_, size), std::max<int64_t>(1, kMostFloats / size)),
                  slices = ceil_div(tiles_of_inputs(), kSlice);
    float* sums = scratch.get(parts * size);
    parallel(pool, parts * slices, [&](int64_t i) {
      const int64_t part = i / slices, first = i % slices * kSlice;
      sum_part(x, dy, x_.batch * part / parts, x_.batch * (part + 1) / parts, first,
               std::min(kSlice, tiles_of_inputs() - first), sums + part * size);
    });
    add_parts(pool, sums, parts, size, gradient);
  }

 private:
  static constexpr int64_t kPixelsAtOnce = 512;
  static constexpr int64_t kSlice = 4;              // tiles of inputs at once
  static constexpr int64_t kMostFloats = 1 << 20;  // of the sums of all parts

  int64_t tiles_of_inputs() const { return ceil_div(depth_, kTile); }
  int64_t columns() const { return ceil_div(dy_.channels, kTile); }

  // [16 outputs][16 inputs][tap][input][output], of images `from` to `end` and `count` tiles of inputs.
  void sum_part(const uint16_t* x, const uint16_t* dy, int64_t from, int64_t end, int64_t first,
                int64_t count, float* sums) const {
    static thread_local Scratch<uint16_t> copy_scratch, x_scratch, dy_scratch;
    static thread_local std::vector<int64_t> lefts;  // where left tiles begin
    const int64_t taps = taps_.size(), planes = step_ * step_;
    lefts.clear();
    for (int64_t i = 0; i < count * taps; ++i) {
      lefts.push_back(i / taps * planes * kTile * pitch_ + taps_[i % taps]);
    }
    uint16_t* copied = copy_scratch.get(images_.size());
    uint16_t* inputs = x_scratch.get(count * planes * kTile * pitch_);
    uint16_t* outputs = dy_scratch.get(columns() * pixels_ * kTile);
    TileRegisters registers(kTile);
    for (int64_t i = 0; i < images_.groups(end - from); ++i) {
      const PaddedImages::Group group = images_.group(i, from, end);
      images_.copy(x, group, copied);
      transpose_inputs(copied, first, count, inputs);
      const int64_t steps = ceil_div(images_.count(group), 2 * kTile);
      pair_outputs(dy, group, steps, outputs);
      for (int64_t column = 0; column < columns(); column += 2) {
        const int64_t wide = std::min<int64_t>(2, columns() - column), most = 4 / wide;
        const int64_t tiles = tiles_of_inputs() * taps;
        float* to = sums + (column * tiles + first * taps) * kTile * kTile;
        for (int64_t left = 0; left < count * taps; left += most, to += most * kTile * kTile) {
          const auto product = product_of(std::min(most, count * taps - left), wide);
          (this->*product)(inputs, lefts.data() + left, outputs + column * pixels_ * kTile, steps, i > 0, to);
        }
      }
    }
  }

  using Product = void (TileKernelGradient::*)(const uint16_t*, const int64_t*, const uint16_t*, int64_t,
                                               bool, float*) const;
  static Product product_of(int64_t rows, int64_t columns) {
    constexpr Product one[] = {&TileKernelGradient::multiply<1, 1>, &TileKernelGradient::multiply<2, 1>,
                               &TileKernelGradient::multiply<3, 1>, &TileKernelGradient::multiply<4, 1>},
                      two[] = {&TileKernelGradient::multiply<1, 2>, &TileKernelGradient::multiply<2, 2>};
    return columns == 2 ? two[rows - 1] : one[rows - 1];
  }

  // [16 inputs][row % step][column % step][input][pixel], of `count` tiles of inputs
  void transpose_inputs(const uint16_t* copied, int64_t first, int64_t count, uint16_t* to) const {
    const int64_t step = images_.pixel();
    for (int64_t q = 0; q < step_ * step_; ++q) {
      if (merged_ && q % step_) continue;
      const uint16_t* from = copied + q / step_ * images_.plane() + q % step_ * x_.channels + first * kTile;
      for (int64_t p = 0; p < span_; p += 2 * kTile) {
        for (int64_t c = 0; c < count; ++c) {
          transpose_block(from + p * step + c * kTile, step,
                          to + (c * step_ * step_ + q) * kTile * pitch_ + p, pitch_);
        }
      }
    }
  }

  // [16 outputs][pair of pixels][output][pixel of pair]
  void pair_outputs(const uint16_t* dy, const PaddedImages::Group& group, int64_t steps, uint16_t* to) const {
    alignas(64) static constexpr uint16_t kZeros[kTile] = {};
    static thread_local std::vector<const uint16_t*> pixels;
    pixels.assign(steps * 2 * kTile, nullptr);
    images_.each(group, 0, images_.count(group), [&](int64_t i, int64_t image, int64_t row, int64_t column) {
      pixels[i] = dy + ((image * dy_.height + row) * dy_.width + column) * dy_.channels;
    });
    for (int64_t o = 0; o < dy_.channels; o += kTile, to += pixels_ * kTile) {
      for (int64_t i = 0; i < steps * 2 * kTile; i += 2) {
        store_pairs(pixels[i] ? pixels[i] + o : kZeros, pixels[i + 1] ? pixels[i + 1] + o : kZeros,
                    dy_.channels - o, to + i * kTile);
      }
    }
  }

  template <int kRows, int kColumns>
  void multiply(const uint16_t* inputs, const int64_t* lefts, const uint16_t* outputs, int64_t steps,
                bool add, float* sums) const {
    constexpr int64_t kSize = kTile * kTile;
    const int64_t column_step = tiles_of_inputs() * taps_.size() * kSize;
    before_tiles();
    if (add) {
      load_sums<kRows, kColumns>(sums, kSize, column_step, 4 * kTile);
    } else {
      clear_sums<kRows, kColumns>();
    }
    for (int64_t k = 0; k < steps; ++k) {
      add_products<kRows, kColumns>([&](int i) { return inputs + lefts[i] + k * 2 * kTile; }, 2 * pitch_,
                                    outputs + k * kTileSize, pixels_ * kTile);
    }
    store_sums<kRows, kColumns>(sums, kSize, column_step, 4 * kTile);
    before_tiles();
  }

  void add_parts(xla::ffi::ThreadPool& pool, const float* sums, int64_t parts, int64_t size,
                 uint16_t* gradient) const {
    const int64_t taps = taps_.size(), tiles = tiles_of_inputs() * taps;
    parallel(pool, tiles, [&](int64_t tile) {
      const int64_t from = tile / taps * kTile, rows = std::min(kTile, depth_ - from);
      for (int64_t r = 0; r < rows; ++r) {
        uint16_t* to = gradient + (tile % taps * depth_ + from + r) * dy_.channels;
        for (int64_t o = 0; o < dy_.channels; o += kTile) {
          const float* s = sums + (o / kTile * tiles + tile) * kTile * kTile + r * kTile;
          Vec total = {};
          for (int64_t part = 0; part < parts; ++part) total += load(s + part * size);
          Elements<uint16_t>::round(reinterpret_cast<const float*>(&total), to + o,
                                    std::min(kTile, dy_.channels - o));
        }
      }
    });
  }

  const Size k_;
  const int64_t step_;
  const Shape x_, dy_;
  const bool merged_;
  const int64_t depth_;  // inputs of a left tile's axis
  const PaddedImages images_;
  const int64_t pixels_;  // of a group at most
  const int64_t span_;    // pixels of a transposed input that are read
  int64_t pitch_;         // pixels from one of them to the next
  std::vector<int64_t> taps_;  // where the inputs of a tap begin, from those of the first
};

}  // namespace compare_gan

#endif
