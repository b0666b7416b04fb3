"""The first two calls of a training run of compare_gan, at full width."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.types import Batch, GANState
from compare_gan.gans.step import train_step

from . import build
from .names import at, filled, place
from .reference import Case, check, deviation, load

CALLS = 2
# Their gradient is zero in exact arithmetic, since a batch norm follows, and Adam makes whole
# steps of its rounding error.
WITHOUT_GRADIENT = ("up_conv1/bias", "generator/B3/same_conv2/bias", "generator/B3/up_conv_shortcut/bias")
STATISTICS = (np.mean, np.std, np.min, np.max)


@pytest.fixture(scope="module")
def trained() -> tuple[Case, list[GANState], list[dict[str, Any]]]:
    """The case, with states and losses after each call."""
    case, networks = load("train_resnet_cifar_disc1"), load("resnet_cifar_32_cifar10_gin")
    gan = build.gan(case)

    @jax.jit
    def step(state, images, z):
        given = dataclasses.replace(gan, prior=lambda rng, shape: z)
        return train_step(given, state, Batch(images, jnp.zeros(images.shape[:2])), jax.random.key(0))

    # compare_gan's json lists no shapes here, but these are the networks of that case.
    abstract = jax.eval_shape(gan.init, jax.random.key(0))
    g, d = (
        filled(side, networks.meta[f"{letter}_variables"], lambda name: place(name, "resnet_cifar"))
        for side, letter in ((abstract.g, "G"), (abstract.d, "D"))
    )
    states, losses = [], []
    state = GANState(jnp.zeros((), jnp.int32), g, d, gan.g_tx.init(g.params), gan.d_tx.init(d.params), None)
    for call in range(1, CALLS + 1):
        images = np.random.RandomState(1000 + call).uniform(size=(1, *case.image_shape))
        z = np.random.RandomState(2000 + call).uniform(-1, 1, size=(case.image_shape[0], gan.z_dim))
        state, metrics = step(state, images.astype(np.float32), z.astype(np.float32))
        states.append(state)
        losses.append(metrics)
    return case, states, losses


def test_losses_of_each_call(trained):
    """That of the generator in compare_gan's log is that of the updated discriminator to 1.1e-4 only.

    The same with float64 here, and without spectral norm there; what else went into it is not
    known. All variables after the call agree, and so does the discriminator's next loss.
    """
    case, _, losses = trained
    noise = case.meta["loss_change_per_call_under_1e-6_relative_input_noise"]["loss/d_0"]
    check(
        deviation(
            f"call {i + 1}", case.arrays["losses/loss/d_0"][i], losses[i]["loss/d"], 2e-6, 10 * noise[i]
        )
        for i in range(CALLS)
    )
    check([deviation("generator", case.arrays["losses/loss/g"][0], losses[0]["loss/g"], 0, 2e-4)])


def test_every_variable_after_the_first_call(trained):
    """Mean, deviation, least and largest.

    An Adam step is 2e-4 times the gradient's sign. A hundredth of it is allowed; of the generator's
    parameters, where a few signs differ (see above), the extremes may be two steps apart.
    """
    case, states, _ = trained
    found = []
    for name, reference in case.meta["variables_mean_std_min_max_after_first_call"].items():
        if name.endswith(("_power", *WITHOUT_GRADIENT)):
            continue
        generates, path = name.startswith("generator/"), place(name, "resnet_cifar")
        net = states[0].g if generates else states[0].d
        in_extra = name.endswith(("u_var", "moving_mean", "moving_variance"))
        value = np.asarray(at(net.extra if in_extra else net.params, path), np.float64)
        ours = [statistic(value) for statistic in STATISTICS]
        step = 0.0 if in_extra else 2e-4
        found.append(deviation(name, reference[:2], ours[:2], 2e-6, step / 50 if generates else step / 100))
        found.append(deviation(name, reference[2:], ours[2:], 2e-6, 2 * step if generates else step / 100))
    assert len(found) > 160
    check(found)
    assert int(states[-1].step) == CALLS
