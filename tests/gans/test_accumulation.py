"""A batch split into microbatches gives the step of the full batch."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.types import Batch, PenaltyInputs
from compare_gan.gans.accumulation import accumulate_microbatches
from compare_gan.gans.optimizers import gradient_descent
from compare_gan.gans.s3gan import s3gan
from compare_gan.gans.sampling import uniform
from compare_gan.gans.ssgan import ssgan
from compare_gan.gans.step import train_step
from compare_gan.losses.standard import hinge, wasserstein
from compare_gan.nn import norms
from compare_gan.nn.options import Layers, StandardizeBatch
from compare_gan.penalties.gradient import wgangp_penalty
from compare_gan.penalties.weights import l2_penalty
from compare_gan.tasks.classifier import AC
from compare_gan.tasks.multi_hinge import MH
from tests.helpers.tiers import slow_unless

from .tiny import LAYERS, batch, tiny_gan

KEY = jax.random.key(0)
RUNS_ONCE = {"xla_backend_optimization_level": 0}  # compiling takes longer than running
PLAIN: dict[str, Any] = dict(g_norm=None, g_optimizer_fn=gradient_descent, g_lr=0.1)


def stepped(gan, steps=2, order=None):
    """State and metrics after some steps of descent, which neither hides nor enlarges small differences."""
    step = jax.jit(lambda *given: train_step(gan, *given), compiler_options=RUNS_ONCE)
    state, metrics = gan.init(KEY), {}
    for i in range(steps):
        data = batch(i, gan.sub_batches)
        data = data if order is None else Batch(*(x[:, order] for x in data))
        state, metrics = step(state, data, jax.random.fold_in(KEY, i))
    return state, metrics


def close(found, expected, tolerance=2e-6):
    def compare(path, a, b):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=jax.tree_util.keystr(path))

    jax.tree.map_with_path(compare, found, expected)


GANS = {
    "alternating": lambda **given: tiny_gan(disc_iters=2, g_spectral_norm=True, **given),
    "unrolled": lambda **given: tiny_gan(disc_iters=2, experimental_force_graph_unroll=True, **given),
    "joint": lambda **given: tiny_gan(
        disc_iters=2,
        experimental_force_graph_unroll=True,
        experimental_joint_gen_for_disc=True,
        conditional=True,
        **given,
    ),
    "wgangp": lambda **given: tiny_gan(penalty=wgangp_penalty, loss=wasserstein, **given),
    "rotation": lambda **given: ssgan(tiny_gan(penalty=l2_penalty, **given), rotated_batch_size=16),
    "projection": lambda **given: s3gan(
        tiny_gan(conditional=True, **given), rotated_batch_fraction=1, project_y=True, self_supervision=None
    ),
}


FAST = ("alternating", "wgangp", "projection")


@pytest.mark.parametrize("name", slow_unless(lambda name: name in FAST, GANS))
def test_without_batch_statistics_parts_are_the_whole(name):
    parts = 4 if name in ("unrolled", "wgangp") else 2
    found, told = stepped(GANS[name](**PLAIN, gradient_accumulation=parts))
    expected, said = stepped(GANS[name](**PLAIN))
    close((found, told), (expected, said))


@pytest.mark.slow
@pytest.mark.parametrize("task", [AC(), AC(aux_cls_type="TAC"), AC(aux_cls_type="ADC"), MH()])
def test_class_heads_of_labelled_images(task):
    """All images have labels: the mean over the labelled ones of each part is not that of the batch."""
    given = PLAIN | dict(conditional=True, loss=hinge, tasks=(task,))

    def trained(parts):
        gan = tiny_gan(**given, gradient_accumulation=parts)
        step, state = jax.jit(functools.partial(train_step, gan)), gan.init(KEY)
        for i in range(2):
            data = batch(i, gan.sub_batches)
            labelled = data._replace(labels=jnp.abs(data.labels))
            state, metrics = step(state, labelled, jax.random.fold_in(KEY, i))
        return state, metrics

    close(trained(2), trained(1), 1e-5)


@pytest.mark.parametrize(
    ("unroll", "split"), slow_unless(lambda unroll, split: unroll, [(False, True), (True, False)])
)
def test_with_batch_statistics_parts_are_groups_of_devices(unroll, split):
    """Two devices with statistics of their own hold the halves of a batch; parts are every second row."""
    given = PLAIN | dict(
        g_norm=norms.batch_norm,
        d_norm=norms.batch_norm,
        spectral_norm=False,
        disc_iters=2,
        experimental_force_graph_unroll=unroll,
        deprecated_split_disc_calls=split,
    )
    order = np.concatenate([np.arange(0, 8, 2), np.arange(1, 8, 2)])
    alone = dataclasses.replace(LAYERS, batch=StandardizeBatch(use_cross_replica_mean=False))
    devices = tiny_gan(**given, layers=alone, prior=lambda *given: uniform(*given)[order]).with_replicas(2)
    found = stepped(tiny_gan(**given, gradient_accumulation=2))
    close(found, stepped(devices, order=order), 1e-5)
    full, _ = stepped(tiny_gan(**given))
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(), found[0].g.params, full.g.params)
    assert max(jax.tree.leaves(change)) > 1e-4


def test_parts_and_groups_of_devices_go_together():
    """Two parts of two groups each are four groups."""
    given = PLAIN | dict(g_norm=norms.batch_norm, d_norm=norms.batch_norm, spectral_norm=False)
    alone = dict(layers=dataclasses.replace(LAYERS, batch=StandardizeBatch(use_cross_replica_mean=False)))
    found = stepped(tiny_gan(**given, **alone, gradient_accumulation=2).with_replicas(2))
    order = np.array([0, 2, 4, 6, 1, 3, 5, 7])
    groups = tiny_gan(**given, **alone, prior=lambda *given: uniform(*given)[order]).with_replicas(4)
    close(found, stepped(groups, order=order), 1e-5)


def test_noise_does_not_depend_on_the_parts():
    images = jnp.zeros((6, 2, 2, 1))
    inputs = functools.partial(PenaltyInputs, lambda x: x, {}, rng=KEY)
    full = inputs(images, images).uniform(2, 2, 1)
    for part in range(3):
        cut = images[part::3]
        np.testing.assert_array_equal(inputs(cut, cut, part=part, parts=3).uniform(2, 2, 1), full[part::3])
    assert len(np.unique(full)) == full.size


def test_rows_keep_their_order_and_means_their_value():
    rows = {"x": jnp.arange(12.0).reshape(6, 2), "y": None}

    def fn(batch, part):
        return batch["x"] * 2, {"mean": batch["x"].mean(0), "part": jnp.float32(part)}

    def total(weight, parts):
        results, means = accumulate_microbatches(
            lambda batch, part: fn({"x": weight * batch["x"]}, part), rows, parts
        )
        return jnp.sum(results**2) + means["mean"].sum()

    results, means = accumulate_microbatches(fn, rows, 3)
    np.testing.assert_array_equal(results, rows["x"] * 2)
    np.testing.assert_allclose(means["mean"], rows["x"].mean(0), rtol=1e-6)
    assert float(means["part"]) == 1
    np.testing.assert_allclose(*(jax.grad(total)(1.5, parts) for parts in (3, 1)), rtol=1e-6)


def test_parts_take_less_memory():
    def temporaries(parts):
        wide = Layers()
        gan = tiny_gan(batch_size=512, g_norm=None, layers=wide, gradient_accumulation=parts)
        images = jnp.zeros((1, 512, 4, 4, 1))
        data = Batch(images, jnp.zeros((1, 512), jnp.int32))
        state = jax.eval_shape(gan.init, KEY)
        program = jax.jit(lambda *given: train_step(gan, *given)).lower(state, data, KEY).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert temporaries(8) < temporaries(1) / 2


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tiny_gan(gradient_accumulation=3), "it must divide options.batch_size, 8"),
        (lambda: tiny_gan(gradient_accumulation=0), "gradient_accumulation is 0"),
        (
            lambda: ssgan(tiny_gan(gradient_accumulation=4), rotated_batch_size=8).validate(),
            "is 4; it must divide the 2 images",
        ),
        (
            lambda: tiny_gan(gradient_accumulation=4).with_replicas(4),
            "options.batch_size is 8; it must be a multiple",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
