"""Decoding, against handmade images and explicit formulas."""

import importlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data import images
from compare_gan.data.images import dark, decode, dimensions

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
RNG = np.random.default_rng(0)


def encoded(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def raw(pixels, mode):
    return Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(pixels, colour_type, *chunks, size=None):
    """A PNG file by its specification, without Pillow. Pixels are [H, W] or [H, W, C], 8 or 16 bits."""
    h, w = size or pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", w, h, 8 * pixels.itemsize, colour_type, 0, 0, 0)
    pieces = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def upright(stored, orientation):
    """The EXIF orientation: which edges the first row and the first column are."""
    flipped = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 7: (-1, -1), 6: (-1, 1), 8: (1, -1)}
    down, right = flipped.get(orientation, (1, 1))
    image = stored[::down, ::right]
    return image.swapaxes(0, 1) if orientation >= 5 else image


def test_grey_stays_grey():
    np.testing.assert_array_equal(decode(png(GREY, 0), "x")[:, :, 0], GREY)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(GREY)), "x")[:, :, 0], GREY)
    with_alpha = np.stack([GREY, np.full_like(GREY, 99)], axis=2)
    np.testing.assert_array_equal(decode(png(with_alpha, 4), "x")[:, :, 0], GREY)


@pytest.mark.parametrize("kind", ["png", "tiff", "bmp", "ppm"])
def test_black_and_white(kind):
    bits = GREY > 100
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(bits), kind), "x")[:, :, 0], bits * 255)


@pytest.mark.parametrize(
    "kind, options",
    [("jpeg2000", {"irreversible": False}), ("dib", {}), ("avif", {"quality": 100, "subsampling": "4:4:4"})],
)
def test_other_formats(kind, options):
    """The first two are lossless; AVIF rounds in YCbCr."""
    image = COLOUR.repeat(8, 0).repeat(8, 1)
    found = decode(encoded(Image.fromarray(image), kind, **options), "x")
    assert np.abs(found.astype(int) - image).max() <= (3 if kind == "avif" else 0)


def test_nearly_black_images_are_detected():
    """12-bit values in a 16-bit file reach 4095 of 65535, so 16 of 255."""
    twelve = np.linspace(0, 4095, 12).astype(np.uint16).reshape(3, 4)
    assert decode(png(twelve, 0), "x").max() == 16
    assert "no value exceeds 16 of 255" in dark(16) and "multiply" in dark(16)
    assert dark(31) is not None and dark(32) is None and dark(255) is None


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm"])
def test_sixteen_bits_become_eight(kind):
    wide = Image.fromarray(GREY.astype(np.uint16) * 257)
    found = decode(encoded(wide, kind), "x")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[:, :, 0], GREY)


def test_sixteen_bit_variants():
    """Grey is rounded; for colours Pillow drops the low byte, an error of at most one level."""
    grey = RNG.integers(0, 65536, (9, 7), np.uint16)
    np.testing.assert_array_equal(decode(png(grey, 0), "x")[:, :, 0], np.rint(grey / 257))
    for channels, kind in ((3, 2), (4, 6)):
        colour = RNG.integers(0, 65536, (9, 7, channels), np.uint16)
        found = decode(png(colour, kind), "x")
        assert found.dtype == np.uint8 and np.abs(found - colour[:, :, :3] / 257).max() < 1
    with_alpha = RNG.integers(0, 65536, (9, 7, 2), np.uint16)
    assert np.abs(decode(png(with_alpha, 4), "x") - with_alpha[:, :, :1] / 257).max() < 1


def test_colour_with_and_without_transparency():
    rgba = np.concatenate([COLOUR, np.full((3, 4, 1), 10, np.uint8)], axis=2)
    for data in (png(COLOUR, 2), png(rgba, 6), encoded(Image.fromarray(rgba), "webp", lossless=True)):
        np.testing.assert_array_equal(decode(data, "x"), COLOUR)
    keyed = png(COLOUR, 2, chunk(b"tRNS", struct.pack(">3H", *map(int, COLOUR[1, 1]))))
    np.testing.assert_array_equal(decode(keyed, "x"), COLOUR)


@pytest.mark.parametrize("opacity", [None, [0, 128, 255], [0]])
def test_a_palette_is_looked_up(opacity):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    indices = (GREY // 20 % 3).astype(np.uint8)
    chunks = [chunk(b"PLTE", colours.tobytes())]
    chunks += [] if opacity is None else [chunk(b"tRNS", bytes(opacity))]
    np.testing.assert_array_equal(decode(png(indices, 3, *chunks), "x"), colours[indices])


def test_cmyk_becomes_rgb():
    """(1 - ink) (1 - black); an Adobe JPEG stores inverted inks."""
    inks = RNG.integers(0, 256, (6, 5, 4), np.uint8)
    expected = (255.0 - inks[:, :, :3]) * (255.0 - inks[:, :, 3:]) / 255
    tiff = decode(encoded(raw(inks, "CMYK"), "tiff"), "x")
    assert np.abs(tiff - expected).max() <= 1
    plain = np.full((16, 16, 4), [200, 40, 0, 60], np.uint8)
    jpeg = decode(encoded(raw(plain, "CMYK"), "jpeg", quality=100), "x")
    assert np.abs(jpeg - np.array([255 - 200, 255 - 40, 255]) * (255 - 60) / 255).max() <= 3


def test_luma_and_chroma_become_rgb():
    """ITU-R BT.601 in full range, as in JPEG."""
    values = RNG.integers(60, 190, (6, 5, 3), np.uint8)
    y, cb, cr = np.moveaxis(values.astype(float), 2, 0)
    expected = np.stack(
        [y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128), y + 1.772 * (cb - 128)], 2
    )
    found = decode(encoded(raw(values, "YCbCr"), "tiff"), "x")
    assert np.abs(found - np.clip(expected, 0, 255)).max() <= 1.5
    plain = np.tile(np.array([220, 130, 40], np.uint8), (16, 16, 1))
    assert np.abs(decode(encoded(Image.fromarray(plain), "jpeg", quality=100), "x") - 1.0 * plain).max() <= 2


