"""Partial application that compares by value."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any


class Bound(functools.partial):
    """A `functools.partial` that equals another one of the same callable and arguments."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, functools.partial):
            return NotImplemented
        return (self.func, self.args, self.keywords) == (other.func, other.args, other.keywords)

    def __hash__(self) -> int:
        return hash((self.func, self.args, frozenset(self.keywords.items())))


def target_of(part: Any) -> Any:
    """The function or class that a partial application calls; `part` itself if it is none."""
    return part.func if isinstance(part, functools.partial) else part


def bound(target: Callable[..., Any], **values: Any) -> Callable[..., Any]:
    """`target` partially applied to keyword arguments; `target` itself if all are its defaults.

    So an explicit default and an unbound parameter give equal values.
    """
    if isinstance(target, functools.partial):
        return bound(target.func, **(target.keywords | values))
    defaults = {p.name: p.default for p in arguments(target)}
    changed = {name: value for name, value in values.items() if defaults[name] != value}
    return Bound(target, **changed) if changed else target


def arguments(target: Callable[..., Any]) -> list[inspect.Parameter]:
    """The named parameters of a function or class."""
    function = signature_source(target)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = [p for p in inspect.signature(function).parameters.values() if p.kind in named]
    return found if function is target else found[1:]  # without self


def signature_source(target: Callable[..., Any]) -> Callable[..., Any]:
    """The callable whose signature has the parameters of `target`; NNX hides that of its classes."""
    if inspect.isclass(target) and not dataclasses.is_dataclass(target):
        return target.__init__  # type: ignore[misc]
    return target
