"""Variance-invariance-covariance regularization: Bardes et al., https://arxiv.org/abs/2105.04906."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from compare_gan.core.registry import PRETRAINING
from compare_gan.core.types import Array, Cond, Metrics
from compare_gan.features.encoder import EncoderSpec
from compare_gan.features.resnet import LAYERS
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.norms import BatchNorm
from compare_gan.training.encoder import Objective


class Expander(nnx.Module):
    """Maps features [B, F] to embeddings [B, `width`] by two hidden layers."""

    def __init__(self, features: int, width: int, rngs: nnx.Rngs):
        make = LayerFactory(LAYERS, rngs, initializer=nnx.initializers.he_normal())
        self.hidden = nnx.List([make.linear(features, width), make.linear(width, width)])
        self.norms = nnx.List([BatchNorm(width, LAYERS), BatchNorm(width, LAYERS)])
        self.out = make.linear(width, width)

    def __call__(self, x: Array) -> Array:
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = jax.nn.relu(norm(layer(x, train=True), Cond(train=True)))
        return self.out(x, train=True)


@PRETRAINING.register("vicreg")
@dataclasses.dataclass(frozen=True)
class VICReg(Objective):
    """Makes embeddings of two strongly augmented crops of an image equal. Labels are ignored.

    Unlike contrastive methods it needs no large batch, and no second network; the expander is discarded.
    """

    shown = ("loss", "loss/invariance")
    least_area: float = 0.4  # of the crops
    width: int = 512  # of the expander and the embeddings
    invariance: float = 25.0  # weights of the three losses
    variance: float = 25.0
    covariance: float = 1.0

    def make_head(self, spec: EncoderSpec, rngs: nnx.Rngs) -> Expander:
        return Expander(spec.feature_dim, self.width, rngs)

    def __call__(self, encoder, head: Expander, images, labels, rng) -> tuple[Array, Metrics]:
        del labels
        crop_rng, strong_rng = jax.random.split(rng)
        crop = dataclasses.replace(self.training.augmentation, least_area=self.least_area)
        views = self.training.strong(strong_rng, crop(crop_rng, jnp.concatenate([images, images])))
        a, b = jnp.split(head(encoder(views).features), 2)
        terms = {
            "invariance": jnp.mean((a - b) ** 2),
            "variance": (spread_loss(a) + spread_loss(b)) / 2,
            "covariance": covariance_loss(a) + covariance_loss(b),
        }
        loss = sum(getattr(self, name) * value for name, value in terms.items())
        return loss, {"loss": loss} | {f"loss/{name}": value for name, value in terms.items()}


def spread_loss(z: Array) -> Array:
    """The mean amount by which standard deviations over the batch are below 1, of embeddings [B, D]."""
    return jnp.mean(jax.nn.relu(1 - jnp.sqrt(z.var(0, ddof=1) + 1e-4)))


def covariance_loss(z: Array) -> Array:
    """The sum of squared covariances of different dimensions of embeddings [B, D], divided by D."""
    centred = z - z.mean(0)
    covariance = centred.T @ centred / (len(z) - 1)
    return jnp.sum(jnp.where(jnp.eye(z.shape[1], dtype=bool), 0, covariance) ** 2) / z.shape[1]
