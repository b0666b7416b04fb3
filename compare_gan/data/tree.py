"""The files of a folder or an archive by name, independent of how they are stored."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from compare_gan.data.images import SUFFIXES
from compare_gan.data.records import Records

WANTED = f"expected files ending in {', '.join(SUFFIXES)}"
MAX_LISTED_SUFFIXES = 8  # maximum number of suffixes in a note


@dataclasses.dataclass(frozen=True, eq=False)
class Tree:
    """Files and folders that are not hidden. Names are relative paths; those of folders end in a slash."""

    path: str  # names the tree in error messages
    name: str
    names: Sequence[str]
    packed: bool  # whether it is an archive
    records: Callable[[str, list[str]], Records]  # the images with these names below a folder
    read: Callable[[str], bytes]  # the bytes of a file; raises UserError if it cannot be read
    notes: tuple[str, ...] = ()


def is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is skipped: dot files, and folders added by macOS."""
    return name.startswith(".") or name == "__MACOSX"


def by_suffix(names: Iterable[str]) -> str:
    """The number of files per suffix, most frequent first: "12 .heic, 2 .txt"."""
    counts = Counter(_suffix(name.rpartition("/")[2]) or "without a suffix" for name in names)
    kinds = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
    listed = [f"{counts[suffix]:,} {suffix}" for suffix in kinds[:MAX_LISTED_SUFFIXES]]
    others = sum(counts[suffix] for suffix in kinds[MAX_LISTED_SUFFIXES:])
    return ", ".join([*listed, *([f"{others:,} others"] if others else [])])


def _suffix(base: str) -> str:
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if stem and dot else ""
