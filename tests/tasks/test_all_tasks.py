"""What holds for every auxiliary task that is registered, and what the two that there are compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import log_softmax, softmax

import compare_gan.tasks  # noqa: F401  registers
from compare_gan.core.augmentation import DIFFAUGMENT
from compare_gan.core.errors import UserError
from compare_gan.core.registry import TASKS
from compare_gan.core.types import DiscriminatorOut, Labeled, Origin, SideOutputs
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.options import Layers, Weights
from compare_gan.tasks.minibatch_std import MinibatchStd
from compare_gan.tasks.projection import Projection, is_labelled
from compare_gan.tasks.rotation import Rotation

BATCH, FEATURES, CLASSES = 6, 5, 3
NEEDED = {
    "Rotation": dict(num_images=2),
    "Projection": dict(use_predictor=True),
    "LabelAugmentation": dict(num_images=2),
    "MinibatchStd": dict(group_size=6),
    "Transition": dict(steps=9),
}
LAYERS = Layers(weights=Weights(stddev=0.5))


def draw(seed, *shape):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def labelled_images(seed=0):
    images = np.random.RandomState(seed).uniform(size=(BATCH, 4, 4, 3)).astype(np.float32)
    return Labeled(jnp.asarray(images), jax.nn.one_hot(jnp.array([0, 2, -1, 1, -1, 2]), CLASSES))


def with_origin(task, x):
    """As a step gives it to tasks with `uses_origin`."""
    others = {task.name: 0.5 * x.images}
    parameters = {name: jnp.full((BATCH, size), 0.25) for name, size in DIFFAUGMENT.items()}
    return Labeled(x.images, x.y, others, Origin(jnp.ones((BATCH, 20)), x.images, others, parameters))


def head_of(task, spectral_norm=False):
    return task.make_head(LayerFactory(LAYERS, nnx.Rngs(0), spectral_norm), FEATURES, CLASSES)


def scored(task, head, images, y, train=True):
    features = images.reshape(len(images), -1)[:, :FEATURES]
    predicted = {"class": features[:, :CLASSES]}  # as if by another task
    return task.score(head, DiscriminatorOut(features.sum(1), features, predicted), y, train)


@pytest.mark.parametrize("name", list(TASKS))
def test_a_task_is_a_value(name):
    make = TASKS[name]
    assert make(**NEEDED.get(name, {})) == make(**NEEDED.get(name, {}))
    assert hash(make(**NEEDED.get(name, {}))) is not None


@pytest.mark.parametrize("name", list(TASKS))
def test_scores_keep_the_order_of_the_batch(name):
    task, x, order = TASKS[name](**NEEDED.get(name, {})), labelled_images(), np.array([3, 1, 5, 0, 2, 4])
    head = head_of(task)
    plain, shuffled = scored(task, head, *x[:2]), scored(task, head, x.images[order], x.y[order])
    for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(shuffled), strict=True):
        assert len(one) == BATCH
        np.testing.assert_allclose(np.asarray(one)[order], two, atol=1e-6)


@pytest.mark.parametrize("name", list(TASKS))
def test_losses_are_finite_and_images_stay_as_they_are(name):
    task, x = TASKS[name](**NEEDED.get(name, {})), labelled_images()
    before, head = np.asarray(x.images).copy(), head_of(task, spectral_norm=True)

    def seen(side, name):
        keys = jax.random.split(jax.random.key(0), BATCH) if task.random else None
        side = with_origin(task, side)
        views = task.extra_views(side, name, keys)
        assert views is None or len(views.images) == len(views.y)
        return SideOutputs(
            scored(task, head, *side[:2]),
            None if views is None else scored(task, head, *views[:2]),
            side.origin,
        )

    pair, metrics = task.loss(seen(x, "real"), seen(labelled_images(1), "fake"), x.y, x.y)
    assert all(np.isfinite(value) and value.shape == () for value in (*pair, *metrics.values()))
    np.testing.assert_array_equal(x.images, before)


def test_rotation():
    task, x = Rotation(2, d_weight=3.0, g_weight=0.5), labelled_images()
    views = task.extra_views(x, "real", None)
    expected = np.concatenate([np.rot90(x.images[-2:], k, (1, 2)) for k in (1, 2, 3)])
    np.testing.assert_array_equal(views.images, expected)
    np.testing.assert_array_equal(views.y, np.concatenate([x.y[-2:]] * 3))
    assert task.extra_views(Labeled(x.images, None), "real", None).y is None

    head, sides = head_of(task), []
    for seed in (0, 1):
        side = labelled_images(seed)
        views = task.extra_views(side, "fake", None)
        sides.append(SideOutputs(scored(task, head, *side[:2]), scored(task, head, *views[:2])))
    pair, metrics = task.loss(*sides, None, None)

    def entropy(side):
        logits = np.concatenate([side.batch.aux["rotation"][-2:], side.task_views.aux["rotation"]])
        right = np.arange(8), np.repeat(np.arange(4), 2)
        return -log_softmax(logits.astype(np.float64), 1)[right].mean(), (logits.argmax(1) == right[1]).mean()

    assert float(pair.d) == pytest.approx(3 * entropy(sides[0])[0], rel=1e-5)
    assert float(pair.g) == pytest.approx(0.5 * entropy(sides[1])[0], rel=1e-5)
    assert float(metrics["accuracy/rotation"]) == pytest.approx(entropy(sides[0])[1])


@pytest.mark.parametrize("soft", [False, True])
def test_projection_fills_in_missing_labels(soft):
    task, x = Projection(True, True, soft, class_weight=2.0), labelled_images()
    head = head_of(task)
    out = scored(task, head, *x[:2])
    features = np.asarray(x.images.reshape(BATCH, -1)[:, :FEATURES], np.float64)
    guess = features @ np.asarray(head.predictor.kernel[...], np.float64)
    filled = softmax(guess, 1) if soft else np.eye(CLASSES)[guess.argmax(1)]
    y = np.where(np.asarray(x.y).sum(1, keepdims=True) > 0.5, x.y, filled)
    projected = ((y @ np.asarray(head.projection.kernel[...], np.float64)) * features).sum(1)
    np.testing.assert_allclose(out.logits, features.sum(1) + projected, atol=1e-5)
    np.testing.assert_allclose(out.aux["class"], guess, atol=1e-5)

    pair, metrics = task.loss(SideOutputs(out, None), SideOutputs(out, None), x.y, None)
    labelled = np.array([0, 1, 3, 5])
    entropy = -(log_softmax(guess, 1) * np.asarray(x.y)).sum(1)[labelled].mean()
    assert float(pair.d) == pytest.approx(2 * entropy, rel=1e-5)
    assert float(pair.g) == 0
    assert float(metrics["label_frac"]) == pytest.approx(4 / 6)


def test_the_guess_is_not_trained_by_the_logits():
    task, x = Projection(True, True, True), labelled_images()
    head = head_of(task)
    definition, state = nnx.split(head)
    gradient = jax.grad(lambda s: scored(task, nnx.merge(definition, s), *x[:2]).logits.sum())(state)
    assert not np.any(gradient["predictor"]["kernel"][...])
    assert np.any(gradient["projection"]["kernel"][...])


def test_without_labels_there_is_no_class_loss():
    task, x = Projection(False, True), labelled_images()
    head, nobody = head_of(task), jnp.zeros((BATCH, CLASSES))
    assert head.projection is None
    out = scored(task, head, x.images, nobody)
    pair, _ = task.loss(SideOutputs(out, None), SideOutputs(out, None), nobody, None)
    assert float(pair.d) == 0
    np.testing.assert_array_equal(out.logits, scored(task, head, *x[:2]).logits)


def test_a_row_counts_as_labelled_above_one_half():
    assert is_labelled(jnp.array([[0.3, 0.2], [0.3, 0.21], [0.0, 1.0]])).tolist() == [False, True, True]


def test_minibatch_std_is_that_of_groups_of_neighbours():
    task, features = MinibatchStd(group_size=2), draw(0, 6, FEATURES)
    head, out = head_of(task), DiscriminatorOut(jnp.zeros(6), jnp.asarray(features), {})
    std = features.reshape(3, 2, FEATURES).std(1).mean(1).repeat(2)
    found = task.score(head, out, None, True).logits
    np.testing.assert_allclose(found, std * float(head.kernel[0, 0]), rtol=1e-4)
    same = out._replace(features=jnp.ones((6, FEATURES)))
    np.testing.assert_allclose(task.score(head, same, None, True).logits, 0, atol=2e-4)
    gradient = jax.grad(lambda x: task.score(head, out._replace(features=x), None, True).logits.sum())
    assert np.isfinite(gradient(same.features)).all()


def test_minibatch_std_needs_whole_groups_in_training():
    task, out = MinibatchStd(group_size=4), DiscriminatorOut(jnp.zeros(6), jnp.ones((6, FEATURES)), {})
    with pytest.raises(UserError, match="group_size is 4; it must divide the 6 images of a batch"):
        task.score(head_of(task), out, None, True)
    assert task.score(head_of(task), out, None, False).logits.shape == (6,)
    with pytest.raises(UserError, match="group_size is 1; it must be at least 2"):
        MinibatchStd(group_size=1)
