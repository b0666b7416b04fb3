"""Opening a study: converts a request to settings, and settings to a `Study`.

Settings are JSON values, written to `settings.json`. They contain everything needed to open the study again.
"""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from compare_gan import __version__
from compare_gan.config.parse import parse
from compare_gan.config.recipes import config_file, recipe
from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.files import read_json, sha256_of
from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.core.registry import EXTRACTORS
from compare_gan.core.run_files import SETTINGS
from compare_gan.data import ImageDataset, LoadOptions, open_dataset
from compare_gan.data.fingerprint import dataset_sha256
from compare_gan.data.source import Source, resolved
from compare_gan.evaluation.evaluate import EvalSettings
from compare_gan.features import open_extractor
from compare_gan.fewlabels import LabelRecipe, read_features
from compare_gan.fewlabels.budget import PerClass
from compare_gan.fewlabels.recipe import RECIPES
from compare_gan.fewlabels.study import ConfiguredGAN, Study
from compare_gan.training.schedule import TrainSchedule

QUICK: dict[str, Any] = {"pretrain_steps": 20, "classify_steps": 20, "calibration_fits": 0}
EXTENDABLE = (
    "methods",
    "fractions",
    "per_class",
    "seeds",
)  # settings whose lists may grow in an existing folder
Settings = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class StudyRequest:
    """A user's request for a study."""

    data: Source
    methods: tuple[str, ...]  # names of `LABEL_METHODS`
    fractions: tuple[float, ...] = ()  # label budgets: fractions of the labels
    per_class: tuple[int, ...] = ()  # more label budgets: labels per class
    seeds: tuple[int, ...] = (0,)
    reading: LoadOptions = LoadOptions()
    steps: int | None = None  # of each GAN; None: 1500, quick 40
    quick: bool = False  # shrink every stage
    label_recipe: str = "digits"
    inference: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # fields of the recipe to override
    features: str | None = None  # a file, in place of our encoder
    label_file: str | None = None  # in place of inferred labels
    extractor: str | None = None  # None: the packaged one for the data set, or else the pre-trained encoder
    gin_config: str = "small.gin"  # of every GAN
    gin_bindings: tuple[str, ...] = ()


def configurations(
    gin_config: str, gin_bindings: Sequence[str], methods: Collection[str]
) -> dict[str, ConfiguredGAN]:
    """The configured GAN of each recipe that the methods use, keyed by the recipe's name.

    Raises:
      UserError: the configuration is invalid.
    """
    base, configured = config_file(gin_config), {}
    for name in dict.fromkeys(LABEL_METHODS[method].recipe for method in methods):
        parsed = parse([base, recipe(name)], gin_bindings)
        configured[name] = ConfiguredGAN(parsed.gan, parsed.operative_config, parsed.dataset.random_flip)
    return configured


def label_recipe(name: str) -> LabelRecipe:
    """The label recipe with this name. Raises UserError if there is none."""
    if name not in RECIPES:
        raise UserError(f"unknown label recipe {name!r}{did_you_mean(name, RECIPES)}")
    return RECIPES[name]


def settings_of(request: StudyRequest, dataset: ImageDataset, left_out: Sequence[str] = ()) -> Settings:
    """Converts a request to settings.

    Paths are absolute. The settings include the SHA-256 of files and images, so a folder never mixes results
    of different data.

    Args:
      request: the request.
      dataset: the data set of the request.
      left_out: notes on methods that the data does not allow.
    """
    inference = dict(request.inference)
    if request.features and "classifier" not in inference:
        inference["classifier"] = "linear"
    options = dataclasses.asdict(request.reading)
    options |= {name: resolved(options[name]) for name in ("labels", "test_data") if options[name]}
    files = {
        "labels": request.reading.labels,
        "features": request.features,
        "label_file": request.label_file,
        "extractor": request.extractor,
        "gin_config": str(config_file(request.gin_config)),
    }
    paths = {name: path for name, path in files.items() if path and Path(path).is_file()}
    return {
        "data": resolved(request.data),
        "data_sha256": dataset_sha256(dataset),
        "reading": options,
        "methods": list(dict.fromkeys(request.methods)),
        "fractions": list(dict.fromkeys(request.fractions)),
        "per_class": list(dict.fromkeys(request.per_class)),
        "seeds": list(dict.fromkeys(request.seeds)),
        "steps": (40 if request.quick else 1500) if request.steps is None else request.steps,
        "quick": request.quick,
        "label_recipe": request.label_recipe,
        "inference": inference,
        "features": absolute(request.features),
        "label_file": absolute(request.label_file),
        "extractor": absolute(request.extractor),
        "gin_config": absolute(request.gin_config),
        "gin_bindings": list(request.gin_bindings),
        "left_out": list(left_out),
        "files": {name: sha256_of(Path(path)) for name, path in paths.items()},
        "compare_gan": __version__,
    }


