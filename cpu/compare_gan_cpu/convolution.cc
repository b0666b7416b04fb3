// Convolutions of images [B, H, W, C] by kernels [kh, kw, C, O] on a CPU, as calls from XLA programs.
//
// The three bilinear maps of a convolution (output, input gradient, kernel gradient) are reduced to one small
// matrix product whose sums stay in registers: `multiply_tile`, or AMX tiles for bfloat16 (amx.h). Inputs are
// first copied to a layout in which the product reads consecutive memory and padding is zeros that exist;
// copies are small enough for the cache.
//
// Each sum is taken in an order that depends on shapes only. So results do not depend on the number of
// threads, and those of an image not on the batch. setup.py compiles this file for several instruction sets.

#ifdef __x86_64__
#include <cpuid.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdint>
#include <type_traits>

#include "amx.h"
#include "direct.h"
#include "product.h"
#include "shapes.h"
#include "winograd.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace compare_gan {

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
void convolve_images(ffi::ThreadPool& pool, const Geometry& g, const Size& k, bool transpose, Shape in,
                     Shape out, const Number* x, const Number* kernel, Number* y) {
  const Weights weights{in.channels, out.channels, transpose ? 1 : k.outputs, transpose ? k.outputs : 1};
  if constexpr (std::is_same_v<Number, float>) {
    if (const int taps = winograd_taps(k, g, transpose ? in : out)) {
      const WinogradPlan plan =
          transpose ? winograd_transposed(k, g, taps) : winograd_convolution(k, g, taps);
      if (taps == 3) {
        WinogradConvolution<3>(plan, in, out, weights, pool.num_threads()).run(pool, x, kernel, y);
      } else {
        WinogradConvolution<2>(plan, in, out, weights, pool.num_threads()).run(pool, x, kernel, y);
      }
      return;
    }
  }
  const Plan plan = transpose ? transposed(k, g) : convolution(k, g);
#ifdef __AMX_BF16__
  if constexpr (std::is_same_v<Number, uint16_t>) {
    TileConvolution(plan, in, out, weights).run(pool, x, kernel, y);
    return;
  }
#endif
  flatten_narrow(k, g, in, out);
  Convolution<Number>(plan, in, out, weights).run(pool, x, kernel, y);
}

template <class Number>
void convolve(ffi::ThreadPool& pool, const Geometry& g, ffi::AnyBuffer x, ffi::AnyBuffer kernel,
              ffi::AnyBuffer y) {
  convolve_images(pool, g, size(kernel.dimensions()), false, shape(x.dimensions()), shape(y.dimensions()),
                  numbers<Number>(x), numbers<Number>(kernel), numbers<Number>(y));
}

template <class Number>
void convolve_transpose(ffi::ThreadPool& pool, const Geometry& g, ffi::AnyBuffer y, ffi::AnyBuffer kernel,
                        ffi::AnyBuffer x) {
  convolve_images(pool, g, size(kernel.dimensions()), true, shape(y.dimensions()), shape(x.dimensions()),
                  numbers<Number>(y), numbers<Number>(kernel), numbers<Number>(x));
}

template <class Number>
void kernel_gradient(ffi::ThreadPool& pool, const Geometry& g, ffi::AnyBuffer x, ffi::AnyBuffer dy,
                     ffi::AnyBuffer gradient) {
  const Size k = size(gradient.dimensions());
  Shape in = shape(x.dimensions()), out = shape(dy.dimensions());
  Number* to = numbers<Number>(gradient);
  if constexpr (std::is_same_v<Number, float>) {
    if (const int taps = winograd_taps(k, g, out)) {
      const WinogradPlan plan = winograd_convolution(k, g, taps);
      if (taps == 3) {
        WinogradKernelGradient<3>(plan, in, out).run(pool, numbers<float>(x), numbers<float>(dy), to);
      } else {
        WinogradKernelGradient<2>(plan, in, out).run(pool, numbers<float>(x), numbers<float>(dy), to);
      }
      return;
    }
  }
#ifdef __AMX_BF16__
  if constexpr (std::is_same_v<Number, uint16_t>) {
    TileKernelGradient(k, g, in, out).run(pool, numbers<uint16_t>(x), numbers<uint16_t>(dy), to);
    return;
  }
#endif
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

}  // namespace compare_gan

#ifdef __AVX512BF16__
#define BOTH(map) compare_gan::call<map<float>, map<uint16_t>>
#else
#define BOTH(map) compare_gan::call<map<float>, nullptr>
#endif

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(compare_gan_convolve, (BOTH(compare_gan::convolve)), compare_gan::binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(compare_gan_convolve_transpose, (BOTH(compare_gan::convolve_transpose)),
                              compare_gan::binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(compare_gan_kernel_gradient, (BOTH(compare_gan::kernel_gradient)),
                              compare_gan::binding());

#ifdef __x86_64__
// Whether there are AMX tiles of bfloat16 that the system lets this process use.
static bool has_tiles() {
#ifdef __linux__
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const bool bfloat16 = d >> 22 & 1, tiles = d >> 24 & 1;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // asm/prctl.h; a component of XSAVE
  return bfloat16 && tiles && !syscall(SYS_arch_prctl, kRequestPermission, kTileData);
#else
  return false;
#endif
}
#endif

// The best level of `LEVELS` in __init__.py that this processor has. The generic library is asked.
extern "C" int compare_gan_level() {
#ifdef __x86_64__
  __builtin_cpu_init();
  const bool v3 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!v4) return v3;
  if (!__builtin_cpu_supports("avx512bf16")) return 2;
  return has_tiles() ? 4 : 3;
#else
  return 0;
#endif
}
