"""The samples of a run over training as an animated picture."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.core.outputs import MARK, SOFTWARE
from compare_gan.core.run_files import SAMPLES
from compare_gan.report.collect import Grid, evenly_spaced, images_by_step, read_grid
from compare_gan.report.figures import crop, montage, tiles
from compare_gan.report.words import count

FORMATS = (".webp", ".gif")
FRAMES = 100  # at most
FRAME_S, LAST_S = 0.4, 2.5  # seconds for which a frame and the last one are shown
EXCERPT_SIDE, EXCERPT_TILES = 120, 3  # pixels before magnification, and the minimum number of samples
EXCERPT_BYTES = 200_000
SIDE = 480  # the width to which pictures are magnified, about, by an integer factor
MARGIN, TEXT = 8, 15  # pixels around the caption, and its height
PAPER, INK, SOFT = "#fdfdfb", "#1b1c1e", "#d9d9d4"


def check_format(path: Path) -> None:
    """Raises a `UserError` if a film cannot be written in the format of the suffix."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: cannot write {path.suffix or 'no suffix'}; use {' or '.join(FORMATS)}")


def read_samples(run_dir: Path, most: int = FRAMES) -> dict[int, Grid]:
    """The sample grids of a run by step: at most `most`, evenly spaced.

    Raises:
      UserError: there are fewer than two, or one is damaged.
    """
    paths = images_by_step(run_dir / SAMPLES)
    steps = evenly_spaced(sorted(paths), most)
    grids = {step: grid for step in steps if (grid := read_grid(paths[step]))}
    if len(grids) < 2:
        raise UserError(
            f"{run_dir / SAMPLES}: has {len(grids)} pictures, and a film needs two; give the folder of a run "
            "that was trained with this library"
        )
    return grids


def film(grids: Mapping[int, Grid], suffix: str, frame_s: float = FRAME_S) -> bytes:
    """Encodes sample grids as a film that repeats: one frame for each step, with the step below.

    Args:
      grids: by step, at least two, all with the same layout.
      suffix: of the file, see `FORMATS`.
      frame_s: seconds per frame; the last one is shown longer.
    """
    last = max(grids)
    frames = [frame(grid, step, last) for step, grid in sorted(grids.items())]
    durations = [round(1000 * frame_s)] * (len(frames) - 1) + [round(1000 * (frame_s + LAST_S))]
    exif = Image.Exif()
    exif[SOFTWARE] = MARK
    options: dict[str, Any] = {
        ".webp": {"format": "WEBP", "exif": exif, "quality": 85, "method": 4},
        ".gif": {"format": "GIF", "comment": MARK, "disposal": 1},
    }[suffix.lower()]
    buffer = io.BytesIO()
    first, *others = frames
    first.save(buffer, save_all=True, append_images=others, duration=durations, loop=0, **options)
    return buffer.getvalue()


def excerpt(grids: Mapping[int, Grid]) -> bytes | None:
    """A small film for a page, of the upper left samples; None if it would make the page much larger."""
    height, width = next(iter(grids.values())).tile
    side = max(EXCERPT_SIDE, EXCERPT_TILES * max(height, width))
    content = film({step: crop(grid, side) for step, grid in grids.items()}, ".webp")
    return content if len(content) <= EXCERPT_BYTES else None


def frame(grid: Grid, step: int, last: int) -> Image.Image:
    """One frame: the grid, the step, and a line whose length is the share of the training."""
    pixels = montage(tiles(crop(grid)))
    sheet = Image.new("RGB", (pixels.shape[1], pixels.shape[0]), PAPER)
    sheet.paste(picture := Image.fromarray(pixels), mask=picture)
    times = max(1, round(SIDE / sheet.width))
    sheet = sheet.resize((sheet.width * times, sheet.height * times), Image.Resampling.NEAREST)
    whole = Image.new("RGB", (sheet.width + 2 * MARGIN, sheet.height + TEXT + 5 * MARGIN), PAPER)
    whole.paste(sheet, (MARGIN, MARGIN))
    draw = ImageDraw.Draw(whole)
    top = sheet.height + 2 * MARGIN
    draw.rectangle((MARGIN, top, MARGIN + sheet.width - 1, top + 1), fill=SOFT)
    if step:
        draw.rectangle((MARGIN, top, MARGIN + round(sheet.width * step / last) - 1, top + 1), fill=INK)
    draw.text((MARGIN, top + MARGIN), f"step {count(step)}", fill=INK, font=ImageFont.load_default(TEXT))
    return whole


def write_film(run_dir: Path, out: Path, frame_s: float = FRAME_S) -> int:
    """Writes the film of a run folder. Returns the number of frames.

    Raises:
      UserError: the run has no samples, or the file cannot be written.
    """
    grids = read_samples(run_dir)
    content = film(grids, out.suffix, frame_s)
    with atomic(out) as file:
        file.write(content)
    return len(grids)
