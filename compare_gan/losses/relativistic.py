"""The relativistic pairing loss: Jolicoeur-Martineau, https://arxiv.org/abs/1807.00734."""

import jax

from compare_gan.core.registry import LOSSES
from compare_gan.core.types import Array, LossPair


@LOSSES.register("relativistic")
def relativistic(real_logits: Array, fake_logits: Array) -> LossPair:
    """RpGAN: each real image is paired with a generated one, and only the difference of their logits counts.

    R3GAN (Huang et al., https://arxiv.org/abs/2501.05441) uses it with R1 and R2. The labels of a pair should
    agree, see `ModularGAN.fit_label_distribution`: otherwise a pair also tells classes apart.
    """
    difference = real_logits - fake_logits
    return LossPair(jax.nn.softplus(-difference).mean(), jax.nn.softplus(difference).mean())
