"""What each data set of compare_gan does to an image.

The label that was fed is not recorded; all that can be said of it is that it is a class of the data set.
"""

import re
from collections.abc import Callable, Iterable

import numpy as np

from compare_gan.data.preprocess import (
    EvalImagenetTransform,
    TrainImagenetTransform,
    celeb_a,
    imagenet,
    lsun,
    scaled,
)

from .. import rules
from ..reference import Case, Deviation, deviation
from ..runner import handles

TRANSFORMS = {"train": TrainImagenetTransform, "eval": EvalImagenetTransform}
OTHERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "celeb_a": (celeb_a, 1),
    "lsun-bedroom": (lsun, 1),
    "cifar10": (scaled, 10),
    "mnist": (scaled, 10),
    "fashion-mnist": (scaled, 10),
}


@handles("preprocessing")
def preprocessing(case: Case) -> Iterable[Deviation]:
    image, classes = preprocessed(case)
    assert image.dtype == np.float32
    for key, reference in case.arrays.items():
        if key == "label":
            yield deviation(key, np.clip(reference, 0, classes - 1), reference, 0)
            continue
        step = int(re.fullmatch(r"image(?:__stride(\d+))?", key)[1] or 1)
        yield deviation(key, reference, image[::step, ::step], 1e-6)
    for key, whole in case.meta.get("subsampled", {}).items():
        ours = [image.mean(dtype=np.float64), image.std(dtype=np.float64), image.min(), image.max()]
        yield deviation(f"{key}, shape", whole["shape"], image.shape, 0)
        yield deviation(f"{key}, mean std min max", whole["mean_std_min_max"], ours, 1e-6)


def preprocessed(case: Case) -> tuple[np.ndarray, int]:
    """The image as ours, and how many classes the data set has."""
    image = rules.evaluated(case.meta["input"], case.meta)
    name = case.meta["dataset"]
    if name in OTHERS:
        transform, classes = OTHERS[name]
        return transform(image), classes
    match = re.fullmatch(r"(\w*?)_?imagenet_(\d+)(_hq\d+)?", name)
    if match is None:
        raise ValueError(f"a data set that is not understood: {name!r}")
    chosen = TRANSFORMS[case.meta["transform"]](**bindings(case))
    if chosen.crop_method not in ("middle", "none"):
        raise ValueError(f"{chosen.crop_method} crops are random; they cannot be compared")
    rng = np.random.default_rng(0)
    return imagenet(image, int(match[2]), chosen.crop_method, rng), 1 if match[1] == "single_class" else 1000


def bindings(case: Case) -> dict[str, str]:
    """What the configuration says of the transform that was used."""
    found = {}
    for binding in case.meta["gin_bindings"]:
        match = re.fullmatch(r'(train|eval)_imagenet_transform\.(\w+) = "(\w+)"', binding)
        if match is None:
            raise ValueError(f"a binding that is not understood: {binding!r}")
        if match[1] == case.meta["transform"]:
            found[match[2]] = match[3]
    return found
