"""Parses configurations: gin bindings in, plain values out.

The result of `parse` does not depend on gin's global state. So one process may parse many configurations,
and a value built in Python equals one built here.
"""

import dataclasses
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import gin

from compare_gan import (  # noqa: F401  (register their parts)
    architectures,
    augmentations,
    gans,
    losses,
    penalties,
    regularizers,
    tasks,
)
from compare_gan.config.gin_factories import (
    READ_LOG,
    MissingBinding,
    Read,
    base_gan,
    configured,
    label,
    register_all,
)
from compare_gan.config.reader import ReadResult, first_line, read
from compare_gan.core.errors import UserError
from compare_gan.core.partials import arguments, bound, target_of
from compare_gan.core.registry import (
    ARCHITECTURES,
    GAN_METHODS,
    LOSSES,
    PENALTIES,
    SCHEDULES,
    Registry,
    expose,
)
from compare_gan.core.types import GanLoss, ImageSpec, Penalty
from compare_gan.data.preprocess import EvalImagenetTransform, TrainImagenetTransform
from compare_gan.gans.gan import GAN
from compare_gan.gans.sampling import check_prior, uniform
from compare_gan.gans.schedules import SCHEDULED
from compare_gan.losses.standard import non_saturating
from compare_gan.nn import norms  # noqa: F401
from compare_gan.nn.options import (
    CrossReplicaMoments,
    DiscriminatorOptions,
    GeneratorOptions,
    Layers,
    Precision,
    SpectralNorm,
    StandardizeBatch,
    Weights,
)
from compare_gan.penalties.weights import no_penalty

log = logging.getLogger(__name__)


@expose("options", module="compare_gan.runner_lib")
@dataclasses.dataclass(frozen=True)
class Options:
    """The main choices. `training_steps` counts updates of the generator."""

    gan_class: Callable[..., Any]
    architecture: str
    batch_size: int
    training_steps: int
    lamba: float = 1  # weight of the penalty
    disc_iters: int = 1
    z_dim: int = 128


@expose("dataset", module="compare_gan.datasets")
@dataclasses.dataclass(frozen=True)
class DatasetChoice:
    """The training data; compare_gan itself does not flip images."""

    name: str | None = None  # None: given on the command line
    random_flip: bool = False  # flip training images horizontally with probability 0.5


@expose("replace_labels", module="compare_gan.datasets")
@dataclasses.dataclass(frozen=True)
class ReplaceLabels:
    """The label file that replaces the labels of the data set; see `compare_gan.data.labels`."""

    file_pattern: str | None = None


@expose("loss", module="compare_gan.gans.loss_lib")
@dataclasses.dataclass(frozen=True)
class LossChoice:
    """The loss of both players."""

    fn: GanLoss = non_saturating


@expose("penalty", module="compare_gan.gans.penalty_lib")
@dataclasses.dataclass(frozen=True)
class PenaltyChoice:
    """The regularizer of the discriminator, weighted by `options.lamba`."""

    fn: Penalty = no_penalty


@expose("z", module="compare_gan.gans.modular_gan")
@dataclasses.dataclass(frozen=True)
class Prior:
    """The distribution of latent vectors; `distribution_fn` gets the parameters that it has."""

    distribution_fn: Callable[..., Any] = uniform
    minval: float = -1.0
    maxval: float = 1.0
    stddev: float = 1.0

    def bound(self) -> Callable[..., Any]:
        target = target_of(self.distribution_fn)
        taken = {p.name for p in arguments(target)} & {"minval", "maxval", "stddev"}
        return bound(self.distribution_fn, **{name: getattr(self, name) for name in taken})


@expose("eval_z", module="compare_gan.eval_gan_lib")
@dataclasses.dataclass(frozen=True)
class EvalPrior(Prior):
    """The distribution of latent vectors for evaluation."""


