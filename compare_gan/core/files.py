"""Atomic writes, so that a reader never sees a partial file; JSON, CSV and JSON-lines files."""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from compare_gan.core.errors import UserError
from compare_gan.core.schema import Kind, Mismatch, anything, parse_json

MAX_JSON_BYTES = 2**26  # of a JSON file; the label qualities of 1,000 classes take a tenth
MAX_LOG_BYTES = 2**29  # of a .jsonl file
MAX_CONFIG_BYTES = 2**24  # of a gin file, or a table of scores


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
