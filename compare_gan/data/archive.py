"""Image files in zip and tar archives. Nothing is ever unpacked to disk."""

import bz2
import dataclasses
import functools
import gzip
import io
import lzma
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from compare_gan.core.errors import UserError
from compare_gan.core.memory import memory_budget
from compare_gan.core.progress import Progress
from compare_gan.core.words import counted
from compare_gan.data.images import MOST_BYTES
from compare_gan.data.layout import arrange
from compare_gan.data.records import Contents, Encoded
from compare_gan.data.splits import split_of
from compare_gan.data.tree import Tree, is_hidden, is_image

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # what a file begins with says what it is; the suffix may be wrong
PACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
CHUNK = 2**20


@dataclasses.dataclass(frozen=True)
class Archive:
    """The files in an archive by name, each with what it takes to read it."""

    path: Path
    members: dict[str, Any]  # None: a folder
    read: Callable[[Any], bytes]  # by any thread
    odd: int = 0  # images that are links or devices, which are skipped

    def data(self, name: str) -> bytes:
        """The bytes of a member. Raises UserError if it is damaged."""
        try:
            return self.read(self.members[name])
        except Exception:  # zip has many ways to pack, and each its own ways to fail
            raise UserError(f"{self.path}/{name}: cannot be unpacked; get the archive again") from None


class Members(Encoded):
    """Image files in archives."""

    def __init__(self, members: Mapping[str, tuple[Archive, str]], root: str, names: list[str]):
        self.members, self.root, self.names = members, root, names

    def __len__(self) -> int:
        return len(self.names)

    def data(self, i: int) -> bytes:
        archive, member = self.members[self.root + self.names[i]]
        return archive.data(member)

    def where(self, i: int) -> str:
        archive, member = self.members[self.root + self.names[i]]
        return f"{archive.path}/{member}"

    def name(self, i: int) -> str:
        return self.names[i]


def read_archive(path: Path) -> Contents:
    """A zip or tar archive of a folder in one of the layouts of `compare_gan.data.layout`.

    Members of a zip file, and of a plain tar file, are read when they are wanted; a compressed tar file can
    only be read from its beginning, so it is held in memory. Links and devices are skipped. Of members with
    one name the last counts.

    Raises:
      UserError: it is damaged, names a place outside itself, needs a password or more than the memory can
        take, or does not hold images in such a layout.
    """
    archive = _opened(path)
    return arrange(_tree(path, [archive], {name: (archive, name) for name in archive.members}))


