"""Lists, counts and amounts formatted for sentences."""

from collections.abc import Sequence


def listed(words: Sequence[str], last: str = "and") -> str:
    """`["a", "b", "c"]` -> `"a, b and c"`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def first_few(words: Sequence[str], count: int = 10, separator: str = ", ") -> str:
    """All words, or the first `count` of them and the number of others: `"a, b and 3 more"`."""
    more = f" and {len(words) - count} more" if len(words) > count else ""
    return separator.join(words[:count]) + more


def counted(number: int, one: str, many: str | None = None) -> str:
    """`(1, "class", "classes")` -> `"1 class"`; 1200 -> `"1,200 classes"`. `many` defaults to `one` + "s"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def amount(value: float) -> str:
    """Three digits and an SI prefix: 29_300_000 -> `"29.3 M"`."""
    for prefix in (" ", "k", "M", "G", "T", "P"):
        if value < 999.5:
            return f"{value:.3g} {prefix}"
        value /= 1000
    return f"{value:.3g} E"
