"""Convolution and its transpose, with gradients that stay fast inside loops on a CPU.

XLA's CPU backend runs the default gradients of a convolution 20 to 70 times slower inside
`lax.scan` or `lax.fori_loop` than outside (jax issue 12868). So the three bilinear maps of
a convolution (output, input gradient, kernel gradient) are written here in terms of each
other, each as an operation that is fast everywhere. They can be differentiated any number
of times in reverse mode, as gradient penalties need.

Shape letters: B batch, H W image, C channels in, O channels out, s stride.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from compare_gan.core.types import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after one side, as TensorFlow's "SAME": the odd pixel comes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """ "SAME" convolution: [B, H, W, C], [kh, kw, C, O] -> [B, ceil(H/s), ceil(W/s), O]."""
    padding = [same_padding(x.shape[1 + i], kernel.shape[i], stride) for i in range(2)]
    return _slide(x, kernel, stride, padding, spread=1)


def _slide(x: Array, kernel: Array, stride: int, padding: list[tuple[int, int]], spread: int) -> Array:
    """XLA's convolution of images whose pixels are `spread` apart.

    Its CPU backend has a slow loop only, ten times slower, where an image is smaller than the kernel; so
    there the padding becomes part of the image, behind a barrier lest XLA fold it back.
    """
    if x.shape[1] < kernel.shape[0] or x.shape[2] < kernel.shape[1]:
        around = [(0, 0, 0), *((low, high, spread - 1) for low, high in padding), (0, 0, 0)]
        x = lax.optimization_barrier(lax.pad(x, jnp.zeros((), x.dtype), around))
        padding, spread = [(0, 0), (0, 0)], 1
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, lhs_dilation=(spread, spread), dimension_numbers=_LAYOUT
    )


def _convolve_fwd(x, kernel, stride):
    return convolve(x, kernel, stride), (x, kernel)


def _convolve_bwd(stride, residuals, dy):
    x, kernel = residuals
    dx = convolve_transpose(dy, kernel, (x.shape[1], x.shape[2]), stride)
    return dx, kernel_gradient(x, dy, (kernel.shape[0], kernel.shape[1]), stride)


convolve.defvjp(_convolve_fwd, _convolve_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve_transpose(y: Array, kernel: Array, size: tuple[int, int], stride: int) -> Array:
    """The transpose of `convolve` in its first argument, also known as deconvolution.

    [B, ceil(H/s), ceil(W/s), O], [kh, kw, C, O] -> [B, H, W, C], where `size` is (H, W).
    """
    padding = []
    for i in range(2):
        k, low = kernel.shape[i], same_padding(size[i], kernel.shape[i], stride)[0]
        spread = (y.shape[1 + i] - 1) * stride + 1
        padding.append((k - 1 - low, size[i] - spread + low))
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return _slide(y, flipped, 1, padding, spread=stride)


def _transpose_fwd(y, kernel, size, stride):
    return convolve_transpose(y, kernel, size, stride), (y, kernel)


def _transpose_bwd(size, stride, residuals, dx):
    del size
    y, kernel = residuals
    return convolve(dx, kernel, stride), kernel_gradient(dx, y, (kernel.shape[0], kernel.shape[1]), stride)


convolve_transpose.defvjp(_transpose_fwd, _transpose_bwd)


def kernel_gradient(x: Array, dy: Array, size: tuple[int, int], stride: int) -> Array:
    """Gradient of `convolve` in its kernel: [B, H, W, C], [B, H/s, W/s, O] -> [kh, kw, C, O].

    One matrix product for each kernel element on a CPU, XLA's own lowering elsewhere; the
    same sum in another order.
    """
    products = functools.partial(_kernel_gradient_products, size=size, stride=stride)
    native = functools.partial(_kernel_gradient_native, size=size, stride=stride)
    return lax.platform_dependent(x, dy, cpu=products, default=native)


def _kernel_gradient_products(x: Array, dy: Array, *, size: tuple[int, int], stride: int) -> Array:
    h, w = dy.shape[1:3]
    x = jnp.pad(x, ((0, 0), *(same_padding(x.shape[1 + i], size[i], stride) for i in range(2)), (0, 0)))
    dy = dy.reshape(-1, dy.shape[-1])

    def product(i, j):
        seen = x[:, i : i + (h - 1) * stride + 1 : stride, j : j + (w - 1) * stride + 1 : stride]
        return seen.reshape(-1, seen.shape[-1]).T @ dy

    return jnp.stack([jnp.stack([product(i, j) for j in range(size[1])]) for i in range(size[0])])


def _kernel_gradient_native(x: Array, dy: Array, *, size: tuple[int, int], stride: int) -> Array:
    padding = [same_padding(x.shape[1 + i], size[i], stride) for i in range(2)]

    def forward(kernel):
        return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT)

    shape = jax.ShapeDtypeStruct((*size, x.shape[-1], dy.shape[-1]), x.dtype)
    return jax.linear_transpose(forward, shape)(dy)[0]
