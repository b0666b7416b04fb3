"""Runs recorded cases of compare_gan against this library.

A kind of case is checked by the function that `@handles` it, somewhere in `kinds/`: it gets the
case and yields one `Deviation` for each recorded array. A case of a kind that nobody handles fails.
"""

import dataclasses
import functools
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from compare_gan.core.errors import UserError
from compare_gan.nn.kernels import plain

from . import kinds
from .reference import Case, Deviation, load

Handler = Callable[[Case], Iterable[Deviation]]
HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Decorator: this function checks cases of these kinds."""

    def register(handler: Handler) -> Handler:
        for name in names:
            assert name not in HANDLERS, f"two handlers for {name}"
            HANDLERS[name] = handler
        return handler

    return register


@functools.cache
def load_handlers() -> None:
    for module in pkgutil.iter_modules(kinds.__path__):
        importlib.import_module(f"{kinds.__name__}.{module.name}")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one case."""

    name: str
    kind: str
    deviations: tuple[Deviation, ...] = ()
    trouble: str | None = None  # why there are no numbers, or none for all arrays

    @property
    def passed(self) -> bool:
        return self.trouble is None and all(d.found <= d.allowed for d in self.deviations)

    def lines(self) -> Iterator[str]:
        yield f"{'pass' if self.passed else 'FAIL'}  {self.name}  ({self.kind})"
        if self.trouble:
            yield f"      {self.trouble}"
        for d in self.deviations:
            mark = "     " if d.found <= d.allowed else " FAIL"
            yield f"{mark} {d.what:<64} off by {d.found:8.2e}, allowed {d.allowed:8.2e}"


def cases(folder: Path) -> list[Path]:
    """The descriptions of the cases in a folder.

    Raises:
      UserError: there is no such folder, or no case in it.
    """
    found = [path for path in sorted(folder.glob("*.json")) if is_case(path)]
    if not found:
        raise UserError(f"{folder}: no cases here; a case is <name>.json beside <name>.npz")
    return found


def is_case(path: Path) -> bool:
    """Whether a file describes a case; one that cannot be read may, and is tried."""
    try:
        return path.with_suffix(".npz").exists() or "kind" in json.loads(path.read_text())
    except ValueError:
        return True


def run(path: Path) -> Outcome:
    """Checks one case; whatever goes wrong is an outcome."""
    load_handlers()
    try:
        case = load(path.stem, path.parent)
        kind = str(case.meta.get("kind"))
    except (OSError, ValueError, KeyError) as error:
        return Outcome(path.stem, "unreadable", trouble=f"{type(error).__name__}: {error}")
    if kind not in HANDLERS:
        return Outcome(
            case.name, kind, trouble=f"no handler for kind {kind!r}; known: {', '.join(sorted(HANDLERS))}"
        )
    # Formulas are compared. The C++ kernels have rounding errors of their own, which some cases amplify; they
    # are compared with XLA's convolutions in tests/nn.
    with plain(True):
        return outcome(case.name, kind, lambda: worst(HANDLERS[kind](case)))


def outcome(name: str, kind: str, compare: Callable[[], Iterable[Deviation]]) -> Outcome:
    """The outcome of a comparison, whatever goes wrong in it."""
    try:
        deviations = tuple(compare())
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        return Outcome(name, kind, trouble=f"{type(error).__name__}: {reason}")
    return Outcome(name, kind, deviations, None if deviations else "nothing was compared")


def worst(deviations: Iterable[Deviation]) -> Iterator[Deviation]:
    """One for each array: that which comes nearest to its limit or goes furthest beyond it."""
    found: dict[str, Deviation] = {}
    for d in deviations:
        seen = found.get(d.what)
        if seen is None or d.found - d.allowed > seen.found - seen.allowed or d.found != d.found:
            found[d.what] = d
    yield from found.values()


def run_folder(folder: Path, only: str = "", say: Callable[[str], None] = print) -> int:
    """Checks all cases whose name contains `only`; returns how many failed."""
    outcomes = summarized((run(path) for path in cases(folder) if only in path.stem), say)
    return sum(not each.passed for each in outcomes)


def summarized(outcomes: Iterable[Outcome], say: Callable[[str], None]) -> list[Outcome]:
    """Prints each outcome as it comes, then the names of those that failed and the counts."""
    found = []
    for each in outcomes:
        found.append(each)
        for line in each.lines():
            say(line)
    failed = [each.name for each in found if not each.passed]
    for name in failed:
        say(f"failed: {name}")
    say(f"{len(found) - len(failed)} passed, {len(failed)} failed")
    return found
