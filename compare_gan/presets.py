"""Published settings and our own for small images, as functions from the shape of images to a `GAN`.

Each function reads the packaged configuration of the same name, so its numbers are those that
`compare-gan configs NAME` prints. A `GAN` is a frozen dataclass: `dataclasses.replace` changes a field.

  >>> from compare_gan import presets
  >>> from compare_gan.core.types import ImageSpec
  >>> gan = presets.sngan_cifar10(ImageSpec((32, 32, 3)))
  >>> gan.batch_size, gan.disc_iters, gan.g_lr
  (64, 5, 0.0002)
"""

from compare_gan.config.parse import parse
from compare_gan.config.recipes import configurations, recipe
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec
from compare_gan.gans.gan import GAN


def small(spec: ImageSpec, *, conditional: bool | None = None) -> GAN:
    """Small residual networks for images of 8 to 64 pixels, fast enough for two CPU cores.

    Without tasks: a method such as `s3gan` or `ssgan` adds them. The generator of a conditional GAN has
    conditional batch norm; the discriminator does not use the labels, so that `s3gan` can add the projection.

      >>> from compare_gan import presets
      >>> from compare_gan.core.types import ImageSpec
      >>> from compare_gan.gans.s3gan import s3gan
      >>> base = presets.small(ImageSpec((8, 8, 1), num_classes=10))
      >>> base.conditional, base.batch_size, base.z_dim
      (True, 32, 32)
      >>> [task.name for task in s3gan(base, rotated_batch_fraction=4, project_y=True).tasks]
      ['rotation', 'class']

    Args:
      spec: shape of the images, and number of classes.
      conditional: whether the generator gets labels; None: if there are classes.

    Raises:
      UserError: the networks do not fit the images, or `conditional` without classes.
    """
    return _half("small", spec, conditional)


def small32(spec: ImageSpec, *, conditional: bool | None = None) -> GAN:
    """Like `small`, wider and with batches of 64, for photographs of 32x32: a modest GPU, or a CPU overnight.

    Raises:
      UserError: the images have another size, or `conditional` without classes.
    """
    return _half("small32", spec, conditional)


def small64(spec: ImageSpec, *, conditional: bool | None = None) -> GAN:
    """Like `small32`, for photographs of 64x64: a modest GPU, or a CPU for a day.

    Raises:
      UserError: the images have another size, or `conditional` without classes.
    """
    return _half("small64", spec, conditional)


def small128(spec: ImageSpec, *, conditional: bool | None = None) -> GAN:
    """Like `small32`, narrower and with batches of 32, for photographs of 128x128.

    Raises:
      UserError: the images have another size, or `conditional` without classes.
    """
    return _half("small128", spec, conditional)


def biggan_cifar10(spec: ImageSpec) -> GAN:
    """BigGAN on CIFAR-10 with labels, settings of Zhao et al.'s baseline: FID 9.59, IS 9.06.

    Brock et al., https://arxiv.org/abs/1809.11096. Score: https://github.com/mit-han-lab/data-efficient-gans,
    10,000 generated images.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("biggan_cifar10", spec)


def biggan_deep_cifar10(spec: ImageSpec) -> GAN:
    """BigGAN-deep on CIFAR-10 with labels, StudioGAN's settings.

    Brock et al., https://arxiv.org/abs/1809.11096, appendix B.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("biggan_deep_cifar10", spec)


def r3gan_celeba64(spec: ImageSpec) -> GAN:
    """R3GAN on CelebA, settings of Huang et al. for faces of 64x64.

    Huang et al., https://arxiv.org/abs/2501.05441.

    Raises:
      UserError: the images have another size.
    """
    return _published("r3gan_celeba64", spec)


def r3gan_cifar10(spec: ImageSpec) -> GAN:
    """R3GAN on CIFAR-10 with labels, settings of Huang et al.

    Huang et al., https://arxiv.org/abs/2501.05441.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("r3gan_cifar10", spec)


def r3gan_imagenet64(spec: ImageSpec) -> GAN:
    """R3GAN on ImageNet with labels, settings of Huang et al.

    Huang et al., https://arxiv.org/abs/2501.05441.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("r3gan_imagenet64", spec)


def resnet_cifar10(spec: ImageSpec) -> GAN:
    """Non-saturating GAN with spectral norm on CIFAR-10, compare_gan's settings: FID 22.91.

    Miyato et al., https://arxiv.org/abs/1802.05957. Score: compare_gan's branch v2, best models of
    https://arxiv.org/abs/1807.04720.

    Raises:
      UserError: the images have another size.
    """
    return _published("resnet_cifar10", spec)