@expose("run_config", module="compare_gan.main")
@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Seed and checkpoints of a run."""

    tf_random_seed: int | None = None
    save_checkpoints_steps: int = 5000
    keep_checkpoint_max: int = 1000


@dataclasses.dataclass(frozen=True)
class Parsed:
    """A parsed configuration, independent of the shape of the images."""

    dataset: DatasetChoice
    labels: ReplaceLabels
    train_transform: TrainImagenetTransform
    eval_transform: EvalImagenetTransform
    options: Options
    run_config: RunConfig
    eval_prior: Callable[..., Any]
    base: Callable[..., GAN]  # the GAN without its `spec`
    method: Callable[[GAN], GAN] | None
    operative_config: str  # every binding that was used, with defaults; `parse` reads it back

    def gan(self, spec: ImageSpec) -> GAN:
        """The GAN for images of this shape and number of classes.

        Raises:
          UserError: its parts are incompatible with the images or each other.
        """
        gan = self.unchecked_gan(spec)
        check_prior(self.eval_prior, gan.z_dim)
        return gan.validate()

    def unchecked_gan(self, spec: ImageSpec) -> GAN:
        """Like `gan`, without creating the networks abstractly."""
        base = self.base(spec=spec)
        return base if self.method is None else self.method(base)


@dataclasses.dataclass(frozen=True)
class ParseResult:
    """The result of parsing a configuration, including its errors."""

    reading: ReadResult
    reads: tuple[Read, ...]  # calls of factories, in order
    parsed: Parsed | None  # None if the values are invalid
    mistakes: tuple[UserError, ...]

    def without_mistakes(self) -> Parsed:
        """What was parsed.

        Raises:
          UserError: the first mistake.
        """
        if self.mistakes:
            raise self.mistakes[0]
        assert self.parsed is not None
        return self.parsed


def parse(
    files: Sequence[Path | str],
    bindings: Sequence[str] = (),
    allow_imports: Collection[str] | None = None,
) -> Parsed:
    """Parses configuration files, then single bindings, which take precedence. Clears gin's global state.

    An `import` statement runs the code of a module. So files from others should be parsed with
    `allow_imports`.

    Args:
      files: paths, or names of packaged configurations.
      bindings: further text in gin syntax.
      allow_imports: modules that the configuration may import, with their submodules, besides those of this
        library; None allows all.

    Raises:
      UserError: an error in the configuration, or an import that is not allowed, which names all such
        modules; the message has one line.
    """
    result = parse_all(files, bindings, allow_imports=allow_imports)
    parsed = result.without_mistakes()
    ignored = {f"{label(r.item)}.{name}": why for r in result.reads for name, why in r.ignored().items()}
    for name, why in ignored.items():
        log.warning("%s changes nothing here: %s", name, why)
    return parsed


def parse_again(file: Path, allow_imports: Collection[str] | None = None) -> Parsed:
    """Like `parse`, for the configuration of a run, without the warnings that were given when it was made."""
    return parse_all([file], allow_imports=allow_imports).without_mistakes()


def parse_all(
    files: Sequence[Path | str],
    bindings: Sequence[str] = (),
    without: str = "",
    allow_imports: Collection[str] | None = None,
) -> ParseResult:
    """Like `parse`, but returns all errors, and what could be parsed despite them.

    `without` is the full name of a parameter whose bindings are ignored.

    Raises:
      UserError: an import that is not allowed.
    """
    register_all()
    gin.clear_config()
    READ_LOG.clear()
    parsed = None
    try:
        reading = read(files, bindings, without, allow_imports)
        mistakes = list(reading.mistakes)
        try:
            parsed = build(reading.imports)
        except MissingBinding as error:  # gin appends its call stack
            mistakes.append(MissingBinding(first_line(error)))
        except UserError as error:
            mistakes.append(UserError(first_line(error)))
        except Exception as error:
            mistakes.append(UserError(f"configuration: {type(error).__name__}: {first_line(error)}"))
            mistakes[-1].__cause__ = error
        return ParseResult(reading, tuple(READ_LOG), parsed, tuple(mistakes))
    finally:
        gin.clear_config()


def build(imports: Sequence[str]) -> Parsed:
    """The values that the current gin bindings define."""
    dataset = configured(DatasetChoice)()
    options = configured(Options)()
    gan_class = one_of(GAN_METHODS, "options.gan_class", options.gan_class)
    plain = target_of(gan_class) is GAN
    generator, discriminator = ARCHITECTURES[options.architecture]
    base = bound(
        gan_class if plain else base_gan(gan_class),
        make_generator=configured(generator)(),
        make_discriminator=configured(discriminator)(),
        loss=one_of(LOSSES, "loss.fn", configured(LossChoice)().fn),
        penalty=one_of(PENALTIES, "penalty.fn", configured(PenaltyChoice)().fn),
        penalty_weight=options.lamba,
        batch_size=options.batch_size,
        disc_iters=options.disc_iters,
        z_dim=options.z_dim,
        prior=configured(Prior)().bound(),
        layers=Layers(
            configured(Weights)(),
            configured(StandardizeBatch)(),
            configured(SpectralNorm)(),
            configured(CrossReplicaMoments)(),
            configured(Precision)(),
        ),
        g_options=configured(GeneratorOptions)(),
        d_options=configured(DiscriminatorOptions)(),
    )
    for name in SCHEDULED:
        if (schedule := getattr(base, "keywords", {}).get(name)) is not None:
            one_of(SCHEDULES, f"ModularGAN.{name}", schedule)
    return Parsed(
        dataset=dataset,
        labels=configured(ReplaceLabels)(),
        train_transform=configured(TrainImagenetTransform)(),
        eval_transform=configured(EvalImagenetTransform)(),
        options=options,
        run_config=configured(RunConfig)(),
        eval_prior=configured(EvalPrior)().bound(),
        base=base,
        method=None if plain else gan_class,
        operative_config="".join(f"{line}\n" for line in imports) + gin.operative_config_str(),
    )


def one_of(registry: Registry, name: str, part: Any) -> Any:
    """Returns `part` if it is in the registry.

    Raises:
      UserError: it is not.
    """
    target = target_of(part)
    if not any(registry[known] is target for known in registry):
        known = ", ".join(f"@{known}" for known in registry)
        raise UserError(
            f"{name} is {target.__name__}, which is not a registered {registry.kind}; known: {known}"
        )
    return part
