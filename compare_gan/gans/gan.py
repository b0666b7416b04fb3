"""The configuration of a GAN: two networks, a loss, a penalty, auxiliary tasks and optimisers."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from compare_gan.core.adaptive import Adaptive, AdaptiveProbability, Regularizer
from compare_gan.core.augmentation import CheckedAugment
from compare_gan.core.errors import UserError
from compare_gan.core.registry import GAN_METHODS
from compare_gan.core.types import (
    Array,
    Augment,
    Cond,
    DiscriminatorOut,
    GanLoss,
    GANState,
    GeneratorWeights,
    ImageSpec,
    NetState,
    Penalty,
    Tree,
)
from compare_gan.core.words import listed
from compare_gan.gans.freeze import frozen_parameters, without_updates
from compare_gan.gans.optimizers import adam
from compare_gan.gans.sampling import Prior, check_prior, uniform
from compare_gan.gans.schedules import Schedule, warmup
from compare_gan.losses.standard import non_saturating
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.networks import Discriminator, Generator, MakeDiscriminator, MakeGenerator, NetSpec
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers
from compare_gan.nn.rngs import random_streams
from compare_gan.nn.state import net_state
from compare_gan.penalties.weights import no_penalty
from compare_gan.tasks.base import AuxTask


class HeadedDiscriminator(nnx.Module):
    """A discriminator together with the heads of the auxiliary tasks."""

    def __init__(
        self, make: LayerFactory, backbone: Discriminator, tasks: tuple[AuxTask, ...], num_classes: int
    ):
        self.backbone = backbone
        self.heads = nnx.Dict({t.name: t.make_head(make, backbone.feature_dim, num_classes) for t in tasks})

    def __call__(
        self, images: Array, y: Array | None, tasks: tuple[AuxTask, ...], train: bool, remat: bool = False
    ) -> DiscriminatorOut:
        out = self.backbone(images, Cond(y=y, train=train, remat=remat))
        for task in tasks:
            out = task.score(self.heads[task.name], out, y, train)
        return out


@GAN_METHODS.register("ModularGAN", module="compare_gan.gans.modular_gan")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GAN:
    """An immutable description of a GAN and how it is trained. The arrays are in `GANState`.

    A method such as SSGAN is a function from one GAN to another, see `ssgan` and `s3gan`. One step is one
    update of the generator, after `disc_iters` updates of the discriminator. As in compare_gan without a TPU,
    the generator is updated on the latent vectors and images of the last discriminator update; with
    `experimental_force_graph_unroll` it gets a batch of its own.

    With `gradient_accumulation` each update splits its batch into that many microbatches and averages their
    gradients: the same result up to the order of sums, in a fraction of the memory. Spectral vectors are
    updated once per update, and a penalty's noise is drawn for the full batch. Non-additive batch statistics
    (batch norm, DRAGAN's standard deviation, the labelled count in S3GAN's class loss) are computed per
    microbatch; moving averages are updated with the mean over microbatches.

    With `labelled_batch_fraction` at least that fraction of each real batch is drawn from the labelled
    images. So a classifier trained with the discriminator sees enough of them when labels are scarce: with
    5% labels, a batch of 32 otherwise has 1.6 on average. The discriminator then sees labelled images more
    often than others. 0, as in compare_gan, samples all images uniformly.

    >>> gan = cg.presets.small(cg.ImageSpec((8, 8, 1)))
    >>> dataclasses.replace(gan, g_lr=1e-4, disc_iters=2).sub_batches
    2

    Raises:
      UserError: `conditional` without labels, a task that does not support the images or the GAN, or a value
        out of range.
    """

    spec: ImageSpec
    make_generator: MakeGenerator
    make_discriminator: MakeDiscriminator
    loss: GanLoss = non_saturating
    penalty: Penalty = no_penalty
    penalty_weight: float = 1.0
    penalty_schedule: Schedule | None = None  # a factor of `penalty_weight`
    adversarial_weight: float = 1.0  # of loss and penalty, relative to the tasks
    tasks: tuple[AuxTask, ...] = ()
    prior: Prior = uniform
    z_dim: int = 128
    batch_size: int = 64
    disc_iters: int = 1
    layers: Layers = Layers()
    g_options: GeneratorOptions = GeneratorOptions()
    d_options: DiscriminatorOptions = DiscriminatorOptions()
    conditional: bool = False
    fit_label_distribution: bool = False  # generated images get the real batch's labels, not uniform ones
    deprecated_split_disc_calls: bool = False  # separate batch statistics for real and fake images
    experimental_joint_gen_for_disc: bool = False  # one generator pass for all discriminator updates
    experimental_force_graph_unroll: bool = False
    gradient_accumulation: int = 1  # microbatches per update
    remat: bool = False  # recompute residual blocks in the backward pass, see `nn.remat`
    g_use_ema: bool = False
    ema_decay: float = 0.9999
    ema_start_step: int = 40000
    ema_schedule: Schedule | None = None  # a factor of the half-life of the average
    ema_rampup: float | None = None  # half-life of the average at most this fraction of the steps since start
    g_optimizer_fn: Callable[..., optax.GradientTransformation] = adam
    d_optimizer_fn: Callable[..., optax.GradientTransformation] | None = None
    g_lr: float = 2e-4
    d_lr: float | None = None
    lr_schedule: Schedule | None = None  # for both learning rates, see `schedules`
    lr_warmup_steps: int = 0
    labelled_batch_fraction: float = 0.0  # minimum fraction of each real batch drawn from labelled images
    augment: Augment | None = None  # of every image that the discriminator sees, real or generated
    augment_probability: AdaptiveProbability | None = None  # of `augment`; None: 1
    pseudo_augmentation: AdaptiveProbability | None = None  # share of real images replaced by generated ones
    regularizers: tuple[Regularizer, ...] = ()
    generator_weights: GeneratorWeights | None = None  # of images in the generator's loss; None: all 1
    freeze_d_layers: int = 0  # blocks of the discriminator nearest the pixels that are not trained: `freeze`

    def __post_init__(self):
        if self.conditional and not self.spec.num_classes:
            raise UserError("ModularGAN.conditional is True, but the data set has no labels")
        for name in ("z_dim", "batch_size", "disc_iters"):
            if getattr(self, name) < 1:
                raise UserError(f"options.{name} is {getattr(self, name)}; it must be at least 1")
        if self.gradient_accumulation < 1 or self.batch_size % self.gradient_accumulation:
            raise UserError(
                f"ModularGAN.gradient_accumulation is {self.gradient_accumulation}; "
                f"it must divide options.batch_size, {self.batch_size}"
            )
        if not 0 <= self.labelled_batch_fraction < 1:
            raise UserError(
                f"ModularGAN.labelled_batch_fraction is {self.labelled_batch_fraction}; it must be in [0, 1)"
            )
        if self.lr_warmup_steps < 0:
            raise UserError(f"ModularGAN.lr_warmup_steps is {self.lr_warmup_steps}; it must be at least 0")
        if self.ema_rampup is not None and self.ema_rampup <= 0:
            raise UserError(f"ModularGAN.ema_rampup is {self.ema_rampup}; it must be more than 0, or None")
        if self.experimental_joint_gen_for_disc and not self.experimental_force_graph_unroll:
            raise UserError(
                "ModularGAN.experimental_joint_gen_for_disc needs ModularGAN.experimental_force_graph_unroll"
            )
        if self.augment_probability is not None and self.augment is None:
            raise UserError("ModularGAN.augment_probability needs ModularGAN.augment")
        if isinstance(self.augment, CheckedAugment):
            self.augment.check(self.spec)
        for kind, parts in (("tasks", self.tasks), ("adaptive parts", self._adaptive_parts)):
            names = [part.name for part in parts]
            if twice := {name for name in names if names.count(name) > 1}:
                raise UserError(
                    f"two {kind} of the GAN have the name {min(twice)!r}, which their state goes by; "
                    "give one of them another name"
                )
        for task in self.tasks:
            if task.needs_labels and not self.conditional:
                raise UserError(f"{type(task).__name__} needs labels; set ModularGAN.conditional = True")
            task.check(self.spec)
            task.check_gan(self)
        for part in self.adaptive.values():
            part.check(self.loss)

    @property
    def y_dim(self) -> int:
        """Length of the label vector in the networks; 0 if unconditional."""
        return self.spec.num_classes if self.conditional else 0

    @property
    def sub_batches(self) -> int:
        """Batches of real images per step."""
        return self.disc_iters + self.experimental_force_graph_unroll

    @property
    def _adaptive_parts(self) -> tuple[Adaptive, ...]:
        parts = (self.augment_probability, self.pseudo_augmentation, *self.regularizers)
        return tuple(part for part in parts if part is not None)

    @property
    def adaptive(self) -> dict[str, Adaptive]:
        """The parts with a state in `GANState.adaptive`, by name."""
        return {part.name: part for part in self._adaptive_parts}

    @property
    def uses_origin(self) -> bool:
        """Whether a task uses `Origin`."""
        return any(task.uses_origin for task in self.tasks)

    @property
    def labelled_count(self) -> int:
        """Images of each real batch that are drawn from the labelled images only."""
        return math.ceil(self.labelled_batch_fraction * self.batch_size)

    @property
    def g_net(self) -> NetSpec:
        return NetSpec(self.spec, self.z_dim, self.y_dim, self.g_options, self.layers)

    @property
    def d_net(self) -> NetSpec:
        return NetSpec(self.spec, 0, self.y_dim, self.d_options, self.layers)

    def generator(self, rngs: nnx.Rngs) -> Generator:
        return self.make_generator(self.g_net, rngs=rngs)

    def discriminator(self, rngs: nnx.Rngs) -> HeadedDiscriminator:
        return headed_discriminator(self.make_discriminator, self.d_net, self.tasks, rngs)

    def validate(self) -> "GAN":
        """Returns self after creating both networks abstractly, so that incompatible parts fail early.

        Raises:
          UserError: a network does not support the images, labels or its options; a task lacks another one;
            or a schedule, the prior or the number of frozen blocks is invalid.
        """
        for task in self.tasks:
            task.check_tasks(self.tasks)
        check_prior(self.prior, self.z_dim)
        _ = self.g_def, self.d_def, self.d_frozen, self.microbatch_tasks, self.g_tx(), self.d_tx()
        _ = self.penalty_weight_at(0), self.ema_decay_at(jnp.asarray(0))
        return self

    @property
    def abstract_g(self) -> Generator:
        """The generator with shapes in place of arrays."""
        make: Any = self.make_generator  # hashable, which its type does not say
        return abstract_generator(make, self.g_net)

    @property
    def abstract_d(self) -> HeadedDiscriminator:
        """The discriminator with shapes in place of arrays."""
        make: Any = self.make_discriminator
        return abstract_discriminator(make, self.d_net, self.tasks)

    @property
    def g_def(self) -> nnx.GraphDef:
        return definition(self.abstract_g)  # type: ignore[arg-type]

    @property
    def d_def(self) -> nnx.GraphDef:
        return definition(self.abstract_d)

    @functools.cached_property
    def d_has_batch_statistics(self) -> bool:
        return bool(jax.tree.leaves(nnx.state(self.abstract_d, nnx.BatchStat)))

    @functools.cached_property
    def microbatch_tasks(self) -> tuple[AuxTask, ...]:
        """The tasks as applied to one microbatch."""
        return tuple(task.for_microbatch(self.gradient_accumulation) for task in self.tasks)

    def g_tx(self, step: Array | int = 0) -> optax.GradientTransformation:
        """The generator's optimiser at this step. The structure of its state does not depend on the step."""
        return self.g_optimizer_fn(self.lr_factor(step) * self.g_lr)

    def d_tx(self, step: Array | int = 0) -> optax.GradientTransformation:
        """The discriminator's optimiser at this step (a count of generator updates)."""
        rate = self.g_lr if self.d_lr is None else self.d_lr
        tx = (self.d_optimizer_fn or self.g_optimizer_fn)(self.lr_factor(step) * rate)
        return tx if self.d_frozen is None else without_updates(tx, self.d_frozen)

    @functools.cached_property
    def d_frozen(self) -> Tree | None:
        """Whether each parameter of the discriminator is frozen by `freeze_d_layers`; None: none is."""
        if not self.freeze_d_layers:
            return None
        return frozen_parameters(self.abstract_d, self.abstract_d.backbone, self.freeze_d_layers)

    def generator_labels(self, y: Array | None, step: Array | int) -> Array | None:
        """The labels [B, K] that the generator gets at this step for the labels `y`, see `AuxTask`."""
        if y is not None:
            for task in self.tasks:
                y = task.generator_labels(y, step)
        return y

    def lr_factor(self, step: Array | int) -> Array | float:
        """The factor of both learning rates at this step: schedule times warm-up."""
        step = jnp.asarray(step)
        factor: Array | float = 1.0
        if self.lr_schedule is not None:
            factor *= self.lr_schedule(step)
        if self.lr_warmup_steps:
            factor *= warmup(step, self.lr_warmup_steps)
        return factor

    def penalty_weight_at(self, step: Array | int) -> Array | float:
        """The weight of the penalty at this step."""
        if self.penalty_schedule is None:
            return self.penalty_weight
        return self.penalty_weight * self.penalty_schedule(jnp.asarray(step))

    def ema_decay_at(self, step: Array) -> Array:
        """The weight of the old average at this step; 0 before `ema_start_step`, so the average is a copy.

        With `ema_rampup` the half-life grows in proportion to the steps since the start, up to that of
        `ema_decay`, so that early weights are forgotten. StyleGAN2-ADA uses 0.05 (Karras et al.,
        https://arxiv.org/abs/2006.06676; `ema_rampup` of their code). `ema_schedule` multiplies the half-life
        of `ema_decay`, as in R3GAN (Huang et al., https://arxiv.org/abs/2501.05441).
        """
        decay = jnp.asarray(self.ema_decay, jnp.float32)
        if self.ema_schedule is not None:
            decay = decay ** (1 / jnp.maximum(self.ema_schedule(step), 1e-8))
        since = step - self.ema_start_step
        if self.ema_rampup is not None:
            decay = jnp.minimum(decay, 0.5 ** (1 / jnp.maximum(self.ema_rampup * since, 1e-8)))
        return jnp.where(since >= 0, decay, 0.0)

    def with_replicas(self, replicas: int) -> "GAN":
        """The same GAN for batches sharded over `replicas` devices.

        Raises:
          UserError: the microbatches cannot be sharded evenly.
        """
        if self.gradient_accumulation > 1 and self.batch_size % (self.gradient_accumulation * replicas):
            raise UserError(
                f"options.batch_size is {self.batch_size}; it must be a multiple of the {replicas} devices "
                f"times the {self.gradient_accumulation} microbatches of ModularGAN.gradient_accumulation"
            )
        return dataclasses.replace(self, layers=dataclasses.replace(self.layers, replicas=replicas))

    def init(self, rng: Array) -> GANState:
        """The initial training state, a pure function of the key."""
        g_rng, d_rng = jax.random.split(rng)
        return self.initial_state(
            net_state(self.generator(random_streams(g_rng))),
            net_state(self.discriminator(random_streams(d_rng))),
        )

    def initial_state(self, g: NetState, d: NetState) -> GANState:
        """The state at step 0 of networks with the given weights."""
        return GANState(
            step=jnp.zeros((), jnp.int32),
            g=g,
            d=d,
            g_opt=self.g_tx().init(g.params),
            d_opt=self.d_tx().init(d.params),
            g_ema=jax.tree.map(jnp.copy, g.params) if self.g_use_ema else None,
            adaptive={name: part.init() for name, part in self.adaptive.items()},
        )


