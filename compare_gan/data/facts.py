"""What is known of the data sets that compare_gan's configurations name, without their files."""

import dataclasses
from typing import Any

from compare_gan.core.types import ImageSpec
from compare_gan.data.fit import Fit


@dataclasses.dataclass(frozen=True)
class Facts:
    """Shape and classes of the images, how they are cropped and resized, and what scores are measured on."""

    image_shape: tuple[int, int, int]  # H, W, C
    num_classes: int = 0  # 0: the images have no labels
    train_split: str = "train"
    eval_split: str = "test"
    eval_images: int = 10_000
    train_fit: Fit = Fit()
    eval_fit: Fit = Fit()

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(self.image_shape, self.num_classes)


def _imagenet(side: int, num_classes: int = 1000) -> Facts:
    fits = (Fit(side, crop, "bilinear_tf1") for crop in ("distorted", "middle"))
    return Facts((side, side, 3), num_classes, "train", "validation", 50_000, *fits)


def _squared(side: int, crop: int, **more: Any) -> Facts:
    fit = Fit(side, crop, "bilinear_tf1")
    return Facts((side, side, 3), train_fit=fit, eval_fit=fit, **more)


FACTS: dict[str, Facts] = {
    "mnist": Facts((28, 28, 1), 10),
    "fashion-mnist": Facts((28, 28, 1), 10),
    "cifar10": Facts((32, 32, 3), 10),
    "celeb_a": _squared(64, 160),
    "celeb_a_hq_128": Facts((128, 128, 3)),  # an example configuration names it; compare_gan has no such data
    "lsun-bedroom": _squared(
        128, 128, train_split="train[:99%]", eval_split="train[99%:]", eval_images=30_000
    ),
    **{f"imagenet_{side}": _imagenet(side) for side in (64, 128, 256, 512)},
    "imagenet_512_hq400": _imagenet(512),  # images whose shorter side has at least 400 pixels
    "soft_labeled_imagenet_128": _imagenet(128),
    "single_class_imagenet_128": _imagenet(128, 1),
    "random_class_imagenet_128": _imagenet(128),
    "labeled_only_imagenet_128": _imagenet(128),
    # Half and a quarter of the images: Zhao et al., https://arxiv.org/abs/2006.10738.
    "imagenet_128_0.5": _imagenet(128),
    "imagenet_128_0.25": _imagenet(128),
}
