"""Scoring checkpoints: the images, the selection of checkpoints, and images with NaN or Inf."""

import dataclasses
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data import Split
from compare_gan.evaluation.evaluate import (
    EvalSettings,
    check_settings,
    evaluate,
    generator_of,
    in_shares,
    protocol_columns,
    real_scores,
)
from compare_gan.evaluation.scores import differences, fingerprint, read_scores
from compare_gan.evaluation.sets import cached_features
from compare_gan.evaluation.sources import Source, read_features, score_features, score_images
from compare_gan.evaluation.steps import Evaluation, poll_steps, select_steps
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.gans.inference import sample, sampler_of
from compare_gan.gans.sampling import uniform
from compare_gan.gans.standing import prepare_for_inference
from compare_gan.metrics.frechet import frechet_distance
from compare_gan.metrics.intra_fid import intra_class_distances
from compare_gan.training.checkpoints import Checkpoints
from tests.evaluation.scored import scores
from tests.training.tiny import BASE, CONDITIONAL, blobs


class Means:
    """An extractor: the mean of each channel of each half; and of the brightest corner."""

    name, sha256, class_names = "means", "0", tuple(blobs().class_names)

    def __init__(self):
        self.asked = []

    def __call__(self, images, batch_size=None):
        images = np.asarray(images[:], np.float64)
        self.asked.append(len(images))
        corners = images.reshape(len(images), 2, 4, 2, 4, 3).mean((2, 4, 5)).reshape(-1, 4)
        return FeaturesAndClasses(images.reshape(len(images), 2, 32, 3).mean(2).reshape(-1, 6), corners)


@pytest.fixture(scope="module")
def state():
    return jax.jit(CONDITIONAL.init)(jax.random.key(0))


def draw(state, count, seed):
    """What `Run.sample` draws, and labels."""
    return sampler_of(CONDITIONAL, prepare_for_inference(CONDITIONAL, state)).images(count, seed)


def test_classes_alternate_and_latent_vectors_depend_on_seed_and_index(state):
    images, labels = draw(state, 10, seed=3)
    assert labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert images.shape == (10, 8, 8, 3) and images.dtype == np.uint8
    keys = [jax.random.fold_in(jax.random.key(3), i) for i in range(10)]
    z = np.stack([CONDITIONAL.prior(key, (CONDITIONAL.z_dim,)) for key in keys])
    direct = np.asarray(sample(CONDITIONAL, state, z, jax.nn.one_hot(labels, 4)))
    np.testing.assert_allclose(images / 255, direct, atol=0.51 / 255)


def test_invalid_settings_are_refused():
    with pytest.raises(UserError, match="did you mean 'frechet_distance'"):
        EvalSettings(metrics=("frechet_distanc",))
    for wrong in ({"seed": -1}, {"seed": 2**32 - 1, "runs": 2}):
        with pytest.raises(UserError, match="--eval_seed is"):
            dataclasses.replace(EvalSettings(), **wrong)
    for wrong in ({"images": 1}, {"runs": 0}):
        with pytest.raises(UserError, match="too few"):
            dataclasses.replace(EvalSettings(), **wrong)


SETTINGS = EvalSettings(images=60, metrics=("class_agreement", "frechet_distance"))


def test_scores_are_those_of_the_seeded_images(state):
    row = evaluate(CONDITIONAL, state, blobs(), Means(), SETTINGS)
    images, labels = draw(state, 60, 42)
    fake, real = Means()(images), Means()(blobs().test.images)
    moments = [x for seen in (real, fake) for x in (seen.features.mean(0), np.cov(seen.features.T))]
    assert row["frechet_distance"] == pytest.approx(frechet_distance(*moments))
    assert row["class_agreement"] == np.mean(fake.classes.argmax(1) == labels)
    assert (row["step"], row["real_images"], row["generated_images"]) == (0, len(blobs().test), 60)


def test_runs_differ_and_the_first_equals_a_single_run(state):
    extractor = Means()
    one = evaluate(CONDITIONAL, state, blobs(), extractor, SETTINGS)
    three = evaluate(CONDITIONAL, state, blobs(), extractor, dataclasses.replace(SETTINGS, runs=3))
    values = [float(word) for word in three["frechet_distance_list"].split("_")]
    assert values[0] == one["frechet_distance"] and len(set(values)) == 3
    assert three["frechet_distance_mean"] == pytest.approx(np.mean(values))
    assert three["frechet_distance_std"] == pytest.approx(np.std(values))


