"""Cached features of real images, and the scores of two sets of images."""

import contextlib
import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan import __version__
from compare_gan.core import records
from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic_folder, read_json, sha256_of, write_json
from compare_gan.core.processes import all_processes, is_main_process
from compare_gan.core.registry import METRICS
from compare_gan.data.base import Images, Split, hard_labels
from compare_gan.data.fingerprint import fingerprint
from compare_gan.features.base import Extractor, FeaturesAndClasses
from compare_gan.metrics.context import EvalContext, ImageSet, features_first

FILES, DIGESTS = ("features.npy", "classes.npy"), "sha256.json"
PART = 1000  # images per extractor call
DISTANCES = ("fid_score", "frechet_distance", "fid_infinity", "fid_score_low")
log = logging.getLogger(__name__)


def cached_features(split: Split, extractor: Extractor, cache: Path | None) -> ImageSet:
    """The images of a split. With a folder `cache`, their features are stored there and memory-mapped."""
    labels = hard_labels(split)
    if cache is None:
        return ImageSet(split.images, labels, extractor)
    key = "\0".join([extractor.sha256, extractor.name, fingerprint(split.images), __version__])
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:32]
    found = _read(folder, len(split))
    all_found = all_processes(found is not None)  # all processes extract, or none does
    if found is not None and all_found:
        kept = found
    elif is_main_process():
        kept = _extract_to_cache(folder, split.images, extractor)
    else:
        kept = _extract(split.images, extractor)
    return ImageSet(split.images, labels, extractor, extracted=kept)


def _read(folder: Path, count: int) -> FeaturesAndClasses | None:
    try:
        digests = read_json(folder / DIGESTS, records.strings)
        if any(sha256_of(folder / name) != digests.get(name) for name in FILES):
            log.warning("%s: cached features have changed since they were written; extracted again", folder)
            return None
        kept = FeaturesAndClasses(*(np.load(folder / name, mmap_mode="r") for name in FILES))
    except (OSError, ValueError, EOFError):  # missing or damaged
        return None
    return kept if len(kept.features) == len(kept.classes) == count else None


def _extract_to_cache(folder: Path, images: Images, extractor: Extractor) -> FeaturesAndClasses:
    """Extracts the features of all images part by part and writes them to the cache."""
    with atomic_folder(folder) as new:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(new / name, "wb")) for name in FILES]
            for start in range(0, len(images), PART):
                extracted = extractor(images[start : start + PART])
                for file, values in zip(files, (extracted.features, extracted.classes), strict=True):
                    part = np.ascontiguousarray(values)
                    if not start:
                        np.lib.format.write_array_header_1_0(
                            file,
                            {
                                "descr": np.lib.format.dtype_to_descr(part.dtype),
                                "fortran_order": False,
                                "shape": (len(images), part.shape[1]),
                            },
                        )
                    file.write(part.data)
        write_json(new / DIGESTS, {name: sha256_of(new / name) for name in FILES})
    kept = _read(folder, len(images))
    assert kept is not None
    return kept


def _extract(images: Images, extractor: Extractor) -> FeaturesAndClasses:
    """Extracts the features of all images without caching; only the main process writes the cache."""
    parts = [extractor(images[start : start + PART]) for start in range(0, len(images), PART)]
    return FeaturesAndClasses(
        np.concatenate([part.features for part in parts]), np.concatenate([part.classes for part in parts])
    )


def compute_scores(context: EvalContext, metrics: Sequence[str]) -> tuple[dict[str, float | None], list[str]]:
    """Scores by column, and the names of metrics that failed, whose scores are None.

    A failure, such as a score that is NaN, is logged as a warning.

    Raises:
      Exception: the error of the first metric, if all metrics failed.
    """
    found: dict[str, float | None] = {}
    failures: dict[str, Exception] = {}
    for name in features_first(metrics):
        try:
            scores = METRICS[name].compute(context)
            if any(value is not None and math.isnan(value) for value in scores.values()):
                raise UserError(f"the metric {name} gives NaN; the features may be too large")
            found |= scores
        except Exception as error:  # any error; the other scores remain useful
            failures[name] = error
            found |= dict.fromkeys(METRICS[name].columns)
    if failures and len(failures) == len(metrics):
        raise next(iter(failures.values()))
    for name, failure in failures.items():
        reason = str(failure).split("\n")[0] or type(failure).__name__
        log.warning("%s failed and has no score: %s", name, reason)
        log.debug("%s", name, exc_info=failure)
    return {column: found[column] for name in metrics for column in METRICS[name].columns}, list(failures)


def warn_if_few_images(context: EvalContext, scores: Mapping[str, Any]) -> None:
    """Warns if a Frechet distance was computed from fewer images than features."""
    if not any(scores.get(name) is not None for name in DISTANCES):
        return
    features = len(context.real.summary.moments.mean)
    sides = {"real": context.real, "generated": context.fake}
    few = [
        f"{len(side.images)} {name}"
        for name, side in sides.items()
        if side.gaussian is None and len(side.images) < features
    ]
    if few:
        log.warning(
            "%s images are fewer than the %d features: the distance is biased upwards and comparable only to "
            "distances from the same number of images",
            " and ".join(few),
            features,
        )
