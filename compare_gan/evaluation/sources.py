"""Scores images and features from folders and files, without a GAN."""

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan import __version__
from compare_gan.core.errors import UserError
from compare_gan.core.files import regular
from compare_gan.core.words import first_few
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import UNLABELLED, Split, hard_labels
from compare_gan.data.fingerprint import fingerprint as pixels_sha256
from compare_gan.data.loading import with_channels
from compare_gan.evaluation.classes import labels_sha256, translate_labels
from compare_gan.evaluation.scores import fingerprint
from compare_gan.evaluation.sets import compute_scores, warn_if_few_images
from compare_gan.features.base import Extractor, digest
from compare_gan.metrics.context import EvalContext, ImageSet, Need, check
from compare_gan.metrics.summaries import Gaussian

MAX_FEATURES = 2**14  # of a covariance; its eigenvalues take minutes
PART = 1000  # images that are checked together


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Images of a folder or file, to score or to use as reference."""

    name: str
    which: str  # split: all, train or test
    split: Split
    class_names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.which})"


def read_features(path: Path) -> np.ndarray | Gaussian:
    """Features [N, F] of a `.npy` file, or of an `.npz` file with an array `features` or a single array.

    Or `mu` [F] and `sigma` [F, F] of an `.npz` file, the usual format of published reference statistics.

    Raises:
      UserError: the file has another format.
    """
    arrays = plain_arrays(path)
    if {"mu", "sigma"} <= arrays.keys() and "features" not in arrays:
        return _gaussian(path, arrays["mu"], arrays["sigma"])
    if "features" not in arrays and len(arrays) != 1:
        raise UserError(
            f"{path}: contains {first_few(list(arrays)) or 'nothing'}; "
            f"expected an array features, or mu and sigma"
        )
    found = arrays["features"] if "features" in arrays else next(iter(arrays.values()))
    if found.ndim != 2 or found.dtype.kind not in "fiu" or len(found) < 2:
        raise UserError(
            f"{path}: {found.dtype} {list(found.shape)}; expected features [N, F] of N > 1 images"
        )
    for start in range(0, len(found), 10_000):
        if not np.isfinite(found[start : start + 10_000]).all():
            raise UserError(f"{path}: contains NaN or Inf")
    return found


def _gaussian(path: Path, mean: np.ndarray, covariance: np.ndarray) -> Gaussian:
    """Validates mu and sigma and converts them to float64."""
    shapes = f"mu {list(mean.shape)} and sigma {list(covariance.shape)}"
    if mean.ndim != 1 or covariance.shape != 2 * mean.shape or not 0 < mean.size <= MAX_FEATURES:
        raise UserError(f"{path}: contains {shapes}; expected [F] and [F, F], F up to {MAX_FEATURES}")
    if mean.dtype.kind not in "fiu" or covariance.dtype.kind not in "fiu":
        raise UserError(f"{path}: mu and sigma must be arrays of real numbers")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{path}: contains NaN or Inf")
    covariance = covariance.astype(np.float64)
    if not np.allclose(covariance, covariance.T, rtol=1e-3, atol=1e-6 * abs(covariance).max()):
        raise UserError(f"{path}: sigma is not symmetric, so it is not a covariance")
    if np.linalg.eigvalsh(covariance)[0] < -1e-3 * abs(covariance).max():
        raise UserError(f"{path}: sigma has negative eigenvalues, so it is not a covariance")
    return Gaussian(mean.astype(np.float64), (covariance + covariance.T) / 2)


def is_features_file(path: Path) -> bool:
    """Whether a file holds features or their statistics, by the names and shapes of its arrays."""
    try:
        if zipfile.is_zipfile(regular(path)):
            shapes = _npz_shapes(path)
            if {"mu", "sigma"} <= shapes.keys() and "features" not in shapes:
                return all(len(shape) < 3 for shape in shapes.values())
            named = shapes if len(shapes) == 1 else {"features": shapes["features"]}
            return all(len(shape) == 2 for shape in named.values())
        return np.load(path, mmap_mode="r", allow_pickle=False).ndim == 2
    except Exception:  # any other file, or none
        return False


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of an `.npz` file, from their headers; empty for other archives."""
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in names if all(name.endswith(".npy") for name in names) else ():
            with archive.open(name) as file:
                major, _ = np.lib.format.read_magic(file)
                read = (
                    np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
                )
                shapes[name.removesuffix(".npy")] = read(file)[0]
    return shapes


def score_features(
    fake: np.ndarray | Gaussian, real: np.ndarray | Gaussian, metrics: Sequence[str], seed: int = 42
) -> dict[str, Any]:
    """Scores features [N, F] against features [M, F]; either may be a mean and a covariance.

    Returns:
      A row: the numbers of images if known, the metrics that were `scored`, and the scores.

    Raises:
      UserError: a metric needs more than features, or the numbers of features differ.
    """
    context = EvalContext(_image_set(real), _image_set(fake), seed=seed)
    return {"data_sha256": _features_sha256(real)} | _scored(context, metrics, set())


