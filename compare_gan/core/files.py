"""Atomic writes, so that a reader never sees a partial file; JSON, CSV and JSON-lines files."""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from compare_gan.core.errors import UserError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Opens a temporary file next to `path` for bytes; it replaces `path` if the block succeeds."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Creates a temporary folder next to `path`; it replaces `path` if the block succeeds.

    Raises:
      UserError: the folder cannot be created there.
    """
    path = path.resolve()
    new = Path(tempfile.mkdtemp(dir=run_folder(path.parent), prefix=f".{path.name}."))
    try:
        yield new
        new.chmod(0o755)
        old = new.with_name(f"{new.name}.old")
        if path.exists():
            path.rename(old)
        new.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


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
    """Creates a folder if needed and checks that it is writable.

    Raises:
      UserError: it cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{path}: it or a parent is a file; choose another folder") from None
    except OSError as error:
        raise UserError(f"{path}: cannot write here ({error.strerror}); choose another folder") from None
    return path
