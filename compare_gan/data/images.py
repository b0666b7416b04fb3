"""Encoded images to arrays. Shape letters: N images; H, W, C of one, C = 1 (grey) or 3 (RGB)."""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageOps

from compare_gan.core.errors import UserError


def decode(data: bytes, where: str) -> np.ndarray:
    """The pixels of one image file: [H, W, 1] uint8 if it is grey, else [H, W, 3].

    It is turned upright as its EXIF entry says; transparency is dropped; 16 bits become 8.

    Args:
      where: what to call the image in an error.

    Raises:
      UserError: it is broken, or of a kind that does not fit into 8 bits.
    """
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    except Exception:  # each of Pillow's readers has its own ways to fail
        raise UserError(f"{where}: not a readable image; mend or remove it") from None
    if image.mode in ("1", "L", "LA", "La"):
        return np.asarray(image.convert("L"))[:, :, None]
    if image.mode.startswith("I"):
        return _eight_bits(np.asarray(image), where)[:, :, None]
    if image.mode == "F":
        raise UserError(f"{where}: has floating point pixels; save it with 8 or 16 bits")
    if image.mode in ("P", "PA"):  # a palette may hold transparent colours, which RGB alone cannot read
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of [H, W, C], resized to [size, size, C] by antialiased Lanczos."""
    h, w, c = image.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    square = image[top : top + side, left : left + side]
    if side == size:
        return square
    pixels = Image.fromarray(square[:, :, 0] if c == 1 else square)
    return np.asarray(pixels.resize((size, size), Image.Resampling.LANCZOS)).reshape(size, size, c)


def fit_all(images: np.ndarray, size: int | None) -> np.ndarray:
    """`fit` for each of [N, H, W, C]; without a size, the images as they are."""
    return images if size is None else np.stack([fit(image, size) for image in images])


def stack(images: Iterable[tuple[str, np.ndarray]], size: int | None) -> np.ndarray:
    """Named images to one array [N, H, W, C], through `fit` if there is a size. Grey stays grey if all are.

    Raises:
      UserError: they differ in size.
    """
    first, pixels = "", list[np.ndarray]()
    for where, image in images:
        pixels.append(image if size is None else fit(image, size))
        first = first or where
        (h, w), (h0, w0) = pixels[-1].shape[:2], pixels[0].shape[:2]
        if (h, w) != (h0, w0):
            raise UserError(
                f"{where}: {h}x{w}, but {first} is {h0}x{w0}; give image_size to crop and resize all"
            )
    depth = max(image.shape[2] for image in pixels)
    return np.stack([np.broadcast_to(image, (*image.shape[:2], depth)) for image in pixels])


def _eight_bits(values: np.ndarray, where: str) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{where}: has 32-bit pixels; save it with 8 or 16 bits")
    return ((values.astype(np.int32) + 128) // 257).astype(np.uint8)
