"""The settings of a study folder: JSON values in `settings.json`, with everything needed to open it again."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare_gan.core import records
from compare_gan.core.files import read_json
from compare_gan.core.run_files import SETTINGS
from compare_gan.data import LoadOptions
from compare_gan.data.source import resolved
from compare_gan.features import PACKAGED

EXTENDABLE = (
    "methods",
    "fractions",
    "per_class",
    "seeds",
    "label_sets",
)  # settings whose lists may grow in an existing folder
NOT_COMPARED = ("left_out", "command", "compare_gan")
RECIPE_OPTIONS = {  # option of the command line -> field of a label recipe
    "classifier": "classifier",
    "pretraining": "pretraining",
    "encoder": "encoder",
    "encoder_width": "width",
    "encoder_precision": "precision",
    "pretrain_steps": "pretrain_steps",
    "classify_steps": "classify_steps",
    "balanced": "balanced",
    "clusters": "clusters",
    "confidence": "confidence",
}
Settings = dict[str, Any]


def read_settings(folder: Path) -> Settings:
    """The settings of a study folder, in the form of this version; empty if it contains no study.

    Settings that an older version did not write are missing.
    """
    if not (folder / SETTINGS).exists():
        return {}
    found = read_json(folder / SETTINGS, records.SETTINGS)
    if "data" in found:
        found["data"] = found["data"] and resolved(found["data"])
    if "reading" in found:
        found["reading"] = dataclasses.asdict(LoadOptions()) | found["reading"]
    if "extractor" in found:  # older versions did not write the default
        found["extractor"] = found["extractor"] or packaged_extractor(found.get("data"))
    if "files" in found and not Path(found.get("gin_config", "")).is_absolute():
        found["files"].pop("gin_config", None)  # older versions: the digest of a packaged configuration
    return found


def packaged_extractor(data: Any) -> str | None:
    """The name of the extractor that is made for a data set, if there is one."""
    return data if isinstance(data, str) and data in PACKAGED else None


def changed_settings(folder: Path, settings: Settings, varying: Sequence[str] = EXTENDABLE) -> list[str]:
    """The names of settings that differ from those of an existing study in the folder.

    Settings that an older version did not write are not compared.

    Args:
      folder: the study folder.
      settings: the new settings.
      varying: settings in which runs of one folder may differ.
    """
    before, fixed = read_settings(folder), _fixed(settings, varying)
    return [name for name, value in fixed.items() if name in before and before[name] != value]


def sibling_folder(base: Path, settings: Settings, varying: Sequence[str] = EXTENDABLE) -> Path:
    """A folder next to `base`, named after it and a hash of the settings."""
    text = json.dumps(_fixed(settings, varying), sort_keys=True)
    return base.with_name(f"{base.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")


def study_folder(
    base: Path, settings: Settings, varying: Sequence[str] = EXTENDABLE
) -> tuple[Path, str | None]:
    """The folder of a study, and a line if it is not `base`.

    It is a sibling of `base`, named after the settings, if `base` contains runs with different ones.

    Args:
      base: the requested folder.
      settings: the settings of the study.
      varying: settings in which runs of one folder may differ.
    """
    differing = changed_settings(base, settings, varying)
    if not differing:
        return base, None
    folder = sibling_folder(base, settings, varying)
    changes = ", ".join(_in_words(name, base, settings) for name in differing)
    return folder, f"{base} contains runs with different settings ({changes} changed); writing to {folder}"


def _in_words(name: str, base: Path, settings: Settings) -> str:
    """What changed, for a setting that differs from that of the study in `base`."""
    if name == "files":
        before, now = read_settings(base)["files"], settings["files"]
        changed = [each for each in {**before, **now} if before.get(each) != now.get(each)]
        return f"the content of {', '.join(f'--{each}' for each in changed)}"
    return "the images or labels" if name == "data_sha256" else name


def _fixed(settings: Settings, varying: Sequence[str]) -> Settings:
    """The settings that are the same for all runs of a folder."""
    return {name: value for name, value in settings.items() if name not in (*varying, *NOT_COMPARED)}


def merge_settings(old: Settings, new: Settings) -> Settings:
    """The settings of a folder after a study with settings `new` is added to one with `old`."""
    merged = {name: list(dict.fromkeys([*old.get(name, ()), *new[name]])) for name in EXTENDABLE}
    if merged["label_sets"]:  # a study without them has a label set for each seed
        each = (settings.get("label_sets") or settings.get("seeds", ()) for settings in (old, new))
        merged["label_sets"] = list(dict.fromkeys(itertools.chain(*each)))
    return new | merged


def command_line(command: str, settings: Settings) -> list[str] | None:
    """The command line that reproduces a study; None if its images are in no file."""
    if settings["data"] is None:
        return None
    loading, words = settings["reading"], ["compare-gan", command, "--model_dir", "runs/again"]
    names = ("data", "steps", "extractor", "features", "label_file", "gin_config", "label_recipe")
    options = {name: settings[name] for name in names}
    options |= {
        name: loading.get(name) for name in ("labels", "holdout", "test_data", "image_column", "label_column")
    }
    options |= {option: settings["inference"].get(field) for option, field in RECIPE_OPTIONS.items()}
    options |= {
        "image_size": loading["image_size"],
        "resize": loading["resize"],
        "tfds_data_dir": loading["data_dir"],
    }
    options |= {} if loading["broken"] == "fail" else {"broken": loading["broken"]}
    lists = ("fractions", "per_class", "seeds", "label_sets")
    fractions, per_class, seeds, label_sets = (settings.get(name) or None for name in lists)
    if command == "study":
        options |= {"fractions": fractions, "labels_per_class": per_class, "seeds": seeds}
        options |= {"label_sets": label_sets}
    else:
        options |= {"label_fraction": fractions, "labels_per_class": per_class, "seed": seeds}
    for name, value in (options | {"methods": settings["methods"]}).items():
        if value is not None:
            words += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    for line in settings["gin_bindings"]:
        words += ["--gin_bindings", line]
    return [*words, *(["--quick"] if settings["quick"] else [])]
