"""Checks values of a configuration against the type annotations of their parameters."""

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from compare_gan.core.errors import UserError
from compare_gan.core.partials import signature_source

DESCRIPTIONS = {int: "an integer", float: "a number", bool: "True or False", str: "a string in quotes"}


def check(owner: str, target: Callable[..., Any], values: dict[str, Any]) -> None:
    """Checks `values` against the annotations of `target`; `owner` is its name in messages.

    Raises:
      UserError: a value has the wrong type.
    """
    hints = annotations(signature_source(target))
    for name, value in values.items():
        if name in hints and not fits(value, hints[name]):
            raise UserError(f"{owner}.{name} is {gin_literal(value)}; it must be {describe(hints[name])}")


@functools.cache
def annotations(target: Callable[..., Any]) -> dict[str, Any]:
    """The type of each annotated parameter."""
    # optax annotates with the unqualified name of a chex type
    return typing.get_type_hints(target, localns={"ArrayTree": Any})


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type of a hint. Integers are valid floats; lists are valid tuples."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if is_callable(hint):
        return callable(value)
    if origin is tuple and inner[1:] == (...,):
        return isinstance(value, (tuple, list)) and all(fits(each, inner[0]) for each in value)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint) if inspect.isclass(hint) and hint is not Any else True


def describe(hint: Any) -> str:
    """What values a type hint allows, for messages."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        # optax also allows arrays, which cannot be written in a configuration
        writable = [
            each
            for each in inner
            if each in DESCRIPTIONS or not inspect.isclass(each) or each is types.NoneType
        ]
        return " or ".join(describe(each) for each in writable)
    if is_callable(hint):
        return "a reference, such as @name"
    if origin is tuple:
        return "a tuple, such as (@Name(),)"
    return "None" if hint is types.NoneType else DESCRIPTIONS.get(hint, str(hint))


def is_callable(hint: Any) -> bool:
    return typing.get_origin(hint) is collections.abc.Callable or getattr(hint, "_is_protocol", False)


def gin_literal(value: Any) -> str:
    """A value in gin syntax."""
    if isinstance(value, tuple):
        return f"({', '.join(map(gin_literal, value))})"
    return f"@{getattr(value, '__name__', value)}" if callable(value) else repr(value)
