"""Networks of a few hundred numbers, to train in milliseconds."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from compare_gan.core.types import Batch, Cond, DiscriminatorOut, ImageSpec
from compare_gan.gans.gan import GAN
from compare_gan.nn import norms
from compare_gan.nn.networks import NetSpec
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers, Weights

SPEC = ImageSpec((4, 4, 1), 3)
LAYERS = Layers(weights=Weights(stddev=0.5))  # so that something happens in a few steps


class Generator(nnx.Module):
    def __init__(self, net: NetSpec, *, rngs: nnx.Rngs):
        make = net.factory(rngs)
        self.fc = make.linear(net.z_dim, 32)
        self.norm = make.norm(2)
        self.conv = make.conv(2, 1)

    def __call__(self, cond: Cond):
        x = self.fc(cond.z, train=cond.train).reshape(-1, 4, 4, 2)
        x = nnx.relu(x if self.norm is None else self.norm(x, cond))
        return nnx.sigmoid(self.conv(x, train=cond.train))


class Discriminator(nnx.Module):
    feature_dim = 3
    projects_labels = False

    def __init__(self, net: NetSpec, *, rngs: nnx.Rngs):
        make = net.factory(rngs)
        self.conv = make.conv(1, 3, stride=2)
        self.norm = make.norm(3)
        self.fc = make.linear(3, 1)

    def __call__(self, x, cond: Cond):
        h = self.conv(x, train=cond.train)
        h = nnx.leaky_relu(h if self.norm is None else self.norm(h, cond), 0.2)
        features = h.mean((1, 2))
        return DiscriminatorOut(self.fc(features, train=cond.train)[:, 0], features, {})


def tiny_gan(
    *,
    d_norm: Callable[..., Any] | None = None,
    spectral_norm: bool = True,
    g_spectral_norm: bool = False,
    g_norm: Callable[..., Any] | None = norms.batch_norm,
    **given: Any,
) -> GAN:
    fields: dict[str, Any] = dict(spec=SPEC, z_dim=5, batch_size=8, g_lr=0.01, layers=LAYERS) | given
    return GAN(
        make_generator=Generator,
        make_discriminator=Discriminator,
        g_options=GeneratorOptions(g_norm, g_spectral_norm),
        d_options=DiscriminatorOptions(batch_norm_fn=d_norm, spectral_norm=spectral_norm),
        **fields,
    )


def batch(seed: int, sub_batches: int = 1) -> Batch:
    """Images [S, 8, 4, 4, 1] and labels [S, 8], some of them missing."""
    rng = np.random.RandomState(seed)
    images = jnp.asarray(rng.uniform(size=(sub_batches, 8, 4, 4, 1)), jnp.float32)
    return Batch(images, jnp.asarray(rng.randint(-1, 3, (sub_batches, 8)), jnp.int32))


def random_state(gan):
    """A state of random numbers, variances and counters above zero; nothing is compiled."""
    rng = np.random.RandomState(0)
    draw = lambda x: np.asarray(0.3 * rng.standard_normal(x.shape), x.dtype)  # noqa: E731
    state = jax.tree.map(draw, jax.eval_shape(gan.init, jax.random.key(0)))

    def positive(path, x):
        return np.abs(x) + 1 if path[-1].key in ("moving_variance", "accu_variance", "accu_counter") else x

    nets = [
        dataclasses.replace(n, extra=jax.tree.map_with_path(positive, n.extra)) for n in (state.g, state.d)
    ]
    return dataclasses.replace(state, g=nets[0], d=nets[1])
