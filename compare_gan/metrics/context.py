"""What a metric may look at. Each part is computed when first asked for, and once."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from compare_gan.data.base import Images
from compare_gan.features.encoder import EncoderOut


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, what they are meant to show, and what an extractor sees in them."""

    images: Images  # [N, H, W, C] uint8
    labels: np.ndarray | None  # [N] class indices, or None
    extractor: Callable[[Images], EncoderOut]

    @functools.cached_property
    def seen(self) -> EncoderOut:
        return self.extractor(self.images)


@dataclasses.dataclass(frozen=True, eq=False)
class EvalContext:
    """Real images held out from training, and generated ones."""

    real: ImageSet
    fake: ImageSet


Metric = Callable[[EvalContext], dict[str, float | None]]
