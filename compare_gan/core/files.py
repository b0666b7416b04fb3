"""Atomic writes, so that a reader never sees a partial file; JSON, CSV and JSON-lines files.

A file is written under a temporary name and then renamed. While it is written, the system holds a lock on it
(flock), which ends with the process. So a temporary file whose lock is free was left behind by a killed
process, and `remove_leftovers` deletes it at the next start of work in its folder, or when another process
first writes there.
"""

import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from compare_gan.core.errors import UserError
from compare_gan.core.schema import Kind, Mismatch, anything, parse_json

MAX_JSON_BYTES = 2**26  # of a JSON file; the label qualities of 1,000 classes take a tenth
MAX_LOG_BYTES = 2**29  # of a .jsonl file
MAX_CONFIG_BYTES = 2**24  # of a gin file, or a table of scores

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
SUFFIX = ".partial"
TEMPORARY = re.compile(
    r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-[a-z0-9_]{8}\.partial(?P<old>\.old)?", re.DOTALL
)
KEEP_S = 24 * 3600  # temporary files younger than this are kept if no lock says whether their process lives


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Opens a temporary file next to `path` for bytes; it replaces `path` if the block succeeds."""
    _remove_leftovers_once(path.parent.absolute())
    handle, name = _temporary_file(path)
    with open(handle, "wb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.chmod(name, 0o644)
            if fcntl is None:  # Windows does not rename an open file
                file.close()
            os.replace(name, path)
        except BaseException as error:
            with contextlib.suppress(OSError):  # on a full disk, what is still in the buffer fails again
                file.close()
            Path(name).unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename in (None, name):
                error.filename = str(path)  # writing through a handle does not tell the file
            raise


def create(path: Path, data: bytes) -> bool:
    """Creates a file, unless one of this name exists. Of several processes only one succeeds.

    Returns:
      Whether this call created it.
    """
    handle, name = _temporary_file(path)
    with open(handle, "wb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.link(name, path)
        except FileExistsError:
            return path.read_bytes() == data  # NFS may do this twice, and report the second time
        finally:
            Path(name).unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Creates a temporary folder next to `path`; it replaces `path` if the block succeeds.

    Raises:
      UserError: the folder cannot be created there.
    """
    path = path.resolve()
    with temporary_folder(path.parent, path.name) as new:
        old = new.with_name(f"{new.name}.old")
        try:
            yield new
            new.chmod(0o755)
            while new.exists():
                with contextlib.suppress(FileNotFoundError):  # there is none, or another process moved it
                    path.rename(old)
                try:
                    new.rename(path)
                except OSError:
                    if not path.exists():
                        raise
                    shutil.rmtree(old, ignore_errors=True)  # another process has written `path` meanwhile
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            error.filename = error.filename or str(path)
            raise


@contextlib.contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Creates a hidden folder in `parent`, named after `name`, and removes it after the block.

    Raises:
      UserError: the folder cannot be created there.
    """
    new, lock = _temporary_folder(run_folder(parent), name)
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Deletes temporary files and folders that killed processes left in a folder, never those in use.

    If a process was killed while `atomic_folder` replaced a folder, the old folder is restored. Where files
    cannot be locked, and for files of other hosts, whose locks may not be visible here, a day must have
    passed.
    """
    paths = list[Path]()
    with contextlib.suppress(OSError):  # a folder that can be written may be unreadable
        paths = sorted(folder.iterdir())
    for path in paths:
        match = TEMPORARY.fullmatch(path.name)
        if match is None or not _is_abandoned(path, match["host"] == HOST):
            continue
        with contextlib.suppress(OSError):  # another process removes it, or it cannot be removed
            if match["old"] and not (folder / match["name"]).exists():
                path.rename(folder / match["name"])
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


@functools.lru_cache(maxsize=4096)  # a write must not list a folder of many files
def _remove_leftovers_once(folder: Path) -> None:
    """`remove_leftovers` in the first call of this process for `folder`."""
    remove_leftovers(folder)


def _is_abandoned(path: Path, same_host: bool) -> bool:
    """Whether no running process writes a temporary file or folder, as far as is known."""
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            free = _lock(handle)
        finally:
            os.close(handle)
        if free and same_host:
            return True
        return free is not False and time.time() - path.stat().st_mtime > KEEP_S
    except OSError:  # removed meanwhile, or of another user
        return False