def test_truncated_latent_vectors_are_scored_and_change_the_protocol(state):
    seen = []

    class Seen(Means):
        def __call__(self, images, batch_size=None):
            seen.append(np.asarray(images[:]))
            return super().__call__(images)

    settings = dataclasses.replace(SETTINGS, truncation=0.5)
    row = evaluate(CONDITIONAL, state, blobs(), Seen(), settings)
    sampler = sampler_of(CONDITIONAL, prepare_for_inference(CONDITIONAL, state))
    images, _ = sampler.images(60, 42, truncation=0.5)
    assert any(np.array_equal(images, each) for each in seen)
    full = evaluate(CONDITIONAL, state, blobs(), Means(), SETTINGS)
    assert row["frechet_distance"] != full["frechet_distance"]
    assert row["truncation"] == 0.5 and full["truncation"] is None and fingerprint(row) != fingerprint(full)
    z, _ = generator_of(CONDITIONAL, state, 0.5).inputs(jax.random.key(0), 100)
    assert np.abs(z).max() <= 0.5
    flat = dataclasses.replace(CONDITIONAL, prior=uniform)
    with pytest.raises(UserError, match="needs a Gaussian prior"):
        check_settings(settings, flat, blobs(), Means())


def test_labels_are_in_the_training_shares_if_the_gan_was_trained_so(state):
    labels = np.repeat([0, 1, 2, -1], [30, 20, 10, 40])
    data = blobs()
    train = Split(np.resize(data.train.images, (100, 8, 8, 3)), labels)
    skewed = dataclasses.replace(data, train=train)
    fitted = dataclasses.replace(CONDITIONAL, fit_label_distribution=True)
    rows = [evaluate(gan, state, skewed, Means(), SETTINGS) for gan in (CONDITIONAL, fitted)]
    assert [row["labels_drawn"] for row in rows] == ["evenly", "in the training shares"]
    assert fingerprint(rows[0]) != fingerprint(rows[1]) and not differences(rows)
    drawn = in_shares(np.array([30, 20, 10, 0]), 60)
    images, _ = sampler_of(fitted, prepare_for_inference(fitted, state)).images(60, 42, drawn)
    assert rows[1]["class_agreement"] == np.mean(Means()(images).classes.argmax(1) == drawn)
    unlabelled = dataclasses.replace(data, train=Split(train.images, np.full(100, -1)))
    assert evaluate(fitted, state, unlabelled, Means(), SETTINGS)["frechet_distance"] > 0


def test_shares_are_exact_to_one_image_and_mixed():
    for frequencies in ([3, 2, 1], [1, 1, 1], [0, 5, 2, 2]):
        exact = 100 * np.array(frequencies) / sum(frequencies)
        drawn = in_shares(np.array(frequencies), 100)
        assert len(drawn) == 100
        assert np.abs(np.bincount(drawn, minlength=len(frequencies)) - exact).max() < 1
        half = np.bincount(drawn[:50], minlength=len(frequencies))
        assert np.abs(half - exact / 2).max() <= 1.5


def test_nan_images_get_a_special_score_and_evaluation_continues(tmp_path, state, caplog):
    spoiled = jax.tree.map(lambda x: x, state)
    spoiled = dataclasses.replace(
        spoiled, g_ema=jax.tree.map(lambda x: x * jnp.nan, state.g_ema), step=jnp.int32(5)
    )
    checkpoints = Checkpoints(tmp_path, None)
    for each, step in ((spoiled, 5), (state, 10)):
        checkpoints.save(step, dataclasses.replace(each, step=jnp.int32(step)))
    checkpoints.wait()
    with caplog.at_level(logging.WARNING):
        steps = select_steps(tmp_path, "all")
        evaluation = Evaluation(tmp_path, CONDITIONAL, state, blobs(), Means(), SETTINGS)
        found = list(evaluation.score(steps))
    assert [row["step"] for row in found] == steps == [5, 10]
    assert found[0]["frechet_distance"] == found[0]["class_agreement"] == 31337
    assert (
        found[1]["frechet_distance"] < 31337 and "step 5: generated images contain NaN or Inf" in caplog.text
    )
    again = list(evaluation.score(steps))
    assert not again and [row["step"] for row in read_scores(tmp_path)] == ["5", "10"]


