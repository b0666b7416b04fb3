"""Two tiers of tests: what `make test` runs, and what only `make test-all` runs, marked slow."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def slow_unless(fast: Callable[..., bool], cases: Iterable[Any]) -> list[Any]:
    """Values for `pytest.mark.parametrize`; those for which `fast` is false are marked slow.

    A case of several parameters is a tuple, and `fast` gets its items.
    """
    found = []
    for case in cases:
        items = case if isinstance(case, tuple) else (case,)
        found.append(pytest.param(*items, marks=() if fast(*items) else pytest.mark.slow))
    return found
