// Vectors, and the small matrix product to which all convolutions are reduced.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace compare_gan {

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

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

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
  sum =
      (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(bits), (__m512bh)_mm512_loadu_si512(b));
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

// Two factors whose products are added: `a` points at numbers for the rows of a tile, `b` at vectors.
template <class T>
struct Factors {
  const T* a;
  const T* b;
};

// Widest tile of `vectors` vectors: sums, the vectors of b and one of a stay in registers.
constexpr int max_rows(int vectors) { return (kRegisters - vectors - (vectors > 1)) / vectors; }

// Into how many vectors at once a product over `rows` rows is cut, of which `left` vectors are left.
inline int vectors_at_once(int64_t left, int64_t rows) {
  if (left >= 4 && rows <= max_rows(4)) return 4;
  return left >= 2 ? 2 : 1;
}

// out[r, v] (+)= sum over `count` factors and n steps of a[r * kRowStep] * b[v], where `a_step` and `b_step`
// elements lie between steps; rows of `out` are `out_step` floats apart.
template <class T, int kRowStep, int kRows, int kVectors>
inline void multiply_tile(const Factors<T>* factors, int count, int64_t a_shift, int64_t a_step,
                          int64_t b_step, int64_t n, bool add, float* out, int64_t out_step) {
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
inline void multiply(const std::vector<Factors<T>>& factors, int64_t a_step, int64_t b_step, int64_t n,
                     bool add, float* out, int64_t out_step, int64_t size, int vectors) {
  const int64_t tiles = ceil_div(size, max_rows(vectors));
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = size * i / tiles, to = size * (i + 1) / tiles;
    tile_of<T, kRowStep>(to - from, vectors)(factors.data(), factors.size(), from * kRowStep, a_step, b_step,
                                             n, add, out + from * out_step, out_step);
  }
}

// Lanes of a and b in turn: a0, b0, a1, b1, ...
template <int... kLane>
inline void interleave(Vec a, Vec b, Vec& low, Vec& high, std::integer_sequence<int, kLane...>) {
  constexpr int kHalf = kLanes / 2;
  low = __builtin_shufflevector(a, b, (kLane % 2 * kLanes + kLane / 2)...);
  high = __builtin_shufflevector(a, b, (kLane % 2 * kLanes + kLane / 2 + kHalf)...);
}

// to[j * to_step + i] = from[i * from_step + j] for i < rows, j < columns.
template <class T>
inline void transpose(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t rows,
                      int64_t columns) {
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

}  // namespace compare_gan
