"""3x3 convolutions with 16 products in place of 36, for each square of four outputs.

Winograd's minimal filtering F(2x2, 3x3), as Lavin and Gray use it (https://arxiv.org/abs/1509.09308):
a tile of 4x4 inputs and the kernel are each transformed to 4x4 numbers, which are multiplied element by
element, so that a sum over channels is a matrix product; a transform of the 4x4 sums is a square of 2x2
outputs. Exact but for rounding, which is about that of the plain sum. The kernel's gradient has the
same products, with the transforms turned.

Each transform acts on a grid of arrays, first along its rows, then along its columns.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax

from compare_gan.core.types import Array

Grid = Sequence[Sequence[Array]]
Padding = tuple[tuple[int, int], tuple[int, int]]  # before and after, of height and width
MIN_CHANNELS = 96  # channels on either side, below which products are too small a part of the time


def is_profitable(x: Array, kernel: Sequence[int], padding: Padding) -> bool:
    """Whether a convolution of stride 1 is one of these, and on a CPU faster as one.

    Transforms of the kernel must be small beside those of the images. How many images there are does not
    count, so that an image is the same in batches of any size, and the size may be open (`jax.export`).

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
    # Padded as for the gradient of the input, which then shares it; XLA would compute an unpadded one anew,
    # with all that it can fuse before it, for each of the products.
    inner = [row[1:3] for row in _tiles(dy, ((1, 1), (1, 1)))[1:3]]
    outputs = _both(_to_output_turned, inner)
    products = [
        [_flat(v).T @ _flat(m) for v, m in zip(*rows, strict=True)]
        for rows in zip(inputs, outputs, strict=True)
    ]
    return jnp.stack([jnp.stack(row) for row in _both(_of_kernel_turned, products)])


def _tiles(x: Array, padding: Padding) -> Grid:
    """The 4x4 pixels of every tile, two apart: a grid of [B, h/2, w/2, C]."""
    x = padded(x, padding)
    b, h, w, c = x.shape
    pairs = x.reshape(b, h // 2, 2, w // 2, 2, c)

    def pixel(i: int, j: int) -> Array:
        return pairs[:, i // 2 : h // 2 - 1 + i // 2, i % 2, j // 2 : w // 2 - 1 + j // 2, j % 2]

    return [[pixel(i, j) for j in range(4)] for i in range(4)]


def padded(x: Array, padding: Padding) -> Array:
    """Zeros around images [B, H, W, C]; a negative width cuts rows or columns off."""
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)])


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _both(transform: Callable[..., Sequence[Array]], grid: Grid) -> Grid:
    """A transform along both axes of a grid."""
    rows = [transform(*row) for row in grid]
    columns = [transform(*column) for column in zip(*rows, strict=True)]
    return list(zip(*columns, strict=True))


# Along one axis: four inputs and a kernel of three make two outputs. What is `turned` is transposed.


def _of_input(a: Array, b: Array, c: Array, d: Array) -> Sequence[Array]:
    return a - c, b + c, c - b, b - d


def _of_kernel(a: Array, b: Array, c: Array) -> Sequence[Array]:
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _to_output(a: Array, b: Array, c: Array, d: Array) -> Sequence[Array]:
    return a + b + c, b - c - d


def _to_output_turned(a: Array, b: Array) -> Sequence[Array]:
    return a, a + b, a - b, -b


def _of_kernel_turned(a: Array, b: Array, c: Array, d: Array) -> Sequence[Array]:
    return a + (b + c) / 2, (b - c) / 2, d + (b + c) / 2