def test_lab_becomes_rgb():
    """Greys of CIE L*, and the sign of a*: towards red."""
    lightness = np.array([[0, 64, 128, 255]], np.uint8)
    lab = np.stack([lightness, np.zeros_like(lightness), np.zeros_like(lightness)], axis=2)
    found = decode(encoded(raw(lab, "LAB"), "tiff"), "x").astype(float)
    t = (lightness * (100 / 255) + 16) / 116
    linear = np.where(t > 6 / 29, t**3, 3 * (6 / 29) ** 2 * (t - 4 / 29))
    srgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    assert np.abs(found - 255 * srgb[:, :, None]).max() <= 3
    lab[:, :, 1] = 60  # signed
    red = decode(encoded(raw(lab, "LAB"), "tiff"), "x").astype(float)
    assert (red[0, 1:3, 0] > red[0, 1:3, 1] + 40).all()


def test_the_first_frame_of_an_animation_is_read():
    frames = [Image.new("RGB", (4, 3), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    for kind, options in (("gif", {}), ("webp", {"lossless": True}), ("png", {}), ("tiff", {})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(decode(data, "x"), np.tile([250, 0, 0], (3, 4, 1)))


@pytest.mark.parametrize(
    "kind, options",
    [
        ("png", {}),
        ("webp", {"lossless": True}),
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("jpeg", {"quality": 100, "subsampling": 0}),
    ],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(kind, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(COLOUR), kind, exif=exif, **options)
    found, expected = decode(data, "x"), upright(COLOUR, orientation)
    assert found.shape == expected.shape and np.abs(found - 1.0 * expected).max() <= (kind == "jpeg")
    assert dimensions(data, "x") == expected.shape[:2]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "note", [b"", b"junk", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 30]
)
def test_a_damaged_exif_entry_is_ignored(note):
    plain = encoded(Image.fromarray(COLOUR), "jpeg")
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(note)) + note
    np.testing.assert_array_equal(decode(plain[:2] + segment + plain[2:], "x"), decode(plain, "x"))


VALID = {kind: encoded(Image.fromarray(COLOUR), kind) for kind in ("png", "jpeg", "gif", "webp", "tiff")}
EPS = encoded(Image.fromarray(COLOUR), "eps")


@pytest.mark.parametrize(
    "data", [b"", b"hello", *(file[: len(file) * 2 // 3] for file in VALID.values()), EPS, b"\0" * 500]
)
def test_a_broken_image_is_named(data):
    for function in (decode, dimensions) if len(data) < 40 else (decode,):
        with pytest.raises(UserError, match="^a/b.png: not a readable image") as caught:
            function(data, "a/b.png")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(100_000, 100_000), (10_000, 10_000), (2**31 - 1, 1)])
@pytest.mark.parametrize("function", [decode, dimensions])
def test_a_decompression_bomb_is_refused(function, size):
    data = png(np.zeros((1, 1, 3), np.uint8), 2, size=size)
    with pytest.raises(UserError, match="^x.png: has more than 89 million pixels; shrink") as caught:
        function(data, "x.png")
    assert "\n" not in str(caught.value)


def test_pillows_size_warning_is_an_error():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        importlib.reload(images)
        with pytest.raises(UserError, match="has more than 89 million pixels"):
            images.decode(png(GREY, 0, size=(10_000, 10_000)), "x")
    assert not warned


def test_a_large_image_is_not_a_bomb():
    data = png(np.zeros((3000, 4000), np.uint8), 0)
    assert decode(data, "x").shape == (3000, 4000, 1)


def test_a_file_that_is_too_large_is_not_opened(monkeypatch):
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 2**20)
    with pytest.raises(UserError, match="^x.png: larger than 1 MiB"):
        decode(bytes(2**20 + 1), "x.png")


@pytest.mark.parametrize(
    ("pixels", "words"),
    [(GREY.astype(np.float32), "floating point"), (GREY.astype(np.int32) * 1000, "32-bit pixels")],
)
def test_unsupported_pixel_types_are_refused(pixels, words):
    with pytest.raises(UserError, match=f"^x.tif: has {words}"):
        decode(encoded(Image.fromarray(pixels), "tiff"), "x.tif")