def score_images(
    fake: Source, real: Source, extractor: Extractor, metrics: Sequence[str], seed: int = 42
) -> dict[str, Any]:
    """Scores images against reference images with an extractor.

    A source of only grey images counts as greyscale, however it is stored, and is repeated to three channels
    if the other side has colours. Classes of both sides, if any, match by name, or by number if a side has no
    names.

    Returns:
      A row: the protocol, the metrics that were `scored`, and the scores.

    Raises:
      UserError: a metric needs missing inputs, the images differ in size, or the extractor rejects them.
    """
    fake_split, real_split = _match_channels(fake, real)
    extractor(real_split.images[:1])  # fails early if it rejects the images
    labels, real_labels = _labelled(fake.split), _labelled(real.split)
    names, about = fake.class_names, _protocol(fake, extractor, seed)
    about |= {
        "data": real.name,
        "data_sha256": pixels_sha256(real.split.images),
        "labels_sha256": labels_sha256(hard_labels(real.split), real.class_names),
        "real_split": real.which,
    }
    if labels is not None and real_labels is not None:
        labels, matched = translate_labels(labels, names, real.class_names)
        about["classes_in_common"] = matched
    if real_labels is not None:
        names = real.class_names
    real_set = ImageSet(real_split.images, real_labels, extractor)
    return _of_images(about, fake_split, labels, names, real_set, extractor, metrics, seed)


def score_against_features(
    fake: Source,
    real: np.ndarray | Gaussian,
    extractor: Extractor,
    metrics: Sequence[str],
    seed: int = 42,
) -> dict[str, Any]:
    """Scores images against reference features [M, F] of the same extractor, or their mean and covariance.

    Returns, raises: as `score_images`.
    """
    about = _protocol(fake, extractor, seed) | {"data_sha256": _features_sha256(real)}
    return _of_images(
        about, fake.split, _labelled(fake.split), fake.class_names, _image_set(real), extractor, metrics, seed
    )


def _features_sha256(features: np.ndarray | Gaussian) -> str:
    """SHA-256 of reference features, which are part of what a score was measured with."""
    if isinstance(features, Gaussian):
        return digest({"mean": features.mean, "covariance": features.covariance})
    return digest({"features": features})


def _protocol(fake: Source, extractor: Extractor, seed: int) -> dict[str, Any]:
    return {
        "extractor": extractor.name,
        "extractor_sha256": extractor.sha256,
        "generated": fake.name,
        "generated_split": fake.which,
        "seed": seed,
        "compare_gan": __version__,
    }


def _of_images(
    about: dict[str, Any],
    fake: Split,
    labels: np.ndarray | None,
    names: tuple[str, ...],
    real: ImageSet,
    extractor: Extractor,
    metrics: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """A row for images with labels that index `names`."""
    inputs: set[Need] = {"images"}
    if extractor(fake.images[:1]).classes.shape[1]:
        inputs |= {"logits"}
    same = bool(names) and names == extractor.class_names
    context = EvalContext(real, ImageSet(fake.images, labels, extractor), seed=seed, same_classes=same)
    row = about | _scored(context, metrics, inputs)
    return {"fingerprint": fingerprint(row)} | row


def _scored(context: EvalContext, metrics: Sequence[str], inputs: set[Need]) -> dict[str, Any]:
    """Counts and scores. Available are `inputs` and those that the context implies."""
    sides = {"real": context.real, "generated": context.fake}
    inputs = inputs | {"summary"}
    if all(side.gaussian is None for side in sides.values()):
        inputs |= {"features"}
    if context.fake.labels is not None:
        inputs |= {"labels"}
    if context.real.labels is not None:
        inputs |= {"real_labels"}
    if context.same_classes:
        inputs |= {"same_classes"}
    counts = {f"{name}_images": len(side.images) for name, side in sides.items() if side.gaussian is None}
    check(metrics, inputs, counts.values())
    real, fake = (_num_features(side) for side in sides.values())
    if real != fake:
        raise UserError(
            f"{fake} features of generated images are incompatible with {real} of real ones; "
            f"both must come from the same extractor"
        )
    scores, failed = compute_scores(context, metrics)
    warn_if_few_images(context, scores)
    return counts | {"scored": " ".join(name for name in metrics if name not in failed)} | scores


def _num_features(images: ImageSet) -> int:
    """The number of features."""
    if images.gaussian is not None:
        return len(images.gaussian.mean)
    return images.extractor(images.images[:1]).features.shape[1]


def _image_set(features: np.ndarray | Gaussian) -> ImageSet:
    return (
        ImageSet.of_gaussian(features) if isinstance(features, Gaussian) else ImageSet.of_features(features)
    )


def _labelled(split: Split) -> np.ndarray | None:
    """Class indices [N], -1 = unlabelled; None if all are unlabelled."""
    labels = hard_labels(split)
    return labels if (labels != UNLABELLED).any() else None


def _match_channels(fake: Source, real: Source) -> tuple[Split, Split]:
    """Both splits with the same number of channels, the smallest possible.

    Raises:
      UserError: their image sizes differ.
    """
    (h, w), (rh, rw) = (side.split.images.shape[1:3] for side in (fake, real))
    if (h, w) != (rh, rw):
        raise UserError(
            f"images of {fake.name} are {h}x{w}, those of {real.name} {rh}x{rw}; give --image_size for both"
        )
    splits = [_reduce_to_grey(side.split) for side in (fake, real)]
    depth = max(split.images.shape[3] for split in splits)
    one, other = (with_channels(split, depth) for split in splits)
    return one, other


def _reduce_to_grey(split: Split) -> Split:
    """The split with one channel if all images are in memory and grey."""
    images = split.images
    if not isinstance(images, np.ndarray) or images.shape[3] == 1:
        return split
    parts = (images[start : start + PART] for start in range(0, len(images), PART))
    if any((part != part[..., :1]).any() for part in parts):
        return split
    return dataclasses.replace(split, images=np.ascontiguousarray(images[..., :1]))
