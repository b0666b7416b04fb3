"""What encoders learn from, and what images are changed by."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from compare_gan.core.errors import UserError
from compare_gan.core.placement import Placement
from compare_gan.data import open_dataset
from compare_gan.features.encoder import EncoderOut, EncoderSpec
from compare_gan.nn.rngs import random_streams
from compare_gan.training.augment import Augmentation, random_color, random_crop, random_cutout
from compare_gan.training.encoder import ByClass, EncoderTraining, cross_entropy, moved, train_encoder
from compare_gan.training.objectives.fixmatch import FixMatch, MeanPrediction, align
from compare_gan.training.objectives.rotation import ByRotation
from compare_gan.training.objectives.s4l import S4L
from compare_gan.training.objectives.vicreg import Expander, VICReg
from compare_gan.training.schedule import TrainSchedule
from compare_gan.training.strong import RandAugment

PLAIN = EncoderTraining(batch_size=6, augmentation=Augmentation(max_shift=0))
STILL = dataclasses.replace(PLAIN, strong=RandAugment(operations=0, cutout=0.0))
KEY = jax.random.key(0)


def images(count=10, side=6, channels=3, seed=0):
    return np.random.default_rng(seed).random((count, side, side, channels)).astype(np.float32)


def corners(x):
    """An encoder whose logits are pixels, so that they tell what it was shown."""
    return EncoderOut(x.mean((1, 2)), 9 * x[:, 0, :4, 0], 9 * x[:, 0, :5, 1])


def nll(logits, targets):
    return -special.log_softmax(np.float64(logits), axis=1)[np.arange(len(targets)), targets]


def turned(x):
    return np.concatenate([np.rot90(x, k, (1, 2)) for k in range(4)])


def test_rotations_are_learned_from_all_four_turns_of_every_image():
    x = images()
    loss, metrics = ByRotation(PLAIN)(corners, None, x, None, KEY)
    views, turns = turned(x), np.repeat(np.arange(4), len(x))
    assert loss == pytest.approx(nll(corners(views).turns, turns).mean(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(np.mean(corners(views).turns.argmax(1) == turns))


def test_classes_are_learned_with_smoothed_labels():
    x, labels = images(), np.arange(10) % 5
    loss, _ = ByClass(dataclasses.replace(PLAIN, label_smoothing=0.2))(corners, None, x, labels, KEY)
    every = np.mean([nll(corners(x).classes, np.full(10, k)) for k in range(5)])
    assert loss == pytest.approx(0.8 * nll(corners(x).classes, labels).mean() + 0.2 * every, rel=1e-5)


@pytest.mark.parametrize("rotations", [False, True])
def test_s4l_asks_classes_of_the_few_and_rotations_of_all(rotations):
    x, labels = images(), np.array([3, 1, 4, 1, 0, 0, 0, 0, 0, 0])
    loss, _ = S4L(PLAIN, 4, rotation_weight=0.5, class_rotations=rotations)(corners, None, x, labels, KEY)
    few, others = x[:4], x[4:]
    shown, asked = (turned(few), np.tile(labels[:4], 4)) if rotations else (few, labels[:4])
    told = turned(x) if rotations else turned(others)
    expected = nll(corners(shown).classes, asked).mean()
    expected += 0.5 * nll(corners(told).turns, np.repeat(np.arange(4), len(told) // 4)).mean()
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "objective",
    [S4L(PLAIN, 4), S4L(PLAIN, 4, class_rotations=True, pseudo_weight=1.0), FixMatch(STILL, 4, 5 * (0.2,))],
)
def test_labels_of_the_others_are_ignored(objective):
    x, labels = images(), np.arange(10) % 5
    others = [np.where(np.arange(10) < 4, labels, k) for k in (-1, 0, 3)]
    assert len({float(objective(corners, MeanPrediction(5), x, each, KEY)[0]) for each in others}) == 1


def test_pseudo_labels_are_those_that_the_encoder_is_sure_of():
    x, labels = images(), np.zeros(10, int)
    sure = special.softmax(corners(x[4:]).classes, axis=1).max(1)
    limit = float(np.sort(sure)[2:4].mean())
    with_them = S4L(PLAIN, 4, 0.0, pseudo_weight=2.0, pseudo_confidence=limit)
    loss, metrics = with_them(corners, None, x, labels, KEY)
    own = nll(corners(x[4:]).classes, corners(x[4:]).classes.argmax(1))
    expected = nll(corners(x[:4]).classes, labels[:4]).mean() + 2 * np.sum(own[sure >= limit]) / 6
    assert loss == pytest.approx(expected, rel=1e-5)
    assert metrics["pseudo/share"] == pytest.approx(0.5)


def test_vicreg_is_the_formula_of_the_paper():
    a, b = np.random.default_rng(0).standard_normal((2, 6, 5))
    b = 0.3 * a + 0.1 * b + 2
    objective = VICReg(STILL, least_area=1.0)

    def embed(features):  # the embeddings of the first and of the second views
        assert features.shape == (12, 3)
        return jnp.concatenate([a, b])

    loss, metrics = objective(corners, embed, images(6), None, KEY)
    covariances = [np.cov(z.T) for z in (a, b)]
    shortfall = [np.maximum(0, 1 - np.sqrt(np.diag(c) + 1e-4)).mean() for c in covariances]
    assert 0 < shortfall[0] < shortfall[1]
    off_diagonal = sum(np.sum(c**2) - np.sum(np.diag(c) ** 2) for c in covariances) / 5
    assert metrics["loss/invariance"] == pytest.approx(np.mean((a - b) ** 2), rel=1e-5)
    assert metrics["loss/variance"] == pytest.approx(np.mean(shortfall), rel=1e-5)
    assert metrics["loss/covariance"] == pytest.approx(off_diagonal, rel=1e-5)
    expected = 25 * np.mean((a - b) ** 2) + 25 * np.mean(shortfall) + off_diagonal
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_vicreg_embeds_two_views_of_each_image():
    shown = []

    def encoder(x):
        shown.append(x)
        return corners(x)

    x = images(6, side=8)
    VICReg(PLAIN)(encoder, Expander(3, 8, random_streams(0)), x, None, KEY)
    assert shown[0].shape == (12, 8, 8, 3) and not np.allclose(shown[0][:6], shown[0][6:])


@pytest.mark.parametrize("rotation_weight", [0.0, 0.5])
def test_fixmatch_is_the_formula_of_the_paper(rotation_weight):
    """Without augmentation a pseudo-label and the prediction that it trains are of the same image."""
    x, labels = images(), np.array([3, 1, 4, 1, 0, 0, 0, 0, 0, 0])
    shares, mean = (0.1, 0.1, 0.2, 0.2, 0.4), MeanPrediction(5)
    p = special.softmax(np.float64(corners(x[4:]).classes), axis=1)
    aligned = p * np.array(shares) / 0.2
    aligned /= aligned.sum(1, keepdims=True)
    limit = float(np.sort(aligned.max(1))[2:4].mean())
    objective = FixMatch(STILL, 4, shares, rotation_weight, pseudo_weight=2.0, confidence=limit)
    loss, metrics = objective(corners, mean, x, labels, KEY)
    sure = aligned.max(1) >= limit
    pseudo = np.sum(sure * nll(corners(x[4:]).classes, aligned.argmax(1))) / 6
    expected = nll(corners(x[:4]).classes, labels[:4]).mean() + 2 * pseudo
    turns = np.concatenate([np.rot90(x[4 + k :: 4], k, (1, 2)) for k in range(4)])
    expected += rotation_weight * nll(corners(turns).turns, [0, 0, 1, 1, 2, 3]).mean()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert metrics["pseudo/share"] == pytest.approx(0.5)
    np.testing.assert_allclose(mean.mean[...], 127 / 128 / 5 + p.mean(0) / 128, rtol=1e-5)


def test_fixmatch_sees_pseudo_labels_strongly_augmented():
    """Strongly augmented copies are inverted here, so an encoder that is sure of an image is wrong then."""
    x = np.concatenate([np.zeros((5, 6, 6, 1)), np.ones((5, 6, 6, 1))]).astype(np.float32)

    def brightness(x):
        logit = 20 * x.mean((1, 2)) - 10
        return EncoderOut(logit, logit, jnp.concatenate([-logit, logit], 1))

    def inverted(rng, images):
        return 1 - images

    objective = FixMatch(dataclasses.replace(PLAIN, strong=inverted), 4, (0.5, 0.5), 0.0)
    _, metrics = objective(brightness, MeanPrediction(2), x, np.zeros(10, int), KEY)
    assert metrics["pseudo/share"] == 1 and metrics["loss/pseudo"] == pytest.approx(20)


def test_predictions_are_aligned_with_the_shares():
    """A prediction that equals the mean becomes the shares."""
    rng = np.random.default_rng(0)
    p, shares, mean = rng.dirichlet(np.ones(4), 6), np.array([0.4, 0.3, 0.3, 0.0]), rng.dirichlet(np.ones(4))
    expected = np.stack([row * shares / mean / np.sum(row * shares / mean) for row in p])
    np.testing.assert_allclose(align(p, shares, mean), expected, rtol=1e-5)
    np.testing.assert_allclose(align(mean[None], shares, mean)[0], shares, rtol=1e-5)
    assert (np.asarray(align(p, shares, mean))[:, 3] == 0).all()


def test_cross_entropy_of_scipy():
    logits, targets = np.random.default_rng(0).standard_normal((7, 3)), np.arange(7) % 3
    loss, accuracy = cross_entropy(jnp.asarray(logits), targets)
    assert loss == pytest.approx(nll(logits, targets).mean(), rel=1e-5)
    assert accuracy == pytest.approx(np.mean(logits.argmax(1) == targets))


def test_the_moving_average_is_that_of_numpy():
    values = np.random.default_rng(0).random((30, 4)).astype(np.float32)
    average = expected = values[0]
    for step, value in enumerate(values):
        decay = min(0.7, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        average = moved(average, value, 0.7, step)
    np.testing.assert_allclose(average, expected, rtol=1e-5)


@pytest.mark.slow
def test_an_encoder_starts_from_the_weights_of_another(tmp_path):
    split = open_dataset("blobs").train
    spec = EncoderSpec((8, 8, 3), ("a", "b", "c", "d"), width=4)
    options = dict(training=dataclasses.replace(PLAIN, learning_rate=0.0), seed=0)
    first = train_encoder(
        "a", spec, split, ByClass(PLAIN), run_dir=tmp_path / "a", schedule=TrainSchedule(2), **options
    )
    options["seed"] = 1
    for start, same in ((first.net, True), (None, False)):
        folder = tmp_path / str(same)
        again = train_encoder(
            "b",
            spec,
            split,
            ByClass(PLAIN),
            run_dir=folder,
            schedule=TrainSchedule(2),
            start=start,
            **options,
        )
        pairs = zip(*map(jax.tree.leaves, (first.net.params, again.net.params)), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) == same
    other = dataclasses.replace(split, labels=(split.labels + 1) % 4)
    changes = (
        (split, {"seed": 2}, "seed 0, not 2"),
        (other, {}, "other labels"),
        (split, {"precision": "bfloat16"}, "precision float32, not bfloat16"),
    )
    for images, change, words in changes:
        with pytest.raises(UserError, match=f"a: was created from other inputs .{words}"):
            train_encoder(
                "c",
                spec,
                images,
                ByClass(PLAIN),
                run_dir=tmp_path / "a",
                schedule=TrainSchedule(2),
                **(options | {"seed": 0} | change),
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fixmatch", "vicreg"])
def test_a_stopped_training_resumes_bit_exactly(name, tmp_path, monkeypatch):
    """Its checkpoints hold the moving averages, and the head of the objective."""
    split = open_dataset("blobs").train
    training = dataclasses.replace(PLAIN, average_decay=0.9, augmentation=Augmentation())
    spec, labelled = EncoderSpec((8, 8, 3), ("a", "b", "c", "d"), width=4), 4 if name == "fixmatch" else 0
    objective = FixMatch(training, 4, 4 * (0.25,)) if labelled else VICReg(training, width=8)
    schedule = TrainSchedule(6, log_every=2, save_every=3)

    def train(folder):
        options = dict(training=training, schedule=schedule, seed=0, labelled=labelled)
        return train_encoder(name, spec, split, objective, run_dir=tmp_path / folder, **options).net

    whole, put, calls = train("whole"), Placement.make_global, []

    def dies(self, batches):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("killed")
        return put(self, batches)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(Placement, "make_global", dies)
        train("parts")
    jax.tree.map(np.testing.assert_array_equal, train("parts"), whole)


def test_nothing_is_changed_unless_asked():
    x = images()
    np.testing.assert_array_equal(Augmentation(max_shift=0)(KEY, x), x)


def test_half_of_the_images_are_mirrored():
    x = images(200)
    found = np.asarray(Augmentation(max_shift=0, mirror=True)(KEY, x))
    mirrored = (found == x[:, :, ::-1]).all((1, 2, 3))
    assert 70 < mirrored.sum() < 130 and ((found == x).all((1, 2, 3)) ^ mirrored).all()


def test_a_crop_is_a_part_of_the_image_enlarged():
    """Of an image that is linear in its coordinates any crop, enlarged, is linear with a smaller slope."""
    side, area = 16, 0.25
    y, x = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    picture = np.repeat(((2 * y + x) / 48)[None, ..., None], 50, axis=0).astype(np.float32)
    found = np.asarray(random_crop(KEY, picture, area))[:, 2:-2, 2:-2, 0]  # the rim has no neighbours
    down, right = np.diff(found, axis=1), np.diff(found, axis=2)
    np.testing.assert_allclose(down, 2 * np.broadcast_to(right[:, :1, :1], down.shape), atol=1e-4)
    zoom = 1 / 48 / right[:, 0, 0]
    assert 1 <= zoom.min() and zoom.max() <= area**-0.5 + 1e-3 and np.ptp(zoom) > 0.5
    assert found.min() >= 0 and found.max() <= picture.max() and np.ptp(found[:, 0, 0]) > 0.2


def test_colours_change_image_by_image():
    x = 0.4 + 0.2 * images(100)
    found = np.asarray(random_color(KEY, x, 0.3))
    means = found.mean((1, 2, 3)) / x.mean((1, 2, 3))
    assert 0.7 <= means.min() < 0.8 and 1.2 < means.max() <= 1.3
    grey = np.repeat(x[..., :1], 3, axis=3)
    np.testing.assert_allclose(np.ptp(random_color(KEY, grey, 0.3), axis=3), 0, atol=1e-6)


def test_a_hole_is_a_grey_square():
    found = np.asarray(random_cutout(KEY, np.ones((300, 8, 8, 3), np.float32), 3))
    holes = (found == 0.5).all(3)
    assert ((found == 1).all(3) | holes).all()
    rows, columns = holes.any(2).sum(1), holes.any(1).sum(1)
    np.testing.assert_array_equal(holes.sum((1, 2)), rows * columns)
    assert rows.max() == columns.max() == 3 and rows.min() == 2
    assert holes.any(0).all()


@pytest.mark.parametrize("change", [{"least_area": 0.0}, {"max_shift": -1}, {"cutout": -1}, {"color": -0.1}])
def test_augmentations_that_make_no_sense_are_refused(change):
    with pytest.raises(UserError, match="must not be negative|must be in"):
        Augmentation(**change)


@pytest.mark.parametrize("change", [{"batch_size": 0}, {"label_smoothing": 1.0}])
def test_training_that_makes_no_sense_is_refused(change):
    with pytest.raises(UserError, match="at least 1|must be in"):
        EncoderTraining(**change)
