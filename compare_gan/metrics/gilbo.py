"""GILBO, generative information lower bound: Alemi and Fisher, https://arxiv.org/abs/1802.04874.

For any encoder e, the mutual information of z and G(z), in nats, is at least E[log e(z|G(z)) - log p(z)].
The better e is trained, the tighter the bound. compare_gan trains for up to half a million steps, this module
for a few hundred, so scores are comparable only with each other.

Mutual information is invariant under mapping each coordinate of z through the CDF of the prior. The result
is uniform in [0, 1] under any prior. So e is a Beta distribution per coordinate, as in compare_gan, and
log p is 0.

Shape letters: B batch, Z latent, K classes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy
from flax import nnx
from jax.scipy.stats import beta

from compare_gan.core.types import Array, NetState, Tree
from compare_gan.data.base import Images
from compare_gan.metrics.context import EvalContext, Generator, Scores, metric, require
from compare_gan.metrics.learning import train_network
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.options import Layers
from compare_gan.nn.rngs import random_streams
from compare_gan.nn.state import merge_module, net_state

BATCH = 64
STEPS = 500
LEARNING_RATE = 4e-4  # as in compare_gan
BATCHES = 50  # new batches for estimating the bound
CONSISTENCY_BATCHES = 5  # as in compare_gan
LEVELS = 4096  # table size of the CDF of the prior
DRAWS = 2**20  # samples for estimating the CDF


class Betas(NamedTuple):
    """The parameters of Beta distributions, each [B, Z] and above 1, so that they are unimodal."""

    a: Any  # JAX arrays under jit, else NumPy arrays
    b: Any


class Encoder(nnx.Module):
    """Images [B, H, W, C] in [0, 1] -> Beta distributions of Z coordinates. Layers as in compare_gan."""

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
        return Betas(
            *jnp.split(1 + nnx.softplus(self.fc2(x) - 2), 2, axis=1)
        )  # nearly uniform at initialisation


class PriorCdf(NamedTuple):
    """The CDF of one coordinate of the prior, as a table."""

    values: Array  # [LEVELS], ascending
    levels: Array  # [LEVELS]

    def forward(self, z: Array) -> Array:
        return jnp.interp(z, self.values, self.levels)

    def inverse(self, u: Array) -> Array:
        return jnp.interp(u, self.levels, self.values)


def estimate_cdf(prior: Callable[[Array, int], Array], rng: Array) -> PriorCdf:
    """Estimates the CDF of a prior with i.i.d. coordinates, as all priors here have."""
    z_dim = jax.eval_shape(lambda: prior(rng, 1)).shape[1]
    drawn = np.asarray(prior(rng, -(-DRAWS // z_dim)))
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    return PriorCdf(jnp.asarray(np.quantile(drawn, levels), jnp.float32), jnp.asarray(levels, jnp.float32))


class LatentEncoder(NamedTuple):
    """A trained encoder of latent vectors."""

    apply: Callable[[NetState, Array], Betas]
    net: NetState
    cdf: PriorCdf


def train_latent_encoder(generator: Generator, rng: Array, steps: int = STEPS) -> LatentEncoder:
    """Trains an encoder on images that are generated on the fly."""
    init_rng, rank_rng, train_rng = jax.random.split(rng, 3)
    cdf = estimate_cdf(generator.prior, rank_rng)
    z, y = generator.inputs(rng, BATCH)
    h, w, c = jax.eval_shape(generator.apply, generator.state, z, y).shape[1:]
    net = net_state(Encoder((h, w, c), z.shape[1], random_streams(init_rng)))
    definition = nnx.graphdef(nnx.eval_shape(lambda: Encoder((h, w, c), z.shape[1], random_streams(0))))

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
    """log e(u) [B] in nats, for coordinates u [B, Z] in [0, 1]."""
    return beta.logpdf(u, shape.a, shape.b).sum(1)


def lower_bound(encoder: LatentEncoder, generator: Generator, rng: Array, batches: int = BATCHES) -> float:
    """The mean log density of new latent vectors under the encoder, in nats."""

    @jax.jit
    def of_batch(net: NetState, state: Tree, rng: Array) -> Array:
        z, y = generator.inputs(rng, BATCH)
        return log_density(encoder.apply(net, generator.apply(state, z, y)), encoder.cdf.forward(z)).mean()

    keys = jax.random.split(rng, batches)
    return float(np.mean([of_batch(encoder.net, generator.state, key) for key in keys]))


def consistency(
    encoder: LatentEncoder, generator: Generator, sets: Sequence[Images], rng: np.random.Generator
) -> list[float]:
    """Symmetric KL divergence, in nats, between encodings of an image and of its reconstruction, per set.

    The reconstruction is generated from a sample of the encoding. The mean is over a few batches of uint8
    images.
    """

    @jax.jit
    def encode(net: NetState, images: Array) -> Betas:
        return encoder.apply(net, images)

    @jax.jit
    def reconstruct(state: Tree, u: Array, rng: Array) -> Array:
        return generator.apply(state, encoder.cdf.inverse(u), generator.inputs(rng, len(u))[1])

    found = []
    for images in sets:
        size = min(BATCH, len(images))
        starts = range(0, min(CONSISTENCY_BATCHES * size, len(images) - size + 1), size)
        each = []
        for start in starts:
            p = encode(encoder.net, images[start : start + size].astype(np.float32) / 255)
            u = rng.beta(p.a, p.b).astype(np.float32)
            drawn = reconstruct(generator.state, u, jax.random.key(rng.integers(2**32)))
            q = encode(encoder.net, drawn)
            each.append((divergence(p, q) + divergence(q, p)).mean() / 2)
        found.append(float(np.mean(each)))
    return found


def divergence(p: Betas, q: Betas) -> np.ndarray:
    """KL(p, q) [B] of products of Beta distributions."""
    p, q = (Betas(*(np.asarray(x, np.float64) for x in shape)) for shape in (p, q))
    betaln, digamma = scipy.special.betaln, scipy.special.digamma
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
    """The lower bound, and the consistency on training, held-out and generated images."""
    generator = require(ctx.generator, "a generator")
    encoder_rng, bound_rng = jax.random.split(jax.random.key(ctx.seed))
    encoder = train_latent_encoder(generator, encoder_rng)
    sets = [require(ctx.train, "training images").images, ctx.real.images, ctx.fake.images]
    of_train, of_real, of_fake = consistency(encoder, generator, sets, np.random.default_rng(ctx.seed))
    return {
        "gilbo": lower_bound(encoder, generator, bound_rng),
        "gilbo_train_consistency": of_train,
        "gilbo_eval_consistency": of_real,
        "gilbo_self_consistency": of_fake,
    }
