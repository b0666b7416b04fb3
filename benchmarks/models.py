"""What is trained: networks, methods and batch sizes, as packaged configurations and bindings."""

import dataclasses

from compare_gan.config.parse import parse
from compare_gan.config.recipes import recipe
from compare_gan.core.types import ImageSpec
from compare_gan.gans.gan import GAN

COMMON = [
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


PLAIN = "options.gan_class = @ModularGAN"
CONVOLUTIONAL = [
    *COMMON,
    PLAIN,
    "options.z_dim = 128",
    "options.disc_iters = 1",
    "G.batch_norm_fn = @batch_norm",
    "standardize_batch.decay = 0.9",
    "standardize_batch.epsilon = 1e-5",
]
DCGAN = [*CONVOLUTIONAL, "options.architecture = 'dcgan_arch'"]
SNDCGAN = [*CONVOLUTIONAL, "options.architecture = 'sndcgan_arch'", "D.spectral_norm = True"]
SMALL = ("small", "s3gan")  # what the demo trains, and studies of small images


@dataclasses.dataclass(frozen=True)
class Model:
    """A training step to be measured."""

    bindings: list[str]
    spec: ImageSpec
    batch_size: int  # where nothing else is asked for
    recipes: tuple[str, ...] = ()  # packaged configurations of ours that come first
    dataset: str = "cifar10"  # of this image size, for compare_gan under TensorFlow

    def settings(self, batch_size: int) -> list[str]:
        """All bindings after the recipes."""
        return [
            *self.bindings,
            f"dataset.name = '{self.dataset}'",
            f"options.batch_size = {batch_size}",
        ]


def narrow(architecture: str, ch: int) -> list[str]:
    """Bindings of the width of both networks."""
    return [f"{architecture}.{network}.ch = {ch}" for network in ("Generator", "Discriminator")]


def small(side: int, colors: int, ch: int, batch_size: int) -> Model:
    """The S3GAN that the demo and studies of small images train."""
    return Model(narrow("resnet_small", ch), ImageSpec((side, side, colors), 10), batch_size, SMALL)


CIFAR, IMAGENET = ImageSpec((32, 32, 3), 10), ImageSpec((128, 128, 3), 1000)
STL, CELEBA = ImageSpec((48, 48, 3), 10), ImageSpec((64, 64, 3))
MODELS = {
    "small8": small(8, 1, 32, 32),
    "small28": small(28, 1, 16, 32),
    "small32": small(32, 3, 32, 64),
    "dcgan32": Model(DCGAN, CIFAR, 64),
    "dcgan64": Model(DCGAN, CELEBA, 64, dataset="celeb_a"),
    "sndcgan32": Model(SNDCGAN, CIFAR, 64),
    "sndcgan64": Model(SNDCGAN, CELEBA, 64, dataset="celeb_a"),
    "resnet_cifar": Model([*RESNET_CIFAR, PLAIN, "options.disc_iters = 1"], CIFAR, 64),
    "resnet_cifar_5": Model([*RESNET_CIFAR, PLAIN, "options.disc_iters = 5"], CIFAR, 64),
    "resnet_stl": Model(
        [*CONVOLUTIONAL, "options.architecture = 'resnet_stl_arch'", "D.spectral_norm = True"],
        STL,
        64,
        dataset="stl10",
    ),
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
    "biggan128": Model(
        [*BIGGAN, "options.disc_iters = 1", "options.z_dim = 120"], IMAGENET, 2, dataset="imagenet_128"
    ),
}

# Bindings that add a part against overfitting to any GAN.
DIFFAUGMENT = ["ModularGAN.augment = @DiffAugment()", "DiffAugment.policy = 'color,translation'"]
PARTS = {
    "DiffAugment": DIFFAUGMENT,
    "ADA": [*DIFFAUGMENT, "ModularGAN.augment_probability = @ADA()"],
    "LeCam": ["ModularGAN.regularizers = [@LeCam()]"],
    "R1": ["penalty.fn = @r1_penalty"],
}


def gan_of(name: str, batch_size: int | None = None, *bindings: str) -> GAN:
    """Our GAN of a model, with further bindings."""
    model = MODELS[name]
    settings = [*model.settings(batch_size or model.batch_size), *bindings]
    return parse([recipe(each) for each in model.recipes], settings).gan(model.spec)
