"""What is trained: networks, methods and batch sizes, in the words of configurations."""

import dataclasses

from compare_gan.core.types import ImageSpec

COMMON = [
    "dataset.name = 'cifar10'",
    "options.training_steps = 40000",
    "ModularGAN.g_optimizer_fn = @tf.train.AdamOptimizer",
    "tf.train.AdamOptimizer.beta1 = 0.5",
]
RESNET_CIFAR = [
    *COMMON,
    "options.architecture = 'resnet_cifar_arch'",
    "options.z_dim = 128",
    "G.batch_norm_fn = @batch_norm",
    "D.spectral_norm = True",
]
BIGGAN = [
    *COMMON,
    "options.architecture = 'resnet_biggan_arch'",
    "options.gan_class = @ModularGAN",
    "ModularGAN.conditional = True",
    "G.batch_norm_fn = @conditional_batch_norm",
    "G.spectral_norm = True",
    "D.spectral_norm = True",
    "resnet_biggan.Generator.hierarchical_z = True",
    "resnet_biggan.Generator.embed_y = True",
    "resnet_biggan.Discriminator.project_y = True",
    "weights.initializer = 'orthogonal'",
    "loss.fn = @hinge",
]


@dataclasses.dataclass(frozen=True)
class Model:
    """A training step to be measured."""

    bindings: list[str]
    spec: ImageSpec
    batch_size: int  # where nothing else is asked for

    def settings(self, batch_size: int) -> list[str]:
        return [*self.bindings, f"options.batch_size = {batch_size}"]


CIFAR, IMAGENET = ImageSpec((32, 32, 3), 10), ImageSpec((128, 128, 3), 1000)
PLAIN = "options.gan_class = @ModularGAN"
MODELS = {
    "resnet_cifar": Model([*RESNET_CIFAR, PLAIN, "options.disc_iters = 1"], CIFAR, 64),
    "resnet_cifar_5": Model([*RESNET_CIFAR, PLAIN, "options.disc_iters = 5"], CIFAR, 64),
    "ssgan_cifar": Model(
        [
            *RESNET_CIFAR,
            "options.gan_class = @SSGAN",
            "options.disc_iters = 1",
            "SSGAN.rotated_batch_size = 64",
        ],
        CIFAR,
        64,
    ),
    "s3gan_cifar": Model(
        [
            *RESNET_CIFAR,
            "options.gan_class = @S3GAN",
            "options.disc_iters = 1",
            "ModularGAN.conditional = True",
            "G.batch_norm_fn = @conditional_batch_norm",
            "S3GAN.rotated_batch_fraction = 4",
            "S3GAN.use_predictor = True",
            "S3GAN.project_y = True",
        ],
        CIFAR,
        64,
    ),
    "biggan32": Model([*BIGGAN, "options.disc_iters = 1", "options.z_dim = 80"], CIFAR, 64),
    "biggan128": Model([*BIGGAN, "options.disc_iters = 1", "options.z_dim = 120"], IMAGENET, 2),
}
