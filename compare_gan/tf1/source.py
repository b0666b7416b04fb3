"""Finds the files of a model of the original compare_gan: a module, an archive of one, or a checkpoint."""

import contextlib
import dataclasses
import posixpath
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Self

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.words import counted
from compare_gan.tf1.bundle import TensorBundle, read_tensor_bundle
from compare_gan.tf1.names import current

SAVED_MODEL, VARIABLES, FILLED = "saved_model.pb", "variables/variables", "model-with-accu.ckpt"
MEMBERS = re.compile(  # the folder that contains them, if any, and the file
    r"((?:[^/]+/)?)"
    r"(saved_model\.pb|(?:variables/variables|model-with-accu\.ckpt)\.(?:index|data-\d{5}-of-\d{5}))"
)
CONFIGURATION = re.compile(r"operative_config-(\d+)\.gin")
CHECKPOINT = re.compile(r"model\.ckpt-(\d+)\.index")
SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
MAX_UNPACKED, MAX_HEADER = 2**36, 2**20  # bytes
HEADERS = (  # types of members that describe the next one
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Variables(Mapping[str, np.ndarray]):
    """The tensors of a checkpoint, by their names in the last version of compare_gan; see `names.current`."""

    def __init__(self, bundle: TensorBundle):
        self.bundle = bundle
        self.stored = {current(name): name for name in bundle}
        if len(self.stored) < len(bundle):
            raise UserError(
                f"{bundle.prefix}: two of its variables correspond to the same variable of compare_gan"
            )

    @property
    def prefix(self) -> Path:
        return self.bundle.prefix

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.bundle[self.stored[name]]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: self.bundle.shape(stored) for name, stored in self.stored.items()}


@dataclasses.dataclass(frozen=True)
class Source:
    """The files of a model."""

    path: Path  # what the user gave
    variables: Variables
    filled: Variables | None  # `model-with-accu.ckpt`: with accumulated batch statistics
    graphs: Path | None  # `saved_model.pb`; None for a checkpoint
    config: Path | None  # the configuration that was written with the checkpoint
    step: int

    @property
    def is_module(self) -> bool:
        return self.graphs is not None


@contextlib.contextmanager
def open_source(path: Path, step: int | None = None) -> Iterator[Source]:
    """Finds the files of a model; an archive is unpacked into a temporary folder.

    Args:
      path: a module folder, a .tar.gz or .tar.xz of one, the prefix of a checkpoint, or a `model_dir`.
      step: of a `model_dir`; None: the newest.

    Raises:
      UserError: there is no model, or its files are damaged.
    """
    if path.is_file() and path.name.endswith(SUFFIXES):
        with tempfile.TemporaryDirectory(prefix="compare_gan-") as folder:
            _unpack(path, Path(folder))
            yield _module(path, Path(folder))
    elif (path / SAVED_MODEL).exists():
        yield _module(path, path)
    elif path.is_dir():
        yield _checkpoint(path, *_newest(path, step))
    elif Path(f"{path}.index").exists() or path.name.endswith(".index"):
        prefix = path.parent / path.name.removesuffix(".index")
        match = re.search(r"-(\d+)$", prefix.name)
        yield _checkpoint(path, prefix, int(match[1]) if match else 0)
    else:
        kind = "does not exist" if not path.exists() else "is not a module, archive or checkpoint"
        raise UserError(
            f"{path}: {kind}; give a folder with {SAVED_MODEL}, a {', '.join(SUFFIXES[1:3])} or "
            f"{SUFFIXES[3]} of one, the prefix of a checkpoint (model.ckpt-1000), or a model_dir"
        )


def _module(path: Path, folder: Path) -> Source:
    folder = folder.absolute()  # which has parents, even if it was given as a number or a dot
    filled = folder / FILLED
    numbered = folder.parent.name == "tfhub" and folder.name.isdecimal()
    return Source(
        path=path,
        variables=Variables(read_tensor_bundle(folder / VARIABLES)),
        filled=Variables(read_tensor_bundle(filled)) if Path(f"{filled}.index").exists() else None,
        graphs=folder / SAVED_MODEL,
        config=_configuration(folder.parents[1], int(folder.name)) if numbered else None,
        step=int(folder.name) if numbered else 0,
    )


