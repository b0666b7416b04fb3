"""The film of a run: its frames, their durations, and the command."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.outputs import is_ours
from compare_gan.main import main
from compare_gan.report.collect import Grid
from compare_gan.report.film import EXCERPT_BYTES, MARGIN, excerpt, frame
from tests.helpers.commands import refused

STEPS = (0, 500, 1000)


@pytest.fixture
def run_dir(tmp_path):
    """Samples of 2 x 3 tiles of 16 x 16 pixels, each step with another grey value."""
    folder = tmp_path / "run" / "samples"
    folder.mkdir(parents=True)
    for i, step in enumerate(STEPS):
        Image.new("L", (48, 32), 100 * i).save(folder / f"{step:06}.png")
    (folder / "grid.json").write_text(json.dumps({"rows": 2, "columns": 3, "tile": [16, 16]}))
    return folder.parent


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_each_step_is_a_frame_and_the_last_one_stays(run_dir, tmp_path, suffix, capsys):
    out = tmp_path / f"film{suffix}"
    assert main(["film", str(run_dir), "--out", str(out), "--frame_seconds", "0.2"]) == 0
    assert capsys.readouterr().out == f"film of 3 steps: {out}\n"
    with Image.open(out) as picture:
        assert picture.n_frames == 3 and picture.info["loop"] == 0
        times = 10  # 480 over the 50 pixels of three tiles with gaps, rounded
        assert picture.size == (50 * times + 2 * MARGIN, 33 * times + 15 + 5 * MARGIN)
        durations, greys = [], []
        for i in range(3):
            picture.seek(i)
            pixels = np.asarray(picture.convert("RGB")).astype(int)
            durations.append(picture.info["duration"])
            greys.append(pixels[MARGIN + 80, MARGIN + 80])
    assert durations == [200, 200, 2700]
    np.testing.assert_allclose(greys, np.full((3, 3), [[0], [100], [200]]), atol=3)
    assert is_ours(out)
    assert main(["film", str(run_dir), "--out", str(out)]) == 0  # it may be replaced


def test_the_line_below_grows_with_the_step():
    grid = Grid(np.full((16, 32, 4), 255, np.uint8), 1, 2, (16, 16))
    lengths = []
    for step in (0, 250, 1000):
        pixels = np.asarray(frame(grid, step, 1000).convert("L"))
        row = pixels[-15 - 3 * MARGIN]  # of the line
        lengths.append(int((row < 100).sum()))
    assert lengths[0] == 0 and lengths[1] == pytest.approx(lengths[2] / 4, abs=1)
    assert lengths[2] == pixels.shape[1] - 2 * MARGIN


def test_the_step_is_written_below():
    grid = Grid(np.full((16, 32, 4), 255, np.uint8), 1, 2, (16, 16))
    captions = [np.asarray(frame(grid, step, 9000))[-15 - MARGIN :] for step in (1000, 1000, 9000)]
    assert (captions[0] == captions[1]).all() and (captions[0] != captions[2]).any()


def test_the_film_in_a_page_is_small():
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 4), np.uint8)
    noise[..., 3] = 255
    large = Grid(noise, 10, 10, (64, 64))
    content = excerpt({0: large, 10: large})
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.width == 2 * (3 * 64 + 2 * 2) + 2 * MARGIN  # three tiles, magnified
    assert len(content) < EXCERPT_BYTES
    moving = {step: Grid(np.roll(noise, 7 * step, 0), 10, 10, (64, 64)) for step in range(10)}
    assert excerpt(moving) is None


def test_errors_are_one_line(run_dir, tmp_path, capsys):
    (tmp_path / "theirs.gif").write_bytes(b"GIF89a")
    words = ["film", run_dir, "--out"]
    refused(capsys, [*words, tmp_path / "film.mp4"], "cannot write .mp4; use .webp or .gif")
    refused(capsys, [*words, tmp_path / "theirs.gif"], "compare_gan did not write it")
    refused(capsys, [*words, tmp_path / "f.gif", "--frame_seconds", 0], "it must be 0.02 to 60")
    refused(capsys, ["film", tmp_path, "--out", tmp_path / "f.gif"], "has 0 pictures, and a film needs two")
    (run_dir / "samples" / "000500.png").write_bytes(b"no picture")
    refused(capsys, [*words, tmp_path / "f.gif"], "000500.png", "damaged image")
