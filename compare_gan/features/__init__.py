"""Networks that turn images into features. Every module of this folder registers itself."""

from pathlib import Path

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import EXTRACTORS, load_siblings
from compare_gan.features.encoder import TrainedEncoder, load_encoder

__all__ = ["TrainedEncoder", "load_encoder", "open_extractor"]


def open_extractor(source: str) -> TrainedEncoder:
    """The extractor of a registered name, or of a file that `compare-gan classifier` wrote.

    Raises:
      UserError: nothing has that name, or the file is not an encoder.
    """
    if source in EXTRACTORS:
        return EXTRACTORS[source]()
    if not Path(source).exists():
        known = did_you_mean(source, EXTRACTORS)
        raise UserError(f"{source!r} is neither a known feature extractor nor a file{known}")
    return load_encoder(Path(source))


load_siblings(__name__)
