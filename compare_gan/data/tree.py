"""The files of a folder or an archive by name, whatever they are kept in."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from compare_gan.data.images import SUFFIXES
from compare_gan.data.records import Records

WANTED = f"wanted files that end in {', '.join(SUFFIXES)}"
MOST_KINDS = 8  # suffixes that a note lists


@dataclasses.dataclass(frozen=True, eq=False)
class Tree:
    """Files and folders that are not hidden. Names are relative, with slashes; a folder's ends in one."""

    path: str  # what to call it in an error
    name: str
    names: Sequence[str]
    packed: bool  # an archive
    records: Callable[[str, list[str]], Records]  # the images of these names below a folder
    read: Callable[[str], bytes]  # the bytes of a file; raises UserError if it cannot be read
    notes: tuple[str, ...] = ()


def is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is skipped: what starts with a dot, and what macOS adds."""
    return name.startswith(".") or name == "__MACOSX"


def by_suffix(names: Iterable[str]) -> str:
    """How many files there are of each kind, the most frequent first: "12 .heic, 2 .txt"."""
    counts = Counter(_suffix(name.rpartition("/")[2]) or "without a suffix" for name in names)
    kinds = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
    listed = [f"{counts[suffix]:,} {suffix}" for suffix in kinds[:MOST_KINDS]]
    others = sum(counts[suffix] for suffix in kinds[MOST_KINDS:])
    return ", ".join([*listed, *([f"{others:,} others"] if others else [])])


def _suffix(base: str) -> str:
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if stem and dot else ""