def is_archive(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def archive_shards(path: Path, names: Sequence[str]) -> Tree:
    """The files of several archives in a folder, as one tree: those of train-000.tar below train/.

    Where no name of an archive is that of a split, all are for training. Of files with one name in several
    archives, all but the first get the name of their archive in front.

    Args:
      names: of the archives, relative to `path`.

    Raises:
      UserError: see `read_archive`.
    """
    members, archives = dict[str, tuple[Archive, str]](), list[Archive]()
    for name in sorted(names):
        archives.append(archive := _opened(path / name))
        stem = name.rpartition("/")[2].partition(".")[0]
        split = split_of(stem) or next(filter(None, map(split_of, name.split("/")[:-1])), None)
        prefix = f"{split}/" if split else ""
        for member in archive.members:
            folder, slash, base = member.rpartition("/")
            full = f"{prefix}{member}"
            if full in members and not member.endswith("/"):
                full = f"{prefix}{folder}{slash}{stem}_{base}"
            members[full] = (archive, member)
    return _tree(path, archives, members)


def _tree(path: Path, archives: Sequence[Archive], members: Mapping[str, tuple[Archive, str]]) -> Tree:
    odd = sum(archive.odd for archive in archives)

    def read(name: str) -> bytes:
        archive, member = members[name]
        return archive.data(member)

    return Tree(
        str(path),
        path.resolve().name,
        list(members),
        True,
        lambda root, names: Members(members, root, names),
        read,
        (f"skipped {counted(odd, 'image')} stored as links or devices",) if odd else (),
    )


def _opened(path: Path) -> Archive:
    with open(path, "rb") as file:
        start = file.read(8)
        unpack = next((unpack for magic, unpack in PACKED.items() if start.startswith(magic)), None)
        if start.startswith(ZIP):
            return _zip(path)
        if unpack is None:
            return _tar(path, file, functools.partial(_read_at, path))
        unpacked = _unpacked(path, unpack)
        view = unpacked.getbuffer()
        return _tar(path, unpacked, lambda place: bytes(view[slice(*place)]))


def _zip(path: Path) -> Archive:
    try:
        opened = zipfile.ZipFile(path)
    except Exception:
        raise _damaged(path) from None
    members, odd = dict[str, zipfile.ZipInfo | None](), 0
    for info in opened.infolist():
        stored = info.filename.replace("\\", "/")  # some programs for Windows write it so
        name = _inside(path, stored)
        if stored.endswith("/"):
            _add(members, f"{name}/", None)
        elif stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            odd += is_image(name)
        else:
            if info.flag_bits & 1:
                raise UserError(f"{path}: needs a password; unpack it, and name the folder")
            _add(members, name, info)
    lock = threading.Lock()

    def read(info: zipfile.ZipInfo) -> bytes:
        with lock, opened.open(info) as file:
            return file.read(MOST_BYTES + 1)

    return Archive(path, members, read, odd)


def _tar(path: Path, file: IO[bytes], read: Callable[[tuple[int, int]], bytes]) -> Archive:
    """Members by where they begin and end."""
    members, odd = dict[str, tuple[int, int] | None](), 0
    for member in _tar_members(path, file):
        name = _inside(path, member.name)
        if member.isdir():
            _add(members, f"{name}/", None)
        elif member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse:
            odd += is_image(name)
        else:
            begin = member.offset_data
            _add(members, name, (begin, begin + min(member.size, MOST_BYTES + 1)))
    return Archive(path, members, read, odd)


def _read_at(path: Path, place: tuple[int, int]) -> bytes:
    with open(path, "rb") as file:
        file.seek(place[0])
        return file.read(place[1] - place[0])


def _tar_members(path: Path, file: IO[bytes]) -> Iterable[tarfile.TarInfo]:
    """All of them. `tarfile` takes a damaged member for the end, and may go back to one that it has read."""
    progress = _progress(path, file.seek(0, io.SEEK_END))
    try:
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as opened:
            end = 0
            while (member := opened.next()) is not None:
                if opened.offset <= end:
                    raise _damaged(path)
                end = opened.offset
                opened.members.clear()  # type: ignore[attr-defined]  # they would pile up
                progress.update(end, {})
                yield member
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise _damaged(path)
    except UserError:
        raise
    except Exception:
        raise _damaged(path) from None


def _unpacked(path: Path, unpack: Callable[[IO[bytes]], Any]) -> io.BytesIO:
    whole, most = io.BytesIO(), memory_budget()
    progress = _progress(path, path.stat().st_size)
    try:
        with open(path, "rb") as packed, unpack(packed) as file:
            while chunk := file.read(CHUNK):
                whole.write(chunk)
                progress.update(packed.tell(), {})
                if whole.tell() > most:
                    raise UserError(
                        f"{path}: unpacks to more than the {most / 1e9:.1f} GB of memory that may be used; "
                        f"unpack it, and name the folder"
                    )
    except UserError:
        raise
    except Exception:
        raise _damaged(path) from None
    return whole


def _progress(path: Path, size: int) -> Progress:
    return Progress(f"reading {path}", size, unit="bytes", show_after_s=5.0)


def _inside(path: Path, name: str) -> str:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise UserError(f"{path}: its member {name} lies outside of it; pack the folder again")
    return "/".join(part for part in parts if part not in ("", "."))


def _add(members: dict[str, Any], name: str, how: Any) -> None:
    if not any(map(is_hidden, name.split("/"))) and name not in ("", "/"):
        members[name] = how


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: not a whole zip or tar archive; get it again")
