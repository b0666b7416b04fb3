"""Images and labels in parquet files, as the Hugging Face hub holds them."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compare_gan.core.errors import UserError
from compare_gan.data.records import Contents, Encoded, Part
from compare_gan.data.splits import TEST_NAMES, class_indices, numbered

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "target")


class Rows(Encoded):
    """Image files in a column of parquet files, held in memory as they are: encoded."""

    def __init__(self, files: list[Path], columns: list[pa.ChunkedArray]):
        self.files, self.columns = files, columns
        self.starts = np.cumsum([0, *(len(column) for column in columns)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def data(self, i: int) -> bytes:
        file = int(np.searchsorted(self.starts, i, "right")) - 1
        value = self.columns[file][i - int(self.starts[file])].as_py()
        value = value["bytes"] if isinstance(value, dict) else value
        if value is None:
            raise UserError(f"{self.where(i)} has no image bytes; the file itself must hold the images")
        return value

    def where(self, i: int) -> str:
        file = int(np.searchsorted(self.starts, i, "right")) - 1
        return f"{self.files[file]}: row {i - int(self.starts[file])}"


def read_parquet(path: Path) -> Contents:
    """One parquet file, or a folder of `train*.parquet` and maybe `test*.parquet` (or `validation*.parquet`).

    The image column is struct<bytes, path> or binary, named image or img, or the only one of such a kind.
    The label column is the first of `LABEL_NAMES`, else the first that the hub's note calls a class label.

    Raises:
      UserError: files or columns are missing, or what they hold is not images and class indices.
    """
    if path.is_file():
        return _contents(path, [path], [])
    files = sorted(path.glob("*.parquet"))
    train = [file for file in files if file.name.startswith("train")]
    if not train:
        raise UserError(f"{path}: no train*.parquet; it has: {', '.join(file.name for file in files)}")
    tests = ([file for file in files if file.name.startswith(name)] for name in TEST_NAMES)
    return _contents(path, train, next(filter(None, tests), []))


def _contents(path: Path, train_files: list[Path], test_files: list[Path]) -> Contents:
    train = _read(train_files)
    test = _read(test_files) if test_files else None
    names, found = _class_names(train_files[0]), numbered(train, test)
    if names and len(names) < len(found):
        raise UserError(f"{path}: holds the label {found[-1]}, but names only {len(names)} classes")
    return Contents(str(path), path.resolve().name, train, test, names or found)


def _read(files: list[Path]) -> Part:
    labels = np.concatenate([_labels(file) for file in files])
    if not len(labels):
        raise UserError(f"{files[0]}: holds no rows")
    return Part(Rows(files, [_images(file) for file in files]), labels)


def _labels(file: Path) -> np.ndarray:
    with _opened(file) as parquet:
        name = _label_column(file, parquet.schema_arrow)
        column = parquet.read([name])[name]
        if column.null_count:
            raise UserError(f"{file}: {column.null_count} rows have no {name}; give each a label")
        return class_indices(file, name, column.to_numpy(), parquet.metadata.num_rows)


def _class_names(file: Path) -> tuple[str, ...]:
    with _opened(file) as parquet:
        schema = parquet.schema_arrow
        return _noted_names(schema).get(_label_column(file, schema), ())


def _images(file: Path) -> pa.ChunkedArray:
    with _opened(file) as parquet:
        name = _image_column(file, parquet.schema_arrow)
        return parquet.read([name])[name]


def _image_column(file: Path, schema: pa.Schema) -> str:
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    named = [name for name in IMAGE_NAMES if name in fitting]
    if not named and len(fitting) != 1:
        raise UserError(f"{file}: no image column, of bytes and named image or img; {_columns(schema)}")
    return (named or fitting)[0]


def _label_column(file: Path, schema: pa.Schema) -> str:
    named = [name for name in (*LABEL_NAMES, *_noted_names(schema)) if name in schema.names]
    if not named:
        raise UserError(
            f"{file}: no label column, of integers and named {LABEL_NAMES[0]}; {_columns(schema)}"
        )
    if not pa.types.is_integer(schema.field(named[0]).type):
        raise UserError(
            f"{file}: the column {named[0]} is {schema.field(named[0]).type}; labels are integers"
        )
    return named[0]


def _noted_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """The class names of each label column, from the note that the hub leaves in a file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"].items()
        return {name: tuple(f["names"]) for name, f in features if f.get("_type") == "ClassLabel"}
    except (AttributeError, KeyError, TypeError, ValueError):  # no note, or not one of theirs
        return {}


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _columns(schema: pa.Schema) -> str:
    return f"its columns: {', '.join(f'{field.name} ({field.type})' for field in schema)}"


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(file) as parquet:
            yield parquet
    except (pa.ArrowException, OSError):
        raise UserError(f"{file}: not a whole parquet file, or not readable; get it anew") from None
