"""Feature extractors. Importing this package imports its modules so that their @register decorators run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import EXTRACTORS, load_siblings
from compare_gan.features import clip, dinov2, efficientnet, swav
from compare_gan.features.base import Extracted, Extractor
from compare_gan.features.encoder import TrainedEncoder, load_encoder
from compare_gan.features.inception import inception_of
from compare_gan.features.onnx_file import load_onnx
from compare_gan.features.public import INCEPTION
from compare_gan.features.weights import READERS, read_weights

__all__ = [
    "EXTRACTORS",
    "Extracted",
    "Extractor",
    "TrainedEncoder",
    "default_extractor",
    "load_encoder",
    "open_extractor",
]

# Extractors made for the data set of the same name -> its image shape.
PACKAGED = {"digits": (8, 8, 1), "fashion": (28, 28, 1)}
# Networks that are recognised by their weights.
RECIPES = (dinov2.BASE, dinov2.LARGE, clip.LARGE_336, swav.RESNET50, efficientnet.LITE0)


def open_extractor(source: str) -> Extractor:
    """Opens a feature extractor by registered name or from a file.

    Supported files: the output of `compare-gan classifier`; public weights of a registered network (PyTorch,
    `.safetensors` or `.npz`), which is recognised by their names and shapes; any network as `.onnx`.

    >>> extractor = cg.open_extractor("digits")
    >>> extractor(cg.open_dataset("digits").test.images[:5]).features.shape
    (5, 64)

    Raises:
      UserError: there is no such extractor, or the file is not supported.
    """
    if source in EXTRACTORS:
        return EXTRACTORS[source]()
    path = Path(source)
    if not path.is_file():
        known = did_you_mean(source, EXTRACTORS)
        raise UserError(f"{source!r} is neither a known feature extractor nor a file{known}")
    if path.suffix == ".onnx":
        return load_onnx(path)
    if path.suffix in READERS:
        weights = read_weights(path)
        if "about" not in weights:
            return _recognised(weights, source)
    return load_encoder(path)


def _recognised(weights: Mapping[str, np.ndarray], source: str) -> Extractor:
    for recipe in RECIPES:
        if recipe.architecture.recognises(weights):
            return recipe.extractor(weights, source)
    if "fc.weight" in weights:
        return inception_of(weights, source)
    raise UserError(
        f"{source}: its weights are of no known network; give weights of inception or "
        f"{', '.join(recipe.name for recipe in RECIPES)}, an .onnx file, or one of compare-gan classifier"
    )


def default_extractor(dataset: str, image_shape: tuple[int, ...]) -> Extractor:
    """The extractor for a data set if the user gives none: never one made for other images.

    It is the packaged classifier of that data set, or else Inception if its weights are on this machine.

    Args:
      dataset: name of the data set.
      image_shape: H, W, C of its images.

    Raises:
      UserError: there is neither.
    """
    if PACKAGED.get(dataset) == image_shape:
        return open_extractor(dataset)
    if INCEPTION.local() is not None:
        return open_extractor("inception")
    raise UserError(
        f"no feature extractor is packaged for {dataset}; give --extractor inception (its weights are "
        "downloaded once), or a classifier that compare-gan classifier trains on your data, or an .onnx file"
    )


load_siblings(__name__)
