"""Scores images or features without a GAN."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compare_gan.core.defaults import EVAL_SEED, IMAGE_METRICS
from compare_gan.core.errors import UserError
from compare_gan.data import UNLABELLED, LoadOptions, Split
from compare_gan.data.loading import load_split
from compare_gan.data.source import find, with_preset
from compare_gan.evaluation import sources
from compare_gan.evaluation.evaluate import metric_names
from compare_gan.evaluation.sources import Source, is_features_file, read_features
from compare_gan.features import default_extractor, open_extractor
from compare_gan.features.base import Extractor
from compare_gan.metrics.summaries import Gaussian

Choice = Literal["train", "test", "all"]
Side = np.ndarray | str | Path
ARRAY = "an array"  # name of images that are given as an array


def score_images(
    generated: Side,
    reference: Side,
    metrics: Sequence[str] | None = None,
    *,
    extractor: str | Extractor | None = None,
    seed: int = EVAL_SEED,
    reference_split: Choice | None = None,
    load_options: LoadOptions | None = None,
) -> dict[str, Any]:
    """Scores images against reference images, or features against features.

    Each side is an array of uint8 images [N, H, W, C]; a name or path that `open_dataset` accepts; an array
    of features [N, F]; or a file of features (`.npy`, `.npz`) or of their `mu` [F] and `sigma` [F, F]
    (`.npz`). Features of both sides must come from the same extractor.

    >>> data = cg.open_dataset("digits")
    >>> scores = cg.score_images(data.train.images[:450], data.test.images, extractor="digits")
    >>> round(scores["frechet_distance"], 1)
    0.5

    Args:
      generated: the images to score. All images of a source are used, or its training split if it has splits.
      reference: the images to compare with. The test split of a source is used, or all images if it has none.
      metrics: names of metrics; None: frechet_distance.
      extractor: a name, a file, or an `Extractor`; None: the packaged classifier of the reference data set,
        or else Inception if its weights are on this machine. "inception" downloads them once.
      seed: of random choices of metrics.
      reference_split: "train", "test" or "all", in place of the default above.
      load_options: how sources are read.

    Returns:
      What was `compared`, the protocol and its `fingerprint`, the metrics that were `scored`, and scores,
      which are None where they do not apply.

    Raises:
      UserError: a side cannot be read, the sides are incompatible, or a metric needs other inputs.
    """
    names = IMAGE_METRICS if metrics is None else metric_names(metrics)
    opened = open_extractor(extractor) if isinstance(extractor, str) else extractor
    options = load_options or LoadOptions()
    real = _open(reference, options, reference_split, use_all=False)
    if reference_split and not isinstance(real, Source):
        raise UserError(f"--reference_split is for images; {_name(reference)} holds features")
    fake = _open(generated, options, None, use_all=True)
    compared = f"{_describe(generated, fake)} against "
    if not isinstance(fake, Source):
        if isinstance(real, Source):
            raise UserError(f"{_name(generated)} holds features; compare them with features of the reference")
        row: dict[str, Any] = {"compared": compared + _describe(reference, real)}
        return row | sources.score_features(fake, real, names, seed)
    if opened is None:
        side = real if isinstance(real, Source) else fake
        opened = default_extractor(_name(reference), side.split.images.shape[1:])
    if isinstance(real, Source):
        row = {"compared": compared + f"{len(real.split)} of {real}"}
        return row | sources.score_images(fake, real, opened, names, seed)
    compared += f"{_name(reference)}, which must contain features of {opened.name}"
    return {"compared": compared} | sources.score_against_features(fake, real, opened, names, seed)


def _open(
    side: Side, options: LoadOptions, which: Choice | None, use_all: bool
) -> Source | np.ndarray | Gaussian:
    """Images, features, or the mean and covariance of features."""
    if isinstance(side, np.ndarray):
        return _of_array(side)
    if is_features_file(Path(side)):
        return read_features(Path(side))
    name = str(side)
    options = with_preset(name, options)
    contents = find(name, options)
    if which is None:
        held_out = options.test_data or options.holdout
        if use_all:
            which = "all" if contents.test is None else "train"
        else:
            which = "test" if contents.test is not None or held_out else "all"
    return Source(name, which, load_split(contents, options, which), contents.class_names)


def _of_array(array: np.ndarray) -> Source | np.ndarray:
    if array.ndim == 2 and array.dtype.kind in "fiu":
        return array
    if array.ndim != 4 or array.dtype != np.uint8:
        raise UserError(
            f"an array of {array.dtype} {list(array.shape)}; expected uint8 images [N, H, W, C] or features "
            "[N, F]"
        )
    return Source(ARRAY, "all", Split(array, np.full(len(array), UNLABELLED, np.int32)), ())


def _name(side: Side) -> str:
    return ARRAY if isinstance(side, np.ndarray) else str(side)


def _describe(side: Side, opened: Source | np.ndarray | Gaussian) -> str:
    if isinstance(opened, Source):
        return f"{len(opened.split)} images of {opened}"
    if isinstance(opened, Gaussian):
        return f"mu and sigma of {_name(side)}"
    return f"features of {len(opened)} images of {_name(side)}"
