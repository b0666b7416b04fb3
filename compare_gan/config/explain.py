"""Explains a configuration: the reader of each binding, bindings without effect, and costs.."""

import dataclasses
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gin

from compare_gan.config.checks import gin_literal
from compare_gan.config.costs import Costs, costs
from compare_gan.config.gin_factories import MissingBinding, Read, exposed, inherited, label, parameters
from compare_gan.config.legacy import IGNORED
from compare_gan.config.lint import cautions, deciding_parameters, trains_identically, unused_parameters
from compare_gan.config.parse import Parsed, ParseResult, parse_all
from compare_gan.config.reader import Binding, find
from compare_gan.core.errors import UserError
from compare_gan.core.registry import DATASETS, Exposed
from compare_gan.core.types import ImageSpec
from compare_gan.data import open_dataset
from compare_gan.data.facts import DATASET_INFO
from compare_gan.gans.gan import GAN

GAN_CLASS = "options.gan_class"


@dataclasses.dataclass(frozen=True)
class Line:
    """A parameter, its value, and the location of its binding; empty if the value is the default."""

    parameter: str
    value: str
    place: str = ""


@dataclasses.dataclass(frozen=True)
class Group:
    """The parameters that one configurable read."""

    name: str
    about: str
    lines: tuple[Line, ...]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The explanation of a configuration. `costs` is None if `gan` is."""

    groups: tuple[Group, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    parsed: Parsed | None
    gan: GAN | None
    costs: Costs | None


def explain(
    files: Sequence[Path | str],
    bindings: Sequence[str] = (),
    image_shape: tuple[int, int, int] | None = None,
    num_classes: int | None = None,
    compiled: bool = False,
) -> Explanation:
    """Explains configuration files and additional bindings.

    Args:
      files: the files, as for `parse`.
      bindings: single bindings, which take precedence.
      image_shape: H, W, C of the images; default: those of the data set.
      num_classes: number of classes; default: that of the data set.
      compiled: compile the step to find its full memory use.
    """
    result, warnings = parse_all(files, bindings), list[str]()
    if any(isinstance(mistake, MissingBinding) and GAN_CLASS in str(mistake) for mistake in result.mistakes):
        warnings.append(f"{GAN_CLASS} is not set, so this is a partial configuration; assuming @ModularGAN")
        bindings = [f"{GAN_CLASS} = @ModularGAN", *bindings]
        result = parse_all(files, bindings)
    errors = [str(mistake) for mistake in result.mistakes]
    gan = None
    if result.parsed is not None:
        try:
            gan = result.parsed.gan(image_spec(result.parsed.dataset.name, image_shape, num_classes))
        except UserError as error:
            errors.append(str(error))
        warnings += unread_bindings(result)
        warnings += ineffective_bindings(result, gan, files, bindings)
    if result.parsed is not None and gan is not None:
        warnings += cautions(result.parsed, gan)
    return Explanation(
        groups=tuple(groups(result)),
        errors=tuple(errors),
        warnings=tuple(warnings),
        parsed=result.parsed,
        gan=gan,
        costs=None if gan is None else costs(gan, compiled),
    )


def image_spec(name: str | None, shape: tuple[int, int, int] | None, classes: int | None) -> ImageSpec:
    """The image spec of the data set `name`; `shape` and `classes` override it.

    Raises:
      UserError: the data set is unknown or None, and `shape` is None.
    """
    if name in DATASET_INFO:
        spec = DATASET_INFO[name].spec
    elif name is not None and name in DATASETS:
        spec = open_dataset(name).spec
    elif shape is None:
        unknown = f"the image shape of {name!r} is unknown" if name else "dataset.name is not set"
        raise UserError(f"{unknown}; give --image_shape H W C and --num_classes K")
    else:
        spec = ImageSpec(shape)
    classes = spec.num_classes if classes is None else classes
    return ImageSpec(shape or spec.image_shape, classes, spec.mirror)


def groups(result: ParseResult) -> Iterator[Group]:
    """The parameters that each configurable read, in order of reading."""
    for read in {(read.item, read.scope): read for read in result.reads}.values():
        hidden = IGNORED.get(read.item.name, {}).keys() | inherited(read.item)
        chosen, rest = [], []
        for name, parameter in (parameters(read.item) | inherited(read.item)).items():
            binding = effective_binding(result, read, name)
            if binding is not None:
                chosen.append(Line(name, repr(binding.value), short_location(binding)))
            elif name in hidden or overriding(result, read, name):
                continue
            elif parameter.default is not parameter.empty:
                rest.append(Line(name, format_value(parameter.default)))
        scope = f"{read.scope}/" if read.scope else ""
        yield Group(f"{scope}{label(read.item)}", about(read.item.target), (*chosen, *rest))


def about(target: Any) -> str:
    """The first sentence of the docstring of `target`."""
    text = " ".join((target.__doc__ or "").split("\n\n")[0].split())
    return re.split(r"\. (?=[A-Z`])", text)[0].rstrip(".")


def format_value(value: Any) -> str:
    """A Python value in gin syntax; exposed objects by their label."""
    item = exposed(value)
    return gin_literal(value) if item is None else f"@{label(item)}"


def effective_binding(result: ParseResult, read: Read, parameter: str) -> Binding | None:
    """The binding that a reader got: the one in the innermost enclosing scope.

    None if there is none, or if a binding under the name of the method overrides it.
    """
    if overriding(result, read, parameter):
        return None
    enclosing = [
        binding
        for binding in result.reading.bindings.values()
        if (binding.item, binding.parameter) == (read.item, parameter)
        and f"{read.scope}/".startswith(f"{binding.scope}/" if binding.scope else "")
    ]
    return max(enclosing, key=lambda binding: len(binding.scope), default=None)


def overriding(result: ParseResult, read: Read, parameter: str) -> Exposed | None:
    """The method under whose name `parameter` of the `ModularGAN` that was read is bound, if any."""
    if read.item.target is not GAN:
        return None
    methods = [
        other.item for other in result.reads if parameter in other.bound.keys() & inherited(other.item)
    ]
    return methods[0] if methods else None


def unread_bindings(result: ParseResult) -> Iterator[str]:
    """A message for each binding that no configurable read."""
    used = {
        binding.name
        for read in result.reads
        for name in read.bound
        if (binding := effective_binding(result, read, name)) is not None
    }
    values = {
        f"{group.name}.{line.parameter}": line.value for group in groups(result) for line in group.lines
    }
    text = " ".join(repr(binding.value) for binding in result.reading.bindings.values())
    for binding in result.reading.bindings.values():
        if binding.name in used or (binding.item is None and re.search(rf"%{binding.name}\b", text)):
            continue
        names = deciding_parameters(binding.item) if binding.item else ()
        for read in result.reads:
            if read.item is binding.item and (method := overriding(result, read, binding.parameter)):
                names = (f"{label(method)}.{binding.parameter}",)
        reason = " and ".join(f"{name} is {values[name]}" for name in names if name in values)
        yield f"{format_binding(binding)} is never read{': ' if reason else ''}{reason}"


def ineffective_bindings(
    result: ParseResult, gan: GAN | None, files: Sequence[Path | str], bindings: Sequence[str]
) -> Iterator[str]:
    """A message for each binding that was read, is not the default, and changes nothing."""
    assert result.parsed is not None
    reasons = {
        f"{label(read.item)}.{name}": why for read in result.reads for name, why in read.ignored().items()
    }
    if gan is not None:
        reasons = dict(unused_parameters(result.parsed, gan)) | reasons
    for read in result.reads:
        known = parameters(read.item) | inherited(read.item)
        for name in read.bound:
            binding = effective_binding(result, read, name)
            default = known[name].default
            if binding is None or is_default(binding.value, default):
                continue
            reason = reasons.get(f"ModularGAN.{name}" if name in inherited(read.item) else binding.name)
            if reason is not None:
                yield f"{format_binding(binding)} changes nothing: {reason}"
            elif gan is not None and default is not inspect.Parameter.empty:
                other = parse_all(files, bindings, without=binding.name)
                if other.parsed is not None and trains_identically(result.parsed, other.parsed, gan.spec):
                    yield f"{format_binding(binding)} changes nothing: training is the same without it"


def is_default(value: Any, default: Any) -> bool:
    """Whether a value, as parsed by gin, equals the default."""
    if not isinstance(value, gin.config.ConfigurableReference):
        return value == default
    return not (value.evaluate or value.scopes) and find(value.selector).target is default


def format_binding(binding: Binding) -> str:
    """A binding and its location, for messages."""
    return f"{binding.name} = {binding.value!r} ({short_location(binding)})"


def short_location(binding: Binding) -> str:
    """The location of a binding: a file name without its folder and a line, or --gin_bindings."""
    return "--gin_bindings" if binding.place.startswith("binding ") else binding.place.rpartition("/")[2]
