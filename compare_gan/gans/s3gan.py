"""S3GAN, a conditional GAN from few labels: Lucic et al., https://arxiv.org/abs/1903.02271."""

import dataclasses

from compare_gan.core.errors import UserError
from compare_gan.core.registry import GAN_METHODS
from compare_gan.gans.gan import GAN
from compare_gan.nn.images import TURNS
from compare_gan.tasks.base import AuxTask
from compare_gan.tasks.projection import Projection
from compare_gan.tasks.rotation import Rotation


@GAN_METHODS.register("S3GAN", module="compare_gan.gans.s3gan")
def s3gan(
    base: GAN,
    *,
    rotated_batch_fraction: int,
    self_supervision: str | None = "rotation",
    weight_rotation_loss_d: float = 1.0,
    weight_rotation_loss_g: float = 0.2,
    project_y: bool = False,
    use_predictor: bool = False,
    use_soft_pred: bool = False,
    weight_class_loss: float = 1.0,
) -> GAN:
    """Adds rotation prediction, label projection and a label predictor to a conditional GAN.

    >>> base = cg.presets.small(cg.ImageSpec((8, 8, 1), num_classes=10))
    >>> gan = cg.s3gan(base, rotated_batch_fraction=4, project_y=True)
    >>> [task.name for task in gan.tasks]
    ['rotation', 'class']

    Args:
      base: a conditional GAN whose discriminator does not project labels itself.
      rotated_batch_fraction: the rotation task uses batch_size / rotated_batch_fraction images on each side,
        the unrotated ones included.
      self_supervision: "rotation"; None or "none" leaves out the task.
      weight_rotation_loss_d: weight of the loss on real images, for the discriminator.
      weight_rotation_loss_g: weight of the loss on generated images, for the generator.
      project_y: add the inner product of label embedding and features to the logits.
      use_predictor: predict missing labels with a classifier on the features (the -CO methods).
      use_soft_pred: use its probabilities instead of its most likely class.
      weight_class_loss: weight of the classifier's loss, for the discriminator.

    Raises:
      UserError: no labels, a batch size that does not divide, or an unknown `self_supervision`.
    """
    if not base.conditional:
        raise UserError("S3GAN needs labels; set ModularGAN.conditional = True, or use SSGAN without labels")
    if use_predictor and not project_y:
        raise UserError("S3GAN.use_predictor needs S3GAN.project_y = True, which uses the predicted labels")
    tasks: tuple[AuxTask, ...] = base.tasks
    if self_supervision == "rotation":
        rotated, rest = divmod(base.batch_size, rotated_batch_fraction)
        if rest or rotated % TURNS or not rotated:
            raise UserError(
                f"options.batch_size is {base.batch_size} and S3GAN.rotated_batch_fraction is "
                f"{rotated_batch_fraction}; their quotient must be a multiple of {TURNS}"
            )
        tasks += (Rotation(rotated // TURNS, weight_rotation_loss_d, weight_rotation_loss_g),)
    elif self_supervision not in (None, "none"):
        raise UserError(f"S3GAN.self_supervision is {self_supervision!r}; use rotation or none")
    if project_y:
        tasks += (Projection(project_y, use_predictor, use_soft_pred, weight_class_loss),)
    return dataclasses.replace(base, tasks=tasks)
