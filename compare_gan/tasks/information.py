"""The information loss of InfoGAN: Chen et al., https://arxiv.org/abs/1606.03657."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.registry import TASKS, expose
from compare_gan.core.types import Array, Cond, DiscriminatorOut, LossPair, Metrics, SideOutputs
from compare_gan.nn.layers import LayerFactory
from compare_gan.tasks.base import AuxTask


@expose("InfoGANCodes")
@dataclasses.dataclass(frozen=True)
class InfoGANCodes:
    """A prior: noise uniform in [-1, 1), then one-hot categorical codes, then continuous ones in [-1, 1).

    The defaults are those of Chen et al. on MNIST, where `options.z_dim` is 74: 62 noise, 10 + 2 codes.

    Raises:
      UserError: no codes, or a category of less than two classes.
    """

    categorical: tuple[int, ...] = (10,)  # the number of classes of each categorical code
    continuous: int = 2  # the number of continuous codes

    def __post_init__(self):
        if any(count < 2 for count in self.categorical) or self.continuous < 0 or not self.size:
            raise UserError(
                "InfoGANCodes.categorical must be numbers of classes from 2, and InfoGANCodes.continuous at "
                "least 0; together they must describe at least one code"
            )

    @property
    def size(self) -> int:
        """The length of all codes in a latent vector."""
        return sum(self.categorical) + self.continuous

    def __call__(self, rng: Array, shape: tuple[int, ...]) -> Array:
        """Latent vectors [..., Z]."""
        *batch, z_dim = shape
        if z_dim <= self.size:
            raise UserError(
                f"options.z_dim is {z_dim}; it must be more than {self.size}, the length of InfoGANCodes"
            )
        uniform_rng, *rngs = jax.random.split(rng, 1 + len(self.categorical))
        rest = jax.random.uniform(uniform_rng, (*batch, z_dim - sum(self.categorical)), minval=-1.0)
        one_hot = [
            jax.nn.one_hot(jax.random.randint(each, batch, 0, count), count)
            for each, count in zip(rngs, self.categorical, strict=True)
        ]
        noise, continuous = jnp.split(rest, [z_dim - self.size], -1)
        return jnp.concatenate([noise, *one_hot, continuous], -1)

    def split(self, z: Array) -> list[Array]:
        """Each categorical code, and all continuous ones, at the end of z [..., Z]."""
        ends = np.cumsum([z.shape[-1] - self.size, *self.categorical])
        return jnp.split(z, ends, -1)[1:]


class _Head(nnx.Module):
    """Features to predictions of the codes, with a hidden layer of 128 as for MNIST."""

    def __init__(self, make: LayerFactory, feature_dim: int, outputs: int):
        self.hidden = make.linear(feature_dim, 128)
        self.norm = make.norm(128)
        self.out = make.linear(128, outputs)

    def __call__(self, features: Array, cond: Cond) -> Array:
        x = self.hidden(features, train=cond.train)
        x = x if self.norm is None else self.norm(x, cond)
        return self.out(nnx.leaky_relu(x, 0.2), train=cond.train)


@TASKS.register("MutualInformation")
@dataclasses.dataclass(frozen=True)
class MutualInformation(AuxTask):
    """Predicts the codes of a generated image, which maximises their mutual information with the images.

    The loss of both players is the cross entropy of each categorical code, and of each continuous code the
    negative log likelihood of a Gaussian with variance 1, as in the authors' code. It is up to a constant a
    bound of the negative mutual information. Needs `z.distribution_fn = @InfoGANCodes()` and the same for
    `eval_z`.
    """

    codes: InfoGANCodes = InfoGANCodes()
    categorical_weight: float = 1.0
    continuous_weight: float = 1.0
    name: str = "information"

    def check_gan(self, gan: Any) -> None:
        if gan.prior != self.codes:
            raise UserError(
                "MutualInformation predicts codes: set z.distribution_fn = @InfoGANCodes(), "
                "eval_z.distribution_fn = @InfoGANCodes() and MutualInformation.codes = @InfoGANCodes()"
            )

    @property
    def uses_origin(self) -> bool:
        return True

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        del num_classes
        return _Head(make, feature_dim, self.codes.size)

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        predicted = head(out.features, Cond(y=y, train=train))
        return out._replace(aux={**out.aux, self.name: predicted})

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        del real, real_y, fake_y
        assert fake.origin is not None and fake.origin.z is not None
        *targets, values = self.codes.split(fake.origin.z)
        *logits, means = self.codes.split(fake.batch.aux[self.name])
        categorical = sum(
            (
                optax.softmax_cross_entropy(given, code).mean()
                for given, code in zip(logits, targets, strict=True)
            ),
            start=jnp.zeros(()),
        )
        squares = jnp.sum((values - means) ** 2 + np.log(2 * np.pi), -1)
        continuous = 0.5 * squares.mean()
        loss = self.categorical_weight * categorical + self.continuous_weight * continuous
        metrics = {f"loss/{self.name}_categorical": categorical, f"loss/{self.name}_continuous": continuous}
        return LossPair(loss, loss), metrics
