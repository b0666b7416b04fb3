"""What gin calls. `compare_gan.core.registry.EXPOSED` says what there is to name.

A frozen value (`Options`, `Weights`, `Rotation`, ...) is made from its bindings. A function or
a network is called much later, when the bindings are long gone, so its maker gives it back with
the bound arguments chosen. Either way nothing that leaves here looks at gin again, and calling
the Python function directly never does.
"""

import dataclasses
import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import gin

from compare_gan.config.bound import arguments, bound
from compare_gan.config.checks import check
from compare_gan.config.legacy import ELSEWHERE, IGNORED
from compare_gan.core.errors import UserError
from compare_gan.core.registry import EXPOSED, METHODS, Exposed

log = logging.getLogger(__name__)


def configured(target: Callable[..., Any]) -> Callable[..., Any]:
    """gin's maker of `target`. `target` itself stays as Python wrote it."""
    item = exposed(target)
    assert item is not None, f"{target} is not exposed"
    return maker(item)


def register_all() -> None:
    """Tells gin of all that is exposed by now."""
    for item in EXPOSED.values():
        maker(item)


@functools.cache
def maker(item: Exposed) -> Callable[..., Any]:
    ignored = IGNORED.get(item.name, {})
    whole = dataclasses.is_dataclass(item.target) and item.name not in ELSEWHERE

    def make(**given: Any) -> Any:
        for name in ignored.keys() & given.keys():
            if given.pop(name) != ignored[name]:
                log.warning("%s.%s is accepted and ignored", label(item), name)
        values = {name: resolve(value) for name, value in given.items()}
        check(label(item), item.target, values)
        for name, parameter in parameters(item).items():
            if name in values or name in ignored:
                continue
            if parameter.default is inspect.Parameter.empty:
                missing = f"{label(item)}.{name}"
                raise UserError(f"{missing} is not set; add `{missing} = ...` to the configuration")
            if (inner := exposed(parameter.default)) is not None:
                values[name] = maker(inner)()
        return item.target(**values) if whole else bound(item.target, **values)

    make.__signature__ = inspect.Signature(list(parameters(item).values()))  # type: ignore[attr-defined]
    make.is_maker = True  # type: ignore[attr-defined]
    return gin.external_configurable(make, name=item.name, module=item.module)


@functools.cache
def parameters(item: Exposed) -> dict[str, inspect.Parameter]:
    """What a configuration may bind.

    Of a frozen value that is every field. Of a function or network it is what has a default,
    since the library supplies the rest; a GAN method gets its GAN, and all its keywords are bound.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    method = any(METHODS[name] is item.target for name in METHODS)
    found = {
        p.name: p.replace(kind=keyword)
        for p in arguments(item.target)
        if dataclasses.is_dataclass(item.target) or p.default is not p.empty or (method and p.kind is keyword)
    }
    for name in ELSEWHERE.get(item.name, {}):
        found.pop(name, None)
    for name, default in IGNORED.get(item.name, {}).items():
        found[name] = inspect.Parameter(name, keyword, default=default)
    return found


def resolve(value: Any) -> Any:
    """A value as gin hands it over, with each reference replaced by what it names."""
    if isinstance(value, (tuple, list)):
        return tuple(resolve(each) for each in value)
    return value() if getattr(value, "is_maker", False) else value


def exposed(target: Any) -> Exposed | None:
    return next((item for item in EXPOSED.values() if item.target is target), None)


def label(item: Exposed) -> str:
    """The shortest name that means `item` alone."""
    same = sum(other.name == item.name for other in EXPOSED.values())
    return item.name if same == 1 else f"{item.module.rpartition('.')[2]}.{item.name}"
