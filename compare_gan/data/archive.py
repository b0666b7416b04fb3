"""Image files in zip and tar archives. They are never unpacked to disk."""

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
from compare_gan.core.memory import MAX_RATIO, is_bomb, memory_budget
from compare_gan.core.progress import Progress
from compare_gan.core.words import counted
from compare_gan.data.images import MAX_FILE_BYTES
from compare_gan.data.layout import arrange
from compare_gan.data.records import Contents, Encoded
from compare_gan.data.splits import split_of
from compare_gan.data.tree import Tree, is_hidden, is_image

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # identified by magic bytes, since the suffix may be wrong
DECOMPRESSORS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
CHUNK = 2**20


@dataclasses.dataclass(frozen=True)
class Archive:
    """The files in an archive by name, each with its location in the archive."""

    path: Path
    members: dict[str, Any]  # name -> argument of `read`; None for a folder
    read: Callable[[Any], bytes]  # thread-safe
    skipped: int = 0  # number of images skipped because they are links or devices

    def data(self, name: str) -> bytes:
        """The bytes of a member. Raises UserError if it is damaged."""
        try:
            return self.read(self.members[name])
        except Exception:  # each compression method of zip raises its own errors
            raise UserError(f"{self.path}/{name}: cannot be unpacked; download the archive again") from None


class ArchiveImages(Encoded):
    """Image files in one or more archives."""

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

    Members of a zip file or an uncompressed tar file are read on demand. A compressed tar file has no random
    access, so it is decompressed into memory. Links and devices are skipped. If several members have the same
    name, the last one is used.

    Raises:
      UserError: the archive is damaged, has a member outside the archive, needs a password, does not fit into
        memory, or does not contain images in a known layout.
    """
    archive = _open(path)
    return arrange(_tree(path, [archive], {name: (archive, name) for name in archive.members}))


def is_archive(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def archive_shards(path: Path, names: Sequence[str]) -> Tree:
    """The files of several archives in a folder, as one tree. Files of train-000.tar are placed below train/.

    If no archive is named after a split, all of them are training data. If a file name occurs in several
    archives, all but the first occurrence are prefixed with the name of their archive.

    Args:
      path: the folder.
      names: paths of the archives, relative to `path`.

    Raises:
      UserError: see `read_archive`.
    """
    members, archives = dict[str, tuple[Archive, str]](), list[Archive]()
    for name in sorted(names):
        archives.append(archive := _open(path / name))
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
    skipped = sum(archive.skipped for archive in archives)

    def read(name: str) -> bytes:
        archive, member = members[name]
        return archive.data(member)

    return Tree(
        str(path),
        path.resolve().name,
        list(members),
        True,
        lambda root, names: ArchiveImages(members, root, names),
        read,
        (f"skipped {counted(skipped, 'image')} stored as links or devices",) if skipped else (),
    )


def _open(path: Path) -> Archive:
    with open(path, "rb") as file:
        start = file.read(8)
        unpack = next((unpack for magic, unpack in DECOMPRESSORS.items() if start.startswith(magic)), None)
        if start.startswith(ZIP_MAGIC):
            return _zip(path)
        if unpack is None:
            return _tar(path, file, functools.partial(_read_at, path))
        unpacked = _unpacked(path, unpack)
        view = unpacked.getbuffer()
        return _tar(path, unpacked, lambda location: bytes(view[slice(*location)]))


def _zip(path: Path) -> Archive:
    try:
        opened = zipfile.ZipFile(path)
    except Exception:
        raise _damaged(path) from None
    members, skipped = dict[str, zipfile.ZipInfo | None](), 0
    for info in opened.infolist():
        stored = info.filename.replace("\\", "/")  # some Windows programs write backslashes
        name = _safe_name(path, stored)
        if stored.endswith("/"):
            _add(members, f"{name}/", None)
        elif stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            skipped += is_image(name)
        else:
            if info.flag_bits & 1:
                raise UserError(f"{path}: is encrypted; unpack it and pass the folder")
            _add(members, name, info)
    lock = threading.Lock()

    def read(info: zipfile.ZipInfo) -> bytes:
        with lock, opened.open(info) as file:
            return file.read(MAX_FILE_BYTES + 1)

    return Archive(path, members, read, skipped)


def _tar(path: Path, file: IO[bytes], read: Callable[[tuple[int, int]], bytes]) -> Archive:
    """The members, located by their start and end offset."""
    members, skipped = dict[str, tuple[int, int] | None](), 0
    for member in _tar_members(path, file):
        name = _safe_name(path, member.name)
        if member.isdir():
            _add(members, f"{name}/", None)
        elif member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse:
            skipped += is_image(name)
        else:
            begin = member.offset_data
            _add(members, name, (begin, begin + min(member.size, MAX_FILE_BYTES + 1)))
    return Archive(path, members, read, skipped)


def _read_at(path: Path, location: tuple[int, int]) -> bytes:
    with open(path, "rb") as file:
        file.seek(location[0])
        return file.read(location[1] - location[0])


def _tar_members(path: Path, file: IO[bytes]) -> Iterable[tarfile.TarInfo]:
    """All members. On damage, `tarfile` may stop early or return to an earlier member; both are detected."""
    progress = _progress(path, file.seek(0, io.SEEK_END))
    try:
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as opened:
            end = 0
            while (member := opened.next()) is not None:
                if opened.offset <= end:
                    raise _damaged(path)
                end = opened.offset
                opened.members.clear()  # type: ignore[attr-defined]  # otherwise the list grows without bound
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
    unpacked, budget = io.BytesIO(), memory_budget()
    progress = _progress(path, path.stat().st_size)
    try:
        with open(path, "rb") as packed, unpack(packed) as file:
            while chunk := file.read(CHUNK):
                unpacked.write(chunk)
                progress.update(packed.tell(), {})
                if is_bomb(unpacked.tell(), packed.tell()):
                    raise UserError(
                        f"{path}: unpacks to more than {MAX_RATIO} times its size, like one made to fill the "
                        "memory; if you trust it, unpack it and pass the folder"
                    )
                if unpacked.tell() > budget:
                    raise UserError(
                        f"{path}: unpacks to more than the memory budget of {budget / 1e9:.1f} GB; "
                        f"unpack it and pass the folder"
                    )
    except UserError:
        raise
    except Exception:
        raise _damaged(path) from None
    return unpacked


def _progress(path: Path, size: int) -> Progress:
    return Progress(f"reading {path}", size, unit="bytes", show_after_s=5.0)


def _safe_name(path: Path, name: str) -> str:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise UserError(f"{path}: the member {name} is outside the archive; pack the folder again")
    return "/".join(part for part in parts if part not in ("", "."))


def _add(members: dict[str, Any], name: str, location: Any) -> None:
    if not any(map(is_hidden, name.split("/"))) and name not in ("", "/"):
        members[name] = location


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: truncated or corrupt zip or tar archive; download it again")
