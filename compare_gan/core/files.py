"""Atomic writes, so that a reader never sees a partial file; JSON, CSV and JSON-lines files.

A file is written under a temporary name and then renamed. While it is written, the system holds a lock on it
(flock), which ends with the process. So a temporary file whose lock is free was left behind by a killed
process, and `remove_leftovers` deletes it at the next start of work, or the next write, in its folder.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from compare_gan.core.errors import UserError

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
    remove_leftovers(path.parent)
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


def _is_abandoned(path: Path, same_host: bool) -> bool:
    """Whether no living process writes a temporary file or folder, as far as can be told."""
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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def write_json(path: Path, value: Any) -> None:
    with atomic(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
      UserError: the file cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: not a JSON file ({error})") from None


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
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    records = {}
    for n, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            records[int(record["step"])] = record
        except (ValueError, TypeError, KeyError):
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