def test_step_selection(tmp_path):
    checkpoints = Checkpoints(tmp_path, 2)
    state = {"x": jnp.zeros(1)}
    with pytest.raises(UserError, match="no checkpoint in .*; train it first"):
        select_steps(tmp_path)
    checkpoints.save(10, state)
    checkpoints.mark_best(10, 0.5)
    for step in (20, 25, 35):
        checkpoints.save(step, state)
    assert checkpoints.steps() == [10, 25, 35]  # the best, and the two newest
    assert select_steps(tmp_path) == [35] and select_steps(tmp_path, "best") == [10]
    assert select_steps(tmp_path, "all") == [10, 25, 35] and select_steps(tmp_path, "all", 10) == [10, 35]
    assert select_steps(tmp_path, "25,10") == [25, 10]
    for wrong, words in (("20", "no checkpoint of step 20; there are 10, 25, 35"), ("newest", "give latest")):
        with pytest.raises(UserError, match=words):
            select_steps(tmp_path, wrong)


def test_new_checkpoints_are_polled(tmp_path):
    checkpoints, waits = Checkpoints(tmp_path, None), []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            checkpoints.save(10, {"x": jnp.zeros(1)})
            checkpoints.save(15, {"x": jnp.zeros(1)})
            checkpoints.wait()
        if len(waits) == 4:
            checkpoints.save(18, {"x": jnp.zeros(1)})
            checkpoints.wait()
            (tmp_path / "TRAIN_DONE").touch()

    assert list(poll_steps(tmp_path, 5, wait)) == [10, 15, 18]
    assert len(waits) == 4


def test_polling_times_out(tmp_path):
    with pytest.raises(UserError, match="no new checkpoint in 1 hours; is training still running"):
        list(poll_steps(tmp_path, wait=lambda seconds: None, timeout_s=3600))


def test_features_of_real_images_are_cached(tmp_path):
    split, extractor = blobs().test, Means()
    first = cached_features(split, extractor, tmp_path)
    assert extractor.asked == [64]
    second = cached_features(split, extractor, tmp_path)
    assert extractor.asked == [64]
    np.testing.assert_array_equal(first.outputs.features, second.outputs.features)
    np.testing.assert_array_equal(second.summary.moments.mean, Means()(split.images).features.mean(0))
    other = Split(split.images[::-1].copy(), split.labels)
    cached_features(other, extractor, tmp_path)
    assert extractor.asked == [64, 64] and len(list(tmp_path.iterdir())) == 2
    (next(tmp_path.glob("*/features.npy"))).write_bytes(b"junk")
    for each in (split, other):
        cached_features(each, extractor, tmp_path)
    assert extractor.asked == [64, 64, 64]


