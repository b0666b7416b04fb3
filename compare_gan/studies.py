"""Opening a study: from what a user asks for to settings, and from settings to a `Study`.

Settings are plain values and go into `settings.json`: all that it takes to open the same study again.
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
from compare_gan.fewlabels.study import Configured, Study
from compare_gan.train.schedule import TrainSchedule

QUICK: dict[str, Any] = {"pretrain_steps": 20, "classify_steps": 20, "calibration_fits": 0}
GROWING = ("methods", "fractions", "per_class", "seeds")  # settings that a folder may have more and more of
Settings = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class StudyRequest:
    """What a user asks for."""

    data: Source
    methods: tuple[str, ...]  # names of `LABEL_METHODS`
    fractions: tuple[float, ...] = ()  # label budgets: shares of the labels
    per_class: tuple[int, ...] = ()  # more label budgets: labels of each class
    seeds: tuple[int, ...] = (0,)
    reading: LoadOptions = LoadOptions()
    steps: int | None = None  # of each GAN; None: 1500, quick 40
    quick: bool = False  # shrink every stage
    label_recipe: str = "digits"
    inference: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # fields of the recipe to change
    features: str | None = None  # file, in place of those of our encoder
    label_file: str | None = None  # in place of inferred labels
    extractor: str | None = None  # None: one that knows the data set, or the pre-trained encoder
    gin_config: str = "small.gin"  # of every GAN
    gin_bindings: tuple[str, ...] = ()


def configurations(
    gin_config: str, gin_bindings: Sequence[str], methods: Collection[str]
) -> dict[str, Configured]:
    """The GAN of each recipe that the methods use, by the recipe's name, but for the images.

    Raises:
      UserError: a mistake in the configuration.
    """
    base, found = config_file(gin_config), {}
    for name in dict.fromkeys(LABEL_METHODS[method].recipe for method in methods):
        parsed = parse([base, recipe(name)], gin_bindings)
        found[name] = Configured(parsed.gan, parsed.operative_config, parsed.dataset.random_flip)
    return found


def label_recipe(name: str) -> LabelRecipe:
    """How labels are inferred, by name. Raises UserError if there is no such recipe."""
    if name not in RECIPES:
        raise UserError(f"no label recipe is called {name!r}{did_you_mean(name, RECIPES)}")
    return RECIPES[name]


def settings_of(request: StudyRequest, dataset: ImageDataset, left_out: Sequence[str] = ()) -> Settings:
    """A request as settings.

    Paths are absolute, and files and images are there with their SHA-256, so that a folder never mixes
    results of different data.

    Args:
      dataset: that of the request.
      left_out: notes on methods that the data does not allow.
    """
    inference = dict(request.inference)
    if request.features and "classifier" not in inference:
        inference["classifier"] = "linear"
    how = dataclasses.asdict(request.reading)
    how |= {name: resolved(how[name]) for name in ("labels", "test_data") if how[name]}
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
        "reading": how,
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


def absolute(text: str | None) -> str | None:
    """The absolute path of a file; what is no file is a name, and stays."""
    return str(Path(text).resolve()) if text and Path(text).is_file() else text


def open_study(
    settings: Settings,
    folder: Path,
    flat: bool,
    dataset: ImageDataset | None = None,
    configured: Mapping[str, Configured] | None = None,
) -> Study:
    """The study that settings describe.

    Args:
      folder: where it is, or will be.
      flat: everything in one folder, for one seed and one label budget.
      dataset: the data set of the settings, if it is open already.
      configured: the `configurations` of the settings, if they are parsed already.

    Raises:
      UserError: a setting does not fit the others or the data.
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


def changed_settings(folder: Path, settings: Settings, varying: Sequence[str] = GROWING) -> list[str]:
    """The names of settings that differ from those of the study in a folder, if one is there.

    Settings that an older version did not write are not compared.

    Args:
      varying: settings in which runs of one folder may differ.
    """
    if not (folder / SETTINGS).exists():
        return []
    before = read_json(folder / SETTINGS)
    if "data" in before:
        before["data"] = resolved(before["data"])
    if "reading" in before:
        before["reading"] = dataclasses.asdict(LoadOptions()) | before["reading"]
    now = _fixed(settings, varying)
    return [name for name, value in now.items() if name in before and before[name] != value]


def folder_beside(base: Path, settings: Settings, varying: Sequence[str] = GROWING) -> Path:
    """A folder beside `base` with a name that depends on the settings."""
    text = json.dumps(_fixed(settings, varying), sort_keys=True)
    return base.with_name(f"{base.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")


def _fixed(settings: Settings, varying: Sequence[str]) -> Settings:
    """The settings in which all runs of a folder agree."""
    return {name: value for name, value in settings.items() if name not in (*varying, "left_out", "command")}


def joined(old: Settings, new: Settings) -> Settings:
    """Settings of everything that a folder holds, once `new` is added to `old`."""
    return new | {name: list(dict.fromkeys([*old[name], *new[name]])) for name in GROWING}
