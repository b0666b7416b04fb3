"""Writers of the metrics log, and of image grids of fixed latent vectors."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.core.files import append, atomic, read_log
from compare_gan.core.pictures import to_uint8, write_grid
from compare_gan.core.placement import Placement
from compare_gan.core.processes import broadcast_from_main, is_main_process
from compare_gan.core.run_files import INTERPOLATIONS, SAMPLES
from compare_gan.core.sampler import spherical
from compare_gan.core.types import Array, GANState
from compare_gan.gans.gan import GAN
from compare_gan.gans.inference import compiled_sample, inference_state
from compare_gan.gans.standing import PREVIEW, with_standing_stats

ROWS = COLUMNS = 10


class MetricsLog:
    """Appends records to `metrics.jsonl`, one JSON object per line; first removes records after `step`."""

    def __init__(self, path: Path, step: int = 0):
        kept = [line for line in read_log(path) if line["step"] <= step]
        self.path = path
        self.seconds = kept[-1]["seconds"] if kept else 0.0
        if is_main_process():
            with atomic(path) as file:
                file.write("".join(json.dumps(line) + "\n" for line in kept).encode())

    def append(self, step: int, seconds: float, metrics: dict[str, float]) -> None:
        """Appends a record. `seconds` count from the start of this session; earlier sessions are added."""
        if not is_main_process():
            return
        line: dict[str, Any] = {"step": step, "seconds": round(self.seconds + seconds, 3)}
        line |= {name: float(f"{value:.6g}") for name, value in metrics.items()}
        append(self.path, f"{json.dumps(line)}\n".encode())


class SampleWriter:
    """Writes image grids of the same latent vectors at every step, so that steps can be compared.

    `samples/<step>.png`: independent latent vectors; one row per class if there are at least two.
    `interpolations/<step>.png`: each row interpolates between two latent vectors; none at step 0.
    """

    def __init__(self, gan: GAN, run_dir: Path, seed: int, placement: Placement):
        self.gan, self.run_dir, self.seed, self.placement = gan, run_dir, seed, placement
        self.rows = min(ROWS, gan.y_dim) if gan.y_dim > 1 else ROWS
        classes = np.repeat(np.arange(self.rows), COLUMNS)
        self.y = np.eye(gan.y_dim, dtype=np.float32)[classes % gan.y_dim] if gan.conditional else None

    @functools.cached_property
    def inputs(self) -> tuple[Array, dict[str, Array]]:
        """The key of standing statistics, and the latent vectors of each folder: [N, Z]."""
        gan, rows = self.gan, self.rows

        @jax.jit  # one program: each operation by itself would be compiled at every start
        def inputs(rng: Array) -> tuple[Array, dict[str, Array]]:
            z_rng, ends_rng = jax.random.split(jax.random.fold_in(rng, 1))
            z = gan.prior(z_rng, (rows * COLUMNS, gan.z_dim))
            ends = gan.prior(ends_rng, (2, rows, gan.z_dim))
            between = spherical(ends[0], ends[1], jnp.linspace(0, 1, COLUMNS))
            return z_rng, {SAMPLES: z, INTERPOLATIONS: between.reshape(-1, gan.z_dim)}

        return inputs(jax.random.key(self.seed))

    def draw(self, state: GANState, step: int) -> dict[str, Array]:
        """Generates the images of each folder, [N, H, W, C] in [0, 1], without waiting for the devices.

        All processes must call it, since the state may be sharded over them; each generates all images.
        """
        rng, latents = self.inputs
        state = with_standing_stats(self.gan, self.placement.gather(inference_state(state)), rng, PREVIEW)
        folders = latents if step else (SAMPLES,)
        return {folder: compiled_sample(self.gan, state, latents[folder], self.y) for folder in folders}

    def write(self, drawn: Mapping[str, Array], step: int) -> float:
        """Writes the images from `draw` as the grids of a step. Returns `sample_std` of the samples.

        All processes must call it.
        """
        for folder, images in drawn.items() if is_main_process() else ():
            picture = to_uint8(np.nan_to_num(np.asarray(images)))
            write_grid(self.run_dir / folder / f"{step:06}.png", picture, self.rows, COLUMNS)
        return broadcast_from_main(sample_std(np.asarray(drawn[SAMPLES])))


def sample_std(images: np.ndarray) -> float:
    """The standard deviation over images [N, H, W, C] in [0, 1], averaged over pixels and channels."""
    return float(images.std(0, dtype=np.float64).mean())
