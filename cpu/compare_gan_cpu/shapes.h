// Shapes of arrays, and where a convolution reads and writes.

#pragma once

#include <cstdint>
#include <vector>

namespace compare_gan {

struct Shape {  // of images [B, H, W, C]
  int64_t batch, height, width, channels;
};

struct Size {  // of a kernel [kh, kw, C, O]
  int64_t height, width, inputs, outputs;
};

struct Geometry {
  int64_t stride, top, left;  // zeros above and to the left of an image; the rest follows from shapes
};

// A kernel element: pixel (y, x) of the output reads pixel (step * y + dy, step * x + dx) by it.
struct Tap {
  int64_t element, dy, dx;
};

// A part of the output that is computed like a convolution; its pixel (y, x) is (step * y + top, step * x +
// left).
struct Phase {
  int64_t top, left;
  std::vector<Tap> taps;
};

// Where a kernel has its element for input c and output o: at c * input_step + o * output_step.
struct Weights {
  int64_t inputs, outputs, input_step, output_step;
};

// A convolution or its transpose.
struct Plan {
  int64_t in_step, out_step;
  std::vector<Phase> phases;
};

inline Plan convolution(const Size& k, const Geometry& g) {
  Phase all{0, 0, {}};
  for (int64_t i = 0; i < k.height; ++i) {
    for (int64_t j = 0; j < k.width; ++j) all.taps.push_back({i * k.width + j, i - g.top, j - g.left});
  }
  return {g.stride, 1, {all}};
}

// Pixels of the same remainder modulo the stride are one phase: they read the same kernel elements.
inline Plan transposed(const Size& k, const Geometry& g) {
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

}  // namespace compare_gan
