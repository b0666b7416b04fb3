"""Real images whose features are remembered, and sets of images or features that no GAN of ours made."""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan import __version__
from compare_gan.core.errors import UserError
from compare_gan.core.processes import every, first
from compare_gan.core.registry import METRICS
from compare_gan.data.base import Images, Split
from compare_gan.data.fingerprint import fingerprint
from compare_gan.features.base import Extractor, FeaturesAndClasses
from compare_gan.metrics.context import EvalContext, ImageSet, check, in_order

FILES = ("features.npy", "classes.npy")
PART = 1000  # images that are looked at before what was seen is written


def remembered(split: Split, extractor: Extractor, cache: Path | None) -> ImageSet:
    """The images of a split. With a folder `cache` their features are kept in it, and stay on disk."""
    labels = split.labels if split.labels.ndim == 1 else split.labels.argmax(1)
    if cache is None:
        return ImageSet(split.images, labels, extractor)
    made_of = "\0".join([extractor.sha256, extractor.name, fingerprint(split.images), __version__])
    folder = cache / hashlib.sha256(made_of.encode()).hexdigest()[:32]
    found = _read(folder, len(split))
    all_found = every(found is not None)  # processes look together or not at all
    if found is not None and all_found:
        kept = found
    elif first():
        kept = _keep(folder, split.images, extractor)
    else:
        kept = _hold(split.images, extractor)
    images = ImageSet(split.images, labels, lambda _: kept)
    assert images.seen is kept  # so parts are taken from it, too
    return images


def _read(folder: Path, count: int) -> FeaturesAndClasses | None:
    try:
        kept = FeaturesAndClasses(*(np.load(folder / name, mmap_mode="r") for name in FILES))
    except (OSError, ValueError, EOFError):  # not there, or damaged
        return None
    return kept if len(kept.features) == len(kept.classes) == count else None


def _keep(folder: Path, images: Images, extractor: Extractor) -> FeaturesAndClasses:
    """Looks at all images, a part at a time, and writes what was seen."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}") as name:
        files: list[np.memmap] = []
        for start in range(0, len(images), PART):
            seen = extractor(images[start : start + PART])
            parts = (np.asarray(seen.features), np.asarray(seen.classes))
            if not files:
                shapes = [(len(images), part.shape[1]) for part in parts]
                files = [
                    np.lib.format.open_memmap(Path(name) / file, "w+", part.dtype, shape)
                    for file, part, shape in zip(FILES, parts, shapes, strict=True)
                ]
            for file, part in zip(files, parts, strict=True):
                file[start : start + len(part)] = part
        for file in files:
            file.flush()
        shutil.rmtree(folder, ignore_errors=True)
        Path(name).rename(folder)
        Path(name).mkdir()  # for the manager to remove
    kept = _read(folder, len(images))
    assert kept is not None
    return kept


def _hold(images: Images, extractor: Extractor) -> FeaturesAndClasses:
    """The same without a file, of which one process is enough."""
    parts = [extractor(images[start : start + PART]) for start in range(0, len(images), PART)]
    return FeaturesAndClasses(
        np.concatenate([part.features for part in parts]), np.concatenate([part.classes for part in parts])
    )


def read_features(path: Path) -> np.ndarray:
    """Features [N, F] of a `.npy` file, or of an `.npz` file with an array `features` or only one array.

    Raises:
      UserError: it is not such a file.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found:
                names = found.files
                if "features" not in names and len(names) != 1:
                    raise UserError(
                        f"{path}: holds {', '.join(names) or 'nothing'}; wanted an array features"
                    )
                found = found["features" if "features" in names else names[0]]
    except UserError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or "damaged, or not a NumPy file of plain arrays"
        raise UserError(f"{path}: cannot be read ({reason})") from None
    if found.ndim != 2 or found.dtype.kind not in "fiu" or len(found) < 2:
        raise UserError(f"{path}: {found.dtype} {list(found.shape)}; wanted features [N, F] of N > 1 images")
    for start in range(0, len(found), 10_000):
        if not np.isfinite(found[start : start + 10_000]).all():
            raise UserError(f"{path}: holds values that are not finite")
    return found


def score_features(
    fake: np.ndarray, real: np.ndarray, metrics: Sequence[str], seed: int = 42
) -> dict[str, float | None]:
    """Scores of features [N, F] against others [M, F].

    Raises:
      UserError: a metric needs more than features, or the two have not as many columns.
    """
    check(metrics, {"summary", "features"})
    if fake.shape[1] != real.shape[1]:
        raise UserError(f"features of {fake.shape[1]} columns do not compare with {real.shape[1]}")
    return _scores(EvalContext(ImageSet.of_features(real), ImageSet.of_features(fake), seed=seed), metrics)


def score_images(
    fake: Images, real: Images, extractor: Extractor, metrics: Sequence[str], seed: int = 42
) -> dict[str, float | None]:
    """Scores of images [N, H, W, C] against others, by an extractor.

    Raises:
      UserError: a metric needs more than images.
    """
    check(metrics, {"summary", "features", "images"})
    context = EvalContext(ImageSet(real, None, extractor), ImageSet(fake, None, extractor), seed=seed)
    return _scores(context, metrics)


def _scores(context: EvalContext, metrics: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in in_order(metrics):
        found |= METRICS[name].compute(context)
    return {column: found[column] for name in metrics for column in METRICS[name].columns}
