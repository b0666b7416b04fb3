"""What is known of the data sets that compare_gan's configurations name, without their files."""

import dataclasses

from compare_gan.core.types import ImageSpec


@dataclasses.dataclass(frozen=True)
class Facts:
    """Shape and classes of the images, and the part of them that scores are measured on."""

    image_shape: tuple[int, int, int]  # H, W, C
    num_classes: int = 0  # 0: the images have no labels
    train_split: str = "train"
    eval_split: str = "test"
    eval_images: int = 10_000

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(self.image_shape, self.num_classes)


def _imagenet(side: int, num_classes: int = 1000) -> Facts:
    return Facts((side, side, 3), num_classes, eval_split="validation", eval_images=50_000)


FACTS: dict[str, Facts] = {
    "mnist": Facts((28, 28, 1), 10),
    "fashion-mnist": Facts((28, 28, 1), 10),
    "cifar10": Facts((32, 32, 3), 10),
    "celeb_a": Facts((64, 64, 3)),
    "celeb_a_hq_128": Facts((128, 128, 3)),  # an example configuration names it; compare_gan has no such data
    "lsun-bedroom": Facts((128, 128, 3), 0, "train[:99%]", "train[99%:]", 30_000),
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
