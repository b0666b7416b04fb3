"""The data with which a run is scored."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import find_method
from compare_gan.core.run_files import ABOUT, KEPT, TRAINING_LABELS
from compare_gan.data import ImageDataset, LoadOptions, open_dataset
from compare_gan.data.labels import describe_choice, labelled_only, relabelled
from compare_gan.data.loading import with_channels
from compare_gan.data.validation import with_validation
from compare_gan.evaluation.classes import with_classes


def data_of_run(
    run_dir: Path,
    about: Mapping[str, Any],
    source: str | None = None,
    load_options: LoadOptions | None = None,
) -> ImageDataset:
    """Opens the data set that a run was trained on, or another one.

    Args:
      run_dir: the run folder.
      about: the contents of `run.json`.
      source: name or path of other data; None: the training data.
      load_options: non-default fields override how the run loaded its data.

    Raises:
      UserError: the data is missing, its images have another size, or its label file has changed.
    """
    if source is None and about["data"] is None:
        raise UserError(f"{run_dir}: its training data were arrays, which it does not keep; give --data")
    if about["reading"].get("labels"):
        check_label_file(run_dir, about)
    recorded = {name: value for name, value in about["reading"].items() if name != "memory"}  # of a machine
    options = {} if load_options is None else dataclasses.asdict(load_options)
    changed = {name: value for name, value in options.items() if value != getattr(LoadOptions(), name)}
    try:
        dataset = open_dataset(source or about["data"], reading=LoadOptions(**(recorded | changed)))
    except UserError as error:
        if source:
            raise
        reason = str(error).partition("; known:")[0]  # the list of known data sets does not help here
        raise UserError(
            f"{run_dir / ABOUT} names data that cannot be opened: {reason}; if the data has moved, give "
            "--data"
        ) from None
    return with_images_of_run(run_dir, about, dataset)


def with_images_of_run(run_dir: Path, about: Mapping[str, Any], dataset: ImageDataset) -> ImageDataset:
    """The data set, with grey images repeated to three channels if the run generates colour images.

    Raises:
      UserError: the images have another size.
    """
    shape, expected = dataset.spec.image_shape, tuple(about["image_shape"])
    if shape == (*expected[:2], 1):
        train, test = (with_channels(split, expected[2]) for split in (dataset.train, dataset.test))
        return dataclasses.replace(dataset, train=train, test=test)
    if shape != expected:
        raise UserError(
            f"{run_dir} generates images {'x'.join(map(str, expected))}, but those of {dataset.name} are "
            f"{'x'.join(map(str, shape))}; give --image_size or a different --data"
        )
    return dataset


def check_label_file(run_dir: Path, about: Mapping[str, Any]) -> None:
    """Checks that the label file of a run is unchanged.

    Raises:
      UserError: the label file that `run.json` names is missing or has changed.
    """
    labels = about.get("labels") or {}
    if "sha256" not in labels:
        return
    try:
        same = describe_choice(_label_choice(run_dir, labels)).get("sha256") == labels["sha256"]
    except UserError as error:
        raise UserError(f"{run_dir / ABOUT} names a label file: {error}; restore it") from None
    if not same:
        raise UserError(
            f"{labels['choice']}: has changed since {run_dir / ABOUT} recorded it; restore the file"
        )


def with_training_labels(dataset: ImageDataset, run_dir: Path, about: Mapping[str, Any]) -> ImageDataset:
    """The data set with the training labels that --labels assigned, as recorded in `run.json`.

    Raises:
      UserError: the label file is missing or has changed.
    """
    labels = about.get("labels")
    if labels and not about["reading"].get("labels"):  # otherwise they were loaded with the images
        check_label_file(run_dir, about)
        dataset = relabelled(dataset, _label_choice(run_dir, labels))
    return labelled_only(dataset) if about.get("labelled_only") else dataset


def with_training_images(dataset: ImageDataset, run_dir: Path, about: Mapping[str, Any]) -> ImageDataset:
    """The data set with exactly the images and labels that a run was trained on.

    A run may have left out unlabelled images or, for validation, a fraction of all images.

    Raises:
      UserError: a label file is missing or has changed, or the data set has another number of images.
    """
    dataset = with_training_labels(dataset, run_dir, about)
    method = find_method(str(about.get("method")))
    if method is not None and method.labels == "few_only" and (run_dir.parent / KEPT).exists():
        dataset = labelled_only(relabelled(dataset, str(run_dir.parent / KEPT)))
    if about.get("validation"):
        dataset, _ = with_validation(dataset, about["validation"], about["seed"])
    expected = (about.get("fingerprint") or {}).get("images")
    if expected not in (None, len(dataset.train)):
        raise UserError(
            f"{run_dir}: was trained on {expected} images, but {dataset.name} has {len(dataset.train)} "
            "training images; what compares with training images needs --data with those of the run"
        )
    return dataset


def _label_choice(run_dir: Path, labels: Mapping[str, Any]) -> str:
    """The choice of labels; the file of labels that were computed in Python is in the run folder."""
    choice = labels["choice"]
    return str(run_dir / choice) if choice == TRAINING_LABELS else choice


def with_training_classes(dataset: ImageDataset, class_names: tuple[str, ...]) -> ImageDataset:
    """The data set with the class indices of a GAN; training images of other classes become unlabelled."""
    train = with_classes(dataset.train, dataset.class_names, class_names)
    return dataclasses.replace(
        dataset, train=train, class_names=class_names, test_class_names=dataset.test_classes
    )
