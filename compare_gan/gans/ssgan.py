"""Self-supervised GAN: Chen et al., https://arxiv.org/abs/1811.11212."""

import dataclasses

from compare_gan.core.errors import UserError
from compare_gan.core.registry import GAN_METHODS
from compare_gan.gans.gan import GAN
from compare_gan.nn.images import TURNS
from compare_gan.tasks.rotation import Rotation


@GAN_METHODS.register("SSGAN", module="compare_gan.gans.ssgan")
def ssgan(
    base: GAN,
    *,
    rotated_batch_size: int,
    self_supervision: str | None = "rotation_gan",
    weight_rotation_loss_d: float = 1.0,
    weight_rotation_loss_g: float = 0.2,
) -> GAN:
    """Adds rotation prediction to a GAN.

    >>> base = cg.presets.small(cg.ImageSpec((8, 8, 1)))
    >>> cg.ssgan(base, rotated_batch_size=16).tasks
    (Rotation(num_images=4, d_weight=1.0, g_weight=0.2, name='rotation'),)

    Args:
      base: the GAN.
      rotated_batch_size: images of the rotation task on each side, the unrotated ones included.
      self_supervision: "rotation_gan"; "rotation_only" leaves out the GAN's own loss; None or
        "none" leaves out the task.
      weight_rotation_loss_d: weight of the loss on real images, for the discriminator.
      weight_rotation_loss_g: weight of the loss on generated images, for the generator.

    Raises:
      UserError: a batch size that does not divide, or an unknown `self_supervision`.
    """
    if self_supervision in (None, "none"):
        return base
    if self_supervision not in ("rotation_gan", "rotation_only"):
        raise UserError(
            f"SSGAN.self_supervision is {self_supervision!r}; use rotation_gan, rotation_only or none"
        )
    if rotated_batch_size % TURNS or not 0 < rotated_batch_size <= TURNS * base.batch_size:
        raise UserError(
            f"SSGAN.rotated_batch_size is {rotated_batch_size}; "
            f"it must be a multiple of {TURNS}, at most {TURNS * base.batch_size}"
        )
    rotation = Rotation(rotated_batch_size // TURNS, weight_rotation_loss_d, weight_rotation_loss_g)
    weight = 0.0 if self_supervision == "rotation_only" else base.adversarial_weight
    return dataclasses.replace(base, tasks=(*base.tasks, rotation), adversarial_weight=weight)