def headed_discriminator(
    make: MakeDiscriminator, net: NetSpec, tasks: tuple[AuxTask, ...], rngs: nnx.Rngs
) -> HeadedDiscriminator:
    """A discriminator with the heads of tasks.

    Raises:
      UserError: two heads project the labels, or a head that replaces the projection of the network has one
        to replace; or the network does not fit `net`.
    """
    backbone = make(net, rngs=rngs)
    heads = [task for task in tasks if task.projects_labels]
    names = [type(task).__name__ for task in heads]
    if len(heads) > 1:
        raise UserError(f"labels are projected twice, by {listed(names)}; use one of them")
    if backbone.projects_labels and not all(task.changes_logits for task in heads):
        raise UserError(
            f"labels are projected twice; {names[0]} needs a discriminator with project_y = False"
        )
    return HeadedDiscriminator(net.factory(rngs), backbone, tasks, net.image.num_classes)


# GANs with the same networks share them: tracing the constructor of a deep network takes a second.
@functools.lru_cache(maxsize=32)
def abstract_generator(make: MakeGenerator, net: NetSpec) -> Generator:
    """The generator with shapes in place of arrays. Read only."""
    return nnx.eval_shape(lambda: make(net, rngs=random_streams(0)))


@functools.lru_cache(maxsize=32)
def abstract_discriminator(
    make: MakeDiscriminator, net: NetSpec, tasks: tuple[AuxTask, ...]
) -> HeadedDiscriminator:
    """The discriminator with shapes in place of arrays. Read only."""
    return nnx.eval_shape(lambda: headed_discriminator(make, net, tasks, random_streams(0)))


@functools.lru_cache(maxsize=64)
def definition(network: Generator | HeadedDiscriminator) -> nnx.GraphDef:
    """The static structure of a network from `abstract_generator` or `abstract_discriminator`."""
    return nnx.graphdef(network)
