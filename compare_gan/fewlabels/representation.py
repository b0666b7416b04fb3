"""Stage 1, features without labels: from an encoder of ours, or from a file of anybody's."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic, run_folder
from compare_gan.core.origin import is_made
from compare_gan.core.run_files import FEATURES, PRETRAIN_RUN, PRETRAINED
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.fingerprint import fingerprint
from compare_gan.features.encoder import EncoderSpec, TrainedEncoder, load_encoder
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.train.encoder import ByRotation, train_encoder
from compare_gan.train.schedule import TrainSchedule


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """One vector an image, of whatever model."""

    train: np.ndarray  # [N, F] float
    test: np.ndarray | None = None  # [M, F]; None: nothing is known of test images
    name: str = "features"  # where they come from


def pretrain(dataset: ImageDataset, recipe: LabelRecipe, seed: int, folder: Path) -> TrainedEncoder:
    """An encoder from rotation prediction on all training images; `pretrained.npz`. No label is read.

    Gidaris et al., https://arxiv.org/abs/1803.07728. Nothing about it depends on the label fraction, so
    one folder serves a whole study.

    Raises:
      UserError: the images are not squares, no encoder has the recipe's name, or the folder holds an encoder
        of other images, another recipe or another seed.
    """
    h, w, _ = dataset.spec.image_shape
    if h != w:
        raise UserError(f"{dataset.name}: images of {h}x{w} cannot be turned; make squares with --image_size")
    unlabelled = Split(dataset.train.images, np.full(len(dataset.train), UNLABELLED, np.int32))
    spec = EncoderSpec(dataset.spec.image_shape, dataset.class_names, recipe.width, recipe.encoder)
    origin = {
        "images": fingerprint(dataset.train.images),
        "encoder": dataclasses.asdict(spec),
        "training": dataclasses.asdict(recipe.training),
        "pretrain_steps": recipe.pretrain_steps,
        "seed": seed,
    }
    path = run_folder(folder) / PRETRAINED
    if not is_made(path, origin):
        encoder = train_encoder(
            PRETRAIN_RUN,
            spec,
            unlabelled,
            ByRotation(recipe.training),
            training=recipe.training,
            run_dir=folder / PRETRAIN_RUN,
            schedule=TrainSchedule(recipe.pretrain_steps, log_every=25, save_every=500),
            seed=seed,
        )
        encoder.save(path, dict(task="rotation", seed=seed))
    return load_encoder(path)


def extract(dataset: ImageDataset, encoder: TrainedEncoder, folder: Path) -> Features:
    """What an encoder makes of all images, test images included; `features.npz`. No label is read.

    Raises:
      UserError: the folder holds the features of other images or of another encoder.
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
    return read_features(path, dataset)


def read_features(path: Path, dataset: ImageDataset) -> Features:
    """Features from a file: an `.npy` array [N, F] for the training images in their order, or an `.npz`
    file with an array `train` like that, and perhaps `test` for the test images.

    Raises:
      UserError: it cannot be read, is not such a file, is for another number of images, or holds a number
        that is not finite.
    """
    arrays: dict[str, Any] = plain_arrays(path)
    if arrays.keys() == {"images"}:  # what an .npy file is called
        arrays = {"train": arrays["images"]}
    if "train" not in arrays or arrays.keys() - {"train", "test"}:
        raise UserError(f"{path}: holds {', '.join(arrays)}; wanted the arrays train and, if at hand, test")
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        if name not in arrays:
            continue
        values = arrays[name]
        if values.ndim != 2 or values.dtype.kind != "f":
            raise UserError(f"{path}: {name} is {values.dtype} {list(values.shape)}; wanted [N, F] floats")
        if len(values) != len(split):
            raise UserError(f"{path}: {name} has {len(values)} rows for {len(split)} images")
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values).all(1))[0, 0])
            raise UserError(f"{path}: row {row} of {name} holds a number that is not finite")
    width, other = arrays["train"].shape[1], arrays.get("test", arrays["train"]).shape[1]
    if width != other:
        raise UserError(f"{path}: train has {width} columns but test {other}; both must be of one model")
    return Features(arrays["train"], arrays.get("test"), str(path))
