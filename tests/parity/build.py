"""From a case's description to a GAN, by the way that a user's configuration takes."""

from compare_gan.config.parse import Parsed, parse
from compare_gan.core.types import ImageSpec
from compare_gan.gans.gan import GAN
from compare_gan.nn.options import NormFactory

from .reference import Case


def lines(case: Case) -> list[str]:
    """All that a case says of its GAN, as bindings."""
    meta = case.meta
    gan_class, architecture = meta.get("gan_class", "ModularGAN"), meta["architecture"]
    options = {
        "gan_class": f"@{gan_class}",
        "architecture": repr(f"{architecture}_arch"),
        "batch_size": meta.get("batch", 4),
        "training_steps": meta.get("steps", 1),
        "z_dim": meta.get("z_dim", 128),
        "disc_iters": meta.get("disc_iters", 1),
        "lamba": meta.get("penalty_lambda", 1),
    }
    given = {
        gan_class: meta.get("constructor_kwargs", {}),
        f"{architecture}.Generator": meta.get("generator_kwargs", {}),
        f"{architecture}.Discriminator": meta.get("discriminator_kwargs", {}),
    }
    return [
        "dataset.name = 'of the case'",
        f"ModularGAN.conditional = {meta['conditional']}",
        *(f"options.{name} = {value}" for name, value in options.items()),
        *(f"{owner}.{name} = {value!r}" for owner, values in given.items() for name, value in values.items()),
        *meta["gin_bindings"],
    ]


def parsed(case: Case) -> Parsed:
    return parse([], lines(case))


def gan(case: Case) -> GAN:
    """The GAN of a case.

    Raises:
      UserError: the case binds something that is not known here, or that makes no sense.
    """
    return parsed(case).gan(spec(case))


def spec(case: Case) -> ImageSpec:
    """The images that a case is about; compare_gan's recorded failures have ten classes, if any."""
    side, meta = case.meta["resolution"], case.meta
    classes = (meta.get("num_classes") or 10) if meta["conditional"] else 0
    return ImageSpec((side, side, meta.get("colors", 3)), classes)


def parts(case: Case, *bindings: str) -> GAN:
    """A GAN of any networks, with the layers, norms and options that a case of single layers binds."""
    lines = [
        "options.gan_class = @ModularGAN",
        "options.architecture = 'resnet_cifar_arch'",
        "options.batch_size = 4",
        "options.training_steps = 1",
        *case.meta.get("gin_bindings", []),
        *bindings,
    ]
    return parse([], lines).unchecked_gan(ImageSpec((32, 32, 3), 10))


def norm(case: Case, name: str) -> NormFactory:
    """A batch norm by its name in compare_gan, with the arguments that a case binds."""
    chosen = parts(case, f"G.batch_norm_fn = @{name}").g_options.batch_norm_fn
    assert chosen is not None
    return chosen
