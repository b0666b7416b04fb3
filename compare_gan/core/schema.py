"""Kinds of JSON values, to check what is read from a file before it is used.

A kind is a function of the name of a value and the value; it raises `Mismatch` for a value of another kind.
`compare_gan.core.records` has those of our files; `compare_gan.core.files.read_json` applies them.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

Kind = Callable[[str, Any], None]
MAX_INTEGER = 2**53  # larger ones are not exact in other programs
MAX_TEXT = 100_000  # characters
MAX_ITEMS = 1_000_000  # of a list or object
MAX_DEPTH = 32  # of nested lists and objects
SHOWN = 40  # characters of a value in a message
MISSING = object()  # in place of a value


class Mismatch(ValueError):
    """A value is not of its kind. The message names the key, the value and what is expected."""

    def __init__(self, key: str, value: Any, expected: str):
        if isinstance(value, dict | list):
            shown = f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
        else:
            shown = "missing" if value is MISSING else json.dumps(value)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
        super().__init__(f"its {key or 'content'} is {shown}; expected {expected}")


def integer(low: int = 0, high: int = MAX_INTEGER) -> Kind:
    """An integer in [low, high], not a boolean."""

    def check(key: str, value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            raise Mismatch(key, value, f"an integer from {low} to {high}")

    return check


def number(low: float = -1e300, high: float = 1e300) -> Kind:
    """A number in [low, high], not a boolean. By default any finite one."""

    def check(key: str, value: Any) -> None:
        if type(value) not in (int, float) or not low <= value <= high:  # NaN is never between
            limits = "a finite number" if high == 1e300 else f"a number from {low:g} to {high:g}"
            raise Mismatch(key, value, limits)

    return check


def text(longest: int = MAX_TEXT) -> Kind:
    """A string of at most `longest` characters."""

    def check(key: str, value: Any) -> None:
        if not isinstance(value, str) or len(value) > longest:
            raise Mismatch(key, value, f"text of at most {longest} characters")

    return check


def one_of(*values: Any) -> Kind:
    """One of these values."""

    def check(key: str, value: Any) -> None:
        if not any(type(value) is type(known) and value == known for known in values):
            raise Mismatch(key, value, " or ".join(map(repr, values)))

    return check


flag = one_of(False, True)
null = one_of(None)


def either(*kinds: Kind) -> Kind:
    """A value of any of several kinds."""

    def check(key: str, value: Any) -> None:
        mismatches = []
        for kind in kinds:
            try:
                return kind(key, value)
            except Mismatch as mismatch:
                mismatches.append(mismatch)
        raise mismatches[-1]

    return check


def list_of(kind: Kind, least: int = 0, most: int = MAX_ITEMS) -> Kind:
    """A list of `least` to `most` values of one kind."""

    def check(key: str, value: Any) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            length = str(least) if least == most else f"{least} to {most}"
            raise Mismatch(key, value, f"a list of {length} values")
        for i, item in enumerate(value):
            kind(f"{key}[{i}]", item)

    return check


def mapping_of(kind: Kind, most: int = MAX_ITEMS) -> Kind:
    """An object whose values are all of one kind."""

    def check(key: str, value: Any) -> None:
        if not isinstance(value, dict) or len(value) > most:
            raise Mismatch(key, value, "an object")
        for name, item in value.items():
            kind(f"{key}.{name}" if key else name, item)

    return check


def record(
    required: Mapping[str, Kind], optional: Mapping[str, Kind] | None = None, closed: bool = False
) -> Kind:
    """An object with these keys; older versions did not write the optional ones.

    A newer version may write more keys, which are allowed unless `closed` is set.
    """
    known = {**required, **(optional or {})}

    def check(key: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise Mismatch(key, value, "an object")
        start = f"{key}." if key else ""
        if unknown := [name for name in value if closed and name not in known]:
            raise Mismatch(
                key, value, f"nothing called {unknown[0][:SHOWN]!r}, which this version does not know"
            )
        for name in required:
            if name not in value:
                raise Mismatch(f"{start}{name}", MISSING, "a value")
        for name, kind in known.items():
            if name in value:
                kind(f"{start}{name}", value[name])

    return check


def optional(kind: Kind) -> Kind:
    """A value of this kind, or null."""
    return either(null, kind)


def anything(key: str, value: Any) -> None:
    """Any JSON value."""


def depth(value: Any) -> int:
    """The number of nested lists and objects, at most `MAX_DEPTH` + 1; without recursion."""
    level, items = 0, [value]
    while level <= MAX_DEPTH and (nested := [item for item in items if isinstance(item, dict | list)]):
        level += 1
        items = [x for item in nested for x in (item.values() if isinstance(item, dict) else item)]
    return level


def parse_json(content: str | bytes, kind: Kind = anything) -> Any:
    """The value of a JSON text, after checking its depth and kind.

    Raises:
      ValueError: it is not JSON, nested too deeply, or not of this kind (a `Mismatch`).
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if depth(value) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    kind("", value)
    return value
