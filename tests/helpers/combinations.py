"""GANs of every architecture, norm and method, of a few channels, as a configuration makes them."""

from collections.abc import Callable

from compare_gan.config.parse import parse
from compare_gan.core.types import ImageSpec
from compare_gan.gans.gan import GAN

CLASSES = 3
SIDE = {"resnet_small_arch": 8, "resnet_stl_arch": 48, "resnet30_arch": 128}  # else 32
NORMS = ("None", "@batch_norm", "@conditional_batch_norm", "@self_modulated_batch_norm")
METHODS = {
    "unconditional": ["options.gan_class = @ModularGAN"],
    "conditional": ["options.gan_class = @ModularGAN", "ModularGAN.conditional = True"],
    "SSGAN": ["options.gan_class = @SSGAN", "SSGAN.rotated_batch_size = 4"],
    "S3GAN": [
        "options.gan_class = @S3GAN",
        "ModularGAN.conditional = True",
        "S3GAN.rotated_batch_fraction = 1",
        "S3GAN.project_y = True",
        "S3GAN.use_predictor = True",
    ],
}


def combination(architecture: str, norm: str, method: str) -> Callable[[], GAN]:
    """A function that makes the GAN of these names, with spectral norm and the hinge loss."""
    module = architecture.removesuffix("_arch")
    lines = [
        "dataset.name = 'noise'",
        f"options.architecture = '{architecture}'",
        "options.batch_size = 4",
        "options.training_steps = 1",
        "options.z_dim = 20",
        "loss.fn = @hinge",
        f"G.batch_norm_fn = {norm}",
        "D.spectral_norm = True",
        f"{module}.Generator.ch = 4",
        f"{module}.Discriminator.ch = 4",
        *METHODS[method],
    ]
    if "biggan" in module:  # projects labels unless asked not to
        lines.append(f"{module}.Discriminator.project_y = {method == 'conditional'}")
    side = SIDE.get(architecture, 32)
    return lambda: parse([], lines).gan(ImageSpec((side, side, 3), CLASSES))
