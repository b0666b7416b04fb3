"""Metadata of the named data sets: splits, image shapes, preprocessing, labels."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

from compare_gan.core.types import ImageSpec
from compare_gan.data.fit import CropResize

LSUN_SCENES = (
    "bedroom",
    "bridge",
    "church_outdoor",
    "classroom",
    "conference_room",
    "dining_room",
    "kitchen",
    "living_room",
    "restaurant",
    "tower",
)
LSUN_OBJECTS = (
    "airplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining_table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted_plant",
    "sheep",
    "sofa",
    "train",
    "tv-monitor",
)


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Source, preprocessing and evaluation split of a named data set.

    `labels` selects the training labels:

      stored: those stored with the images.
      single: every image is of the same class.
      random: a random class per image, fixed by the seed.
      soft: those of a label file, which is required.
      given: those stored or in a label file; images that remain unlabelled are dropped.
    """

    tfds: str  # the name in TensorFlow Datasets: NAME or NAME/CONFIG
    image_shape: tuple[int, int, int]  # H, W, C
    num_classes: int = 0  # 0: the images have no labels
    train_split: str = "train"
    eval_split: str = "test"
    eval_images: int = 10_000  # evaluate on this number of images, the first of `eval_split`
    train_fit: CropResize = CropResize()
    eval_fit: CropResize = CropResize()
    labels: Literal["stored", "single", "random", "soft", "given"] = "stored"
    min_side: int = 0  # drop training images whose shorter side has fewer pixels
    manual_files: tuple[str, ...] = ()  # files that TensorFlow Datasets cannot download
    manual_source: str = ""  # where to get them
    mirror: bool = True  # False: mirrored images mean something else, as digits do

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(self.image_shape, self.num_classes, self.mirror)


def _squared(tfds: str, side: int, crop: int, **more: Any) -> DatasetInfo:
    fit = CropResize(side, crop, "bilinear_tf1")
    return DatasetInfo(tfds, (side, side, 3), train_fit=fit, eval_fit=fit, **more)


def _celeb_a_hq(side: int) -> DatasetInfo:
    """The images are stored at this size. A tenth of them is the test split."""
    return DatasetInfo(
        f"celeb_a_hq/{side}",
        (side, side, 3),
        train_split="train[:90%]",
        eval_split="train[90%:]",
        eval_images=3_000,
        manual_files=(f"data{side}x{side}.tar",),
        manual_source="https://github.com/tkarras/progressive_growing_of_gans",
    )


def _lsun() -> Iterator[tuple[str, DatasetInfo]]:
    """One data set per class. The test split has 1% of the bedrooms, as in compare_gan, or 10,000 images."""
    for name in (*LSUN_SCENES, *LSUN_OBJECTS):
        splits, images = ("train[:-10000]", "train[-10000:]"), 10_000
        if name == "bedroom":
            splits, images = ("train[:99%]", "train[99%:]"), 30_000
        train, test = splits
        yield (
            f"lsun-{name}",
            _squared(f"lsun/{name}", 128, 128, train_split=train, eval_split=test, eval_images=images),
        )


def _stl10() -> DatasetInfo:
    """Few labels by design: 5,000 labelled and 100,000 unlabelled training images.

    Images are resized to 48x48, the size of `resnet_stl_arch`. compare_gan has no STL-10, so there are no
    scores to match and the resize is antialiased. The 8,000 test images are all labelled.
    """
    fit = CropResize(48)
    return DatasetInfo("stl10", (48, 48, 3), 10, "train+unlabelled", "test", 8_000, fit, fit)


def _imagenet(side: int, num_classes: int = 1000, **more: Any) -> DatasetInfo:
    train, test = (CropResize(side, crop, "bilinear_tf1") for crop in ("distorted", "middle"))
    return DatasetInfo(
        "imagenet2012",
        (side, side, 3),
        num_classes,
        eval_split="validation",
        eval_images=50_000,
        train_fit=train,
        eval_fit=test,
        manual_files=("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"),
        manual_source="https://image-net.org/download-images",
        **more,
    )


DATASET_INFO: dict[str, DatasetInfo] = {
    "mnist": DatasetInfo("mnist", (28, 28, 1), 10, mirror=False),
    "fashion-mnist": DatasetInfo("fashion_mnist", (28, 28, 1), 10),
    "cifar10": DatasetInfo("cifar10", (32, 32, 3), 10),
    "cifar100": DatasetInfo("cifar100", (32, 32, 3), 100),
    "svhn": DatasetInfo("svhn_cropped", (32, 32, 3), 10, eval_images=26_032, mirror=False),
    "stl10": _stl10(),
    "celeb_a": _squared("celeb_a", 64, 160),
    "celeb_a_128": _squared("celeb_a", 128, 160),
    **{f"celeb_a_hq_{side}": _celeb_a_hq(side) for side in (64, 128, 256, 512, 1024)},
    **dict(_lsun()),
    **{f"imagenet_{side}": _imagenet(side) for side in (64, 128, 256, 512)},
    "imagenet_512_hq400": _imagenet(512, min_side=400),
    "soft_labeled_imagenet_128": _imagenet(128, labels="soft"),
    "single_class_imagenet_128": _imagenet(128, 1, labels="single"),
    "random_class_imagenet_128": _imagenet(128, labels="random"),
    "labeled_only_imagenet_128": _imagenet(128, labels="given"),
    # Half and a quarter of the images, with the counts of the code of Zhao et al.,
    # https://arxiv.org/abs/2006.10738. TensorFlow Datasets stores them shuffled, so these are random subsets.
    "imagenet_128_0.5": _imagenet(128, train_split="train[:640583]"),
    "imagenet_128_0.25": _imagenet(128, train_split="train[:320291]"),
}
