"""GILBO, what can be read of z from G(z): Alemi and Fisher, https://arxiv.org/abs/1802.04874.

The mutual information of z and G(z), in nats, is at least E[log e(z|G(z)) - log p(z)] whatever the encoder e.
The better e is trained, the closer; compare_gan takes up to half a million steps, and here a few hundred are
made, so that scores compare generators among themselves.

Information does not change if each coordinate of z is replaced by how much of the prior lies below it. That
is even between 0 and 1 under any prior, so e is a Beta law for each coordinate, as in compare_gan, and p
drops out.

Shape letters: B batch, Z latent, K classes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.scipy.stats import beta
from scipy.special import betaln, digamma

from compare_gan.core.types import Array, NetState, Tree
from compare_gan.data.base import Images
from compare_gan.metrics.context import EvalContext, Generator, Scores, metric, require
from compare_gan.metrics.learning import train_network
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.options import Layers
from compare_gan.nn.state import merge_module, net_state

BATCH = 64
STEPS = 500
LEARNING_RATE = 4e-4  # as in compare_gan
BATCHES = 50  # from which the bound is taken, none of them trained on
CONSISTENCY_BATCHES = 5  # as in compare_gan
LEVELS = 4096  # of the prior's distribution function
DRAWS = 2**20  # from which it is estimated


class Betas(NamedTuple):
    """The parameters of Beta laws, each [B, Z] and above one, so that the laws have one peak."""

    a: Any  # of JAX inside a program and of NumPy outside
    b: Any


class Encoder(nnx.Module):
    """Images [B, H, W, C] in [0, 1] -> laws of Z coordinates. The layers are those of compare_gan."""

    def __init__(self, image_shape: tuple[int, int, int], z_dim: int, rngs: nnx.Rngs):
        h, w, c = image_shape
        make = LayerFactory(Layers(), rngs, initializer=nnx.initializers.glorot_uniform())
        self.conv1 = make.conv(c, 64, size=4, stride=2)
        self.conv2 = make.conv(64, 128, size=4, stride=2)
        self.fc1 = make.linear(-(-h // 4) * -(-w // 4) * 128, 1024)
        self.fc2 = make.linear(1024, 2 * z_dim)

    def __call__(self, x: Array) -> Betas:
        x = nnx.leaky_relu(self.conv1(x), 0.2)
        x = nnx.leaky_relu(self.conv2(x), 0.2)
        x = nnx.leaky_relu(self.fc1(x.reshape(len(x), -1)), 0.2)
        return Betas(*jnp.split(1 + nnx.softplus(self.fc2(x) - 2), 2, axis=1))  # flat at first


class PriorCdf(NamedTuple):
    """The distribution function of one coordinate of the prior, as a table."""

    values: Array  # [LEVELS], ascending
    levels: Array  # [LEVELS]

    def forward(self, z: Array) -> Array:
        return jnp.interp(z, self.values, self.levels)

    def inverse(self, u: Array) -> Array:
        return jnp.interp(u, self.levels, self.values)


def estimate_cdf(prior: Callable[[Array, int], Array], rng: Array) -> PriorCdf:
    """Of a prior whose coordinates are independent and all alike, as all priors here are."""
    z_dim = jax.eval_shape(lambda: prior(rng, 1)).shape[1]
    drawn = np.asarray(prior(rng, -(-DRAWS // z_dim)))
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    return PriorCdf(jnp.asarray(np.quantile(drawn, levels), jnp.float32), jnp.asarray(levels, jnp.float32))


class LatentEncoder(NamedTuple):
    """An encoder that was trained to read latent vectors."""

    apply: Callable[[NetState, Array], Betas]
    net: NetState
    cdf: PriorCdf


def train_latent_encoder(generator: Generator, rng: Array, steps: int = STEPS) -> LatentEncoder:
    """Trained on images that are drawn for the purpose."""
    init_rng, rank_rng, train_rng = jax.random.split(rng, 3)
    cdf = estimate_cdf(generator.prior, rank_rng)
    z, y = generator.inputs(rng, BATCH)
    h, w, c = jax.eval_shape(generator.apply, generator.state, z, y).shape[1:]
    net = net_state(Encoder((h, w, c), z.shape[1], nnx.Rngs(init_rng)))
    definition = nnx.graphdef(nnx.eval_shape(lambda: Encoder((h, w, c), z.shape[1], nnx.Rngs(0))))

    def apply(net: NetState, images: Array) -> Betas:
        return merge_module(definition, net.params, net.extra)(images)

    def objective(net: NetState, state: Tree, rng: Array) -> tuple[Array, Tree]:
        z, y = generator.inputs(rng, BATCH)
        images = jax.lax.stop_gradient(generator.apply(state, z, y))
        return -log_density(apply(net, images), cdf.forward(z)).mean(), net.extra

    net = train_network(
        "gilbo",
        objective,
        net,
        lambda step: generator.state,
        tx=optax.adam(LEARNING_RATE),
        steps=steps,
        rng=train_rng,
    )
    return LatentEncoder(apply, net, cdf)


def log_density(shape: Betas, u: Array) -> Array:
    """log e(u) [B] in nats, of coordinates [B, Z] that are even in [0, 1] where nothing is known."""
    return beta.logpdf(u, shape.a, shape.b).sum(1)


def lower_bound(encoder: LatentEncoder, generator: Generator, rng: Array, batches: int = BATCHES) -> float:
    """The mean information of fresh latent vectors, in nats."""

    @jax.jit
    def of_batch(net: NetState, state: Tree, rng: Array) -> Array:
        z, y = generator.inputs(rng, BATCH)
        return log_density(encoder.apply(net, generator.apply(state, z, y)), encoder.cdf.forward(z)).mean()

    keys = jax.random.split(rng, batches)
    return float(np.mean([of_batch(encoder.net, generator.state, key) for key in keys]))


def consistency(
    encoder: LatentEncoder, generator: Generator, sets: Sequence[Images], rng: np.random.Generator
) -> list[float]:
    """How far the reading of an image is from that of an image drawn from the reading, in nats, for each set.

    The mean of the two Kullback-Leibler divergences, over some batches of uint8 images.
    """

    @jax.jit
    def read(net: NetState, images: Array) -> Betas:
        return encoder.apply(net, images)

    @jax.jit
    def draw(state: Tree, u: Array, rng: Array) -> Array:
        return generator.apply(state, encoder.cdf.inverse(u), generator.inputs(rng, len(u))[1])

    found = []
    for images in sets:
        size = min(BATCH, len(images))
        starts = range(0, min(CONSISTENCY_BATCHES * size, len(images) - size + 1), size)
        each = []
        for start in starts:
            p = read(encoder.net, images[start : start + size].astype(np.float32) / 255)
            u = rng.beta(p.a, p.b).astype(np.float32)
            drawn = draw(generator.state, u, jax.random.key(rng.integers(2**32)))
            q = read(encoder.net, drawn)
            each.append((divergence(p, q) + divergence(q, p)).mean() / 2)
        found.append(float(np.mean(each)))
    return found


def divergence(p: Betas, q: Betas) -> np.ndarray:
    """KL(p, q) [B] of products of Beta laws."""
    p, q = (Betas(*(np.asarray(x, np.float64) for x in shape)) for shape in (p, q))
    total = digamma(p.a + p.b)
    each = (
        betaln(q.a, q.b)
        - betaln(p.a, p.b)
        + (p.a - q.a) * (digamma(p.a) - total)
        + (p.b - q.b) * (digamma(p.b) - total)
    )
    return each.sum(1)


@metric(
    "gilbo",
    "gilbo",
    "gilbo_train_consistency",
    "gilbo_eval_consistency",
    "gilbo_self_consistency",
    needs={"generator", "images", "train"},
    higher_is_better={"gilbo"},
)
def gilbo(ctx: EvalContext) -> Scores:
    """The bound, and the consistency of training, held-out and generated images."""
    generator = require(ctx.generator, "a generator")
    reader_rng, bound_rng = jax.random.split(jax.random.key(ctx.seed))
    encoder = train_latent_encoder(generator, reader_rng)
    sets = [require(ctx.train, "training images").images, ctx.real.images, ctx.fake.images]
    of_train, of_real, of_fake = consistency(encoder, generator, sets, np.random.default_rng(ctx.seed))
    return {
        "gilbo": lower_bound(encoder, generator, bound_rng),
        "gilbo_train_consistency": of_train,
        "gilbo_eval_consistency": of_real,
        "gilbo_self_consistency": of_fake,
    }
