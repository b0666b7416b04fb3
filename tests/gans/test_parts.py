"""Every method with each part against overfitting: it is built, and a step does what the part says."""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest

from benchmarks.models import PARTS
from compare_gan.config.parse import parse
from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.core.types import Batch, ImageSpec
from compare_gan.gans.step import as_labeled, train_step, update_discriminator
from tests.helpers.tiers import slow_unless

SPEC = ImageSpec((8, 8, 1), 3)
KEY = jax.random.key(0)
TINY = [
    "options.batch_size = 8",
    "options.z_dim = 8",
    "resnet_small.Generator.ch = 4",
    "resnet_small.Discriminator.ch = 4",
]
SMALLER = {"ssgan": ["SSGAN.rotated_batch_size = 4"]}  # by recipe
METHODS = sorted({method.recipe for method in LABEL_METHODS.values()})
METRICS = {"ADA": {"ada/p"}, "LeCam": {"lecam/real", "lecam/fake"}}
NUMBERS = {"LeCam": ["LeCam.start_step = 0"], "R1": ["options.lamba = 10"]}
COMBINATIONS = list(itertools.product(METHODS, PARTS))


def on_the_diagonal(method, part):
    """Each method once, and each part twice."""
    return METHODS.index(method) % len(PARTS) == list(PARTS).index(part)


def gan_of(method, part):
    bindings = [*SMALLER.get(method, []), *PARTS.get(part, []), *NUMBERS.get(part, [])]
    return parse(["small", method], [*TINY, *bindings]).gan(SPEC)


def images_and_labels(gan):
    """Images [1, 8, 8, 8, 1] and labels [1, 8], some of them missing."""
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (1, gan.batch_size, *SPEC.image_shape)).astype(np.uint8)
    return Batch(images, rng.randint(-1, SPEC.num_classes, (1, gan.batch_size)))


@functools.cache
def shapes_of_an_update(method, part):
    """Shapes of the state before and after an update of the discriminator, and of the metrics."""
    gan = gan_of(method, part)

    def update(state, batch):
        real = as_labeled(gan, jax.tree.map(lambda x: x[0], batch))
        return update_discriminator(gan, state, real, real, KEY)  # generated images have the same shape

    state = jax.eval_shape(gan.init, KEY)
    return state, *jax.eval_shape(update, state, images_and_labels(gan))


@pytest.mark.parametrize("method, part", slow_unless(on_the_diagonal, COMBINATIONS))
def test_every_method_is_built_with_every_part(method, part):
    """An update keeps the structure of the state, and reports the part beside the method."""
    before, after, metrics = shapes_of_an_update(method, part)
    kinds = [jax.tree.map(lambda x: (x.shape, x.dtype), state) for state in (before, after)]
    assert kinds[0] == kinds[1]
    *_, plain = shapes_of_an_update(method, "plain")
    assert {*metrics} == {*plain} | METRICS.get(part, set())
    assert all(metric.shape == () for metric in metrics.values())


@functools.cache
def a_step(method, part):
    """The discriminator's parameters before and after the first step, and the metrics."""
    gan = gan_of(method, part)
    state = jax.jit(gan.init)(KEY)
    state = dataclasses.replace(state, step=state.step + 1)  # LeCam's term begins after its start step, 0
    after, metrics = jax.jit(functools.partial(train_step, gan))(state, images_and_labels(gan), KEY)
    moved = [
        np.abs(np.float64(new) - np.float64(old)).max()
        for old, new in zip(*map(jax.tree.leaves, (state.d.params, after.d.params)), strict=True)
    ]
    return {name: float(value) for name, value in metrics.items()}, max(moved), gan


@pytest.mark.slow
@pytest.mark.parametrize("method, part", COMBINATIONS)
def test_the_first_step_differs_from_a_plain_one_by_the_part(method, part):
    """The discriminator's loss is the plain one and the part's own term; DiffAugment changes the images."""
    metrics, moved, gan = a_step(method, part)
    plain, *_ = a_step(method, "plain")
    added = metrics["loss/d"] - plain["loss/d"]
    real, fake = (plain[f"logits/{side}"] for side in ("real", "fake"))
    match part:
        case "DiffAugment":
            assert abs(metrics["logits/real"] - real) > 1e-3 and abs(metrics["logits/fake"] - fake) > 1e-3
        case "ADA":  # whose probability begins at 0, and moves after four updates
            assert metrics["ada/p"] == 0 and added == pytest.approx(0, abs=1e-5)
        case "LeCam":  # whose averages begin at 0
            assert metrics["lecam/real"] == pytest.approx(0.1 * real, abs=1e-6)
            assert metrics["lecam/fake"] == pytest.approx(0.1 * fake, abs=1e-6)
            assert added > 1e-6
        case "R1":
            assert metrics["loss/penalty"] > 1e-4
            assert added == pytest.approx(10 * metrics["loss/penalty"], rel=1e-3)
    assert moved == pytest.approx(gan.d_lr, rel=1e-2)  # of Adam, whatever the size of the gradient
