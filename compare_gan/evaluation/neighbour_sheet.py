"""A picture of generated images beside the training images that are nearest to them.

Shape letters: M generated images, k neighbours, T held-out images.
"""

import textwrap
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MIN_TILE, MAX_TILE = 64, 128  # pixels; smaller and larger images are rescaled
GAP, LINE, MARGIN = 6, 15, 8  # pixels
FONT_SIZE = 11
INK, QUIET, ALARM, PAPER = (30, 30, 30), (110, 110, 110), (190, 30, 30), (255, 255, 255)
RARE = 0.01  # share of held-out images: a generated image that is nearer than these is marked


class NeighbourSheet(NamedTuple):
    """What the picture shows."""

    images: np.ndarray  # uint8 [M, H, W, C], generated
    neighbours: np.ndarray  # uint8 [M, k, H, W, C], training images, nearest first
    distances: np.ndarray  # [M, k], to them
    shares: np.ndarray  # [M] of held-out images that are nearer to a training image than each generated one
    held_out: np.ndarray  # [T] ascending, of held-out images to their nearest training image
    features: str  # name of the extractor

    @property
    def caption(self) -> str:
        """What the rows are, and which distances are usual."""
        rows = (
            f"Left: generated images. Right: the {self.distances.shape[1]} nearest training images, with "
            f"their distances in the features of {self.features}."
        )
        if not self.held_out.any():
            return f"{rows} No images are held out, so there is no scale for the distances."
        rare, middle = np.quantile(self.held_out, [RARE, 0.5])
        near = int((self.shares < RARE).sum())
        return (
            f"{rows} Below each generated image: the share of held-out images that are nearer to a training "
            f"image than it is. Of the held-out images 1% are nearer to a training image than {rare:.3g}, "
            f"half nearer than {middle:.3g}. {near} of {len(self.images)} generated images are nearer than "
            "that 1% (red)."
        )


def draw(sheet: NeighbourSheet) -> np.ndarray:
    """The picture, uint8 [height, width, 3]: rows by distance, the most copy-like image first."""
    order = np.argsort(sheet.distances[:, 0], kind="stable")
    rows, columns = len(sheet.images), 1 + sheet.distances.shape[1]
    tiles = [[_tile(image) for image in (sheet.images[i], *sheet.neighbours[i])] for i in order]
    high, wide = tiles[0][0].height, tiles[0][0].width
    font = ImageFont.load_default(FONT_SIZE)
    width = 2 * MARGIN + columns * (wide + GAP) + GAP  # a wider gap after the generated image
    lines = textwrap.wrap(sheet.caption, max(20, int((width - 2 * MARGIN) / (FONT_SIZE * 0.5))))
    top = 2 * MARGIN + LINE * len(lines)
    page = Image.new("RGB", (width, top + rows * (high + LINE + GAP) + MARGIN), PAPER)
    pen = ImageDraw.Draw(page)
    for n, line in enumerate(lines):
        pen.text((MARGIN, MARGIN + n * LINE), line, INK, font)
    for row, i in enumerate(order):
        y, alarm = top + row * (high + LINE + GAP), bool(sheet.shares[i] < RARE)
        notes = [f"{sheet.shares[i]:.1%}", *(f"{distance:.3g}" for distance in sheet.distances[i])]
        for column, (tile, note) in enumerate(zip(tiles[row], notes, strict=True)):
            x = MARGIN + column * (wide + GAP) + (2 * GAP if column else 0)
            page.paste(tile, (x, y))
            pen.text((x, y + high + 1), note, ALARM if alarm and column < 2 else QUIET, font)
    return np.asarray(page)


def _tile(image: np.ndarray) -> Image.Image:
    """An image [H, W, C] in a legible size; small ones keep their pixels."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")
    longer = max(picture.size)
    if longer < MIN_TILE:
        factor = -(-MIN_TILE // longer)
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    if longer > MAX_TILE:
        width, height = (round(side * MAX_TILE / longer) for side in picture.size)
        return picture.resize((width, height), Image.Resampling.LANCZOS)
    return picture
