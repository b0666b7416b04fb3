"""What a run folder notes of its run: `run.json` and `operative_config.gin`."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan import __version__
from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic, read_json, run_folder, write_json
from compare_gan.core.processes import is_main_process
from compare_gan.core.run_files import ABOUT, CONFIG
from compare_gan.core.words import first_few
from compare_gan.data.base import ImageDataset
from compare_gan.train.checkpoints import saved_steps
from compare_gan.train.resume import SHOWN, changed_bindings, changed_data, split_fingerprints


def describe_run(
    run_dir: Path,
    dataset: ImageDataset,
    config: str,
    origin: dict[str, Any],
    continue_with_changes: bool | None = None,
) -> None:
    """Writes what it takes to build the same GAN again: `run.json` and `operative_config.gin`.

    A run resumes if what it is trained with is the same. How long it is trained, how often it is saved and
    how it is evaluated may change.

    Args:
      run_dir: the run folder, made if need be.
      dataset: what it is trained on.
      config: the operative configuration.
      origin: where the data and the randomness come from: data, reading, seed; labels, labelled_only.
      continue_with_changes: resume although bindings, data or seed have changed, and note the changes in
        `run.json`; None: the same as False where a user has no such choice.

    Raises:
      UserError: the folder cannot be written to, or holds a run of another configuration or origin.
    """
    about = {
        **origin,
        "image_shape": list(dataset.spec.image_shape),
        "num_classes": dataset.spec.num_classes,
        "class_names": list(dataset.class_names),
        "fingerprint": split_fingerprints(dataset.train),
        "versions": {"compare_gan": __version__, "jax": jax.__version__, "numpy": np.__version__},
    }
    about = json.loads(json.dumps(about))  # as it will be read
    run_folder(run_dir)
    before = read_json(run_dir / ABOUT) if (run_dir / ABOUT).exists() else {}
    for name in ("image_shape", "class_names"):  # without these the networks do not fit, or mean other things
        if before.get(name, about[name]) != about[name]:
            old, new = (str(values[name]) for values in (before, about))
            raise UserError(
                f"{run_dir}: its run has {name} {shorten(old)}, not {shorten(new)}; "
                "choose another --model_dir"
            )
    changes = list(changed_data(before, about))
    if (run_dir / CONFIG).exists():
        same_version = before.get("versions", {}).get("compare_gan", __version__) == __version__
        changes = [*changed_bindings((run_dir / CONFIG).read_text(), config, same_version), *changes]
    if changes and not continue_with_changes:
        choice = "" if continue_with_changes is None else "resume with --continue_with_changes, or "
        raise UserError(
            f"{run_dir}: holds a run with other settings ({first_few(changes, SHOWN, '; ')}); {choice}"
            "choose another --model_dir"
        )
    noted = before.get("changes", [])
    if changes:
        noted = [*noted, {"step": max(saved_steps(run_dir), default=0), "changes": changes}]
    if is_main_process():
        with atomic(run_dir / CONFIG) as file:
            file.write(config.encode())
        write_json(run_dir / ABOUT, about | ({"changes": noted} if noted else {}))


def shorten(text: str, width: int = 100) -> str:
    """At most `width` characters of a text."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def read_run(run_dir: Path) -> dict[str, Any]:
    """What `describe_run` wrote to `run.json`.

    Raises:
      UserError: this is not a run folder.
    """
    if not (run_dir / ABOUT).exists():
        raise UserError(f"{run_dir}: not a run folder (it has no {ABOUT}); give one that training made")
    return read_json(run_dir / ABOUT)
