"""What gin calls. `compare_gan.core.registry.EXPOSED` says what there is to name.

A frozen value (`Options`, `Weights`, `Rotation`, ...) is made from its bindings. A function or
a network is called much later, when the bindings are long gone, so its maker gives it back with
the bound arguments chosen. Either way nothing that leaves here looks at gin again, and calling
the Python function directly never does.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import gin

from compare_gan.config.checks import check
from compare_gan.config.legacy import BOUND_ELSEWHERE, IGNORED
from compare_gan.config.partials import arguments, bound
from compare_gan.core.errors import UserError
from compare_gan.core.registry import EXPOSED, Exposed


class Read(NamedTuple):
    """One configurable that took part, and what it was given."""

    item: Exposed
    scope: str
    bound: dict[str, Any]  # what a configuration chose; all else has its default

    def ignored(self) -> dict[str, str]:
        """The parameters that were chosen and change nothing here, and why."""
        known = IGNORED.get(self.item.name, {})
        return {
            name: known[name].why
            for name, value in self.bound.items()
            if name in known and value != known[name].default
        }


READ_LOG: list[Read] = []  # since the last configuration began to be read


class MissingBinding(UserError):
    """Something without a default was not bound."""


def configured(target: Callable[..., Any]) -> Callable[..., Any]:
    """gin's maker of `target`. `target` itself stays as Python wrote it."""
    item = exposed(target)
    assert item is not None, f"{target} is not exposed"
    return factory(item)


def register_all() -> None:
    """Tells gin of all that is exposed by now."""
    for item in EXPOSED.values():
        factory(item)


@functools.cache
def factory(item: Exposed) -> Callable[..., Any]:
    ignored = IGNORED.get(item.name, {})
    is_value = dataclasses.is_dataclass(item.target) and item.name not in BOUND_ELSEWHERE

    def make(**bindings: Any) -> Any:
        READ_LOG.append(Read(item, gin.current_scope_str(), bindings))
        values = {name: resolve(value) for name, value in bindings.items() if name not in ignored}
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

    make.__signature__ = inspect.Signature(list(parameters(item).values()))  # type: ignore[attr-defined]
    make.is_factory = True  # type: ignore[attr-defined]
    return gin.external_configurable(make, name=item.name, module=item.module)


@functools.cache
def parameters(item: Exposed) -> dict[str, inspect.Parameter]:
    """What a configuration may bind.

    Of a frozen value that is every field. Of a function it is what has a default or can only be given
    by name; of a network or norm, which the library gives all that it needs, what has a default.
    """
    keyword, known = inspect.Parameter.KEYWORD_ONLY, arguments(item.target)
    network = any(p.name == "rngs" for p in known)
    found = {
        p.name: p.replace(kind=keyword)
        for p in known
        if dataclasses.is_dataclass(item.target)
        or p.default is not p.empty
        or (p.kind is keyword and not network)
    }
    for name in BOUND_ELSEWHERE.get(item.name, {}):
        found.pop(name, None)
    for name, ignored in IGNORED.get(item.name, {}).items():
        found[name] = inspect.Parameter(name, keyword, default=ignored.default)
    return found


def resolve(value: Any) -> Any:
    """A value as gin hands it over, with each reference replaced by what it names."""
    if isinstance(value, (tuple, list)):
        return tuple(resolve(each) for each in value)
    return value() if getattr(value, "is_factory", False) else value


def exposed(target: Any) -> Exposed | None:
    return next((item for item in EXPOSED.values() if item.target is target), None)


def label(item: Exposed) -> str:
    """The shortest name that means `item` alone."""
    same = sum(other.name == item.name for other in EXPOSED.values())
    return item.name if same == 1 else f"{item.module.rpartition('.')[2]}.{item.name}"