def s3gan_cifar10(spec: ImageSpec) -> GAN:
    """S3GAN on CIFAR-10, with the settings of `sngan_cifar10`; labels are inferred first.

    Lucic et al., https://arxiv.org/abs/1903.02271.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("s3gan_cifar10", spec)


def sngan_cifar10(spec: ImageSpec) -> GAN:
    """SNGAN on CIFAR-10, mimicry's settings: FID 16.77.

    Miyato et al., https://arxiv.org/abs/1802.05957. Score: mimicry's README, 50,000 training images.

    Raises:
      UserError: the images have another size.
    """
    return _published("sngan_cifar10", spec)


def ssgan_cifar10(spec: ImageSpec) -> GAN:
    """SSGAN on CIFAR-10, mimicry's settings: FID 14.65.

    Chen et al., https://arxiv.org/abs/1811.11212. Score: mimicry's README, 50,000 training images.

    Raises:
      UserError: the images have another size.
    """
    return _published("ssgan_cifar10", spec)


def s3gan_stl10(spec: ImageSpec) -> GAN:
    """S3GAN on STL-10 at 48x48, with the settings of `sngan_stl10`; labels are inferred first.

    Lucic et al., https://arxiv.org/abs/1903.02271.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("s3gan_stl10", spec)


def sngan_stl10(spec: ImageSpec) -> GAN:
    """SNGAN on STL-10 at 48x48, mimicry's settings: FID 39.56.

    Miyato et al., https://arxiv.org/abs/1802.05957. Score: mimicry's README, 50,000 unlabelled images.

    Raises:
      UserError: the images have another size.
    """
    return _published("sngan_stl10", spec)


def ssgan_stl10(spec: ImageSpec) -> GAN:
    """SSGAN on STL-10 at 48x48, mimicry's settings: FID 37.06.

    Chen et al., https://arxiv.org/abs/1811.11212. Score: mimicry's README, 50,000 unlabelled images.

    Raises:
      UserError: the images have another size.
    """
    return _published("ssgan_stl10", spec)


def dcgan_celeba64(spec: ImageSpec) -> GAN:
    """DCGAN with the non-saturating loss on CelebA at 64x64, compare_gan's settings.

    Radford et al., https://arxiv.org/abs/1511.06434.

    Raises:
      UserError: the images have another size.
    """
    return _published("dcgan_celeba64", spec)


def sngan_celeba64(spec: ImageSpec) -> GAN:
    """SNGAN on CelebA at 64x64, mimicry's settings: FID 5.71.

    Miyato et al., https://arxiv.org/abs/1802.05957. Score: mimicry's README, 50,000 real images.

    Raises:
      UserError: the images have another size.
    """
    return _published("sngan_celeba64", spec)


def ssgan_celeba64(spec: ImageSpec) -> GAN:
    """SSGAN on CelebA at 64x64, mimicry's settings: FID 6.03.

    Chen et al., https://arxiv.org/abs/1811.11212. Score: mimicry's README, 50,000 real images.

    Raises:
      UserError: the images have another size.
    """
    return _published("ssgan_celeba64", spec)


def biggan_deep_imagenet128(spec: ImageSpec) -> GAN:
    """BigGAN-deep on ImageNet at 128x128 with labels, BigGAN-PyTorch's settings.

    Brock et al., https://arxiv.org/abs/1809.11096, appendix B.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("biggan_deep_imagenet128", spec)


def biggan_imagenet128(spec: ImageSpec) -> GAN:
    """BigGAN on ImageNet at 128x128 with labels, compare_gan's settings: FID 7.62, IS 94.5.

    Brock et al., https://arxiv.org/abs/1809.11096. Score: https://github.com/mit-han-lab/data-efficient-gans,
    with other crops.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("biggan_imagenet128", spec)


def resnet_lsun_bedroom128(spec: ImageSpec) -> GAN:
    """Wasserstein GAN with gradient penalty on LSUN bedrooms at 128x128, compare_gan's settings.

    Gulrajani et al., https://arxiv.org/abs/1704.00028; Kurach et al., https://arxiv.org/abs/1807.04720.

    Raises:
      UserError: the images have another size.
    """
    return _published("resnet_lsun_bedroom128", spec)


