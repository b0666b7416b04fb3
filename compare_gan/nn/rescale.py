"""Upsampling and downsampling by 2, alone and fused with a convolution.

A convolution after zero-insertion multiplies by zeros, and one before average pooling computes four numbers
of which only the mean is used. The fused convolutions give the same result, up to rounding, with a quarter
of the products: means and sums of neighbours commute with a convolution, which leaves a convolution of
stride 2 or its transpose. Where products cost less than sums over images, the neighbours of the kernel are
summed instead.
"""

from typing import Literal

import jax.numpy as jnp

from compare_gan.core.types import Array
from compare_gan.nn import kernels
from compare_gan.nn.convolution import convolve, convolve_transpose, on_cpu, same_padding

# "up" inserts zeros, "repeat" repeats each pixel, "down" takes means of four
Scale = Literal["none", "up", "repeat", "down"]


def of_ends(scale: Scale) -> tuple[Scale, Scale]:
    """The scales of a block's first and last convolution: the first doubles, the last halves."""
    return ("none", scale) if scale == "down" else (scale, "none")


def unpool(x: Array) -> Array:
    """[B, H, W, C] -> [B, 2H, 2W, C]: each value becomes the top left of a 2x2 square of zeros."""
    b, h, w, c = x.shape
    zeros = jnp.zeros_like(x)
    rows = jnp.stack([x, zeros], 3).reshape(b, h, 2 * w, c)
    return jnp.stack([rows, jnp.zeros_like(rows)], 2).reshape(b, 2 * h, 2 * w, c)


def repeat(x: Array) -> Array:
    """[B, H, W, C] -> [B, 2H, 2W, C]: each pixel four times."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def average_pool(x: Array) -> Array:
    """[B, H, W, C] -> [B, ceil(H/2), ceil(W/2), C]: mean of each 2x2 square, cropped at an odd edge."""
    if x.shape[1] % 2 or x.shape[2] % 2:  # repeating the edge does not change the mean of a cropped square
        x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), "edge")
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def smooth_up(x: Array) -> Array:
    """[B, H, W, C] -> [B, 2H, 2W, C]: `unpool`, then the filter (1, 3, 3, 1) / 4 along each axis.

    As in StyleGAN2 (Karras et al., https://arxiv.org/abs/1912.04958) the image is zero beyond its edges.
    """
    for _ in range(2):  # along rows, then along columns
        b, h, w, c = x.shape
        around = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
        both = jnp.stack([around[:, :-2] + 3 * x, 3 * x + around[:, 2:]], 2) / 4
        x = both.reshape(b, 2 * h, w, c).swapaxes(1, 2)
    return x


def smooth_down(x: Array) -> Array:
    """[B, 2H, 2W, C] -> [B, H, W, C]: the filter (1, 3, 3, 1) / 8 along each axis, then every other pixel.

    A quarter of the transpose of `smooth_up`.
    """
    for _ in range(2):
        around = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
        outer = around[:, :-3:2] + around[:, 3::2]
        x = ((outer + 3 * (x[:, ::2] + x[:, 1::2])) / 8).swapaxes(1, 2)
    return x


def rescaled(x: Array, scale: Scale) -> Array:
    """Doubles or halves height and width, or returns x unchanged, by `scale`."""
    match scale:
        case "up":
            return unpool(x)
        case "repeat":
            return repeat(x)
        case "down":
            return average_pool(x)
        case "none":
            return x


def convolve_rescaled(x: Array, kernel: Array, scale: Scale) -> Array:
    """A "SAME" convolution after upsampling ("up", "repeat") or before downsampling ("down").

    [B, H, W, C], [kh, kw, C, O] -> [B, H', W', O].
    """
    match scale:
        case "up":
            return convolve_unpooled(x, kernel)
        case "repeat":
            return convolve_repeated(x, kernel)
        case "down":
            return convolve_pooled(x, kernel)
        case "none":
            return convolve(x, kernel)


def convolve_unpooled(x: Array, kernel: Array) -> Array:
    """`convolve(unpool(x), kernel)`, without the products with zero."""
    if kernel.shape[:2] == (1, 1):
        return unpool(convolve(x, kernel))
    return _spread(x, kernel, 0, _before(kernel))


def convolve_repeated(x: Array, kernel: Array) -> Array:
    """`convolve(repeat(x), kernel)`: `repeat` is the sum over four neighbours of `unpool`."""
    if kernel.shape[:2] == (1, 1):
        return repeat(convolve(x, kernel))
    rows, columns = _before(kernel)
    if _products_are_cheap(x):
        return _spread(x, _over_squares(kernel), 0, (rows + 1, columns + 1))
    return _neighbours(_spread(x, kernel, 1, (rows + 1, columns + 1)))


def convolve_pooled(x: Array, kernel: Array) -> Array:
    """`average_pool(convolve(x, kernel))`: the means of four neighbours come first."""
    if kernel.shape[:2] == (1, 1):
        return convolve(average_pool(x), kernel)
    if x.shape[1] % 2 or x.shape[2] % 2:
        return average_pool(convolve(x, kernel))
    around = [same_padding(x.shape[1 + i], kernel.shape[i], 1) for i in range(2)]
    if _products_are_cheap(x):
        return convolve(x, _over_squares(kernel) / 4, 2, (around[0], around[1]))
    means = _neighbours(jnp.pad(x, ((0, 0), *around, (0, 0)))) / 4
    return convolve(means, kernel, 2, ((0, 0), (0, 0)))


def _before(kernel: Array) -> tuple[int, int]:
    """Rows above and columns to the left of a pixel that a "SAME" convolution reads."""
    return (kernel.shape[0] - 1) // 2, (kernel.shape[1] - 1) // 2


def _products_are_cheap(x: Array) -> bool:
    """Whether a 4x4 kernel in place of a 3x3 one takes less time than sums over an image of this type."""
    return on_cpu.value is not False and kernels.has_tiles(x.dtype)


def _spread(x: Array, kernel: Array, more: int, before: tuple[int, int]) -> Array:
    """`unpool(x)` convolved, with `more` additional rows and columns.

    The first pixel reads `before` rows above the image and columns to the left of it.
    """
    size = (2 * x.shape[1] + more, 2 * x.shape[2] + more)
    padding = []
    for i in range(2):
        k = kernel.shape[i]
        low = k - 1 - before[i]
        padding.append((low, max(0, 2 * (x.shape[1 + i] - 1) + k - size[i] - low)))
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return convolve_transpose(x, flipped, size, 2, (padding[0], padding[1]))


def _over_squares(kernel: Array) -> Array:
    """[kh, kw, C, O] -> [kh+1, kw+1, C, O]: a kernel that includes the sums of `_neighbours`."""
    kh, kw, c, o = kernel.shape
    padded = jnp.pad(kernel.reshape(1, kh, kw, c * o), ((0, 0), (1, 1), (1, 1), (0, 0)))
    return _neighbours(padded).reshape(kh + 1, kw + 1, c, o)


def _neighbours(x: Array) -> Array:
    """[B, H, W, C] -> [B, H-1, W-1, C]: the sum over each 2x2 square, in float32."""
    wide = x.astype(jnp.float32)
    rows = wide[:, 1:] + wide[:, :-1]
    return (rows[:, :, 1:] + rows[:, :, :-1]).astype(x.dtype)
