"""From a case's description to a GAN, in plain Python."""

import ast
import dataclasses
import functools
from typing import Any

import compare_gan.architectures  # noqa: F401  registers
import compare_gan.losses  # noqa: F401
import compare_gan.penalties  # noqa: F401
from compare_gan.core.registry import ARCHITECTURES, LOSSES, PENALTIES
from compare_gan.core.types import ImageSpec
from compare_gan.gans.modular import GAN
from compare_gan.gans.optimizers import adam
from compare_gan.gans.s3gan import s3gan
from compare_gan.gans.ssgan import ssgan
from compare_gan.nn import norms
from compare_gan.nn.options import (
    DiscriminatorOptions,
    GeneratorOptions,
    Layers,
    SpectralNorm,
    StandardizeBatch,
)

from .reference import Case


def bindings(case: Case) -> dict[str, dict[str, Any]]:
    """`["D.spectral_norm = True"]` -> `{"D": {"spectral_norm": True}}`; `@name` stays a string."""
    found: dict[str, dict[str, Any]] = {}
    for line in case.meta["gin_bindings"]:
        name, value = line.split(" = ")
        owner, parameter = name.rsplit(".", 1)
        found.setdefault(owner, {})[parameter] = value if value[0] == "@" else ast.literal_eval(value)
    return found


def gan(case: Case) -> GAN:
    """The GAN of a case.

    Raises:
      AssertionError: the case binds something that is not known here.
    """
    bound, meta = bindings(case), case.meta
    architecture = meta["architecture"]
    for owner in ("G", "D"):
        if "batch_norm_fn" in bound.get(owner, {}):
            bound[owner]["batch_norm_fn"] = getattr(norms, bound[owner]["batch_norm_fn"][1:])
    generator, discriminator = ARCHITECTURES[f"{architecture}_arch"]
    modular = bound.pop("ModularGAN", {})
    if "tf.train.AdamOptimizer" in bound:
        assert modular.pop("g_optimizer_fn") == "@tf.train.AdamOptimizer"
        modular["g_optimizer_fn"] = functools.partial(adam, **bound.pop("tf.train.AdamOptimizer"))
    made = GAN(
        spec=ImageSpec(case.image_shape[1:], meta.get("num_classes") or 0),
        make_generator=functools.partial(generator, **bound.pop(f"{architecture}.Generator", {})),
        make_discriminator=functools.partial(discriminator, **bound.pop(f"{architecture}.Discriminator", {})),
        loss=LOSSES[bound.pop("loss", {"fn": "@non_saturating"})["fn"][1:]],
        penalty=PENALTIES[bound.pop("penalty", {"fn": "@no_penalty"})["fn"][1:]],
        penalty_weight=meta.get("penalty_lambda", 1.0),
        z_dim=meta.get("z_dim", 128),
        batch_size=meta["batch"],
        disc_iters=meta.get("disc_iters", 1),
        layers=Layers(
            batch=StandardizeBatch(**bound.pop("standardize_batch", {})),
            spectral=SpectralNorm(**bound.pop("spectral_norm", {})),
        ),
        g_options=GeneratorOptions(**bound.pop("G", {})),
        d_options=DiscriminatorOptions(**bound.pop("D", {})),
        conditional=meta["conditional"],
        **modular,
    )
    assert not bound, f"{case.name} binds {bound}"
    given = dict(meta.get("constructor_kwargs", {}))
    match meta.get("gan_class", "ModularGAN"):
        case "SSGAN":
            return ssgan(made, **given)
        case "S3GAN":
            given.pop("use_soft_labels", None)  # here soft labels are recognised by their shape
            return s3gan(made, **given)
        case _:
            return dataclasses.replace(made, **given)
