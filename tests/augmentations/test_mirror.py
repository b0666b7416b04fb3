"""Options that mirror images are refused for data that must not be mirrored."""

import dataclasses

import numpy as np
import pytest

from compare_gan import runs
from compare_gan.augmentations.augment_pipe import AugmentPipe
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec
from compare_gan.data import LoadOptions, open_dataset
from compare_gan.data.facts import DATASET_INFO
from compare_gan.tasks.consistency import Consistency
from tests.fewlabels import small
from tests.gans.tiny import SPEC, tiny_gan

READABLE = dataclasses.replace(SPEC, mirror=False)


def test_data_sets_say_whether_they_may_be_mirrored():
    assert [name for name in DATASET_INFO if not DATASET_INFO[name].mirror] == ["mnist", "svhn"]
    names = {"digits": False, "blobs": True, "fake:mnist": False, "fake:cifar10": True}
    assert {name: open_dataset(name).spec.mirror for name in names} == names
    assert not open_dataset(["digits", "digits"]).spec.mirror
    images = np.zeros((10, 28, 28, 1), np.uint8)
    assert open_dataset({"images": images}).spec.mirror
    assert not open_dataset({"images": images}, reading=LoadOptions(like="mnist")).spec.mirror
    assert ImageSpec((8, 8, 1)) == ImageSpec((8, 8, 1), mirror=False)  # runs of earlier versions still match


@pytest.mark.parametrize(
    ("part", "allowed", "option"),
    [
        (dict(augment=AugmentPipe()), dict(augment=AugmentPipe(xflip=0.0)), "AugmentPipe.xflip"),
        (dict(tasks=(Consistency(),)), dict(tasks=(Consistency(mirror=False),)), "Consistency.mirror"),
    ],
)
def test_parts_of_a_gan(part, allowed, option):
    tiny_gan(**part)
    tiny_gan(**allowed, spec=READABLE)
    with pytest.raises(UserError, match=f"^{option} mirrors images, .*reading direction: set {option} = "):
        tiny_gan(**part, spec=READABLE)


def test_training_images(tmp_path):
    digits = open_dataset("digits")
    gan = tiny_gan(spec=digits.spec)
    with pytest.raises(
        UserError, match="dataset.random_flip mirrors images, .*: set dataset.random_flip = F"
    ):
        runs.train(gan, digits, tmp_path / "run", steps=1, random_flip=True)
    assert not (tmp_path / "run").exists()


def test_training_images_of_a_study(tmp_path):
    study = small.small_study(tmp_path, "no_labels")
    recipes = study.methods[0].recipes
    flipping = {recipes: dataclasses.replace(study.configured[recipes], random_flip=True)}
    dataclasses.replace(study, configured=flipping)
    with pytest.raises(UserError, match="dataset.random_flip mirrors images"):
        dataclasses.replace(
            study, configured=flipping, dataset=dataclasses.replace(study.dataset, mirror=False)
        )
