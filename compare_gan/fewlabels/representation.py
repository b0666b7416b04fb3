"""Stage 1: self-supervised features, from our encoder or from a file."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic, run_folder
from compare_gan.core.origin import is_made, seal
from compare_gan.core.run_files import FEATURES, PRETRAIN_RUN, PRETRAINED
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.fingerprint import fingerprint
from compare_gan.features.encoder import EncoderSpec, TrainedEncoder, load_encoder
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.training.encoder import train_encoder
from compare_gan.training.objectives import PRETRAINING
from compare_gan.training.schedule import TrainSchedule


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """One feature vector per image, from any model."""

    train: np.ndarray  # [N, F] float
    test: np.ndarray | None = None  # [M, F]; None: no features of test images
    name: str = "features"  # their source, for messages


def pretrain(dataset: ImageDataset, recipe: LabelRecipe, seed: int, folder: Path) -> TrainedEncoder:
    """Trains an encoder on all training images without labels, by the objective `recipe.pretraining`.

    Writes `pretrained.npz`, or reads it if it exists. The encoder does not depend on the label budget, so all
    budgets of a study share it.

    Raises:
      UserError: the images are not square, or the folder holds an encoder of other images, another recipe or
        another seed.
    """
    recipe = recipe.for_images(dataset.mirror)
    h, w, _ = dataset.spec.image_shape
    if h != w:
        raise UserError(
            f"{dataset.name}: {h}x{w} images cannot be rotated; make them square with --image_size"
        )
    unlabelled = Split(dataset.train.images, np.full(len(dataset.train), UNLABELLED, np.int32))
    spec = EncoderSpec(dataset.spec.image_shape, dataset.class_names, recipe.width, recipe.encoder)
    origin = {
        "images": fingerprint(dataset.train.images),
        "encoder": dataclasses.asdict(spec),
        "pretraining": recipe.pretraining,
        "training": dataclasses.asdict(recipe.training),
        "pretrain_steps": recipe.pretrain_steps,
        "precision": recipe.precision,
        "seed": seed,
    }
    path = run_folder(folder) / PRETRAINED
    if not is_made(path, origin):
        encoder = train_encoder(
            PRETRAIN_RUN,
            spec,
            unlabelled,
            PRETRAINING[recipe.pretraining](recipe.training),
            training=recipe.training,
            run_dir=folder / PRETRAIN_RUN,
            schedule=TrainSchedule(recipe.pretrain_steps, log_every=25, save_every=500),
            seed=seed,
            precision=recipe.precision,
        )
        encoder.save(path, dict(task=recipe.pretraining, seed=seed))
        seal(path)
    return load_encoder(path)


def extract(dataset: ImageDataset, encoder: TrainedEncoder, folder: Path) -> Features:
    """Computes the features of all images, including test images; no label is read.

    Writes `features.npz`, or reads it if it exists.

    Raises:
      UserError: the folder holds features of other images or of another encoder.
    """
    splits = {"train": dataset.train, "test": dataset.test}
    images = {name: fingerprint(split.images) for name, split in splits.items() if len(split)}
    path = folder / FEATURES
    if not is_made(path, {"encoder": encoder.sha256, "images": images}):
        arrays = {"train": encoder(dataset.train.images).features}
        if len(dataset.test):
            arrays["test"] = encoder(dataset.test.images).features
        with atomic(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        seal(path)
    return read_features(path, dataset)


def read_features(path: Path, dataset: ImageDataset) -> Features:
    """Reads features from a file: an `.npy` array [N, F], one row per training image in order, or an `.npz`
    file with such an array `train` and optionally an array `test` for the test images.

    Raises:
      UserError: the file cannot be read, has other arrays or another number of rows, or contains NaN or Inf.
    """
    arrays: dict[str, Any] = plain_arrays(path)
    if arrays.keys() == {"images"}:  # the name that an .npy array gets
        arrays = {"train": arrays["images"]}
    if "train" not in arrays or arrays.keys() - {"train", "test"}:
        raise UserError(f"{path}: has the arrays {', '.join(arrays)}; expected train and optionally test")
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        if name not in arrays:
            continue
        values = arrays[name]
        if values.ndim != 2 or values.dtype.kind != "f":
            raise UserError(f"{path}: {name} is {values.dtype} {list(values.shape)}; expected [N, F] floats")
        if len(values) != len(split):
            raise UserError(f"{path}: {name} has {len(values)} rows for {len(split)} images")
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values).all(1))[0, 0])
            raise UserError(f"{path}: row {row} of {name} contains NaN or Inf")
    width, test_width = arrays["train"].shape[1], arrays.get("test", arrays["train"]).shape[1]
    if width != test_width:
        raise UserError(
            f"{path}: train has {width} columns but test has {test_width}; both must come from the same model"
        )
    return Features(arrays["train"], arrays.get("test"), str(path))
