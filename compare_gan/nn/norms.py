"""Normalisation of activations.

A configuration selects a batch norm by its factory `factory(make, features) -> module`, where `make` is a
`LayerFactory`. The module is called as `module(x, cond)`; each norm reads the fields of `cond` that it needs.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.registry import expose
from compare_gan.core.types import Array, Cond
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.options import OPS, Layers


class Standardize(nnx.Module):
    """Zero mean and unit variance over all axes but the last.

    Training uses batch statistics. Under a sharded `jax.jit` these are of the global batch, or of each group
    of devices if there are several. The variance is the biased one, in the moving average too, as in
    compare_gan. Evaluation uses moving averages, or the mean over accumulated batches; with
    `cond.accumulate` a batch is added to these before it is standardised.
    """

    def __init__(self, features: int, layers: Layers):
        self.options, self.groups = layers.batch, layers.moment_groups
        if self.options.use_moving_averages:
            self.moving_mean = nnx.BatchStat(jnp.zeros(features, jnp.float32))
            self.moving_variance = nnx.BatchStat(jnp.ones(features, jnp.float32))
        else:
            self.accu_mean = nnx.BatchStat(jnp.zeros(features, jnp.float32))
            self.accu_variance = nnx.BatchStat(jnp.zeros(features, jnp.float32))
            self.accu_counter = nnx.BatchStat(jnp.full((), 1e-12, jnp.float32))

    def __call__(self, x: Array, cond: Cond) -> Array:
        if cond.accumulate and not self.options.use_moving_averages:
            self.accumulate(*moments(x[None]))
        if not cond.train:
            return self.normalize(x, *self.eval_moments())
        parts = x.reshape(self.groups, -1, *x.shape[1:])
        mean, variance = moments(parts)
        if self.options.use_moving_averages:
            decay = self.options.decay
            for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.set_value(decay * average[...] + (1 - decay) * new.mean(0).reshape(-1))
        return self.normalize(parts, mean, variance).reshape(x.shape)

    def normalize(self, x: Array, mean: Array, variance: Array) -> Array:
        return (x - mean) * jax.lax.rsqrt(variance + self.options.epsilon)

    def accumulate(self, mean: Array, variance: Array) -> None:
        self.accu_mean[...] += mean.reshape(-1)
        self.accu_variance[...] += variance.reshape(-1)
        self.accu_counter[...] += 1

    def eval_moments(self) -> tuple[Array, Array]:
        """Mean and variance [C] for evaluation."""
        if self.options.use_moving_averages:
            return self.moving_mean[...], self.moving_variance[...]
        count = self.accu_counter[...]
        return self.accu_mean[...] / count, self.accu_variance[...] / count


def moments(parts: Array) -> tuple[Array, Array]:
    """Mean and biased variance [G, 1, ..., C] of each of G groups in an array [G, B, ..., C]."""
    axes, parts = tuple(range(1, parts.ndim - 1)), parts.astype(jnp.float32)
    return parts.mean(axes, keepdims=True), parts.var(axes, keepdims=True)


class BatchNorm(nnx.Module):
    """Ioffe and Szegedy, https://arxiv.org/abs/1502.03167."""

    def __init__(self, features: int, layers: Layers):
        self.standardize = Standardize(features, layers)
        self.gamma = nnx.Param(jnp.ones(features, jnp.float32))
        self.beta = nnx.Param(jnp.zeros(features, jnp.float32))

    def __call__(self, x: Array, cond: Cond) -> Array:
        return (self.standardize(x, cond) * self.gamma[...] + self.beta[...]).astype(x.dtype)


class ConditionalBatchNorm(nnx.Module):
    """Scale and offset are linear in the label: de Vries et al., https://arxiv.org/abs/1707.00683.

    As in compare_gan `gamma_offset`, which is added to the scale, defaults to 0; an all-zero label then gives
    zeros.
    """

    def __init__(self, make: LayerFactory, y_dim: int, features: int, *, use_bias: bool, gamma_offset: float):
        bias = 0.0 if use_bias else None
        self.gamma_offset = gamma_offset
        self.standardize = Standardize(features, make.layers)
        self.gamma = make.linear(y_dim, features, bias=bias)
        self.beta = make.linear(y_dim, features, bias=bias)

    def __call__(self, x: Array, cond: Cond) -> Array:
        standard = self.standardize(x, cond)
        gamma = self.gamma_offset + self.gamma(cond.y, train=cond.train)
        beta = self.beta(cond.y, train=cond.train)
        return (standard * _over_image(gamma, x) + _over_image(beta, x)).astype(x.dtype)


