"""Writes a GAN that was built in Python as a configuration, the inverse of `compare_gan.config.parse`."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from compare_gan.config.gin_factories import exposed, parameters
from compare_gan.config.legacy import IGNORED
from compare_gan.config.parse import parse
from compare_gan.core.partials import arguments, target_of
from compare_gan.core.registry import ARCHITECTURES
from compare_gan.gans.gan import GAN
from compare_gan.gans.sampling import Prior
from compare_gan.training.schedule import TrainSchedule

PACKAGE = "compare_gan."
PRIOR = ("minval", "maxval", "stddev")  # parameters of a prior that are bound as z.minval, ...


@dataclasses.dataclass(frozen=True)
class Written:
    """A GAN as text."""

    config: str  # in gin syntax
    unnamed: tuple[str, ...]  # parts without a gin name, as in "loss: mine.my_loss"; not in `config`


def write_config(
    gan: GAN,
    *,
    data: str,
    schedule: TrainSchedule,
    seed: int = 0,
    random_flip: bool = False,
    eval_prior: Prior | None = None,
) -> Written:
    """Writes the configuration of a GAN. Without unnamed parts, `parse` reads it back as an equal GAN.

    A part has a gin name if it is registered (`@LOSSES.register`, ...), or is a `functools.partial` of such a
    part. If its module is not of this library, the configuration imports the module.

    Args:
      gan: the GAN.
      data: the name of the data set.
      schedule: of the training.
      seed: of the training.
      random_flip: whether real images are mirrored at random.
      eval_prior: the distribution of latent vectors for evaluation; None: that of training.
    """
    writer = _Writer()
    writer.literal("dataset.name", data)
    if random_flip:
        writer.literal("dataset.random_flip", random_flip)
    writer.literal("options.training_steps", schedule.steps)
    writer.literal("run_config.tf_random_seed", seed)
    writer.literal("run_config.save_checkpoints_steps", schedule.save_every)
    if schedule.keep_checkpoints is not None:
        writer.literal("run_config.keep_checkpoint_max", schedule.keep_checkpoints)
    writer.gan(gan, gan.prior if eval_prior is None else eval_prior)
    lines = [*(f"import {module}" for module in sorted(writer.imports)), *writer.bindings()]
    if writer.unnamed:
        return Written("".join(f"{line}\n" for line in [*writer.remarks(), *lines]), tuple(writer.unnamed))
    parsed = parse([], lines)
    again = parsed.base(spec=gan.spec)
    fields = (field.name for field in dataclasses.fields(GAN) if field.name != "layers")
    changed = [name for name in fields if getattr(again, name) != getattr(gan, name)]
    return Written(parsed.operative_config, tuple(f"{name}: has no gin syntax" for name in changed))


def network_classes(gan: GAN) -> tuple[Any, Any]:
    """The classes of generator and discriminator, without their arguments."""
    return target_of(gan.make_generator), target_of(gan.make_discriminator)


def architecture_of(gan: GAN) -> str | None:
    """The name of the registered architecture with the networks of a GAN; None if there is none."""
    pair = network_classes(gan)
    return next((name for name in ARCHITECTURES if ARCHITECTURES[name] == pair), None)


class _Writer:
    """Collects the bindings of a configuration."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.imports: set[str] = set()
        self.unnamed: list[str] = []

    def bindings(self) -> list[str]:
        return [f"{name} = {value}" for name, value in self.values.items()]

    def remarks(self) -> list[str]:
        return [
            "# Parts of this GAN have no gin name; open its run with compare_gan.open_run(path, gan=gan).",
            *(f"#   {part}" for part in self.unnamed),
        ]

    def literal(self, name: str, value: Any) -> None:
        self.values[name] = repr(value)

    def gan(self, gan: GAN, eval_prior: Prior) -> None:
        self.literal("options.batch_size", gan.batch_size)
        self.literal("options.disc_iters", gan.disc_iters)
        self.literal("options.z_dim", gan.z_dim)
        self.literal("options.lamba", gan.penalty_weight)
        self.values["options.gan_class"] = "@ModularGAN"
        self.networks(gan)
        self.part("loss.fn", "loss", gan.loss)
        self.part("penalty.fn", "penalty", gan.penalty)
        self.prior("z", "prior", gan.prior)
        self.prior("eval_z", "eval_prior", eval_prior)
        for value in (
            gan.layers.weights,
            gan.layers.batch,
            gan.layers.spectral,
            gan.layers.moments,
            gan.layers.precision,
            gan.g_options,
            gan.d_options,
        ):
            self.fields(value)
        self.fields(gan)

    def networks(self, gan: GAN) -> None:
        if (name := architecture_of(gan)) is None:
            generator, discriminator = network_classes(gan)
            self.unnamed.append(f"networks: {_name(generator)} and {_name(discriminator)}")
            return
        self.literal("options.architecture", name)
        self.reference("generator", gan.make_generator)
        self.reference("discriminator", gan.make_discriminator)

    def fields(self, value: Any) -> None:
        """Binds the fields of a frozen dataclass that differ from their defaults, and all that are parts.

        A part that is a default is bound, too: it must not get the arguments of the same part elsewhere.
        """
        item = exposed(type(value))
        assert item is not None
        for parameter in parameters(item).values():
            field = getattr(value, parameter.name, parameter.default)  # compare_gan has more fields
            if field != parameter.default or exposed(field) is not None:
                self.part(f"{item.module}.{item.name}.{parameter.name}", parameter.name, field)

    def part(self, binding: str, role: str, value: Any) -> None:
        """Binds a value, which may refer to other parts."""
        if (text := self.text(role, value)) is not None:
            self.values[binding] = text

    def text(self, role: str, value: Any) -> str | None:
        """A value in gin syntax; None if it contains an unnamed part."""
        if isinstance(value, tuple | list):
            items = [self.text(f"{role}[{i}]", each) for i, each in enumerate(value)]
            return None if None in items else f"({''.join(f'{item}, ' for item in items)})"
        if dataclasses.is_dataclass(value) or callable(value):
            return self.reference(role, value)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, int | float | str | bool | None):
            return repr(value)
        self.unnamed.append(f"{role}: {type(value).__name__}")
        return None

    def reference(self, role: str, value: Any) -> str | None:
        """Refers to a registered part, after binding its arguments; None if it is not registered."""
        is_instance = dataclasses.is_dataclass(value) and not isinstance(value, type)
        target = type(value) if is_instance else target_of(value)
        item = exposed(target)
        positional = isinstance(value, functools.partial) and value.args
        if item is None or positional or target.__module__ == "__main__":
            self.unnamed.append(f"{role}: {_name(target)}")
            return None
        if not target.__module__.startswith(PACKAGE) and item.module != "optax":
            self.imports.add(target.__module__)
        nested = _Writer()
        given = vars(value) if is_instance else getattr(value, "keywords", {})
        for parameter in parameters(item).values():
            # Defaults, too: a scope inherits the bindings outside it.
            argument = given.get(parameter.name, parameter.default)
            if argument is not parameter.empty and parameter.name not in IGNORED.get(item.name, {}):
                nested.part(f"{item.module}.{item.name}.{parameter.name}", parameter.name, argument)
        scope = self.merged(nested)
        return f"@{scope}{item.module}.{item.name}{'()' if is_instance else ''}"

    def merged(self, other: "_Writer") -> str:
        """Adds bindings, in a new scope if other values are bound already. Returns the scope, as in "2/"."""
        self.imports |= other.imports
        self.unnamed += other.unnamed
        for scope in _scopes():
            scoped = {f"{scope}{name}": value for name, value in other.values.items()}
            taken = {name for name in self.values if name.startswith(scope)} if scope else self.values.keys()
            if not any(name in taken and self.values[name] != value for name, value in scoped.items()):
                self.values |= scoped
                return scope
        raise AssertionError

    def prior(self, prefix: str, role: str, prior: Prior) -> None:
        """Binds a prior; some of its parameters are bound on `prefix`."""
        keywords = dict(getattr(prior, "keywords", {}))
        outer = {name: keywords.pop(name) for name in PRIOR if name in keywords}
        target = target_of(prior)
        defaults = {p.name: p.default for p in arguments(target)} if callable(target) else {}
        for name in PRIOR:
            if name in defaults:
                self.literal(f"{prefix}.{name}", outer.get(name, defaults[name]))
        self.part(
            f"{prefix}.distribution_fn", role, functools.partial(target, **keywords) if keywords else target
        )


def _name(target: Any) -> str:
    return f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', repr(target))}"


def _scopes() -> Iterator[str]:
    yield ""
    for number in range(2, 100):
        yield f"part{number}/"
