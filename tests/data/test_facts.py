"""The metadata of named data sets."""

import pytest

from compare_gan.data.facts import DATASET_INFO


def test_sizes_and_test_splits_match_compare_gan():
    """From its `datasets.py`: resolution, channels, classes, test split and number of test images."""
    theirs = {
        "mnist": (28, 1, 10, "test", 10_000),
        "fashion-mnist": (28, 1, 10, "test", 10_000),
        "cifar10": (32, 3, 10, "test", 10_000),
        "celeb_a": (64, 3, 0, "test", 10_000),
        "lsun-bedroom": (128, 3, 0, "train[99%:]", 30_000),
        "imagenet_64": (64, 3, 1000, "validation", 50_000),
        "imagenet_128": (128, 3, 1000, "validation", 50_000),
        "imagenet_256": (256, 3, 1000, "validation", 50_000),
        "imagenet_512": (512, 3, 1000, "validation", 50_000),
        "imagenet_512_hq400": (512, 3, 1000, "validation", 50_000),
        "soft_labeled_imagenet_128": (128, 3, 1000, "validation", 50_000),
        "single_class_imagenet_128": (128, 3, 1, "validation", 50_000),
        "random_class_imagenet_128": (128, 3, 1000, "validation", 50_000),
        "labeled_only_imagenet_128": (128, 3, 1000, "validation", 50_000),
    }
    for name, (side, colours, classes, split, images) in theirs.items():
        facts = DATASET_INFO[name]
        assert facts.image_shape == (side, side, colours) and facts.num_classes == classes, name
        assert (facts.eval_split, facts.eval_images) == (split, images), name


@pytest.mark.parametrize("name", DATASET_INFO)
def test_shape_and_crop_agree(name):
    """Images are either stored in the network input shape or resized to it."""
    facts = DATASET_INFO[name]
    sizes = {facts.train_fit.size, facts.eval_fit.size}
    assert sizes in ({None}, {facts.image_shape[0]}) and facts.image_shape[0] == facts.image_shape[1]


@pytest.mark.parametrize("name", DATASET_INFO)
def test_splits_are_disjoint(name):
    facts = DATASET_INFO[name]
    cut = facts.train_split.removeprefix("train[:").removesuffix("]")
    assert facts.eval_split in ("test", "validation", f"train[{cut}:]")


@pytest.mark.parametrize("name", DATASET_INFO)
def test_tensorflow_datasets_has_the_data_set(name):
    """The real one's configuration, features and, if they are stored in one size, the size of its images."""
    tfds = pytest.importorskip("tensorflow_datasets", reason="the extra compare_gan[tfds] is not installed")
    facts = DATASET_INFO[name]
    info = tfds.builder(facts.tfds, data_dir="/nowhere").info
    shape = info.features["image"].shape
    if facts.train_fit.size is None:
        assert shape == facts.image_shape
    assert shape[2] == facts.image_shape[2]
    if facts.num_classes and facts.labels != "single":
        assert info.features["label"].num_classes == facts.num_classes
