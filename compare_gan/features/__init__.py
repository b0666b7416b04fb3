"""Networks that turn images into features. Every module of this folder registers itself."""

from pathlib import Path

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import EXTRACTORS, load_siblings
from compare_gan.data.arrays import plain_arrays
from compare_gan.features.base import Extracted, Extractor
from compare_gan.features.encoder import TrainedEncoder, load_encoder
from compare_gan.features.inception import open_inception
from compare_gan.features.onnx_file import load_onnx

__all__ = ["Extracted", "Extractor", "TrainedEncoder", "load_encoder", "open_extractor"]


def open_extractor(source: str) -> Extractor:
    """The extractor of a registered name, or of a file.

    A file is what `compare-gan classifier` wrote; weights of the Inception network of 2015 as `.pth`,
    `.safetensors` or `.npz`; or any network as `.onnx`.

    Raises:
      UserError: nothing has that name, or the file is none of these.
    """
    if source in EXTRACTORS:
        return EXTRACTORS[source]()
    path = Path(source)
    if not path.is_file():
        known = did_you_mean(source, EXTRACTORS)
        raise UserError(f"{source!r} is neither a known feature extractor nor a file{known}")
    if path.suffix == ".onnx":
        return load_onnx(path)
    if path.suffix in (".pth", ".pt", ".safetensors") or "fc.weight" in plain_arrays(path):
        return open_inception(path)
    return load_encoder(path)


load_siblings(__name__)
