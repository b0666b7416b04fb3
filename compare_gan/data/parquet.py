"""Images and labels in parquet files, as the Hugging Face hub holds them."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compare_gan.core.errors import UserError
from compare_gan.core.memory import memory_budget
from compare_gan.data.base import UNLABELLED
from compare_gan.data.records import Contents, Encoded, Part
from compare_gan.data.splits import TEST_NAMES, class_indices, numbered

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "target")
SPLITS = ("train", *TEST_NAMES)
BATCH = 256  # rows that are read at once


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns hold images and labels, where the user has chosen."""

    image: str | None = None
    label: str | None = None  # "none": the images have no labels


class Rows(Encoded):
    """Image files in a column of parquet files, held in memory as they are: encoded."""

    def __init__(self, files: Sequence[Path], columns: Sequence[pa.ChunkedArray]):
        self.files, self.columns = files, columns
        self.starts = np.cumsum([0, *(len(column) for column in columns)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def data(self, i: int) -> bytes:
        value = self._value(i)
        data = (value["bytes"] if value.is_valid else value) if pa.types.is_struct(value.type) else value
        if not data.is_valid:
            raise UserError(f"{self.where(i)} has no image bytes; the file itself must hold the images")
        return data.as_py()

    def where(self, i: int) -> str:
        file, row = self._place(i)
        return f"{self.files[file]}: row {row}"

    def name(self, i: int) -> str:
        value = self._value(i)
        if not (
            pa.types.is_struct(value.type) and value.type.get_field_index("path") >= 0 and value.is_valid
        ):
            return ""
        path = value["path"]
        named = path.is_valid and (pa.types.is_string(path.type) or pa.types.is_large_string(path.type))
        return path.as_buffer().to_pybytes().decode(errors="surrogateescape") if named else ""

    def _value(self, i: int) -> pa.Scalar:
        file, row = self._place(i)
        return self.columns[file][row]

    def _place(self, i: int) -> tuple[int, int]:
        file = int(np.searchsorted(self.starts, i, "right")) - 1
        return file, i - int(self.starts[file])


def read_parquet(path: Path, columns: Columns = Columns()) -> Contents:
    """One parquet file.

    The image column is struct<bytes, path> or binary, named image or img, or the only one of such a kind.
    The label column is the first of `LABEL_NAMES`, else the first that the hub's note calls a class label.
    Without such a column, and without any of integers, the images are unlabelled.

    Raises:
      UserError: columns are missing, what they hold is not images and class indices, or it is more than the
        memory can take.
    """
    return _contents(path, [path], [])


def read_shards(path: Path, names: Sequence[str], columns: Columns = Columns()) -> Contents:
    """Parquet files at any depth in a folder; each is as for `read_parquet`.

    The split of a file is what its name begins with, or else the name of a folder that it is in: train,
    test, validation, valid or val. Where no file says so, all are for training.

    Args:
      names: of the files, relative to `path`.

    Raises:
      UserError: as `read_parquet`; or no file is for training, or they are several data sets.
    """
    train, test = _shards(path, sorted(names))
    return _contents(path, [path / name for name in train], [path / name for name in test])


def _shards(path: Path, names: list[str]) -> tuple[list[str], list[str]]:
    splits = {name: _split_of(name) for name in names}
    if not any(splits.values()):
        splits = dict.fromkeys(names, "train")
    train = [name for name in names if splits[name] == "train"]
    if not train:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise UserError(f"{path}: no train*.parquet; it has: {', '.join(names[:3])}{more}")
    homes = list(dict.fromkeys(map(_home, train)))
    if len(homes) > 1:
        raise UserError(
            f"{path}: holds several data sets, in {homes[0] or '.'} and {homes[1] or '.'}; name one folder"
        )
    for split in TEST_NAMES:
        test = [name for name in names if splits[name] == split and _home(name) == homes[0]]
        if test:
            return train, test
    return train, []


def _split_of(name: str) -> str:
    *folders, file = name.split("/")
    named = next((split for split in SPLITS if re.match(rf"{split}(?![a-z])", file)), "")
    return named or next((split for split in SPLITS if split in folders), "")


def _home(name: str) -> str:
    """The folder of a data set: where its file is, or above the folder of a split."""
    folders = name.split("/")[:-1]
    return "/".join(folder for folder in folders if folder not in SPLITS)


def _contents(path: Path, train_files: list[Path], test_files: list[Path]) -> Contents:
    files = [*train_files, *test_files]
    _check_fits(path, files)
    names = _class_names(files)
    labels = [_labels(file) for file in files]
    for file, found in zip(files, labels, strict=True):
        if (found is None) != (labels[0] is None):
            have, lack = (files[0], file) if found is None else (file, files[0])
            raise UserError(f"{lack}: has no label column, but {have.name} has one; both must, or neither")
    train = _part(train_files, labels[: len(train_files)])
    test = _part(test_files, labels[len(train_files) :]) if test_files else None
    numbers = numbered(train, test)
    if names and len(names) < len(numbers):
        raise UserError(f"{path}: holds the label {numbers[-1]}, but names only {len(names)} classes")
    return Contents(str(path), path.resolve().name, train, test, names or numbers)


def _part(files: list[Path], labels: list[np.ndarray | None]) -> Part:
    rows = Rows(files, [_images(file) for file in files])
    if not len(rows):
        raise UserError(f"{files[0]}: holds no rows")
    if labels[0] is None:
        return Part(rows, np.full(len(rows), UNLABELLED, np.int32))
    return Part(rows, np.concatenate([found for found in labels if found is not None]))


def _check_fits(path: Path, files: list[Path]) -> None:
    """By what the files say of themselves, before much is read."""
    size = 0
    for file in files:
        with _opened(file) as parquet:
            column = _image_column(file, parquet.schema_arrow)
            for group in map(parquet.metadata.row_group, range(parquet.metadata.num_row_groups)):
                chunks = map(group.column, range(group.num_columns))
                size += sum(
                    chunk.total_uncompressed_size
                    for chunk in chunks
                    if chunk.path_in_schema.partition(".")[0] == column
                )
    if size > memory_budget():
        raise _too_large(path, size)


def _too_large(path: Path, size: int) -> UserError:
    most = memory_budget()
    return UserError(
        f"{path}: its images take {size / 1e9:.1f} GB or more, and {most / 1e9:.1f} GB of memory may be "
        f"used; write them to a folder of image files, which are read as they are needed"
    )


def _labels(file: Path) -> np.ndarray | None:
    with _opened(file) as parquet:
        name = _label_column(file, parquet.schema_arrow)
        if name is None:
            return None
        column = parquet.read([name])[name]
        if column.null_count:
            raise UserError(f"{file}: {column.null_count} rows have no {name}; give each a label")
        return class_indices(file, name, column.to_numpy(), parquet.metadata.num_rows)


def _class_names(files: list[Path]) -> tuple[str, ...]:
    """What the files call their classes, if any does and all agree."""
    found: dict[tuple[str, ...], Path] = {}
    for file in files:
        with _opened(file) as parquet:
            schema = parquet.schema_arrow
            names = _noted_names(schema).get(_label_column(file, schema) or "")
        if names:
            found.setdefault(names, file)
    if len(found) > 1:
        one, other = list(found.values())[:2]
        raise UserError(f"{other}: names other classes than {one.name}; are both of one data set?")
    return next(iter(found), ())


def _images(file: Path) -> pa.ChunkedArray:
    with _opened(file) as parquet:
        name, pieces, size = _image_column(file, parquet.schema_arrow), [], 0
        for batch in parquet.iter_batches(BATCH, columns=[name]):
            pieces.append(batch.column(0))
            size += batch.nbytes
            if size > memory_budget():  # a few bytes may say that an image is there many times
                raise _too_large(file, size)
        return pa.chunked_array(pieces, parquet.schema_arrow.field(name).type)


def _image_column(file: Path, schema: pa.Schema) -> str:
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    named = [name for name in IMAGE_NAMES if name in fitting]
    if not named and len(fitting) != 1:
        raise UserError(f"{file}: no image column, of bytes and named image or img; {_columns(schema)}")
    return (named or fitting)[0]


def _label_column(file: Path, schema: pa.Schema) -> str | None:
    named = [name for name in (*LABEL_NAMES, *_noted_names(schema)) if name in schema.names]
    if not named:
        if any(pa.types.is_integer(field.type) for field in schema):
            raise UserError(
                f"{file}: no label column, of integers and named {LABEL_NAMES[0]}; {_columns(schema)}"
            )
        return None
    if not pa.types.is_integer(schema.field(named[0]).type):
        raise UserError(
            f"{file}: the column {named[0]} is {schema.field(named[0]).type}; labels are integers"
        )
    return named[0]


def _noted_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """The class names of each label column, from the note that the hub leaves in a file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"].items()
        found = {name: tuple(f["names"]) for name, f in features if f.get("_type") == "ClassLabel"}
    except (AttributeError, KeyError, TypeError, ValueError):  # no note, or not one of theirs
        return {}
    return {name: names for name, names in found.items() if all(isinstance(word, str) for word in names)}


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
    except UserError:
        raise
    except Exception:  # a damaged file may hold anything, names that are no text among them
        raise UserError(f"{file}: not a whole parquet file, or not readable; get it anew") from None
