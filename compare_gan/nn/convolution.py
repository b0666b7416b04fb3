"""Convolution and its transpose, with gradients that stay fast inside loops on a CPU.

XLA's CPU backend runs the default gradients of a convolution 20 to 70 times slower inside
`lax.scan` or `lax.fori_loop` than outside (jax issue 12868). So the three bilinear maps of
a convolution (output, input gradient, kernel gradient) are written here in terms of each
other, each as an operation that is fast everywhere. They can be differentiated any number
of times in reverse mode, as gradient penalties need.

Shape letters: B batch, H W image, C channels in, O channels out, s stride.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from compare_gan.core.types import Array
from compare_gan.nn import winograd
from compare_gan.nn.winograd import Padding, padded

_LAYOUT = ("NHWC", "HWIO", "NHWC")
MAX_COLUMNS = 64  # columns that one matrix product may have for what is moved about


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after one side, as TensorFlow's "SAME": the odd pixel comes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def convolve(x: Array, kernel: Array, stride: int = 1, padding: Padding | None = None) -> Array:
    """Convolution: [B, H, W, C], [kh, kw, C, O] -> [B, h, w, O].

    The padding is "SAME", which makes h = ceil(H/s), unless it is given.
    """
    return _convolve(x, kernel, stride, padding or _same(x.shape[1:3], kernel.shape, stride))


def convolve_transpose(
    y: Array, kernel: Array, size: tuple[int, int], stride: int, padding: Padding | None = None
) -> Array:
    """The transpose of `convolve` in its first argument, also known as deconvolution.

    [B, h, w, O], [kh, kw, C, O] -> [B, H, W, C], where `size` is (H, W); the padding is that of `convolve`.
    """
    return _convolve_transpose(y, kernel, size, stride, padding or _same(size, kernel.shape, stride))


def kernel_gradient(
    x: Array, dy: Array, size: tuple[int, int], stride: int, padding: Padding | None = None
) -> Array:
    """Gradient of `convolve` in its kernel: [B, H, W, C], [B, h, w, O] -> [kh, kw, C, O].

    Matrix products on a CPU, XLA's own lowering elsewhere; the same but for rounding.
    """
    return _kernel_gradient(x, dy, size, stride, padding or _same(x.shape[1:3], size, stride))


def _same(size: Sequence[int], kernel: Sequence[int], stride: int) -> Padding:
    return same_padding(size[0], kernel[0], stride), same_padding(size[1], kernel[1], stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    return _slide(x, kernel, stride, padding, spread=1)


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
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return _slide(y, flipped, 1, (around[0], around[1]), spread=stride)


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
    if stride == 1 and winograd.is_profitable(x, (*size, x.shape[-1], dy.shape[-1]), padding):
        products = functools.partial(winograd.kernel_gradient, padding=padding)
    else:
        products = functools.partial(_kernel_gradient_products, size=size, stride=stride, padding=padding)
    native = functools.partial(_kernel_gradient_native, size=size, stride=stride, padding=padding)
    return lax.platform_dependent(x, dy, cpu=products, default=native)


def _kernel_gradient_fwd(x, dy, size, stride, padding):
    return _kernel_gradient(x, dy, size, stride, padding), (x, dy)


def _kernel_gradient_bwd(size, stride, padding, residuals, dk):
    del size
    x, dy = residuals
    dx = _convolve_transpose(dy, dk, x.shape[1:3], stride, padding)
    return dx, _convolve(x, dk, stride, padding)


_kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)


def _slide(x: Array, kernel: Array, stride: int, padding: Padding, spread: int) -> Array:
    """XLA's convolution of images whose pixels are `spread` apart, or one with fewer products on a CPU.

    Its CPU backend has a slow loop only, ten times slower, where an image is smaller than the kernel; so
    there the padding becomes part of the image, behind a barrier lest XLA fold it back.
    """
    if x.shape[1] < kernel.shape[0] or x.shape[2] < kernel.shape[1]:
        around = [(0, 0, 0), *((low, high, spread - 1) for low, high in padding), (0, 0, 0)]
        x = lax.optimization_barrier(lax.pad(x, jnp.zeros((), x.dtype), around))
        padding, spread = ((0, 0), (0, 0)), 1

    def native(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, lhs_dilation=(spread, spread), dimension_numbers=_LAYOUT
        )

    if stride == spread == 1 and winograd.is_profitable(x, kernel.shape, padding):
        fewer = functools.partial(winograd.convolve, padding=padding)
        return lax.platform_dependent(x, kernel, cpu=fewer, default=native)
    return native(x, kernel)


def _kernel_gradient_products(
    x: Array, dy: Array, *, size: tuple[int, int], stride: int, padding: Padding
) -> Array:
    """One matrix product for each kernel element, or a single one where either side has few channels."""
    h, w = dy.shape[1:3]
    x = padded(x, padding)
    few = MAX_COLUMNS // (size[0] * size[1])
    if dy.shape[-1] <= few < x.shape[-1] and stride == 1:  # what is moved is the thinner of the two
        around = [(0, 0), (size[0] - 1, size[0] - 1), (size[1] - 1, size[1] - 1), (0, 0)]
        moved = _columns(jnp.pad(dy, around), size, x.shape[1:3], 1)
        turned = (x.reshape(-1, x.shape[-1]).T @ moved).reshape(-1, *size, dy.shape[-1])
        return turned[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    dy_rows = dy.reshape(-1, dy.shape[-1])
    if x.shape[-1] <= few:
        return (_columns(x, size, (h, w), stride).T @ dy_rows).reshape(*size, x.shape[-1], dy.shape[-1])

    def product(i, j):
        seen = x[:, i : i + (h - 1) * stride + 1 : stride, j : j + (w - 1) * stride + 1 : stride]
        return seen.reshape(-1, seen.shape[-1]).T @ dy_rows

    return jnp.stack([jnp.stack([product(i, j) for j in range(size[1])]) for i in range(size[0])])


def _columns(x: Array, size: tuple[int, int], shape: Sequence[int], stride: int) -> Array:
    """What a kernel of this size sees at each of h x w places: [B, H, W, C] -> [B * h * w, kh * kw * C]."""
    h, w = shape
    seen = [
        x[:, i : i + (h - 1) * stride + 1 : stride, j : j + (w - 1) * stride + 1 : stride]
        for i in range(size[0])
        for j in range(size[1])
    ]
    return jnp.concatenate(seen, -1).reshape(-1, size[0] * size[1] * x.shape[-1])


def _kernel_gradient_native(
    x: Array, dy: Array, *, size: tuple[int, int], stride: int, padding: Padding
) -> Array:
    def forward(kernel):
        return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT)

    shape = jax.ShapeDtypeStruct((*size, x.shape[-1], dy.shape[-1]), x.dtype)
    return jax.linear_transpose(forward, shape)(dy)[0]
