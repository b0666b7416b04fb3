"""Finds parameters of a configuration without effect, and suspicious combinations."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
from flax import nnx

from compare_gan.augmentations.augment_pipe import AugmentPipe
from compare_gan.config.parse import Parsed
from compare_gan.core.errors import UserError
from compare_gan.core.registry import (
    ARCHITECTURES,
    AUGMENTATIONS,
    GAN_METHODS,
    LOSSES,
    PENALTIES,
    REGULARIZERS,
    SCHEDULES,
    TASKS,
    Exposed,
)
from compare_gan.core.types import ImageSpec, NetState
from compare_gan.gans.gan import GAN
from compare_gan.gans.schedules import SCHEDULED
from compare_gan.losses.standard import wasserstein
from compare_gan.nn.layers import SpectralVector
from compare_gan.nn.options import OPS
from compare_gan.nn.state import net_state
from compare_gan.penalties.gradient import BATCH_STATISTICS, is_gradient_penalty
from compare_gan.penalties.weights import no_penalty
from compare_gan.tasks.classifier import Classifier


def deciding_parameters(item: Exposed) -> tuple[str, ...]:
    """The parameters that determine whether `item` is used."""
    for registry, name in (
        (GAN_METHODS, "options.gan_class"),
        (LOSSES, "loss.fn"),
        (PENALTIES, "penalty.fn"),
        (TASKS, "ModularGAN.tasks"),
        (AUGMENTATIONS, "ModularGAN.augment"),
        (REGULARIZERS, "ModularGAN.regularizers"),
    ):
        if any(registry[known] is item.target for known in registry):
            return (name,)
    if any(SCHEDULES[known] is item.target for known in SCHEDULES):
        return tuple(f"ModularGAN.{name}" for name in SCHEDULED)
    if item.target.__module__ in {ARCHITECTURES[name][0].__module__ for name in ARCHITECTURES}:
        return ("options.architecture",)
    return {
        OPS: ("G.batch_norm_fn", "D.batch_norm_fn"),
        "tf.random": ("z.distribution_fn", "eval_z.distribution_fn"),
        "compare_gan.tasks.information": ("z.distribution_fn", "eval_z.distribution_fn"),
        "compare_gan.losses.top_k": ("ModularGAN.generator_weights",),
        "tf.train": ("ModularGAN.g_optimizer_fn", "ModularGAN.d_optimizer_fn"),
        "optax": ("ModularGAN.g_optimizer_fn", "ModularGAN.d_optimizer_fn"),
        "compare_gan.gans.optimizers": ("ModularGAN.g_optimizer_fn", "ModularGAN.d_optimizer_fn"),
    }.get(item.module, ())


def unused_parameters(parsed: Parsed, gan: GAN) -> Iterator[tuple[str, str]]:
    """Parameters whose value has no effect given the other values, and the reason."""
    method = getattr(parsed.method, "keywords", {})
    batch = gan.layers.batch
    if not gan.g_use_ema:
        for name in ("ema_decay", "ema_start_step", "ema_schedule", "ema_rampup"):
            yield f"ModularGAN.{name}", "ModularGAN.g_use_ema is False"
    if not gan.conditional:
        yield "ModularGAN.fit_label_distribution", "ModularGAN.conditional is False"
        yield "ModularGAN.labelled_batch_fraction", "ModularGAN.conditional is False"
    if not gan.adversarial_weight:
        rotation_only = method.get("self_supervision") == "rotation_only"
        why = (
            "SSGAN.self_supervision is 'rotation_only'"
            if rotation_only
            else "ModularGAN.adversarial_weight is 0"
        )
        for name in ("loss.fn", "penalty.fn", "options.lamba"):
            yield name, why
    if not gan.penalty_weight:
        yield "penalty.fn", "options.lamba is 0"
    if gan.penalty is no_penalty:
        yield "options.lamba", "penalty.fn is @no_penalty"
        yield "ModularGAN.penalty_schedule", "penalty.fn is @no_penalty"
    if gan.layers.weights.initializer == "orthogonal":
        yield "weights.stddev", "weights.initializer is 'orthogonal'"
    if not any(spectral_norms(gan)):
        yield "spectral_norm.singular_value", "no layer uses spectral normalisation"
        yield "spectral_norm.epsilon", "no layer uses spectral normalisation"
    if not batch.use_moving_averages:
        yield "standardize_batch.decay", "standardize_batch.use_moving_averages is False"
    if batch.use_cross_replica_mean is False:
        yield "cross_replica_moments.group_size", "standardize_batch.use_cross_replica_mean is False"
    if not gan.d_has_batch_statistics:
        yield "ModularGAN.deprecated_split_disc_calls", "the discriminator has no batch statistics"
    for name in (
        "rotated_batch_size",
        "rotated_batch_fraction",
        "weight_rotation_loss_d",
        "weight_rotation_loss_g",
    ):
        if not any(task.name == "rotation" for task in gan.tasks):
            yield f"SSGAN.{name}", "SSGAN.self_supervision is 'none'"
            yield f"S3GAN.{name}", "S3GAN.self_supervision is 'none'"
    for task in gan.tasks:
        if isinstance(task, Classifier) and task.aux_cls_type != "TAC":
            for name in ("tac_gen_lambda", "tac_dis_lambda"):
                owner = type(task).__name__
                yield f"{owner}.{name}", f"{owner}.aux_cls_type is {task.aux_cls_type!r}"
    if not method.get("use_predictor"):
        yield "S3GAN.use_soft_pred", "S3GAN.use_predictor is False"
        yield "S3GAN.weight_class_loss", "S3GAN.use_predictor is False"
    if "imagenet" not in (parsed.dataset.name or ""):
        for name in ("train_imagenet_transform", "eval_imagenet_transform"):
            yield f"{name}.crop_method", f"dataset.name is {parsed.dataset.name!r}"


def trains_identically(one: Parsed, other: Parsed, spec: ImageSpec) -> bool:
    """Whether two configurations train the same networks in the same way."""
    if comparable(one) == comparable(other):
        return True
    if comparable(one, base=None) != comparable(other, base=None):
        return False
    fields = ("make_generator", "make_discriminator", "layers", "g_options", "d_options")
    try:
        gan, without = one.unchecked_gan(spec), other.unchecked_gan(spec)
        rest = dataclasses.replace(without, **{name: getattr(gan, name) for name in fields})
        if without.layers.weights != gan.layers.weights or rest != gan:
            return False
        return same_networks(gan, without)
    except UserError:
        return False


def comparable(parsed: Parsed, **changes: Any) -> Parsed:
    return dataclasses.replace(parsed, operative_config="", **changes)


def same_networks(one: GAN, other: GAN) -> bool:
    """Whether the networks have the same structure and array shapes."""
    return all(a == b for a, b in zip(networks(one), networks(other), strict=True))


def networks(gan: GAN) -> Iterator[tuple[nnx.GraphDef, NetState]]:
    """Structure and array shapes of the generator, then of the discriminator."""
    yield gan.g_def, net_state(gan.abstract_g)
    yield gan.d_def, net_state(gan.abstract_d)


def spectral_norms(gan: GAN) -> list[bool]:
    """Whether the generator and the discriminator have a layer with spectral normalisation."""
    both = gan.abstract_g, gan.abstract_d
    return [bool(jax.tree.leaves(nnx.state(network, SpectralVector))) for network in both]


def cautions(parsed: Parsed, gan: GAN) -> Iterator[str]:
    """Messages on settings that are allowed but likely wrong."""
    _, normalised = spectral_norms(gan)
    gradient_penalty = is_gradient_penalty(gan.penalty) and gan.penalty_weight
    if gradient_penalty and gan.d_has_batch_statistics:
        yield BATCH_STATISTICS
    if isinstance(gan.augment, AugmentPipe) and gan.augment_probability is None:
        yield (
            "AugmentPipe augments every image, so generated images will look augmented, too; bind "
            "ModularGAN.augment_probability = @ADA()"
        )
    if gan.loss is wasserstein and not gradient_penalty and not normalised:
        yield "the wasserstein loss needs a bounded gradient; bind penalty.fn or D.spectral_norm"
    if gan.g_use_ema and gan.ema_start_step >= parsed.options.training_steps:
        yield (
            f"the average of the generator is never updated: ModularGAN.ema_start_step is "
            f"{gan.ema_start_step} and "
            f"options.training_steps is {parsed.options.training_steps}"
        )
    if gan.conditional and labels_are_unused(gan):
        yield "ModularGAN.conditional is True, but neither network uses the labels"
    if gan.abstract_d.backbone.projects_labels and any(task.projects_labels for task in gan.tasks):
        yield (
            "labels are projected twice, by the discriminator and by a head, and both are added, as in "
            "compare_gan; set project_y of one of them to False unless this is intended"
        )
    if parsed.eval_prior != gan.prior:
        yield "eval_z differs from z: the generator is evaluated on latent vectors unlike those in training"


def labels_are_unused(gan: GAN) -> bool:
    """Whether neither network depends on the labels."""
    if any(task.needs_labels for task in gan.tasks):
        return False
    try:
        return same_networks(gan, dataclasses.replace(gan, conditional=False))
    except UserError:
        return False
