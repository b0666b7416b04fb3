"""Checks whether a run can be resumed: compares its recorded settings with the current ones."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.memory import memory_budget
from compare_gan.core.outputs import check_run_folder
from compare_gan.core.processes import is_main_process
from compare_gan.core.run_files import ABOUT, CHECKPOINTS, CONFIG
from compare_gan.data.base import Split
from compare_gan.data.fingerprint import SAMPLED, fingerprint
from compare_gan.data.source import resolved
from compare_gan.gans.gan import GAN
from compare_gan.training.checkpoints import find_mismatch, saved_steps

MAX_SHOWN = 5  # differences in a message
# Bindings of training length, saving and evaluation; they may change when a run is resumed.
FREE = re.compile(
    r"options\.training_steps|run_config\.(save_checkpoints_steps|keep_checkpoint_max)"
    r"|(eval_z|eval_imagenet_transform)\.\w+"
)
# Fields of `LoadOptions` that do not affect training images, or that fingerprints cover.
NOT_COMPARED = ("data_dir", "eval_crop", "labels", "memory", "test_data")


def split_fingerprints(split: Split) -> dict[str, Any]:
    """The number of training images, and fingerprints of images and labels.

    `images_sha256` exists only for images in memory. `sampled_sha256` covers at most 64 images, and is the
    same whether or not the images fit into memory.
    """
    images = split.images
    some = images[np.unique(np.linspace(0, len(images) - 1, SAMPLED).astype(np.int64))]
    found: dict[str, Any] = {"images": len(images), "sampled_sha256": fingerprint(some)}
    found["labels_sha256"] = fingerprint(split.labels)
    return found | ({"images_sha256": fingerprint(images)} if isinstance(images, np.ndarray) else {})


def bindings(config: str) -> dict[str, str]:
    """The bindings and imports of an operative configuration as a mapping from names to one-line values."""
    found: dict[str, str] = {}
    name = ""
    for line in config.splitlines():
        if binding := re.match(r"([\w./]+) = (.*)", line):
            name, value = binding.groups()
            found[name] = value
        elif line.startswith(("import ", "from ")):
            found[line] = "imported"
        elif name and line[:1].isspace():  # gin wraps long values
            found[name] += f" {line.strip()}"
        else:
            name = ""
    return {name: " ".join(value.replace("\\", " ").split()) for name, value in found.items()}


def changed_bindings(before: str, now: str, same_version: bool = True) -> list[str]:
    """Bindings that differ between two operative configurations, each as "name old -> new".

    Bindings that do not affect training are omitted. A newer version may write parameters that an older one
    does not have, so a binding that exists on one side only counts only if both are of the same version.
    """
    old, new = bindings(before), bindings(now)
    names = old.keys() | new.keys() if same_version else old.keys() & new.keys()
    return [
        f"{name} {old.get(name, '(absent)')} -> {new.get(name, '(absent)')}"
        for name in sorted(names)
        if old.get(name) != new.get(name) and not FREE.fullmatch(name)
    ]


def changed_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Describes the differences between two versions of `run.json`, except in image shape and classes.

    Fields that an older version did not write are not compared. The path of the data set may change if its
    fingerprints are the same.
    """
    prints, own = (values.get("fingerprint") or {} for values in (before, now))
    moved_only = bool(prints.keys() & own.keys())
    for name in now.keys() & before.keys() - {"fingerprint", "reading", "changes", "versions"}:
        if name in ("image_shape", "num_classes", "class_names") or name == "data" and moved_only:
            continue
        old, new = (path_independent(name, values[name]) for values in (before, now))
        if old != new:
            yield f"{name} {before[name]} -> {now[name]}"
    old, new = before.get("reading") or {}, now.get("reading") or {}
    for name in new:
        if name in old and name not in NOT_COMPARED and old[name] != new[name]:
            yield f"{name} {old[name]} -> {new[name]}"
    changed = [key for key in own if key in prints and prints[key] != own[key]]
    if "images" in changed:
        yield f"{prints['images']} -> {own['images']} training images"
    elif changed:
        kinds = dict.fromkeys("labels" if key == "labels_sha256" else "images" for key in changed)
        yield f"other training {' and '.join(kinds)}"


def path_independent(name: str, value: Any) -> Any:
    """A value of `run.json` in a form that does not depend on the working directory of the command."""
    if name == "labels" and isinstance(value, dict) and "sha256" in value:  # by content, not by path
        return str(value["choice"]).startswith("clusters:"), value["sha256"]
    if name == "data":
        return resolved(value)
    return value


def check_run_dir(run_dir: Path, steps: int) -> None:
    """Checks that a folder can hold the run, and that it is not already trained for more steps.

    Raises:
      UserError: the folder has a checkpoint of a later step, or files of the user that a run would replace.
    """
    if is_main_process():  # others may come while it writes
        check_run_folder(run_dir)
    done = max(saved_steps(run_dir), default=0)
    if done > steps:
        raise UserError(
            f"{run_dir}: is already trained for {done} steps, and options.training_steps = {steps} asks for "
            "fewer; ask for more, or choose another --model_dir"
        )


def check_fits(run_dir: Path, gan: GAN) -> None:
    """Checks that the newest checkpoint of a run has the shapes of the GAN's networks and optimisers.

    Call it before `run.json` and the configuration of the run are replaced.

    Raises:
      UserError: the shapes differ.
    """
    step, why = newest_mismatch(run_dir, gan)
    if why is not None:
        raise UserError(
            f"{run_dir}: its checkpoint of step {step} does not match the changed settings ({why}); "
            "choose another --model_dir"
        )


def check_consistent(run_dir: Path, gan: GAN) -> None:
    """Checks that a run can be restored, before anything is built: shapes as in `check_fits`, and memory.

    Raises:
      UserError: the newest checkpoint differs from the configuration, or the state does not fit into memory.
    """
    step, why = newest_mismatch(run_dir, gan)
    if why is not None:
        raise UserError(
            f"{run_dir}: its checkpoint of step {step} does not match its {CONFIG} and {ABOUT} ({why}); "
            "they have been edited or come from another run"
        )
    state = jax.eval_shape(gan.init, jax.eval_shape(lambda: jax.random.key(0)))
    size = sum(math.prod(x.shape) * 4 for x in jax.tree.leaves(state))
    if size > 4 * memory_budget():
        raise UserError(f"{run_dir}: its state takes {size / 1e9:.1f} GB, more than the memory")


def newest_mismatch(run_dir: Path, gan: GAN) -> tuple[int, str | None]:
    """The step of the newest checkpoint, and how its arrays differ from the GAN's; None: not at all."""
    step = max(saved_steps(run_dir), default=-1)
    if step < 0:
        return step, None
    template = jax.eval_shape(gan.init, jax.eval_shape(lambda: jax.random.key(0)))
    return step, find_mismatch(run_dir / CHECKPOINTS / str(step), template)
