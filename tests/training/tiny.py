"""GANs small enough to train in a test."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.architectures import resnet_small
from compare_gan.augmentations.adaptive import ADA, APA
from compare_gan.augmentations.augment_pipe import AugmentPipe
from compare_gan.core.types import ImageSpec
from compare_gan.data import ImageDataset, open_dataset
from compare_gan.data.base import Split
from compare_gan.gans.gan import GAN
from compare_gan.gans.s3gan import s3gan
from compare_gan.gans.sampling import normal
from compare_gan.gans.ssgan import ssgan
from compare_gan.losses.standard import hinge
from compare_gan.nn.norms import batch_norm, conditional_batch_norm
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions
from compare_gan.penalties.gradient import wgangp_penalty
from compare_gan.regularizers.lecam import LeCam
from compare_gan.training.loop import Job


def blobs() -> ImageDataset:
    return open_dataset("blobs")


BASE = GAN(
    spec=blobs().spec,
    make_generator=functools.partial(resnet_small.Generator, ch=4),
    make_discriminator=functools.partial(resnet_small.Discriminator, ch=4),
    z_dim=8,
    batch_size=16,
    loss=hinge,
    prior=normal,
    g_use_ema=True,
    ema_start_step=2,
    g_options=GeneratorOptions(batch_norm, True),
    d_options=DiscriminatorOptions(spectral_norm=True),
)
CONDITIONAL = dataclasses.replace(
    BASE, conditional=True, g_options=GeneratorOptions(conditional_batch_norm, True), disc_iters=2
)
GANS = {
    "wgangp": dataclasses.replace(
        BASE, penalty=wgangp_penalty, penalty_weight=10.0, d_options=DiscriminatorOptions()
    ),
    "ssgan": ssgan(BASE, rotated_batch_size=16),
    "adaptive": dataclasses.replace(
        BASE,
        augment=AugmentPipe(),
        augment_probability=ADA(kimg=0.1, interval=2, target=-0.9),
        pseudo_augmentation=APA(kimg=0.2, interval=1, target=-0.9),
        regularizers=(LeCam(start_step=1),),
    ),
    "s3gan": s3gan(CONDITIONAL, rotated_batch_fraction=2, project_y=True, use_predictor=True),
}


class Count(NamedTuple):
    step: jax.Array


def count(state, batch, rng, shard):
    return Count(state.step + 1), {"loss/d": jax.random.normal(rng), "number": state.step.astype(jnp.float32)}


COUNT = Job("count", lambda key: Count(jnp.int32(0)), count, 4)  # trains nothing, for tests of the loop


def noise(spec: ImageSpec) -> Split:
    """Sixty-four images of noise, classes in turn."""
    images = np.random.default_rng(0).integers(0, 256, (64, *spec.image_shape), np.uint8)
    return Split(images, np.arange(64, dtype=np.int32) % spec.num_classes)