def _lock(handle: int) -> bool | None:
    """Locks an open file or folder until it is closed: True, or False if another process has locked it.

    None if files cannot be locked here.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (OSError, AttributeError):
        return None
    return True


def _temporary_file(path: Path) -> tuple[int, str]:
    """Creates a temporary file next to `path`, locked while its handle is open: handle and name."""
    while True:
        handle, name = tempfile.mkstemp(SUFFIX, f".{path.name}.{HOST}-", path.parent)
        if _keeps(handle, name):
            return handle, name
        os.close(handle)


def _temporary_folder(parent: Path, name: str) -> tuple[Path, int | None]:
    """Creates a temporary folder, locked while the handle is open. The handle is None if it has none."""
    while True:
        new = tempfile.mkdtemp(SUFFIX, f".{name}.{HOST}-", parent)
        if fcntl is None:
            return Path(new), None
        handle = os.open(new, os.O_RDONLY)
        if _keeps(handle, new):
            return Path(new), handle
        os.close(handle)


def _keeps(handle: int, name: str) -> bool:
    """Locks a new temporary file. False if `remove_leftovers` in another process came before the lock."""
    if _lock(handle) is False:
        return False
    try:
        return os.path.samestat(os.fstat(handle), os.stat(name))
    except FileNotFoundError:
        return False


def append(path: Path, data: bytes) -> None:
    """Appends to a file, which is created if needed."""
    try:
        with open(path, "ab") as file:
            file.write(data)
    except OSError as error:
        error.filename = str(path)
        raise


def user_cache() -> Path:
    """The folder of cached files that can be recreated. It may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compare_gan"


def regular(path: Path) -> Path:
    """Returns `path` if it is a regular file. Opening a FIFO or a device could wait or read for ever.

    Raises:
      UserError: it is something else, or does not exist.
    """
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device"
        raise UserError(f"{path}: is {what}, not a file; copy its content to a file")
    return path


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a regular file.

    Raises:
      UserError: it cannot be read, is not a regular file, or has more than `most` bytes.
    """
    size = regular(path).stat().st_size
    if most is not None and size > most:
        raise UserError(f"{path}: has {size:,} bytes; such a file has at most {most:,}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_text(path: Path, most: int = MAX_CONFIG_BYTES, errors: str = "strict") -> str:
    """The content of a regular file of UTF-8 text. Undecodable bytes are treated as `bytes.decode` does.

    Raises:
      UserError: it cannot be read, is not a regular file, is not text, or has more than `most` bytes.
    """
    try:
        return read_bytes(path, most).decode("utf-8", errors).replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8") from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a regular file.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with open(regular(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def write_json(path: Path, value: Any) -> None:
    with atomic(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path, kind: Kind = anything) -> Any:
    """The value in a JSON file, checked before it is used.

    Args:
      path: the file.
      kind: of the value, see `compare_gan.core.schema`; those of our files are in `compare_gan.core.records`.

    Raises:
      UserError: the file cannot be read, is too large, or is not JSON of this kind.
    """
    try:
        return parse_json(read_bytes(path, MAX_JSON_BYTES), kind)
    except Mismatch as mismatch:
        raise UserError(f"{path}: {mismatch}; the file has been edited or is damaged") from None
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path}: not a JSON file ({error})") from None


def read_lines(path: Path, kind: Kind) -> list[Any]:
    """The values of a .jsonl file, one on each line.

    Raises:
      UserError: the file cannot be read, is too large, or a line is not JSON of this kind.
    """
    found = []
    for n, line in enumerate(read_text(path, MAX_LOG_BYTES, "replace").splitlines(), 1):
        try:
            found.append(parse_json(line, kind))
        except ValueError as error:
            raise UserError(f"{path}: line {n} cannot be read ({error}); remove it") from None
    return found


def remove_least_recent(folder: Path, max_bytes: int) -> None:
    """Removes the files of a cache that were not used for longest, until the others have at most `max_bytes`.

    Processes that use the cache at the same time do no harm. JAX's own limit needs a second file for each
    entry: where one is missing, from a killed process or an earlier version, nothing is cached any more.
    """
    found = list[tuple[float, int, Path]]()
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):  # removed meanwhile
                status = path.stat()
                found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= max_bytes:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as a CSV table. Its columns are all names in `rows`; missing values are empty cells."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic(path) as file:
        file.write(buffer.getvalue().encode())


def read_log(path: Path) -> tuple[dict[str, Any], ...]:
    """The records of a .jsonl file, sorted by their "step"; empty if there is no file.

    A killed run can leave an incomplete last line, which is skipped. The last of several records of a step
    wins.

    Raises:
      UserError: the file cannot be read, or any line but the last is not a record.
    """
    if not path.is_file():
        return ()
    lines = read_text(path, MAX_LOG_BYTES, "replace").splitlines()
    records = {}
    for n, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            records[int(record["step"])] = record
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            if n < len(lines):
                raise UserError(f'{path}: line {n} is not a record with a "step"; remove the line') from None
    return tuple(records[step] for step in sorted(records))


def run_folder(path: Path) -> Path:
    """Creates a folder if needed, checks that it is writable, and removes what killed processes left in it.

    Raises:
      UserError: it cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        remove_leftovers(path)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{path}: it or a parent is a file; choose another folder") from None
    except OSError as error:
        raise UserError(f"{path}: cannot write here ({error.strerror}); choose another folder") from None
    return path
