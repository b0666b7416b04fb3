"""Self-supervision with augmented labels (SSGAN-LA): Hou et al., https://arxiv.org/abs/2106.08601."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array, LossPair, Metrics, SideOutputs
from compare_gan.nn.images import TURNS
from compare_gan.nn.layers import LayerFactory, Linear
from compare_gan.tasks.rotation import RotatedViews


@TASKS.register("LabelAugmentation")
@dataclasses.dataclass(frozen=True)
class LabelAugmentation(RotatedViews):
    """Tells apart 8 classes: real images rotated by k quarter turns (2k), and generated ones (2k + 1).

    Cross entropy: the discriminator's loss is that of the right classes, the generator's is that of class 2k
    minus that of 2k + 1. With `multi_hinge` both use the multi-class hinge loss of the authors' code.

    It replaces the loss of the GAN with `ModularGAN.adversarial_weight = 0.0` (their "ssgan_la"), else it is
    added to it ("ssgan_la_plus"). `num_images` of `options.batch_size` is their "all_T".
    """

    multi_hinge: bool = False
    name: str = "label_augmentation"

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> Linear:
        del num_classes
        return make.linear(feature_dim, 2 * TURNS)

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        del real_y, fake_y
        right, wrong = 2 * self.turns, 2 * self.turns + 1
        on_real, on_fake = self.rotated(real), self.rotated(fake)
        if self.multi_hinge:
            d = hinge(on_real, right) + hinge(on_fake, wrong)
            g = margins(on_fake, right).mean() - margins(on_fake, wrong).mean()
        else:
            entropy = optax.softmax_cross_entropy_with_integer_labels
            d = entropy(on_real, right).mean() + entropy(on_fake, wrong).mean()
            g = entropy(on_fake, right).mean() - entropy(on_fake, wrong).mean()
        metrics = {
            "loss/label_augmentation_d": d,
            "loss/label_augmentation_g": g,
            "accuracy/label_augmentation": jnp.mean(on_real.argmax(-1) == right),
        }
        return LossPair(d, g).scaled(self.d_weight, self.g_weight), metrics


def margins(logits: Array, classes: Array) -> Array:
    """[B, N - 1]: by how much each of the other logits [B, N] exceeds that of the class [B]."""
    count = logits.shape[1]
    others = (classes[:, None] + jnp.arange(1, count)) % count
    return jnp.take_along_axis(logits, others, 1) - jnp.take_along_axis(logits, classes[:, None], 1)


def hinge(logits: Array, classes: Array) -> Array:
    """The mean violation of a margin of 1 over all other classes."""
    return jax.nn.relu(1 + margins(logits, classes)).mean()