def _checkpoint(path: Path, prefix: Path, step: int) -> Source:
    filled = prefix.parent / "tfhub" / str(step) / FILLED
    return Source(
        path=path,
        variables=Variables(read_tensor_bundle(prefix)),
        filled=Variables(read_tensor_bundle(filled)) if Path(f"{filled}.index").exists() else None,
        graphs=None,
        config=_configuration(prefix.parent, step),
        step=step,
    )


def _newest(folder: Path, step: int | None) -> tuple[Path, int]:
    """The prefix of a checkpoint in a `model_dir`, and its step. The file `checkpoint` is
    ignored, since it may name checkpoints that no longer exist."""
    steps = sorted(int(match[1]) for path in folder.iterdir() if (match := CHECKPOINT.fullmatch(path.name)))
    if not steps:
        raise UserError(f"{folder}: no checkpoints (model.ckpt-*.index) and no {SAVED_MODEL} here")
    if step is not None and step not in steps:
        raise UserError(f"{folder}: has no checkpoint of step {step}; it has {', '.join(map(str, steps))}")
    chosen = steps[-1] if step is None else step
    return folder / f"model.ckpt-{chosen}", chosen


def _configuration(folder: Path, step: int) -> Path | None:
    """The newest configuration that is not later than the step; the oldest if all are later."""
    found = {
        int(match[1]): path for path in folder.iterdir() if (match := CONFIGURATION.fullmatch(path.name))
    }
    before = [number for number in found if number <= step]
    return found[max(before, default=min(found))] if found else None


class _Member(tarfile.TarInfo):
    """A member of an archive. Headers that tarfile reads into memory as a whole must be small."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in HEADERS and member.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def _unpack(path: Path, folder: Path) -> None:
    """Unpacks the files of a module; other files, and anything that is not a regular file, are skipped.

    Raises:
      UserError: it is damaged or too large, or does not contain a module.
    """
    count, around, room = 0, None, min(MAX_UNPACKED, shutil.disk_usage(folder).free)
    try:
        with tarfile.open(path, tarinfo=_Member) as archive:
            for member in archive:
                match = MEMBERS.fullmatch(posixpath.normpath(member.name))
                if match is None or not member.isfile() or around not in (None, match[1]):
                    continue
                around = match[1]
                room -= member.size
                if room < 0:
                    raise UserError(
                        f"{path}: does not fit on the disk of {folder.parent}, or has more than "
                        f"{MAX_UNPACKED:,} bytes; unpack it elsewhere and give the folder"
                    )
                data = archive.extractfile(member)
                assert data is not None  # it is a regular file
                target = folder / match[2]
                target.parent.mkdir(exist_ok=True)
                with open(target, "wb") as file:
                    _copy(data, file, member.size)
                count += 1
    except (tarfile.TarError, EOFError, ValueError, OSError, ArithmeticError) as error:
        if isinstance(error, UserError):
            raise
        if isinstance(error, OSError) and error.errno:  # of the system, not of a decompressor
            raise UserError(f"{path}: cannot be unpacked ({error.strerror})") from None
        raise _damaged(path) from None
    except Exception as error:  # zlib and lzma have their own exceptions
        if type(error).__module__ not in ("zlib", "_lzma", "lzma"):
            raise
        raise _damaged(path) from None
    if not (folder / SAVED_MODEL).exists():
        raise UserError(
            f"{path}: is not a TF-Hub module: it has {counted(count, 'file')} of one, but no {SAVED_MODEL}"
        )


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    shutil.copyfileobj(source, target)
    if target.tell() != size:
        raise EOFError


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: cannot be unpacked; it is damaged or not a tar archive: download it again")
