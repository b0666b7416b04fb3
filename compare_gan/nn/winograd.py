"""3x3 convolutions with 16 products in place of 36 for each square of four outputs.

Winograd's minimal filtering F(2x2, 3x3) as used by Lavin and Gray, https://arxiv.org/abs/1509.09308: a tile
of 4x4 inputs and the kernel are each transformed to 4x4 numbers, which are multiplied element by element, so
that the sum over channels is a matrix product; the 4x4 sums are transformed to a square of 2x2 outputs. The
result is exact up to rounding, which is about that of the plain sum. The kernel's gradient has the same
products, with transposed transforms.

Each transform acts on a grid of arrays, first along its rows, then along its columns.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax

from compare_gan.core.types import Array

Grid = Sequence[Sequence[Array]]
Padding = tuple[tuple[int, int], tuple[int, int]]  # before and after, of height and width
MIN_CHANNELS = 96  # of input and output; with fewer, the transforms take too much of the time


def is_profitable(x: Array, kernel: Sequence[int], padding: Padding) -> bool:
    """Whether a convolution of stride 1 can be computed this way, and is faster so on a CPU.

    Transforms of the kernel must be cheap compared to those of the images. The decision does not depend on
    the batch size, so that an image gets the same result in batches of any size, and the size may be symbolic
    (`jax.export`).

    Args:
      x: images, [B, H, W, C].
      kernel: shape of the kernel, (kh, kw, C, O).
      padding: before and after, of height and width.
    """
    height, width = (x.shape[1 + i] + sum(padding[i]) - 2 for i in range(2))
    even = height % 2 == width % 2 == 0
    wide = min(kernel[2:]) >= MIN_CHANNELS and 4 * height * width >= max(kernel[2:])
    return tuple(kernel[:2]) == (3, 3) and x.dtype == jnp.float32 and even and wide


def convolve(x: Array, kernel: Array, padding: Padding) -> Array:
    """[B, H, W, C], [3, 3, C, O] -> [B, h, w, O] with even h and w, stride 1."""
    inputs = _both(_of_input, _tiles(x, padding))
    kernels = _both(_of_kernel, [[kernel[i, j] for j in range(3)] for i in range(3)])
    products = [[v @ u for v, u in zip(*rows, strict=True)] for rows in zip(inputs, kernels, strict=True)]
    (a, b), (c, d) = _both(_to_output, products)
    rows = jnp.stack([jnp.stack([a, b], 3), jnp.stack([c, d], 3)], 2)  # [B, h/2, 2, w/2, 2, O]
    return rows.reshape(x.shape[0], 2 * rows.shape[1], 2 * rows.shape[3], -1)


def kernel_gradient(x: Array, dy: Array, padding: Padding) -> Array:
    """Gradient of `convolve` in its kernel: [B, H, W, C], [B, h, w, O] -> [3, 3, C, O]."""
    inputs = _both(_of_input, _tiles(x, padding))
    # Padded as for the input gradient, so that both share one array. Without padding XLA would recompute dy,
    # and everything fused into it, for each of the products.
    inner = [row[1:3] for row in _tiles(dy, ((1, 1), (1, 1)))[1:3]]
    outputs = _both(_to_output_transposed, inner)
    products = [
        [_flat(v).T @ _flat(m) for v, m in zip(*rows, strict=True)]
        for rows in zip(inputs, outputs, strict=True)
    ]
    return jnp.stack([jnp.stack(row) for row in _both(_of_kernel_transposed, products)])


def _tiles(x: Array, padding: Padding) -> Grid:
    """The 4x4 pixels of all tiles (stride 2), as a 4x4 grid of arrays [B, h/2, w/2, C]."""
    x = padded(x, padding)
    b, h, w, c = x.shape
    pairs = x.reshape(b, h // 2, 2, w // 2, 2, c)

    def pixel(i: int, j: int) -> Array:
        return pairs[:, i // 2 : h // 2 - 1 + i // 2, i % 2, j // 2 : w // 2 - 1 + j // 2, j % 2]

    return [[pixel(i, j) for j in range(4)] for i in range(4)]


def padded(x: Array, padding: Padding) -> Array:
    """Pads images [B, H, W, C] with zeros; negative padding crops."""
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)])


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _both(transform: Callable[..., Sequence[Array]], grid: Grid) -> Grid:
    """Applies a transform along both axes of a grid."""
    rows = [transform(*row) for row in grid]
    columns = [transform(*column) for column in zip(*rows, strict=True)]
    return list(zip(*columns, strict=True))


# Along one axis: four inputs and a kernel of three give two outputs.


def _of_input(a: Array, b: Array, c: Array, d: Array) -> Sequence[Array]:
    return a - c, b + c, c - b, b - d


def _of_kernel(a: Array, b: Array, c: Array) -> Sequence[Array]:
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _to_output(a: Array, b: Array, c: Array, d: Array) -> Sequence[Array]:
    return a + b + c, b - c - d


def _to_output_transposed(a: Array, b: Array) -> Sequence[Array]:
    return a, a + b, a - b, -b


def _of_kernel_transposed(a: Array, b: Array, c: Array, d: Array) -> Sequence[Array]:
    return a + (b + c) / 2, (b - c) / 2, d + (b + c) / 2
