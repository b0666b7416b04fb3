"""Writes the folder of an export."""

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
from compare_gan.core.run_files import EXPORT_METADATA
from compare_gan.core.sampler import Sampler
from compare_gan.core.types import GANState
from compare_gan.export import programs
from compare_gan.export.card import SHOWN, card
from compare_gan.export.folder import CHECKSUMMED_SUFFIXES, FORMAT, ExportMetadata, is_export
from compare_gan.export.loader import runnable
from compare_gan.gans.gan import GAN
from compare_gan.gans.sampling import describe_prior
from compare_gan.gans.standing import describe_statistics, with_inference_stats


def validate_output_dir(out: Path) -> Path:
    """Returns `out` if an export may be written there.

    Raises:
      UserError: it contains something other than an export.
    """
    if out.exists() and not (out.is_dir() and (is_export(out) or not any(out.iterdir()))):
        raise UserError(f"{out}: contains something other than an export; choose another --out")
    return out


def describe(
    gan: GAN, state: GANState, run: Mapping[str, Any], statistics: str, heads: tuple[str, ...] = ()
) -> ExportMetadata:
    """The metadata of an export.

    Args:
      gan: the GAN with its evaluation prior.
      state: its weights.
      run: the contents of `run.json`.
      statistics: `gans.standing.describe_statistics`.
      heads: names of the heads of the discriminator, if it is part of the export.
    """
    return ExportMetadata(
        architecture=run["architecture"],
        method=run["method"],
        step=int(state.step),
        image_shape=gan.spec.image_shape,
        z_dim=gan.z_dim,
        num_classes=gan.y_dim,
        class_names=tuple(run["class_names"]) if gan.conditional else (),
        averaged_weights=state.g_ema is not None,
        batch_statistics=statistics,
        heads=heads,
        prior=describe_prior(gan.prior),
        versions={"compare_gan": __version__, "jax": jax.__version__, "flax": flax.__version__},
    )


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
        statistics = describe_statistics(gan, state, statistics_examples)
        state = with_inference_stats(gan, state, statistics_examples)
        parts = {
            "generator": programs.generator(gan, state),
            "discriminator": programs.discriminator(gan, state),
            "sampler": programs.sampler(gan),
        }
        metadata = describe(gan, state, run, statistics, programs.heads(parts["discriminator"]))
        for name, (code, weights) in parts.items():
            (folder / f"{name}.jax").write_bytes(code)
            if weights:
                (folder / f"{name}.safetensors").write_bytes(save(weights, {"format": "flax"}))
        latents, generator = (runnable(*parts[name]) for name in ("sampler", "generator"))
        sampler = Sampler(latents, generator, metadata.class_names, metadata.image_shape, metadata.prior)
        shown = min(gan.y_dim, SHOWN) or SHOWN
        write_picture(folder / "samples.png", sampler.grid(shown, SHOWN, seed=0), shown, SHOWN)
        (folder / "README.md").write_text(card(metadata, run, config, rows), encoding="utf-8")
        files = {
            path.name: sha256_of(path)
            for path in sorted(folder.iterdir())
            if path.suffix in CHECKSUMMED_SUFFIXES
        }
        write_json(folder / EXPORT_METADATA, {"format": FORMAT, **vars(metadata), "files": files})
    return metadata
