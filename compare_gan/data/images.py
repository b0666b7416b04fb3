"""Image files to arrays [H, W, C], C = 1 (grey) or 3 (RGB)."""

import io

import numpy as np
from PIL import ExifTags, Image, ImageOps

from compare_gan.core.errors import UserError

SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap height and width


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
        raise _broken(where) from None
    if image.mode in ("1", "L", "LA", "La"):
        return np.asarray(image.convert("L"))[:, :, None]
    if image.mode.startswith("I"):
        return _eight_bits(np.asarray(image), where)[:, :, None]
    if image.mode == "F":
        raise UserError(f"{where}: has floating point pixels; save it with 8 or 16 bits")
    if image.mode in ("P", "PA"):  # a palette may hold transparent colours, which RGB alone cannot read
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def dimensions(data: bytes, where: str) -> tuple[int, int]:
    """Height and width of one image file as `decode` gives it, without decoding the pixels.

    Raises:
      UserError: it is broken.
    """
    try:
        image = Image.open(io.BytesIO(data))
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS
    except Exception:
        raise _broken(where) from None
    return image.size if turned else image.size[::-1]


def _broken(where: str) -> UserError:
    return UserError(f"{where}: not a readable image; mend or remove it")


def _eight_bits(values: np.ndarray, where: str) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{where}: has 32-bit pixels; save it with 8 or 16 bits")
    return ((values.astype(np.int32) + 128) // 257).astype(np.uint8)
