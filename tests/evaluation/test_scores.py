"""Which images are scored, and how scores are kept."""

import dataclasses

import jax
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.evaluation.evaluate import EvalSettings, generate_images, read_scores, write_scores
from compare_gan.gans.step import sample
from tests.train.tiny import CONDITIONAL


def test_classes_come_in_turn_and_images_are_those_of_the_sampler():
    state = jax.jit(CONDITIONAL.init)(jax.random.key(0))
    images, labels = generate_images(CONDITIONAL, state, 10, seed=3)
    assert labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert images.shape == (10, 8, 8, 3) and images.dtype == np.uint8
    z = CONDITIONAL.prior(jax.random.fold_in(jax.random.key(3), 0), (500, CONDITIONAL.z_dim))[:10]
    direct = np.asarray(sample(CONDITIONAL, state, z, jax.nn.one_hot(labels, 4)))
    np.testing.assert_allclose(images / 255, direct, atol=0.51 / 255)


def test_a_row_of_the_same_makings_takes_the_place_of_the_old(tmp_path):
    row = {"step": 10, "frechet_distance": 2.0, "class_agreement": None, "data": "blobs"}
    write_scores(tmp_path, row)
    write_scores(tmp_path, row | {"step": 5})
    write_scores(tmp_path, row | {"frechet_distance": 1.5})
    write_scores(tmp_path, row | {"data": "other"})
    rows = [
        (r["step"], r["frechet_distance"], r["class_agreement"], r["data"]) for r in read_scores(tmp_path)
    ]
    assert rows == [
        ("5", "2.0", "", "blobs"),
        ("10", "1.5", "", "blobs"),
        ("10", "2.0", "", "other"),
    ]


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="did you mean 'frechet_distance'"):
        EvalSettings(metrics=("frechet_distanc",))
    with pytest.raises(UserError, match="too few"):
        dataclasses.replace(EvalSettings(), images=1)
