"""Writes the folder of an export."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax
import jax
from safetensors.numpy import save

from compare_gan import __version__
from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic_folder, sha256_of, write_json
from compare_gan.core.pictures import write_picture
from compare_gan.core.types import GANState
from compare_gan.export import programs
from compare_gan.export.card import SHOWN, card
from compare_gan.export.folder import FORMAT, METADATA_FILE, ExportMetadata, is_export
from compare_gan.export.loader import runnable
from compare_gan.export.sampler import Sampler
from compare_gan.gans.gan import GAN
from compare_gan.gans.standing import has_counters, with_standing_stats

STATISTICS_SEED = 0  # of the generated images for accumulated statistics
CHECKSUMMED_SUFFIXES = (".jax", ".safetensors")  # verified when read; the card may be edited
log = logging.getLogger(__name__)


def with_inference_stats(
    gan: GAN, state: GANState, statistics_examples: int = STATISTICS_EXAMPLES
) -> tuple[GANState, str]:
    """The state with batch statistics for inference, and a description of these statistics.

    Raises:
      UserError: `statistics_examples` is less than 1.
    """
    if statistics_examples < 1:
        raise UserError(f"statistics_examples is {statistics_examples}; it must be at least 1")
    if gan.layers.batch.use_moving_averages or not has_counters(state.g.extra):
        return state, "moving averages" if has_statistics(state) else "none"
    log.warning("accumulating batch statistics over %d generated images", statistics_examples)
    key = jax.random.key(STATISTICS_SEED)
    return with_standing_stats(
        gan, state, key, statistics_examples
    ), f"accumulated over {statistics_examples}"


def has_statistics(state: GANState) -> bool:
    return any(path[-1].key == "moving_mean" for path, _ in jax.tree.leaves_with_path(state.g.extra))


def sampler_of(gan: GAN, state: GANState, class_names: Sequence[str]) -> Sampler:
    """The sampler that `open_sampler` returns for an export of this state, with inference statistics."""
    return sampler_from_programs(gan, programs.sampler(gan), programs.generator(gan, state), class_names)


def sampler_from_programs(
    gan: GAN, latents: programs.Program, generator: programs.Program, class_names: Sequence[str]
) -> Sampler:
    """A sampler from the two programs; `class_names` are those of the data set."""
    names = tuple(class_names) if gan.conditional else ()
    return Sampler(runnable(*latents), runnable(*generator), names, gan.spec.image_shape)


def validate_output_dir(out: Path) -> Path:
    """Returns `out` if an export may be written there.

    Raises:
      UserError: it contains something other than an export.
    """
    if out.exists() and not (out.is_dir() and (is_export(out) or not any(out.iterdir()))):
        raise UserError(f"{out}: contains something other than an export; choose another --out")
    return out


def write_export(
    out: Path,
    gan: GAN,
    state: GANState,
    run: Mapping[str, Any],
    config: str,
    rows: Sequence[Mapping[str, str]] = (),
    statistics_examples: int = STATISTICS_EXAMPLES,
) -> ExportMetadata:
    """Writes an export, replacing an existing one.

    Args:
      out: the folder.
      gan: the GAN with its evaluation prior.
      state: its weights.
      run: the contents of `run.json`: data, class_names, architecture, method, and optional entries.
      config: its operative configuration.
      rows: its scores.
      statistics_examples: number of generated images for accumulated batch statistics.

    Raises:
      UserError: `out` contains something else or cannot be written, or images contain NaN or Inf.
    """
    with atomic_folder(validate_output_dir(out)) as folder:
        state, statistics = with_inference_stats(gan, state, statistics_examples)
        parts = {
            "generator": programs.generator(gan, state),
            "discriminator": programs.discriminator(gan, state),
            "sampler": programs.sampler(gan),
        }
        metadata = ExportMetadata(
            architecture=run["architecture"],
            method=run["method"],
            step=int(state.step),
            image_shape=gan.spec.image_shape,
            z_dim=gan.z_dim,
            num_classes=gan.y_dim,
            class_names=tuple(run["class_names"]) if gan.conditional else (),
            averaged_weights=state.g_ema is not None,
            batch_statistics=statistics,
            heads=programs.heads(parts["discriminator"]),
            versions={"compare_gan": __version__, "jax": jax.__version__, "flax": flax.__version__},
        )
        for name, (code, weights) in parts.items():
            (folder / f"{name}.jax").write_bytes(code)
            if weights:
                (folder / f"{name}.safetensors").write_bytes(save(weights, {"format": "flax"}))
        sampler = sampler_from_programs(gan, parts["sampler"], parts["generator"], run["class_names"])
        shown = min(gan.y_dim, SHOWN) or SHOWN
        write_picture(folder / "samples.png", sampler.grid(shown, SHOWN, seed=0), shown, SHOWN)
        (folder / "README.md").write_text(card(metadata, run, config, rows), encoding="utf-8")
        files = {
            path.name: sha256_of(path)
            for path in sorted(folder.iterdir())
            if path.suffix in CHECKSUMMED_SUFFIXES
        }
        write_json(folder / METADATA_FILE, {"format": FORMAT, **vars(metadata), "files": files})
    return metadata
