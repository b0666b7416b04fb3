"""Data-to-data cross-entropy (ReACGAN): Kang et al., https://arxiv.org/abs/2111.01118."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array
from compare_gan.nn.layers import LayerFactory
from compare_gan.tasks.classifier import Aux, Classifier
from compare_gan.tasks.projection import mean_over


class _Embeddings(nnx.Module):
    def __init__(self, make: LayerFactory, feature_dim: int, num_classes: int, d_embed_dim: int):
        self.embedding = make.linear(feature_dim, d_embed_dim)
        self.proxies = make.linear(num_classes, d_embed_dim, bias=None)


@TASKS.register("D2DCE")
@dataclasses.dataclass(frozen=True)
class D2DCE(Classifier):
    """ReACGAN's head: images are drawn to the proxy of their class and away from images of other classes.

    With f_i the embedding of image i and v the proxy of its class, both of unit length, and t the
    temperature, the loss is the mean of `a_i + log(exp(-a_i) + sum_j exp(relu(<f_i, f_j> + m_p - 1) / t))`
    over the labelled images i of a side, with `a_i = relu(m_p - <f_i, v>) / t` and j the labelled images of
    other classes. For soft labels, j is weighted by the probability that the classes differ. A batch needs
    several labelled images, see `ModularGAN.labelled_batch_fraction`. PyTorch-StudioGAN has the defaults for
    CIFAR-10, and `cond_lambda` 1 and `d_embed_dim` 2048 for ImageNet.

    Raises:
      UserError: also a value of `temperature`, `m_p` or `d_embed_dim` out of range.
    """

    cond_lambda: float = 0.5
    tac_gen_lambda: float = 0.5
    tac_dis_lambda: float = 0.5
    d_embed_dim: int = 512
    temperature: float = 0.5
    m_p: float = 0.98
    name: str = "d2dce"

    def __post_init__(self):
        super().__post_init__()
        if self.temperature <= 0:
            raise UserError(f"D2DCE.temperature is {self.temperature}; it must be more than 0")
        if not 0 <= self.m_p <= 1:
            raise UserError(f"D2DCE.m_p is {self.m_p}; it must be in [0, 1]")
        if self.d_embed_dim < 1:
            raise UserError(f"D2DCE.d_embed_dim is {self.d_embed_dim}; it must be at least 1")

    def make_classifier(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        return _Embeddings(make, feature_dim, num_classes, self.d_embed_dim)

    def predict(self, classifier: Any, features: Array, entry: str, train: bool) -> Aux:
        """The cosine to the proxy of each class [B, K], and the embedding [B, `d_embed_dim`]."""
        embedding = unit_rows(classifier.embedding(features, train=train))
        proxies = unit_rows(classifier.proxies.weight(train))
        return {entry: embedding @ proxies.T, f"{entry}_embedding": embedding}

    def class_loss(self, aux: Aux, entry: str, y: Array, rows: Array) -> Array:
        cosines, embedding = aux[entry], aux[f"{entry}_embedding"]
        losses = d2d_cross_entropy(
            jnp.sum(cosines * y, -1),
            embedding @ embedding.T,
            rows * (1 - y @ y.T) * (1 - jnp.eye(len(y))),
            self.temperature,
            self.m_p,
        )
        return mean_over(losses, rows)


def d2d_cross_entropy(
    to_proxy: Array, to_others: Array, others: Array, temperature: float, m_p: float
) -> Array:
    """The loss of each image [B].

    Args:
      to_proxy: cosine of each image and the proxy of its class [B].
      to_others: cosines of images [B, B].
      others: weights of images of other classes [B, B].
      temperature: divides cosines.
      m_p: cosines to the proxy above this, and to other images below 1 - m_p, count as these.
    """
    attraction = jax.nn.relu(m_p - to_proxy) / temperature
    repulsion = jax.nn.relu(to_others + m_p - 1) / temperature
    terms = jnp.column_stack([-attraction, repulsion])
    weights = jnp.column_stack([jnp.ones_like(attraction), others])
    return attraction + jax.nn.logsumexp(terms, axis=1, b=weights)


def unit_rows(x: Array) -> Array:
    """Rows divided by their length, if that is more than 1e-12."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x**2, axis=1, keepdims=True), 1e-24))
