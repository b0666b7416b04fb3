"""The description of a run in its folder: `run.json` and `operative_config.gin`."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan import __version__
from compare_gan.core import records
from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic, read_json, read_text, run_folder, write_json
from compare_gan.core.processes import is_main_process
from compare_gan.core.run_files import ABOUT, CONFIG
from compare_gan.core.words import first_few
from compare_gan.data.base import ImageDataset
from compare_gan.nn import kernels
from compare_gan.training.checkpoints import saved_steps
from compare_gan.training.resume import MAX_SHOWN, changed_bindings, changed_data, split_fingerprints


def describe_run(
    run_dir: Path,
    dataset: ImageDataset,
    config: str,
    origin: dict[str, Any],
    continue_with_changes: bool | None = None,
) -> None:
    """Writes `run.json` and `operative_config.gin`, from which the same GAN can be built again.

    A run can be resumed if its training settings are unchanged. The number of steps and the settings of
    saving and evaluation may change.

    Args:
      run_dir: the run folder, created if needed.
      dataset: the training data.
      config: the operative configuration.
      origin: the source of data and randomness: data, reading, seed; labels, labelled_only.
      continue_with_changes: resume although bindings, data or seed have changed, and record the changes in
        `run.json`. None is like False, but the message does not suggest --continue_with_changes.

    Raises:
      UserError: the folder is not writable, or holds a run with another configuration or origin.
    """
    about = {
        **origin,
        "image_shape": list(dataset.spec.image_shape),
        "num_classes": dataset.spec.num_classes,
        "class_names": list(dataset.class_names),
        "fingerprint": split_fingerprints(dataset.train),
        "versions": {
            "compare_gan": __version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
            **kernels.versions(),
        },
    }
    about = json.loads(json.dumps(about))  # compare it in the form in which it is read back
    run_folder(run_dir)
    before = read_json(run_dir / ABOUT, records.RUN) if (run_dir / ABOUT).exists() else {}
    for name in ("image_shape", "class_names"):  # if these change, so do the networks or their meaning
        if before.get(name, about[name]) != about[name]:
            old, new = (str(values[name]) for values in (before, about))
            raise UserError(
                f"{run_dir}: its run has {name} {shorten(old)}, not {shorten(new)}; "
                "choose another --model_dir"
            )
    changes = list(changed_data(before, about))
    if (run_dir / CONFIG).exists():
        same_version = before.get("versions", {}).get("compare_gan", __version__) == __version__
        changes = [*changed_bindings(read_text(run_dir / CONFIG), config, same_version), *changes]
    if changes and not continue_with_changes:
        choice = "" if continue_with_changes is None else "resume with --continue_with_changes, or "
        raise UserError(
            f"{run_dir}: holds a run with other settings ({first_few(changes, MAX_SHOWN, '; ')}); {choice}"
            "choose another --model_dir"
        )
    noted = before.get("changes", [])
    if changes:
        noted = [*noted, {"step": max(saved_steps(run_dir), default=0), "changes": changes}]
    if is_main_process():
        with atomic(run_dir / CONFIG) as file:
            file.write(config.encode())
        kept = {"imported": before["imported"]} if "imported" in before else {}
        write_json(run_dir / ABOUT, about | kept | ({"changes": noted} if noted else {}))


def shorten(text: str, width: int = 100) -> str:
    """Truncates a text to `width` characters."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def read_run(run_dir: Path) -> dict[str, Any]:
    """The contents of `run.json`, see `describe_run`.

    Raises:
      UserError: this is not a run folder.
    """
    if not (run_dir / ABOUT).exists():
        raise UserError(
            f"{run_dir}: not a run folder (it has no {ABOUT}); give the --model_dir of a training"
        )
    about = read_json(run_dir / ABOUT, records.RUN)
    about["reading"] = about.get("reading") or {}
    about.setdefault("data", None)
    about.setdefault("class_names", [str(k) for k in range(about["num_classes"])])  # not in older versions
    return about
