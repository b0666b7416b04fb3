"""Decodes image files to arrays [H, W, C], C = 1 (grey) or 3 (RGB)."""

import io
import warnings

import numpy as np
from PIL import ExifTags, Image, features

from compare_gan.core.errors import UserError

MAX_FILE_BYTES = 2**29  # limit for one image file
# A subset of what Pillow supports: it runs another program for EPS, and rare formats are poorly tested.
# Pillow may be built without the last two.
_SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".pgm", ".ppm", ".pbm", ".pnm"),
    **({"JPEG2000": (".jp2", ".j2k", ".jpx")} if features.check("jpg_2000") else {}),
    **({"AVIF": (".avif",)} if features.check("avif") else {}),
}
FORMATS = tuple(_SUFFIXES)
SUFFIXES = tuple(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
DARK = 255 // 8
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap height and width
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow refuses huge images, and only warns about large ones. Both are rejected here.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def decode(data: bytes, where: str) -> np.ndarray:
    """The pixels of one image file: [H, W, 1] uint8 if it is grey, else [H, W, 3].

    The EXIF orientation is applied, alpha is dropped, and 16 bits are reduced to 8. Only the first frame of
    an animation is read.

    Args:
      where: names the image in error messages.

    Raises:
      UserError: the image is broken, too large, or has 32-bit or floating-point pixels.
    """
    image = _opened(data, where)
    try:
        image.load()
        turn = UPRIGHT.get(_orientation(image))
        return _eight_bits(image if turn is None else image.transpose(turn), where)
    except UserError:
        raise
    except Exception:  # each of Pillow's decoders raises its own errors
        raise _broken(where) from None


def dimensions(data: bytes, where: str) -> tuple[int, int]:
    """Height and width of the result of `decode`, without decoding the pixels.

    Raises:
      UserError: the image is broken or too large.
    """
    image = _opened(data, where)
    swapped = (
        image.format != "TIFF" and _orientation(image) in SIDEWAYS
    )  # Pillow already swaps the size of a TIFF
    return image.size if swapped else image.size[::-1]


def dark(brightest: int) -> str | None:
    """A warning for images whose largest value is `brightest`, of 255; None unless they are nearly black."""
    if brightest > DARK:
        return None
    return (
        f"no value exceeds {brightest} of 255, so the images are nearly black; multiply 12-bit values in "
        f"16-bit files (0 to 4095) by 16, and rescale label masks to reach 255"
    )


def _opened(data: bytes, where: str) -> Image.Image:
    if len(data) > MAX_FILE_BYTES:
        raise UserError(f"{where}: larger than {MAX_FILE_BYTES >> 20} MiB; shrink or remove it")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UserError(
            f"{where}: has more than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels; "
            f"shrink or remove it"
        ) from None
    except Exception:
        raise _broken(where) from None


def _broken(where: str) -> UserError:
    return UserError(f"{where}: not a readable image; repair or delete it")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 (upright) if there is none or it is damaged."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1


def _eight_bits(image: Image.Image, where: str) -> np.ndarray:
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))[:, :, None]
    if image.mode.startswith("I"):
        return _from_sixteen(np.asarray(image), where)[:, :, None]
    if image.mode == "F":
        raise UserError(f"{where}: has floating point pixels; save it with 8 or 16 bits")
    if image.mode in ("P", "PA"):  # a palette may have transparent colours, which convert via RGBA only
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def _from_sixteen(values: np.ndarray, where: str) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{where}: has 32-bit pixels; save it with 8 or 16 bits")
    return ((values.astype(np.int32) + 128) // 257).astype(np.uint8)
