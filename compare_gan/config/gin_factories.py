"""Factories that gin calls, one per entry of `compare_gan.core.registry.EXPOSED`.

The factory of a frozen dataclass (`Options`, `Weights`, `Rotation`, ...) returns an instance. A function or
a network is called much later, when the bindings are cleared, so its factory returns it partially applied to
the bound arguments. Neither result depends on gin, nor does calling the Python object directly.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import gin

from compare_gan.config.checks import check
from compare_gan.config.legacy import BOUND_ELSEWHERE, IGNORED
from compare_gan.core.errors import UserError
from compare_gan.core.partials import arguments, bound, target_of
from compare_gan.core.registry import EXPOSED, GAN_METHODS, Exposed
from compare_gan.gans.gan import GAN


class Read(NamedTuple):
    """A call of a factory by gin: the configurable, the scope and the bound arguments."""

    item: Exposed
    scope: str
    bound: dict[str, Any]  # all other parameters have their defaults

    def ignored(self) -> dict[str, str]:
        """Bound parameters that this library ignores -> the reason, if they are not the default."""
        known = IGNORED.get(self.item.name, {})
        return {
            name: known[name].why
            for name, value in self.bound.items()
            if name in known and value != known[name].default
        }


READ_LOG: list[Read] = []  # reset when a configuration is parsed


class MissingBinding(UserError):
    """A parameter without a default is not bound."""


def configured(target: Callable[..., Any]) -> Callable[..., Any]:
    """The gin factory of `target`, which itself is unchanged."""
    item = exposed(target)
    assert item is not None, f"{target} is not exposed"
    return factory(item)


def register_all() -> None:
    """Registers all exposed objects with gin."""
    for item in EXPOSED.values():
        factory(item)


@functools.cache
def factory(item: Exposed) -> Callable[..., Any]:
    """The gin factory of an exposed object, registered on the first call."""
    ignored = IGNORED.get(item.name, {})
    is_value = dataclasses.is_dataclass(item.target) and item.name not in BOUND_ELSEWHERE

    def make(**bindings: Any) -> Any:
        READ_LOG.append(Read(item, gin.current_scope_str(), bindings))
        passed_on = {name: value for name, value in bindings.items() if name in inherited(item)}
        check(label(item), GAN, passed_on)
        values = {
            name: resolve(value)
            for name, value in bindings.items()
            if name not in ignored and name not in passed_on
        }
        check(label(item), item.target, values)
        for name, parameter in parameters(item).items():
            if name in values or name in ignored:
                continue
            if parameter.default is inspect.Parameter.empty:
                missing = f"{label(item)}.{name}"
                raise MissingBinding(f"{missing} is not set; add `{missing} = ...` to the configuration")
            if (inner := exposed(parameter.default)) is not None:
                values[name] = factory(inner)()
        return item.target(**values) if is_value else bound(item.target, **values)

    accepted = list(parameters(item).values())
    if inherited(item):  # without their defaults, which gin would write into the operative configuration
        accepted.append(inspect.Parameter("inherited", inspect.Parameter.VAR_KEYWORD))
    make.__signature__ = inspect.Signature(accepted)  # type: ignore[attr-defined]
    make.is_factory = True  # type: ignore[attr-defined]
    return gin.external_configurable(make, name=item.name, module=item.module)


@functools.cache
def parameters(item: Exposed) -> dict[str, inspect.Parameter]:
    """The parameters that a configuration may bind.

    For a dataclass these are all fields; for a function those with a default and those that are
    keyword-only; for a network or norm, whose other arguments the library supplies, those with a default.
    """
    keyword, signature = inspect.Parameter.KEYWORD_ONLY, arguments(item.target)
    network = any(p.name == "rngs" for p in signature)
    found = {
        p.name: p.replace(kind=keyword)
        for p in signature
        if dataclasses.is_dataclass(item.target)
        or p.default is not p.empty
        or (p.kind is keyword and not network)
    }
    for name in BOUND_ELSEWHERE.get(item.name, {}):
        found.pop(name, None)
    for name, ignored in IGNORED.get(item.name, {}).items():
        found[name] = inspect.Parameter(name, keyword, default=ignored.default)
    return found


@functools.cache
def inherited(item: Exposed) -> dict[str, inspect.Parameter]:
    """The parameters of `ModularGAN` that a configuration may bind under the name of the method `item`.

    In compare_gan a method is a subclass of ModularGAN, so `S3GAN.g_lr` sets the learning rate of an S3GAN
    and takes precedence over `ModularGAN.g_lr`. Empty if `item` is not a method.
    """
    base = exposed(GAN)
    assert base is not None
    if item is base or not any(GAN_METHODS[name] is item.target for name in GAN_METHODS):
        return {}
    own = parameters(item)
    return {name: parameter for name, parameter in parameters(base).items() if name not in own}


def base_gan(method: Callable[..., Any]) -> Callable[..., GAN]:
    """The configured `ModularGAN` of a configured method, with what is bound under the method's name."""
    target = target_of(method)
    read = next(read for read in reversed(READ_LOG) if read.item.target is target)
    values = {name: value for name, value in read.bound.items() if name in inherited(read.item)}
    with gin.config_scope(read.scope or None):
        return configured(GAN)(**values)


def resolve(value: Any) -> Any:
    """A value passed by gin, with each reference replaced by its target."""
    if isinstance(value, (tuple, list)):
        return tuple(resolve(each) for each in value)
    return value() if getattr(value, "is_factory", False) else value


def exposed(target: Any) -> Exposed | None:
    """The registry entry of a Python object, if it is exposed."""
    return next((item for item in EXPOSED.values() if item.target is target), None)


def label(item: Exposed) -> str:
    """The shortest unambiguous name of `item`."""
    matches = sum(other.name == item.name for other in EXPOSED.values())
    return item.name if matches == 1 else f"{item.module.rpartition('.')[2]}.{item.name}"
