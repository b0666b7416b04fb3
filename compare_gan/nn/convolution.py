"""Convolution and its transpose, with gradients that stay fast inside loops on a CPU.

XLA's CPU backend runs the default gradients of a convolution 20 to 70 times slower inside
`lax.scan` or `lax.fori_loop` than outside (jax issue 12868). So the three bilinear maps of
a convolution (output, input gradient, kernel gradient) are written here in terms of each
other, each as an operation that is fast everywhere. They can be differentiated any number
of times in reverse mode, as gradient penalties need.

Shape letters: B batch, H W image, C channels in, O channels out, s stride.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from compare_gan.core.types import Array
from compare_gan.nn import kernels, winograd
from compare_gan.nn.winograd import Padding, padded

_LAYOUT = ("NHWC", "HWIO", "NHWC")
MAX_COLUMNS = 64  # widest patch matrix for which im2col is used
# Programs traced in `with on_cpu(True):` are for a CPU, those in `with on_cpu(False):` for other platforms.
# By default they are for all platforms, which takes longer to trace.
on_cpu: Any = jax.make_user_context(None)
_Map = Callable[[Array, Array], Array]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after one side, as TensorFlow's "SAME": the odd pixel comes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def convolve(x: Array, kernel: Array, stride: int = 1, padding: Padding | None = None) -> Array:
    """Convolution: [B, H, W, C], [kh, kw, C, O] -> [B, h, w, O].

    By default the padding is "SAME", so h = ceil(H/s).
    """
    return _convolve(x, kernel, stride, padding or _same(x.shape[1:3], kernel.shape, stride))


def convolve_grouped(x: Array, kernel: Array, groups: int) -> Array:
    """`convolve` of each of `groups` equal parts of the channels: Xie et al., https://arxiv.org/abs/1611.05431.

    [B, H, W, C], [kh, kw, C / groups, O] -> [B, H, W, O].
    """
    parts = x.reshape(*x.shape[:3], groups, -1)
    kernels_of_parts = kernel.reshape(*kernel.shape[:3], groups, -1)
    return jax.vmap(convolve, 3, 3)(parts, kernels_of_parts).reshape(*x.shape[:3], -1)


def convolve_transpose(
    y: Array, kernel: Array, size: tuple[int, int], stride: int, padding: Padding | None = None
) -> Array:
    """The transpose of `convolve` with respect to its first argument.

    [B, h, w, O], [kh, kw, C, O] -> [B, H, W, C], where `size` is (H, W); the padding is that of `convolve`.
    """
    return _convolve_transpose(y, kernel, size, stride, padding or _same(size, kernel.shape, stride))


def kernel_gradient(
    x: Array, dy: Array, size: tuple[int, int], stride: int, padding: Padding | None = None
) -> Array:
    """Gradient of `convolve` with respect to its kernel: [B, H, W, C], [B, h, w, O] -> [kh, kw, C, O].

    Matrix products on a CPU, XLA's own lowering elsewhere; equal up to rounding.
    """
    return _kernel_gradient(x, dy, size, stride, padding or _same(x.shape[1:3], size, stride))


def _same(size: Sequence[int], kernel: Sequence[int], stride: int) -> Padding:
    return same_padding(size[0], kernel[0], stride), same_padding(size[1], kernel[1], stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    plain = functools.partial(_slide, stride=stride, padding=padding, spread=1)
    fast = functools.partial(kernels.convolve, stride=stride, padding=padding)
    return _by_kernel(fast, plain, x, kernel)


def _convolve_fwd(x, kernel, stride, padding):
    return _convolve(x, kernel, stride, padding), (x, kernel)


def _convolve_bwd(stride, padding, residuals, dy):
    x, kernel = residuals
    dx = _convolve_transpose(dy, kernel, x.shape[1:3], stride, padding)
    return dx, kernel_gradient(x, dy, kernel.shape[:2], stride, padding)


_convolve.defvjp(_convolve_fwd, _convolve_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve_transpose(
    y: Array, kernel: Array, size: tuple[int, int], stride: int, padding: Padding
) -> Array:
    around = []
    for i in range(2):
        low, spread = padding[i][0], (y.shape[1 + i] - 1) * stride + 1
        around.append((kernel.shape[i] - 1 - low, size[i] - spread + low))

    def plain(y: Array, kernel: Array) -> Array:
        flipped = kernel[::-1, ::-1].swapaxes(2, 3)
        return _slide(y, flipped, 1, (around[0], around[1]), spread=stride)

    fast = functools.partial(kernels.convolve_transpose, size=size, stride=stride, padding=padding)
    return _by_kernel(fast, plain, y, kernel)


def _transpose_fwd(y, kernel, size, stride, padding):
    return _convolve_transpose(y, kernel, size, stride, padding), (y, kernel)


def _transpose_bwd(size, stride, padding, residuals, dx):
    del size
    y, kernel = residuals
    dy = _convolve(dx, kernel, stride, padding)
    return dy, kernel_gradient(dx, y, kernel.shape[:2], stride, padding)


_convolve_transpose.defvjp(_transpose_fwd, _transpose_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _kernel_gradient(x: Array, dy: Array, size: tuple[int, int], stride: int, padding: Padding) -> Array:
    settings: dict[str, Any] = dict(size=size, stride=stride, padding=padding)
    if kernels.supports(x.dtype):
        fast: _Map = functools.partial(kernels.kernel_gradient, **settings)
    elif stride == 1 and winograd.is_profitable(x, (*size, x.shape[-1], dy.shape[-1]), padding):
        fast = functools.partial(winograd.kernel_gradient, padding=padding)
    else:
        fast = functools.partial(_kernel_gradient_products, **settings)
    native = functools.partial(_kernel_gradient_native, **settings)
    return _by_platform(fast, native, x, dy)


def _kernel_gradient_fwd(x, dy, size, stride, padding):
    return _kernel_gradient(x, dy, size, stride, padding), (x, dy)


def _kernel_gradient_bwd(size, stride, padding, residuals, dk):
    del size
    x, dy = residuals
    dx = _convolve_transpose(dy, dk, x.shape[1:3], stride, padding)
    return dx, _convolve(x, dk, stride, padding)


_kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)


def _by_platform(cpu: _Map, elsewhere: _Map, x: Array, y: Array) -> Array:
    if on_cpu.value is None:
        return lax.platform_dependent(x, y, cpu=cpu, default=elsewhere)
    return cpu(x, y) if on_cpu.value else elsewhere(x, y)


def _by_kernel(fast: _Map, plain: _Map, x: Array, kernel: Array) -> Array:
    """`fast` on a CPU, if there are kernels for this type and the program may call them; else `plain`."""
    if not kernels.supports(x.dtype):
        return plain(x, kernel)
    return _by_platform(fast, plain, x, kernel)


def _slide(x: Array, kernel: Array, stride: int, padding: Padding, spread: int) -> Array:
    """XLA's convolution with input dilation `spread`, or on a CPU Winograd's where that is faster.

    For images smaller than the kernel XLA's CPU backend falls back to a loop that is ten times slower. There
    the image is padded explicitly, behind a barrier that keeps XLA from folding the padding back; not in
    programs for other platforms.
    """
    small = x.shape[1] < kernel.shape[0] or x.shape[2] < kernel.shape[1]
    if small and on_cpu.value is not False:
        around = [(0, 0, 0), *((low, high, spread - 1) for low, high in padding), (0, 0, 0)]
        x = lax.optimization_barrier(lax.pad(x, jnp.zeros((), x.dtype), around))
        padding, spread = ((0, 0), (0, 0)), 1

    def native(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, lhs_dilation=(spread, spread), dimension_numbers=_LAYOUT
        )

    if stride == spread == 1 and winograd.is_profitable(x, kernel.shape, padding):
        fast = functools.partial(winograd.convolve, padding=padding)
        return _by_platform(fast, native, x, kernel)
    return native(x, kernel)


def _kernel_gradient_products(
    x: Array, dy: Array, *, size: tuple[int, int], stride: int, padding: Padding
) -> Array:
    """One matrix product for each kernel element, or a single one (im2col) if x or dy has few channels."""
    h, w = dy.shape[1:3]
    x = padded(x, padding)
    few = MAX_COLUMNS // (size[0] * size[1])
    if dy.shape[-1] <= few < x.shape[-1] and stride == 1:  # take patches of the side with fewer channels
        around = [(0, 0), (size[0] - 1, size[0] - 1), (size[1] - 1, size[1] - 1), (0, 0)]
        patches = _patches(jnp.pad(dy, around), size, x.shape[1:3], 1)
        flipped = (x.reshape(-1, x.shape[-1]).T @ patches).reshape(-1, *size, dy.shape[-1])
        return flipped[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    dy_rows = dy.reshape(-1, dy.shape[-1])
    if x.shape[-1] <= few:
        return (_patches(x, size, (h, w), stride).T @ dy_rows).reshape(*size, x.shape[-1], dy.shape[-1])

    def product(i, j):
        shifted = x[:, i : i + (h - 1) * stride + 1 : stride, j : j + (w - 1) * stride + 1 : stride]
        return shifted.reshape(-1, shifted.shape[-1]).T @ dy_rows

    return jnp.stack([jnp.stack([product(i, j) for j in range(size[1])]) for i in range(size[0])])


def _patches(x: Array, size: tuple[int, int], shape: Sequence[int], stride: int) -> Array:
    """The patch under the kernel at each of h x w positions: [B, H, W, C] -> [B * h * w, kh * kw * C]."""
    h, w = shape
    shifted = [
        x[:, i : i + (h - 1) * stride + 1 : stride, j : j + (w - 1) * stride + 1 : stride]
        for i in range(size[0])
        for j in range(size[1])
    ]
    return jnp.concatenate(shifted, -1).reshape(-1, size[0] * size[1] * x.shape[-1])


def _kernel_gradient_native(
    x: Array, dy: Array, *, size: tuple[int, int], stride: int, padding: Padding
) -> Array:
    def forward(kernel):
        return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT)

    shape = jax.ShapeDtypeStruct((*size, x.shape[-1], dy.shape[-1]), x.dtype)
    return jax.linear_transpose(forward, shape)(dy)[0]
