"""The tasks of a study, and how one of them is done: compute features or labels, or train and score a GAN.

Whatever exists is not computed again, so a task that was stopped resumes.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.files import read_json, run_folder, write_json
from compare_gan.core.label_methods import Method
from compare_gan.core.pictures import write_grid
from compare_gan.core.run_files import FEATURES, QUALITY, RESULT, SECONDS, UNCERTAIN_GRID
from compare_gan.core.types import GANState
from compare_gan.data.base import UNLABELLED, ImageDataset
from compare_gan.data.labels import at_random, single
from compare_gan.evaluation.evaluate import EvalSettings, evaluate, write_scores
from compare_gan.features.base import Extractor
from compare_gan.fewlabels.artefacts import (
    CLUSTER_LABELS,
    ENCODER,
    IMAGE_FEATURES,
    INFERRED_LABELS,
    KEPT_LABELS,
    Artefact,
    Artefacts,
    required,
)
from compare_gan.fewlabels.budget import columns
from compare_gan.fewlabels.overview import overview
from compare_gan.fewlabels.probe import write_probe
from compare_gan.fewlabels.quality import label_quality, write_quality
from compare_gan.fewlabels.study import Study, Task
from compare_gan.train.gan import train
from compare_gan.train.run_dir import describe_run

# What each kind of task makes; the last one is what the task is for.
MAKES: dict[str, tuple[Artefact[Any], ...]] = {
    "features": (ENCODER, IMAGE_FEATURES),
    "labels": (INFERRED_LABELS,),
    "clusters": (CLUSTER_LABELS,),
}
# What GANs learn from, by the labels of their method; other labels take no work.
LEARNED_FROM: dict[str, Artefact[Any]] = {
    "few": KEPT_LABELS,
    "inferred": INFERRED_LABELS,
    "soft": INFERRED_LABELS,
    "clusters": CLUSTER_LABELS,
}
UNCERTAIN = 20  # images whose label is least certain, to be shown


def tasks(study: Study) -> list[list[Task]]:
    """Everything that there is to do, in stages: a task needs nothing of its own stage, only earlier ones."""
    wanted = {LEARNED_FROM[method.labels] for method in study.methods if method.labels in LEARNED_FROM}
    learning = any(ENCODER in required(study, artefact) for artefact in wanted)
    features = [
        Task("features", seed)
        for i, seed in enumerate(study.seeds)
        if learning or (i == 0 and study.extractor is None)
    ]
    labels = [Task("clusters", seed) for seed in study.seeds if CLUSTER_LABELS in wanted]
    if INFERRED_LABELS in wanted:
        labels += [Task("labels", seed, budget) for seed in study.seeds for budget in study.budgets]
    gans = [
        Task("gan", seed, budget, method)
        for seed in study.seeds
        for method in study.methods
        for budget in (study.budgets if method.from_few else (None,))
    ]
    return [features, labels, gans]


def needed_tasks(study: Study, task: Task) -> set[Task]:
    """The tasks that make what a task is made from."""
    target = LEARNED_FROM.get(task.method.labels) if task.method else MAKES[task.kind][-1]
    if target is None:
        return set()
    needs = required(study, target)
    kinds = [kind for kind, made in MAKES.items() if not needs.isdisjoint(made)]
    return {
        other
        for other in (
            Task("features", task.seed),
            Task("labels", task.seed, task.budget),
            Task("clusters", task.seed),
        )
        if other.kind in kinds and other != task
    }


def done(study: Study, task: Task) -> bool:
    """Whether a task has left what it was to leave."""
    last = {"features": FEATURES, "labels": QUALITY, "clusters": QUALITY, "gan": RESULT}
    return (study.task_dir(task) / last[task.kind]).exists()


def all_done(study: Study) -> bool:
    """Whether nothing is left to do."""
    return all(done(study, task) for stage in tasks(study) for task in stage)


def run_task(study: Study, task: Task) -> dict[str, Any]:
    """Does a task, or resumes it; returns the result of a GAN, and nothing of other tasks.

    Raises:
      UserError: something the user gave does not fit.
      Interrupted: Ctrl-C or SIGTERM; what was computed is kept.
    """
    folder = run_folder(study.task_dir(task))
    if task.kind == "gan":
        return train_and_score(study, task)
    with stopwatch(folder, task.kind):
        made = prepare(study, task)
        if task.kind == "labels":
            write_label_quality(made, folder)
        elif task.kind == "clusters":
            write_quality(study.dataset, made.ensure(CLUSTER_LABELS), folder)
    return {}


def prepare(study: Study, task: Task) -> Artefacts:
    """Runs a task that trains no GAN: makes what GANs learn from, without reports on its quality."""
    made = Artefacts(study, task.seed, task.budget)
    made.ensure(MAKES[task.kind][-1])
    return made


def write_label_quality(made: Artefacts, folder: Path) -> None:
    """Writes how right the inferred labels are, and how well features separate classes. For people only."""
    study = made.study
    kept = made.ensure(KEPT_LABELS) if study.label_file is None else None
    if kept is not None:
        features, known = made.ensure(IMAGE_FEATURES), kept.train.labels
        several = len(np.unique(known[known != UNLABELLED])) > 1
        if features.test is not None and several and overview(study.dataset).held_out_labelled:
            write_probe(kept, features, folder)
    quality = label_quality(study.dataset, made.ensure(INFERRED_LABELS), kept)
    if worst := quality.get("least_certain", {}).get("index", [])[:UNCERTAIN]:
        images = study.dataset.train.images[np.array(worst)]
        write_grid(folder / UNCERTAIN_GRID, images, 1, len(worst))
    write_json(folder / QUALITY, quality)  # last: `done` looks for it


def train_and_score(study: Study, task: Task) -> dict[str, Any]:
    """Trains the GAN of a task and scores it; the result is in `result.json`, too."""
    method, run_dir = task.method, study.task_dir(task)
    assert method is not None
    made = Artefacts(study, task.seed, task.budget)
    dataset = dataset_for(made, method)
    state = train_gan(study, task, dataset)
    extractor, evaluation = scoring(study)
    with stopwatch(run_dir, "evaluate"):
        scores = evaluate(study.gan(method), state, dataset, extractor, evaluation)
    write_scores(run_dir, scores)
    result = {"method": method.name, **columns(task.budget), "seed": task.seed}
    result |= {"labels": true_labels(made, method), "steps": scores["step"]}
    result |= {name: scores.get(name) for name in study.evaluation.metrics}
    result["seconds"] = read_json(run_dir / SECONDS)["train"]
    write_json(run_dir / RESULT, result)
    return result


def train_gan(study: Study, task: Task, dataset: ImageDataset) -> GANState:
    """The GAN of a task after its last step; trains the steps that are missing.

    Args:
      dataset: what it learns from, see `dataset_for`.
    """
    method, run_dir = task.method, study.task_dir(task)
    assert method is not None
    origin = {"data": study.settings["data"], "reading": study.settings["reading"], "seed": task.seed}
    origin |= {"method": method.name} | columns(task.budget)
    describe_run(run_dir, dataset, study.configured[method.recipe].text, origin)
    with stopwatch(run_dir, "train"):
        return train(
            study.gan(method),
            dataset.train,
            run_dir=run_dir,
            schedule=study.schedule,
            seed=task.seed,
            random_flip=study.configured[method.recipe].random_flip,
        )


def dataset_for(made: Artefacts, method: Method) -> ImageDataset:
    """The data set as the GAN of a method sees it, for the seed and the label budget of `made`."""
    dataset, count = made.study.dataset, len(made.study.dataset.train)
    match method.labels:
        case "true":
            return dataset
        case "none":
            return dataset.with_labels(np.full(count, UNLABELLED, np.int32))
        case "single":
            return single(dataset)
        case "random":
            return at_random(dataset, made.seed)
        case "clusters":
            return made.ensure(CLUSTER_LABELS).hard
        case "few":
            return made.ensure(KEPT_LABELS)
        case "inferred":
            return made.ensure(INFERRED_LABELS).hard
        case "soft":
            soft = made.ensure(INFERRED_LABELS).soft
            assert soft is not None
            return soft


def true_labels(made: Artefacts, method: Method) -> int:
    """How many true labels a method makes use of."""
    if method.labels == "true":
        return int((made.study.dataset.train.labels != UNLABELLED).sum())
    if not method.from_few or (made.study.label_file is not None and method.labels != "few"):
        return 0  # of a label file only its author knows
    return int((made.ensure(KEPT_LABELS).train.labels != UNLABELLED).sum())


def scoring(study: Study) -> tuple[Extractor, EvalSettings]:
    """What scores are measured with, and how: the extractor, or else the first seed's encoder."""
    if study.extractor is not None:
        return study.extractor, study.evaluation
    metrics = tuple(name for name in study.evaluation.metrics if name != "class_agreement")
    encoder = Artefacts(study, study.seeds[0]).ensure(ENCODER)
    return encoder, dataclasses.replace(study.evaluation, metrics=metrics)


@contextlib.contextmanager
def stopwatch(folder: Path, stage: str) -> Iterator[None]:
    """Adds the time a stage takes to the folder's `seconds.json`, where interrupted sessions add up."""
    began = time.monotonic()
    try:
        yield
    finally:
        spent = read_json(folder / SECONDS) if (folder / SECONDS).exists() else {}
        spent[stage] = round(spent.get(stage, 0.0) + time.monotonic() - began, 2)
        write_json(folder / SECONDS, spent)
