"""Mistakes a user can mend, told in one line."""

import difflib
from collections.abc import Iterable

MOST = 30  # names that a message lists


class UserError(ValueError):
    """A bad configuration, file or argument.

    The message is one line: what is wrong, where, and what to do about it. The
    command line prints it and exits with code 2; from Python it is a ValueError.
    """

    exit_code = 2

    def __init__(self, message: str):
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Text that may hold any file name, as one line: control characters and stray bytes become escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name nearest to `name`, else what is known."""
    folded = {word.casefold(): word for word in sorted(known)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    words, more = list(folded.values()), len(folded) - MOST
    return f"; known: {', '.join(words[:MOST])}{f' and {more} more' if more > 0 else ''}"
