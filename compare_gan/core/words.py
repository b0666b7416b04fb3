"""Lists and counts as sentences have them."""

from collections.abc import Sequence


def listed(words: Sequence[str], last: str = "and") -> str:
    """`["a", "b", "c"]` -> `"a, b and c"`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(number: int, one: str, many: str) -> str:
    """`(1, "class", "classes")` -> `"1 class"`; 1200 -> `"1,200 classes"`."""
    return f"{number:,} {one if number == 1 else many}"