class SelfModulatedBatchNorm(nnx.Module):
    """Scale and offset are predicted from z by a small MLP: Chen et al., https://arxiv.org/abs/1810.01365."""

    def __init__(self, make: LayerFactory, z_dim: int, features: int, *, num_hidden: int):
        self.standardize = Standardize(features, make.layers)
        self.hidden = make.linear(z_dim, num_hidden) if num_hidden else None
        self.gamma = make.linear(num_hidden or z_dim, features, bias=1.0)
        self.beta = make.linear(num_hidden or z_dim, features)

    def __call__(self, x: Array, cond: Cond) -> Array:
        standard, h = self.standardize(x, cond), cond.z
        if self.hidden is not None:
            h = nnx.relu(self.hidden(h, train=cond.train))
        gamma, beta = self.gamma(h, train=cond.train), self.beta(h, train=cond.train)
        return (standard * _over_image(gamma, x) + _over_image(beta, x)).astype(x.dtype)


class LayerNorm(nnx.Module):
    """Over height, width and channels of each image: Ba et al., https://arxiv.org/abs/1607.06450."""

    def __init__(self, features: int):
        self.beta = nnx.Param(jnp.zeros(features, jnp.float32))
        self.gamma = nnx.Param(jnp.ones(features, jnp.float32))

    def __call__(self, x: Array) -> Array:
        axes = tuple(range(1, x.ndim))
        exact = x.astype(jnp.float32)
        mean, variance = exact.mean(axes, keepdims=True), exact.var(axes, keepdims=True)
        standard = (exact - mean) * jax.lax.rsqrt(variance + 1e-12)
        return (standard * self.gamma[...] + self.beta[...]).astype(x.dtype)


def _over_image(v: Array, x: Array) -> Array:
    """Reshapes v [B, F] to broadcast with x; [B, 1, 1, F] if x has rank 4."""
    return v.reshape(v.shape[0], *(1,) * (x.ndim - 2), v.shape[-1])


@expose("no_batch_norm", module=OPS)
def no_batch_norm(make: LayerFactory, features: int) -> None:
    """No normalisation."""
    del make, features


@expose("batch_norm", module=OPS)
def batch_norm(make: LayerFactory, features: int) -> BatchNorm:
    """Batch norm with learned scale and offset, the same for all images."""
    return BatchNorm(features, make.layers)


@expose("conditional_batch_norm", module=OPS)
def conditional_batch_norm(
    make: LayerFactory, features: int, *, use_bias: bool = False, gamma_offset: float = 0.0
) -> ConditionalBatchNorm:
    """Batch norm with scale and offset linear in the label.

    `gamma_offset` is added to the scale. compare_gan adds nothing (google/compare_gan#54). With 1 all classes
    start with the same scale, which keeps small generators from losing a class.

    Raises:
      UserError: there are no labels.
    """
    if not make.dims.y:
        raise UserError("conditional_batch_norm needs labels; set ModularGAN.conditional = True")
    return ConditionalBatchNorm(make, make.dims.y, features, use_bias=use_bias, gamma_offset=gamma_offset)


@expose("self_modulated_batch_norm", module=OPS)
def self_modulated_batch_norm(
    make: LayerFactory, features: int, *, num_hidden: int = 32
) -> SelfModulatedBatchNorm:
    """Batch norm with scale and offset predicted from the latent vector.

    Raises:
      UserError: the network has no latent vector.
    """
    if not make.dims.z:
        raise UserError("self_modulated_batch_norm needs a latent vector; use it as G.batch_norm_fn only")
    return SelfModulatedBatchNorm(make, make.dims.z, features, num_hidden=num_hidden)
