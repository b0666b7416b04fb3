"""A training hook that writes what TensorBoard shows."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.events import EventFile, picture, scalar
from compare_gan.core.pictures import encoded, grid
from compare_gan.core.processes import is_main_process
from compare_gan.core.run_files import METRICS_LOG, SAMPLES
from compare_gan.data.base import Split, example_rows, hard_labels
from compare_gan.gans.gan import GAN
from compare_gan.training.hooks import SampleHook
from compare_gan.training.writers import COLUMNS, ROWS


class TensorBoardHook:
    """Mirrors `metrics.jsonl` and `samples/` in a TensorBoard event file in the run folder.

    After the first step, and when training resumes or rolls back, the event file is rewritten from these
    files, so the events are those of one uninterrupted training. Values computed from the step or the log
    are added: `learning_rate/g`, `learning_rate/d`, `steps_per_second` between two reports, and
    `samples/real`.

    Args:
      run_dir: the run folder.
      samples: the hook that draws samples; it must be called before this one.
      rates: learning rates [steps] by their tag; entry t is that of the step from t to t + 1.
      real: PNG file of a grid of real images; None: they cannot be read.
    """

    def __init__(
        self, run_dir: Path, samples: SampleHook, rates: Mapping[str, np.ndarray], real: bytes | None
    ):
        self.run_dir, self.samples, self.rates, self.real = run_dir, samples, rates, real
        self.step = 0
        self.events: EventFile | None = None
        self.read = 0  # bytes of metrics.jsonl that are in the event file
        self.last: dict[str, float] = {}  # row of metrics.jsonl
        self.began = 0.0  # seconds since 1970: the time of a row is this plus its "seconds"

    def __call__(self, step: int, state: Any, metrics: dict[str, float] | None) -> None:
        if not is_main_process() or step == 0:  # samples of step 0 are written after the first step
            return
        drawn = self.samples.std is not None  # samples of this step exist
        if self.events is None or step <= self.step:  # training started, resumes, or was rolled back
            self._begin(step if drawn else step - 1)
        elif metrics is not None:
            for row in self._new_rows():
                self._write(row, drawn and row["step"] == step)
        self.step = step

    def _begin(self, samples_until: int) -> None:
        """Starts the event file with all that precedes.

        Args:
          samples_until: the step of the newest samples; newer ones are from before a rollback.
        """
        self.events, self.read, self.last = EventFile(self.run_dir), 0, {}
        rows = self._new_rows()
        self.began = time.time() - (rows[-1]["seconds"] if rows else 0.0)
        real = [] if self.real is None else [picture(f"{SAMPLES}/real", self.real)]
        self.events.write(0, self.began, [*real, *self._generated(0)])
        for row in rows:
            self._write(row, row["step"] <= samples_until)

    def _new_rows(self) -> list[dict[str, Any]]:
        """The rows that were added to metrics.jsonl since the last call."""
        path = self.run_dir / METRICS_LOG
        if not path.exists():
            return []
        with open(path, "rb") as file:
            file.seek(self.read)
            lines = file.readlines()
            self.read = file.tell()
        return [json.loads(line) for line in lines]

    def _write(self, row: dict[str, Any], sampled: bool) -> None:
        """Writes the event of a row, with the samples of its step if there are any."""
        assert self.events is not None
        step, seconds = row["step"], row["seconds"]
        values = {name: value for name, value in row.items() if name not in ("step", "seconds")}
        values |= {tag: float(rate[step - 1]) for tag, rate in self.rates.items()}
        if self.last and seconds > self.last["seconds"]:
            values["steps_per_second"] = (step - self.last["step"]) / (seconds - self.last["seconds"])
        self.last = row
        scalars = [scalar(tag, value) for tag, value in values.items()]
        self.events.write(step, self.began + seconds, [*scalars, *(self._generated(step) if sampled else ())])

    def _generated(self, step: int) -> list[Any]:
        path = self.run_dir / SAMPLES / f"{step:06}.png"
        return [picture(f"{SAMPLES}/generated", path.read_bytes())] if path.exists() else []


def learning_rates(gan: GAN, steps: int) -> dict[str, np.ndarray]:
    """The learning rates [steps] of both networks, by their tag."""
    factor = np.asarray(jax.jit(jax.vmap(gan.lr_factor))(np.arange(steps)))
    rates = {"g": gan.g_lr, "d": gan.g_lr if gan.d_lr is None else gan.d_lr}
    return {f"learning_rate/{name}": rate * factor for name, rate in rates.items()}


def real_grid(split: Split, num_classes: int) -> bytes | None:
    """A PNG file of real images, one row per class; None if one of them cannot be read.

    Args:
      split: the training images.
      num_classes: of the GAN; below 2, images of all classes are mixed.
    """
    chosen = example_rows(hard_labels(split), min(num_classes, ROWS) if num_classes > 1 else 0, COLUMNS, ROWS)
    try:
        images = split.images[chosen.ravel()]
    except UserError:  # reported when training reads that image
        return None
    return encoded(grid(images, *chosen.shape), ".png")