def s3gan_imagenet128(spec: ImageSpec) -> GAN:
    """S3GAN on ImageNet at 128x128: FID 7.6, IS 80 with 10% of the labels, the others inferred.

    Lucic et al., https://arxiv.org/abs/1903.02271.
    Score: TensorFlow Hub, google/compare_gan/s3gan_10_128x128.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("s3gan_imagenet128", spec)


def sndcgan_celebahq128(spec: ImageSpec) -> GAN:
    """SNDCGAN on CelebA-HQ at 128x128, compare_gan's settings: FID 28.21, with beta2 0.9.

    Miyato et al., https://arxiv.org/abs/1802.05957. Score: compare_gan's branch v2, best models of
    https://arxiv.org/abs/1807.04720.

    Raises:
      UserError: the images have another size.
    """
    return _published("sndcgan_celebahq128", spec)


def sngan_imagenet128(spec: ImageSpec) -> GAN:
    """SNGAN on ImageNet at 128x128 without labels, mimicry's settings: FID 65.74, IS 13.05.

    Miyato et al., https://arxiv.org/abs/1802.05957. Score: mimicry's README, 50,000 training images.

    Raises:
      UserError: the images have another size.
    """
    return _published("sngan_imagenet128", spec)


def sngan_lsun_bedroom128(spec: ImageSpec) -> GAN:
    """SNGAN on LSUN bedrooms at 128x128, mimicry's settings: FID 25.87.

    Miyato et al., https://arxiv.org/abs/1802.05957. Score: mimicry's README, 50,000 training images.

    Raises:
      UserError: the images have another size.
    """
    return _published("sngan_lsun_bedroom128", spec)


def ssgan_celebahq128(spec: ImageSpec) -> GAN:
    """SSGAN on CelebA-HQ at 128x128, with mimicry's settings for CelebA.

    Chen et al., https://arxiv.org/abs/1811.11212.

    Raises:
      UserError: the images have another size.
    """
    return _published("ssgan_celebahq128", spec)


def ssgan_imagenet128(spec: ImageSpec) -> GAN:
    """SSGAN with BigGAN's networks on ImageNet at 128x128 without labels: FID 20.6, IS 24.9.

    Chen et al., https://arxiv.org/abs/1811.11212. Score: TensorFlow Hub, google/compare_gan/ssgan_128x128;
    its settings are not published, these are BigGAN's.

    Raises:
      UserError: the images have another size.
    """
    return _published("ssgan_imagenet128", spec)


def ssgan_lsun_bedroom128(spec: ImageSpec) -> GAN:
    """SSGAN on LSUN bedrooms at 128x128, mimicry's settings: FID 12.02.

    Chen et al., https://arxiv.org/abs/1811.11212. Score: mimicry's README, 50,000 training images.

    Raises:
      UserError: the images have another size.
    """
    return _published("ssgan_lsun_bedroom128", spec)


def biggan_imagenet256(spec: ImageSpec) -> GAN:
    """BigGAN on ImageNet at 256x256 with labels, otherwise the settings of `biggan_imagenet128`.

    Brock et al., https://arxiv.org/abs/1809.11096.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("biggan_imagenet256", spec)


def s3gan_imagenet256(spec: ImageSpec) -> GAN:
    """S3GAN on ImageNet at 256x256: FID 8.0, IS 133 with 10% of the labels, the others inferred.

    Lucic et al., https://arxiv.org/abs/1903.02271.
    Score: TensorFlow Hub, google/compare_gan/s3gan_10_256x256.

    Raises:
      UserError: the images have another size, or no classes.
    """
    return _published("s3gan_imagenet256", spec)


def _published(name: str, spec: ImageSpec) -> GAN:
    """The GAN of a complete configuration, for images of the size that it is for."""
    _check_size(name, spec)
    return parse([recipe(name)]).gan(spec)


def _half(name: str, spec: ImageSpec, conditional: bool | None) -> GAN:
    """The GAN of a configuration that does not say what labels are used, without tasks."""
    _check_size(name, spec)
    conditional = spec.num_classes > 0 if conditional is None else conditional
    method = recipe("conditional" if conditional else "no_labels")
    return parse([recipe(name), method]).base(spec=spec).validate()


def _check_size(name: str, spec: ImageSpec) -> None:
    side = configurations()[name].side
    h, w = spec.image_shape[:2]
    if side is not None and (h, w) != (side, side):
        raise UserError(
            f"presets.{name} is for images of {side}x{side}, these are {h}x{w}; open the data with "
            f"image_size={side}, or choose another preset"
        )