def absolute(name: str | None) -> str | None:
    """The absolute path if `name` is an existing file; otherwise `name` itself."""
    return str(Path(name).resolve()) if name and Path(name).is_file() else name


def open_study(
    settings: Settings,
    folder: Path,
    flat: bool,
    dataset: ImageDataset | None = None,
    configured: Mapping[str, ConfiguredGAN] | None = None,
) -> Study:
    """Opens the study that settings describe.

    Args:
      settings: those of `settings_of`.
      folder: the study folder; it need not exist.
      flat: keep all files in one folder, for one seed and one label budget.
      dataset: the data set of the settings, if already open.
      configured: the `configurations` of the settings, if already parsed.

    Raises:
      UserError: a setting contradicts another one or the data.
    """
    quick, steps = settings["quick"], settings["steps"]
    schedule = TrainSchedule(
        steps,
        log_every=max(1, steps // 30),
        sample_every=max(1, steps // 10),
        save_every=max(1, steps // 5),
    )
    inference = label_recipe(settings["label_recipe"])
    if dataset is None:
        dataset = open_dataset(settings["data"], reading=LoadOptions(**settings["reading"]))
    if configured is None:
        configured = configurations(settings["gin_config"], settings["gin_bindings"], settings["methods"])
    known = isinstance(settings["data"], str) and settings["data"] in EXTRACTORS
    extractor = settings["extractor"] or (settings["data"] if known else None)
    return Study(
        folder=folder,
        dataset=dataset,
        methods=tuple(LABEL_METHODS[name] for name in settings["methods"]),
        budgets=(*settings["fractions"], *map(PerClass, settings["per_class"])),
        seeds=tuple(settings["seeds"]),
        configured=configured,
        recipe=dataclasses.replace(inference, **(QUICK if quick else {}) | settings["inference"]),
        schedule=schedule,
        evaluation=EvalSettings(images=500 if quick else 5000),
        extractor=open_extractor(extractor) if extractor else None,
        settings=settings,
        features=read_features(Path(settings["features"]), dataset) if settings["features"] else None,
        label_file=Path(settings["label_file"]) if settings["label_file"] else None,
        flat=flat,
    )


def changed_settings(folder: Path, settings: Settings, varying: Sequence[str] = EXTENDABLE) -> list[str]:
    """The names of settings that differ from those of an existing study in the folder.

    Settings that an older version did not write are not compared.

    Args:
      folder: the study folder.
      settings: the new settings.
      varying: settings in which runs of one folder may differ.
    """
    if not (folder / SETTINGS).exists():
        return []
    before = read_json(folder / SETTINGS)
    if "data" in before:
        before["data"] = resolved(before["data"])
    if "reading" in before:
        before["reading"] = dataclasses.asdict(LoadOptions()) | before["reading"]
    fixed = _fixed(settings, varying)
    return [name for name, value in fixed.items() if name in before and before[name] != value]


def sibling_folder(base: Path, settings: Settings, varying: Sequence[str] = EXTENDABLE) -> Path:
    """A folder next to `base`, named after it and a hash of the settings."""
    text = json.dumps(_fixed(settings, varying), sort_keys=True)
    return base.with_name(f"{base.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")


def _fixed(settings: Settings, varying: Sequence[str]) -> Settings:
    """The settings that are the same for all runs of a folder."""
    return {name: value for name, value in settings.items() if name not in (*varying, "left_out", "command")}


def merge_settings(old: Settings, new: Settings) -> Settings:
    """The settings of a folder after a study with settings `new` is added to one with `old`."""
    return new | {name: list(dict.fromkeys([*old[name], *new[name]])) for name in EXTENDABLE}
