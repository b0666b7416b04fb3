"""The tasks of a study and their execution: compute features or labels, or train and score a GAN.

Existing files are reused, so an interrupted task resumes.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core import records
from compare_gan.core.files import read_json, run_folder, write_json
from compare_gan.core.label_methods import Method
from compare_gan.core.origin import signed
from compare_gan.core.pictures import write_grid
from compare_gan.core.registry import METRICS
from compare_gan.core.run_files import FEATURES, NEIGHBOUR_SHEET, QUALITY, RESULT, SECONDS, UNCERTAIN_GRID
from compare_gan.core.types import GANState
from compare_gan.data.base import UNLABELLED, ImageDataset
from compare_gan.data.labels import at_random, labelled_only, single
from compare_gan.evaluation.evaluate import EvalSettings, evaluate, write_scores
from compare_gan.evaluation.neighbour_sheet import draw
from compare_gan.evaluation.neighbours import training_images_of
from compare_gan.features.base import Extractor
from compare_gan.fewlabels.artefacts import (
    CLUSTER_LABELS,
    ENCODER,
    IMAGE_FEATURES,
    INFERRED_LABELS,
    KEPT_LABELS,
    NOISY_LABELS,
    Artefact,
    Artefacts,
    with_inputs,
)
from compare_gan.fewlabels.budget import budget_columns
from compare_gan.fewlabels.overview import overview
from compare_gan.fewlabels.probe import write_probe
from compare_gan.fewlabels.quality import label_quality, write_quality
from compare_gan.fewlabels.study import Study, Task
from compare_gan.metrics.context import EvalContext
from compare_gan.training.gan import train
from compare_gan.training.run_dir import describe_run

# The artefacts of each kind of task; the last one is its result, the others are inputs.
OUTPUTS: dict[str, tuple[Artefact[Any], ...]] = {
    "features": (ENCODER, IMAGE_FEATURES),
    "labels": (INFERRED_LABELS,),
    "clusters": (CLUSTER_LABELS,),
}
# The artefact that a GAN trains on, by `Method.labels`; other kinds of labels need no computation.
TRAINING_LABELS: dict[str, Artefact[Any]] = {
    "few": KEPT_LABELS,
    "few_only": KEPT_LABELS,
    "inferred": INFERRED_LABELS,
    "soft": INFERRED_LABELS,
    "noisy": NOISY_LABELS,
    "clusters": CLUSTER_LABELS,
}
NUM_UNCERTAIN = 20  # images in the grid of least certain labels
SHEET_ROWS = 10  # generated images in the sheet of nearest training images


def task_stages(study: Study) -> list[list[Task]]:
    """All tasks, in three stages: features, labels, GANs. A task depends on earlier stages only."""
    artefacts = {
        needed
        for method in study.methods
        if method.labels in TRAINING_LABELS
        for needed in with_inputs(study, TRAINING_LABELS[method.labels])
    }
    encoders = dict[int, None]()  # seeds, in order
    if study.extractor is None:
        encoders[study.seeds[0]] = None
    if CLUSTER_LABELS in artefacts and ENCODER in artefacts:
        encoders |= dict.fromkeys(study.seeds)
    if INFERRED_LABELS in artefacts and ENCODER in artefacts:
        encoders |= dict.fromkeys(study.label_seeds)
    features = [Task("features", seed) for seed in encoders]
    labels = [Task("clusters", seed) for seed in study.seeds if CLUSTER_LABELS in artefacts]
    if INFERRED_LABELS in artefacts:
        labels += [Task("labels", seed, budget) for seed in study.label_seeds for budget in study.budgets]
    gans = [
        Task("gan", seed, budget, method, label_set)
        for seed in study.seeds
        for method in study.methods
        for budget in (study.budgets if method.from_few else (None,))
        for label_set in (study.label_sets if method.from_few and study.label_sets else (None,))
    ]
    return [features, labels, gans]


def dependencies(study: Study, task: Task) -> set[Task]:
    """The tasks whose results a task needs."""
    target = TRAINING_LABELS.get(task.method.labels) if task.method else OUTPUTS[task.kind][-1]
    needed = set() if target is None else with_inputs(study, target)
    kinds = [kind for kind, outputs in OUTPUTS.items() if not needed.isdisjoint(outputs)]
    scores = task.kind == "gan" and study.extractor is None  # by the encoder of the first seed
    return ({Task("features", study.seeds[0])} if scores else set()) | {
        other
        for other in (
            Task("features", task.label_seed),
            Task("labels", task.label_seed, task.budget),
            Task("clusters", task.label_seed),
        )
        if other.kind in kinds and other != task
    }


def is_done(study: Study, task: Task) -> bool:
    """Whether a task is finished: whether its last file exists, and its duration is recorded."""
    last_file = {"features": FEATURES, "labels": QUALITY, "clusters": QUALITY, "gan": RESULT}
    folder = study.task_dir(task)
    if not (folder / last_file[task.kind]).exists():
        return False
    return task.kind == "gan" or task.kind in read_seconds(folder)


def all_done(study: Study) -> bool:
    """Whether all tasks are finished."""
    return all(is_done(study, task) for stage in task_stages(study) for task in stage)


def read_result(study: Study, task: Task) -> dict[str, Any]:
    """What `run_task` returned for a finished task."""
    if task.kind != "gan":
        return {}
    return read_json(study.task_dir(task) / RESULT, records.RESULT)


def run_task(study: Study, task: Task) -> dict[str, Any]:
    """Runs or resumes a task.

    Returns:
      The contents of `result.json` for a GAN; an empty dictionary for other tasks.

    Raises:
      UserError: a file or setting does not match the data.
      Interrupted: Ctrl-C or SIGTERM; checkpoints and finished files are kept.
    """
    folder = run_folder(study.task_dir(task))
    if task.kind == "gan":
        return train_and_score(study, task)
    with stopwatch(folder, task.kind):
        artefacts = prepare(study, task)
        if task.kind == "labels":
            write_label_quality(artefacts, folder)
        elif task.kind == "clusters":
            write_quality(study.dataset, artefacts.ensure(CLUSTER_LABELS), folder)
    return {}


def prepare(study: Study, task: Task) -> Artefacts:
    """Runs a non-GAN task: computes training inputs of GANs, without quality reports."""
    artefacts = Artefacts(study, task.seed, task.budget)
    artefacts.ensure(OUTPUTS[task.kind][-1])
    return artefacts


def write_label_quality(artefacts: Artefacts, folder: Path) -> None:
    """Writes reports on the inferred labels: quality, feature probe, grid of uncertain images."""
    study = artefacts.study
    kept = artefacts.ensure(KEPT_LABELS) if study.label_file is None else None
    if kept is not None:
        features, labels = artefacts.ensure(IMAGE_FEATURES), kept.train.labels
        several = len(np.unique(labels[labels != UNLABELLED])) > 1
        if features.test is not None and several and overview(study.dataset).held_out_labelled:
            write_probe(kept, features, folder)
    quality = label_quality(study.dataset, artefacts.ensure(INFERRED_LABELS), kept)
    if uncertain := quality.get("least_certain", {}).get("index", [])[:NUM_UNCERTAIN]:
        images = study.dataset.train.images[np.array(uncertain)]
        write_grid(folder / UNCERTAIN_GRID, images, 1, len(uncertain))
    write_json(folder / QUALITY, quality)  # written last: `is_done` looks for it


def train_and_score(study: Study, task: Task) -> dict[str, Any]:
    """Trains and scores the GAN of a task; writes the result to `result.json` and returns it."""
    method, run_dir = task.method, study.task_dir(task)
    assert method is not None
    artefacts = Artefacts(study, task.label_seed, task.budget)
    dataset = dataset_for(artefacts, method)
    state = train_gan(study, task, dataset)
    extractor, evaluation = scoring_setup(study)

    def draw_neighbours(context: EvalContext) -> None:
        sheet = training_images_of(context, extractor).sheet(context.fake.images[:SHEET_ROWS])
        write_grid(run_dir / NEIGHBOUR_SHEET, draw(sheet)[None], 1, 1)

    with stopwatch(run_dir, "evaluate"):
        scores = evaluate(study.gan(method), state, dataset, extractor, evaluation, draw_neighbours)
    write_scores(run_dir, scores)
    result = {"method": method.name, **budget_columns(task.budget), "seed": task.seed}
    result |= {"labels": count_true_labels(artefacts, method), "images": len(dataset.train)}
    result["steps"] = scores["step"]
    columns = [column for name in study.evaluation.metrics for column in METRICS[name].columns]
    result |= {column: scores.get(column) for column in columns}
    result["seconds"] = read_json(run_dir / SECONDS, records.SECONDS).get("train")
    write_json(run_dir / RESULT, signed(result))
    return result


def train_gan(study: Study, task: Task, dataset: ImageDataset) -> GANState:
    """Trains the GAN of a task, or resumes it, and returns its final state.

    Args:
      study: the study.
      task: a GAN task.
      dataset: the training data, see `dataset_for`.
    """
    method, run_dir = task.method, study.task_dir(task)
    assert method is not None
    origin = {"data": study.settings["data"], "reading": study.settings["reading"], "seed": task.gan_seed}
    origin |= {"method": method.name} | budget_columns(task.budget)
    origin |= {} if task.label_seed == task.seed else {"label_set": task.label_seed}
    describe_run(run_dir, dataset, study.configured[method.recipes].operative_config, origin)
    with stopwatch(run_dir, "train"):
        return train(
            study.gan(method),
            dataset.train,
            run_dir=run_dir,
            schedule=study.schedule,
            seed=task.gan_seed,
            random_flip=study.configured[method.recipes].random_flip,
        )


def dataset_for(artefacts: Artefacts, method: Method) -> ImageDataset:
    """The images and labels that the GAN of a method trains on."""
    dataset, count = artefacts.study.dataset, len(artefacts.study.dataset.train)
    match method.labels:
        case "true":
            return dataset
        case "none":
            return dataset.with_labels(np.full(count, UNLABELLED, np.int32))
        case "single":
            return single(dataset)
        case "random":
            return at_random(dataset, artefacts.seed)
        case "clusters":
            return artefacts.ensure(CLUSTER_LABELS).hard
        case "few":
            return artefacts.ensure(KEPT_LABELS)
        case "few_only":
            return labelled_only(artefacts.ensure(KEPT_LABELS))
        case "noisy":
            return artefacts.ensure(NOISY_LABELS)
        case "inferred":
            return artefacts.ensure(INFERRED_LABELS).hard
        case "soft":
            soft = artefacts.ensure(INFERRED_LABELS).soft
            assert soft is not None
            return soft


def count_true_labels(artefacts: Artefacts, method: Method) -> int:
    """The number of true labels that a method uses, directly or through inference.

    For noise-matched labels it is the number that inference would use.
    """
    if method.labels == "true":
        return int((artefacts.study.dataset.train.labels != UNLABELLED).sum())
    if not method.from_few or (artefacts.study.label_file is not None and method.needs_inference):
        return 0  # unknown for the user's label file
    return int((artefacts.ensure(KEPT_LABELS).train.labels != UNLABELLED).sum())


def scoring_setup(study: Study) -> tuple[Extractor, EvalSettings]:
    """The extractor and settings of scores; by default the encoder of the first seed."""
    if study.extractor is not None:
        return study.extractor, study.evaluation
    metrics = tuple(name for name in study.evaluation.metrics if name != "class_agreement")
    encoder = Artefacts(study, study.seeds[0]).ensure(ENCODER)
    return encoder, dataclasses.replace(study.evaluation, metrics=metrics)


@contextlib.contextmanager
def stopwatch(folder: Path, stage: str) -> Iterator[None]:
    """Adds the duration of a stage to `seconds.json`, across interrupted sessions."""
    start = time.monotonic()
    try:
        yield
    finally:
        seconds = read_seconds(folder)
        seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - start, 2)
        write_json(folder / SECONDS, seconds)


def read_seconds(folder: Path) -> dict[str, float]:
    """The duration of each stage that was measured in a folder."""
    return read_json(folder / SECONDS, records.SECONDS) if (folder / SECONDS).exists() else {}
