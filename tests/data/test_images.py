"""Decoding, against images made by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data.images import decode, dimensions

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7


def encoded(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_grey_stays_grey():
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(GREY)), "x")[:, :, 0], GREY)
    with_alpha = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (4, 3), 99)])
    np.testing.assert_array_equal(decode(encoded(with_alpha), "x")[:, :, 0], GREY)


def test_black_and_white():
    bits = GREY > 100
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(bits)), "x")[:, :, 0], bits * 255)


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm"])
def test_sixteen_bits_become_eight(kind):
    wide = Image.fromarray(GREY.astype(np.uint16) * 257)
    found = decode(encoded(wide, kind), "x")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[:, :, 0], GREY)


def test_colour_with_and_without_transparency():
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(COLOUR)), "x"), COLOUR)
    rgba = np.concatenate([COLOUR, np.full((3, 4, 1), 10, np.uint8)], axis=2)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(rgba)), "x"), COLOUR)


@pytest.mark.parametrize("options", [{}, {"transparency": bytes([0, 128, 255])}, {"transparency": 1}])
def test_a_palette_is_looked_up(options):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    indices = (GREY // 20 % 3).astype(np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    np.testing.assert_array_equal(decode(encoded(image, **options), "x"), colours[indices])


def test_cmyk_becomes_rgb():
    cyan = Image.new("CMYK", (4, 3), (255, 0, 0, 0))
    np.testing.assert_array_equal(decode(encoded(cyan, "tiff"), "x"), np.tile([0, 255, 255], (3, 4, 1)))


def test_exif_turns_the_image_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn a quarter clockwise
    np.testing.assert_array_equal(
        decode(encoded(Image.fromarray(COLOUR), exif=exif), "x"), np.rot90(COLOUR, k=-1)
    )


WHOLE = {kind: encoded(Image.fromarray(COLOUR), kind) for kind in ("png", "jpeg")}


@pytest.mark.parametrize("data", [b"", b"hello", WHOLE["png"][:50], WHOLE["jpeg"][:-40]])
def test_a_broken_image_is_named(data):
    with pytest.raises(UserError, match="^a/b.png: not a readable image") as caught:
        decode(data, "a/b.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [(GREY.astype(np.float32), "floating point"), (GREY.astype(np.int32) * 1000, "32-bit pixels")],
)
def test_pixels_that_do_not_fit_are_refused(pixels, words):
    with pytest.raises(UserError, match=f"^x.tif: has {words}"):
        decode(encoded(Image.fromarray(pixels), "tiff"), "x.tif")


def test_dimensions_are_those_of_the_decoded_image():
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        data = encoded(Image.fromarray(COLOUR), exif=exif)
        assert dimensions(data, "x") == decode(data, "x").shape[:2]
    with pytest.raises(UserError, match="^x: not a readable image"):
        dimensions(b"junk", "x")
