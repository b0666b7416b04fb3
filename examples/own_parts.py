"""A loss, an architecture and an auxiliary task of one's own, used from a configuration.

`own_parts.gin` imports this file and names its parts. From this folder, so that Python finds the file:

    PYTHONPATH=. compare-gan train --gin_config own_parts.gin --data digits --model_dir runs/own_parts

Shape letters: B batch, H W C image, Z latent, F features, K classes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from compare_gan.core.registry import LOSSES, TASKS
from compare_gan.core.types import (
    Array,
    Cond,
    DiscriminatorOut,
    Labeled,
    LossPair,
    Metrics,
    Side,
    SideOutputs,
)
from compare_gan.nn.blocks import activate
from compare_gan.nn.heads import scored
from compare_gan.nn.layers import LayerFactory, Linear
from compare_gan.nn.networks import NetSpec, register_pair
from compare_gan.tasks.base import AuxTask


@LOSSES.register("relativistic_average", module="own_parts")
def relativistic_average(real_logits: Array, fake_logits: Array) -> LossPair:
    """Compares images with the mean of the other side: https://arxiv.org/abs/1807.00734, section 4.2.

    Args:
      real_logits: [B].
      fake_logits: [B].
    """
    real = real_logits - fake_logits.mean()
    fake = fake_logits - real_logits.mean()
    d = jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean()
    g = jax.nn.softplus(real).mean() + jax.nn.softplus(-fake).mean()
    return LossPair(d, g)


class Generator(nnx.Module):
    """A linear layer to half the image size, a norm, and a convolution that doubles the size."""

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        make = net.factory(rngs)
        h, w, _ = net.image.image_shape
        self.shape = (h // 2, w // 2, ch)
        self.fc = make.linear(net.z_dim, h // 2 * (w // 2) * ch)
        self.norm = make.norm(ch)
        self.conv = make.conv(ch, net.colors, scale="repeat")

    def __call__(self, cond: Cond) -> Array:  # cond.z [B, Z] -> [B, H, W, C] in [0, 1]
        x = self.fc(cond.z, train=cond.train).reshape(-1, *self.shape)
        x = self.conv(activate(x, self.norm, cond), train=cond.train)
        return nnx.sigmoid(x.astype(jnp.float32))


class Discriminator(nnx.Module):
    """One convolution with stride 2, the sum over the image, and a linear layer."""

    projects_labels = False

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        make = net.factory(rngs)
        self.feature_dim = ch
        self.conv = make.conv(net.colors, ch, size=4, stride=2)
        self.fc = make.linear(ch, 1)

    def __call__(
        self, x: Array, cond: Cond
    ) -> DiscriminatorOut:  # [B, H, W, C] -> logits [B], features [B, F]
        features = nnx.relu(self.conv(x, train=cond.train)).sum((1, 2), jnp.float32)
        return scored(features, cond, self.fc)


register_pair("own_arch", Generator, Discriminator, module="own_parts")


@TASKS.register("UpsideDown", module="own_parts")
@dataclasses.dataclass(frozen=True)
class UpsideDown(AuxTask):
    """Predicts whether an image is upside down. Every image is shown in both positions.

    As with rotation, the loss on real images trains the discriminator, that on generated ones the generator.
    """

    d_weight: float = 1.0
    g_weight: float = 0.2
    name: str = "upside_down"

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> Linear:
        return make.linear(feature_dim, 1)

    def extra_views(self, x: Labeled, side: Side, keys: Array | None) -> Labeled:
        return Labeled(x.images[:, ::-1], x.y)

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        return out._replace(aux={**out.aux, self.name: head(out.features, train=train)[:, 0]})

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        def cross_entropy(side: SideOutputs) -> Array:
            upright, flipped = side.batch.aux[self.name], side.task_views.aux[self.name]
            logits = jnp.concatenate([upright, flipped])
            targets = jnp.concatenate([jnp.zeros_like(upright), jnp.ones_like(flipped)])
            return optax.sigmoid_binary_cross_entropy(logits, targets).mean()

        pair = LossPair(cross_entropy(real), cross_entropy(fake))
        metrics = {"loss/upside_down_real": pair.d, "loss/upside_down_fake": pair.g}
        return pair.scaled(self.d_weight, self.g_weight), metrics