def test_cached_features_that_have_changed_are_extracted_again(tmp_path, caplog):
    split, extractor = blobs().test, Means()
    first = cached_features(split, extractor, tmp_path).outputs.features.copy()
    path = next(tmp_path.glob("*/features.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    again = cached_features(split, extractor, tmp_path)
    np.testing.assert_array_equal(again.outputs.features, first)
    assert extractor.asked == [64, 64] and "have changed since they were written" in caplog.text
    cached_features(split, extractor, tmp_path)
    assert extractor.asked == [64, 64]


def test_features_from_files(tmp_path):
    rng = np.random.default_rng(0)
    fake, real = rng.normal(size=(50, 4)), rng.normal(1, 2, size=(70, 4))
    np.save(tmp_path / "a.npy", fake)
    np.savez(tmp_path / "b.npz", features=real.astype(np.float32), other=np.zeros(3))
    found = [read_features(tmp_path / name) for name in ("a.npy", "b.npz")]
    scores = score_features(*found, ["fid_score", "kid_score"])
    expected = frechet_distance(real.mean(0), np.cov(real.T), fake.mean(0), np.cov(fake.T))
    assert scores["fid_score"] == pytest.approx(expected, rel=1e-5)
    assert (scores["generated_images"], scores["real_images"]) == (50, 70)
    with pytest.raises(UserError, match="ms_ssim needs images"):
        score_features(*found, ["ms_ssim"])
    with pytest.raises(UserError, match="4 features .* are incompatible with 3"):
        score_features(fake, real[:, :3], ["fid_score"])


@pytest.mark.parametrize(
    "array, words",
    [
        (np.zeros(3), "expected features"),
        (np.full((3, 2), np.nan), "NaN or Inf"),
        (np.array(["a", "b"]), "expected features"),
        (np.array([[None]]), "cannot be read"),
    ],
)
def test_files_without_features(tmp_path, array, words):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(UserError, match=f"x.npy: .*{words}") as error:
        read_features(tmp_path / "x.npy")
    assert "\n" not in str(error.value)


def test_images_against_images():
    source = Source("blobs", "test", blobs().test, blobs().class_names)
    row = score_images(source, source, Means(), ["frechet_distance"])
    assert row["frechet_distance"] < 1e-6 and row["generated_images"] == row["real_images"] == 64
    with pytest.raises(UserError, match="needs a generator"):
        score_images(source, source, Means(), ["jacobian_conditioning"])


def test_every_metric_can_be_computed_for_a_gan(state):
    """Each needs only inputs that evaluation provides; values are tested elsewhere."""
    settings = EvalSettings(
        images=40, metrics=("fid_score", "kid_score", "inception_score", "discriminator_accuracy", "prdc")
    )
    row = evaluate(CONDITIONAL, state, blobs(), Means(), settings)
    assert all(np.isfinite(row[name]) for name in ("kid_score", "train_accuracy", "coverage"))
    unconditional = jax.jit(BASE.init)(jax.random.key(0))
    assert evaluate(BASE, unconditional, blobs(), Means(), SETTINGS)["class_agreement"] is None


class Nameless(Means):
    """The same features, and no classes."""

    class_names = ()

    def __call__(self, images, batch_size=None):
        return super().__call__(images)._replace(classes=np.zeros((len(images), 0)))


def test_labels_are_used_regardless_of_the_classes_of_the_extractor(state):
    """Test images have the classes of the GAN, possibly with different indices."""
    metrics = ("intra_fid_score", "class_agreement", "inception_score")
    settings = EvalSettings(images=60, metrics=metrics)
    row = evaluate(CONDITIONAL, state, blobs(), Nameless(), settings)
    assert row["class_agreement"] is None and row["inception_score"] is None
    images, labels = draw(state, 60, 42)
    fake, real = Means()(images).features, Means()(blobs().test.images).features
    by_class = intra_class_distances(real, blobs().test.labels, fake, labels)
    assert row["intra_fid_score"] == pytest.approx(np.mean([*by_class.values()]))
    names = blobs().class_names
    turned = dataclasses.replace(
        blobs(), test=Split(blobs().test.images, 3 - blobs().test.labels), test_class_names=names[::-1]
    )
    again = evaluate(CONDITIONAL, state, turned, Nameless(), settings)
    assert again["intra_fid_score"] == row["intra_fid_score"]
    clusters = blobs().with_labels(blobs().train.labels, tuple(f"cluster {i}" for i in range(4)))
    assert evaluate(CONDITIONAL, state, clusters, Means(), settings)["intra_fid_score"] is None


def test_the_row_depends_on_test_labels_and_not_on_training_labels():
    def digest(dataset):
        return protocol_columns(CONDITIONAL, dataset, Means(), SETTINGS)["labels_sha256"]

    test = blobs().test
    other = dataclasses.replace(blobs(), test=Split(test.images, np.roll(test.labels, 1)))
    relabelled = blobs().with_labels(np.zeros(256, np.int32), ("all",))
    assert digest(other) != digest(blobs()) == digest(relabelled)


def test_real_training_images_are_scored_like_generated_ones():
    metrics = ("frechet_distance", "class_agreement", "prdc", "discriminator_accuracy")
    found = real_scores(blobs(), Means(), EvalSettings(metrics=metrics))
    assert (found["real_images"], found["train_images"]) == (64, 256)
    seen = [Means()(split.images).features for split in (blobs().test, blobs().train)]
    moments = [x for features in seen for x in (features.mean(0), np.cov(features.T))]
    assert found["frechet_distance"] == pytest.approx(frechet_distance(*moments))
    assert found["class_agreement"] == 1 and found["coverage"] > 0.8 and found["test_accuracy"] is None
    assert real_scores(blobs(), Means(), EvalSettings(images=50, metrics=metrics))["train_images"] == 50


def test_too_few_images_are_reported_before_generation(state):
    with pytest.raises(UserError, match="prd needs 20 real and 20 generated images, but one set has 8"):
        evaluate(CONDITIONAL, None, blobs(), Means(), EvalSettings(images=8, metrics=("fid_score", "prd")))


@pytest.mark.slow
def test_eight_devices_give_the_scores_of_one():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-m", "tests.evaluation.scored"],
        env=os.environ | {"XLA_FLAGS": flags},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("devices") == 8
    alone = scores()
    assert found.keys() == alone.keys() and len(alone) > 3
    for name, value in alone.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, err_msg=name)
