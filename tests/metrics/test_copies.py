"""Metrics of copied training images: closed forms, recorded figures of other code, and known copies."""

import dataclasses
import json

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.registry import METRICS
from compare_gan.metrics import fld as fld_module
from compare_gan.metrics.authenticity import authentic
from compare_gan.metrics.context import EvalContext, ImageSet
from compare_gan.metrics.ct_score import ct_score, mean_score, standard_score
from compare_gan.metrics.fld import divergence, fit, standardised

from .copy_references import CASES, RECORDED, sets

VALUES = json.loads(RECORDED.read_text())


def scores(name: str, train: np.ndarray, held_out: np.ndarray, generated: np.ndarray) -> dict:
    context = EvalContext(*map(ImageSet.of_features, (held_out, generated, train)))
    return METRICS[name].compute(context)


@pytest.mark.parametrize("case", CASES)
def test_authenticity_is_that_of_dgm_eval(case):
    train, _, generated = sets(case)
    assert 100 * authentic(generated, train).mean() == pytest.approx(VALUES[case]["authpct"], rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_data_copying_score_is_that_of_dgm_eval(case):
    train, held_out, generated = sets(case)
    assert ct_score(train, held_out, generated) == pytest.approx(VALUES[case]["ct"], abs=1e-9)
    assert ct_score(generated, held_out, train) == pytest.approx(VALUES[case]["ct_modified"], abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_likelihoods_are_those_of_the_authors(case):
    train, held_out, generated = sets(case)
    held_out, train, generated = standardised(held_out, train, generated)
    found = divergence(train, held_out, generated, baseline=0.0)
    assert found.fld == pytest.approx(VALUES[case]["hundred_nll"], rel=1e-5)
    assert found.gap == pytest.approx(VALUES[case]["gap"], abs=1e-3)
    half = fit(train[:150], train[150:]).negative_log_likelihood(held_out)
    assert 100 * half == pytest.approx(VALUES[case]["hundred_nll_of_half"], rel=1e-5)


def test_a_third_of_real_images_is_authentic_in_one_dimension():
    # Of the points of a Poisson process on a line, 2/3 are the nearest neighbour of their nearest neighbour.
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 9000)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    samples, train = circle[:200], circle[200:]  # few, so that they are hardly missed among the others
    deviation = np.sqrt(2 / 9 / len(samples))
    assert authentic(samples, train).mean() == pytest.approx(1 / 3, abs=3 * deviation)


def test_authenticity_of_points_on_a_line():
    train = np.array([[0.0], [10.0], [11.0], [30.0]])
    # 5.1 is nearest to 10, which is nearer to 11; 29 is nearest to 30, whose neighbours are all farther.
    np.testing.assert_array_equal(authentic(np.array([[5.1], [29.0], [10.0]]), train), [True, False, False])


def test_the_standard_score_counts_pairs():
    x, y = np.array([1.0, 4.0, 6.0]), np.array([2.0, 3.0, 5.0, 7.0])
    larger = sum(a > b for a in x for b in y)
    assert standard_score(x, y) == pytest.approx((larger - 5.5) / np.sqrt(12 * 8 / 12))


def test_cells_with_few_samples_are_left_out():
    rng = np.random.default_rng(0)
    points, cells = rng.normal(size=(90, 2)), np.repeat([0, 1, 2], 30)
    generated = rng.normal(size=(70, 2))
    few = np.repeat([0, 1, 2], [25, 25, 20])  # 20 are not enough
    expected = mean_score((points[:60], cells[:60]), (points[:60], cells[:60]), (generated[:50], few[:50]))
    assert mean_score((points, cells), (points, cells), (generated, few)) == expected
    assert mean_score((points, cells), (points, cells), (generated[50:], few[50:])) is None
    assert ct_score(points[:2], points, generated) is None


def test_the_likelihood_of_one_gaussian_has_a_closed_form():
    samples = np.random.default_rng(0).normal(size=(50, 3))
    mixture = fld_module.Mixture(np.zeros((1, 3)), np.log([2.0], dtype=np.float32))
    expected = np.mean(0.5 * (samples**2).sum(1) / 2 + 1.5 * np.log(2 * np.pi * 2)) / 3
    assert mixture.negative_log_likelihood(samples) == pytest.approx(expected, rel=1e-6)


def test_distances_that_are_not_kept_give_the_same_likelihoods(monkeypatch):
    train, _, generated = sets("alike")
    kept = fit(generated, train).log_variances
    monkeypatch.setattr(fld_module, "CACHED", 0)
    np.testing.assert_array_equal(fit(generated, train).log_variances, kept)


def test_constant_features_do_not_count():
    train, held_out, generated = sets("alike")
    wider = (np.concatenate([x, np.full((len(x), 1), 3.0)], axis=1) for x in (held_out, train, generated))
    for found, expected in zip(standardised(*wider), standardised(held_out, train, generated), strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(UserError, match="constant"):
        standardised(np.ones((30, 2)))


@pytest.mark.parametrize("name", ["authenticity", "ct_score", "fld"])
def test_a_copied_training_set_is_caught(name):
    train, held_out, other = sets("alike")
    found, real = scores(name, train, held_out, train.copy()), scores(name, train, held_out, other)
    match name:
        case "authenticity":
            assert found["authenticity"] == 0.0
            assert real["authenticity"] == pytest.approx(real["authenticity_held_out"], abs=0.1)
        case "ct_score":
            assert found["ct_score"] < -9 and found["ct_modified"] < -9
            assert abs(real["ct_score"]) < 3 and abs(real["ct_modified"]) < 3
            assert abs(found["ct_score_held_out"]) < 3
        case "fld":
            assert found["fld"] > 1000 and found["fld_gap"] < -1000
            assert abs(real["fld"]) < 15 and real["fld_gap"] > -50


def test_a_poor_generator_is_not_taken_for_one_that_copies():
    train, held_out, generated = sets("far")
    found = scores("ct_score", train, held_out, generated)
    assert found["ct_score"] > 3 and abs(found["ct_modified"]) < 3


def test_the_level_of_held_out_images_is_measured_on_as_many_images():
    train, held_out, generated = sets("alike")
    drawn = scores("authenticity", train, np.concatenate([held_out, train[:200]]), generated[:100])
    full = scores("authenticity", train, held_out, generated)
    assert full["authenticity_held_out"] == authentic(held_out, train).mean()
    assert drawn["authenticity_held_out"] * 100 == pytest.approx(round(drawn["authenticity_held_out"] * 100))


def test_training_images_are_needed():
    context = EvalContext(*map(ImageSet.of_features, sets("alike")[1:]))
    with pytest.raises(UserError, match="training images"):
        METRICS["authenticity"].compute(dataclasses.replace(context, train=None))
