"""Errors that a user can fix, reported in one line."""

import difflib
from collections.abc import Iterable
from typing import Any

MAX_NAMES = 30  # in a message
MAX_MESSAGE = 2000  # characters; values from a file could be longer


class UserError(ValueError):
    """A bad configuration, file or argument.

    The message is one line: what is wrong, where, and what to do about it. The
    command line prints it and exits with code 2; from Python it is a ValueError.

    >>> try:
    ...     cg.open_dataset("digts")
    ... except cg.UserError as error:
    ...     print(error)
    'digts' is neither a known data set nor an existing path; did you mean 'digits'?
    """

    exit_code = 2

    def __init__(self, message: str):
        text = printable(message)
        super().__init__(text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}...")


def printable(text: str) -> str:
    """Text as one printable line: control characters and undecodable bytes (of file names) are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def reason(error: BaseException, most: int | None = None) -> str:
    """The first line of the message of another library's error, cut to `most` characters; else its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name closest to `name`; if none is close, a list of all."""
    folded = {word.casefold(): word for word in sorted(known)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    words, more = list(folded.values()), len(folded) - MAX_NAMES
    return f"; known: {', '.join(words[:MAX_NAMES])}{f' and {more} more' if more > 0 else ''}"


def refuse_negative(part: Any, *fields: str) -> None:
    """Checks fields of a component, such as the weights of a task.

    Raises:
      UserError: one of them is negative.
    """
    for field in fields:
        if (value := getattr(part, field)) < 0:
            raise UserError(f"{type(part).__name__}.{field} is {value}; it must not be negative")
