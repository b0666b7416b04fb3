"""The three kinds of label files, as rows; told apart by the end of the name.

  .npz          index [M] integers, or file_name [M] strings, or both; label [M] or [M, K]
  .csv          a header; a column index or file_name, or both; then label, or one column for each class
  of any other  uncompressed TFRecords of tf.train.Example, as compare_gan has them: file_name, and label
                as an int64 or as K float logits; the name may be a pattern that several files match

A label is the number of a class or, in words, its name; -1 or nothing at all is no label. [M, K] are
probabilities; zeros are no label.
"""

import csv
import dataclasses
import glob
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from compare_gan.core.errors import UserError
from compare_gan.data.arrays import plain_arrays

INDEX, NAME, LABEL = "index", "file_name", "label"


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """What a label file says, before it is held against a data set."""

    path: Path
    where: Callable[[int], str]  # what to call row i in an error
    index: np.ndarray | None  # [M] int64: the image that each row is about
    names: Sequence[str] | None  # [M] what it is called; at least one of the two is there
    labels: np.ndarray  # [M] int64 class numbers, or words; or [M, K] probabilities
    columns: tuple[str, ...] = ()  # what the K are called, if the file says so

    def refuse(self, bad: np.ndarray, tell: Callable[[int], str]) -> None:
        """Raises UserError for the first row that is bad, if there is one."""
        if bad.any():
            i = int(bad.argmax())
            raise UserError(f"{self.where(i)}: {tell(i)}")


def read_rows(path: Path) -> Rows:
    """The rows of a label file.

    Raises:
      UserError: it cannot be read, or is not a label file.
    """
    kind = path.suffix.lower()
    if kind == ".npz":
        return rows_of_arrays(path, plain_arrays(path))
    return _read_csv(path) if kind == ".csv" else _read_records(path)


def rows_of_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Rows:
    """What the arrays of an `.npz` label file say.

    Raises:
      UserError: they are not those of a label file.
    """
    if not {LABEL} < arrays.keys() <= {INDEX, NAME, LABEL}:
        raise UserError(
            f"{path}: not a label file: holds {', '.join(arrays) or 'nothing'}; "
            f"wanted {INDEX} or {NAME}, and {LABEL}"
        )
    index, names, labels = arrays.get(INDEX), arrays.get(NAME), arrays[LABEL]
    if index is not None and (index.ndim != 1 or index.dtype.kind not in "iu"):
        raise UserError(f"{path}: {INDEX} is {index.dtype} {list(index.shape)}; wanted a list of integers")
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise UserError(f"{path}: {NAME} is {names.dtype} {list(names.shape)}; wanted a list of strings")
    if (labels.ndim, labels.dtype.kind) not in {(1, "i"), (1, "u"), (1, "U"), (2, "f")}:
        raise UserError(
            f"{path}: {LABEL} is {labels.dtype} {list(labels.shape)}; "
            f"wanted [M] class numbers or names, or [M, K] probabilities"
        )
    for name, array in arrays.items():
        if len(array) != len(labels):
            raise UserError(f"{path}: {name} has {len(array)} entries, but {LABEL} has {len(labels)}")
    return Rows(
        path,
        lambda i: f"{path}: row {i}",
        None if index is None else index.astype(np.int64),
        None if names is None else names.tolist(),
        labels.astype(np.int64) if labels.dtype.kind in "iu" else labels,
    )


def files_of(path: Path) -> list[Path]:
    """The file of this name, or if there is none, those that match it; `{split}` stands for train."""
    named = Path(str(path).replace("{split}", "train"))
    return [named] if named.exists() else sorted(map(Path, glob.glob(str(named)))) or [named]


def contents(file: Path) -> bytes:
    """The bytes of a file. Raises UserError if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None


def _read_csv(path: Path) -> Rows:
    try:
        text = io.StringIO(contents(path).decode("utf-8-sig"), newline="")
        lines = csv.reader(text, skipinitialspace=True, strict=True)
        table = [(lines.line_num, row) for row in lines if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a table of comma-separated text ({error})") from None
    (_, header), *table = table or [(1, [])]
    classes = tuple(name for name in header if name not in (INDEX, NAME))
    if len(set(header)) < len(header) or not 0 < len(classes) < len(header):
        raise UserError(
            f"{path}: its columns are {', '.join(header) or 'none'}; "
            f"wanted {INDEX} or {NAME}, then {LABEL} or one for each class"
        )
    if LABEL in classes and len(classes) > 1:
        raise UserError(f"{path}: has the column {LABEL}, so what is {' and '.join(set(classes) - {LABEL})}?")
    for line, row in table:
        if len(row) != len(header):
            raise UserError(f"{path}: line {line}: has {len(row)} entries for {len(header)} columns")
    columns = {name: [row[k] for _, row in table] for k, name in enumerate(header)}

    def where(i: int) -> str:
        return f"{path}: line {table[i][0]}"

    index = _parsed(where, INDEX, columns[INDEX], np.int64) if INDEX in columns else None
    names = columns.get(NAME)
    if LABEL in classes:
        return Rows(path, where, index, names, np.array(columns[LABEL], np.str_))
    words = np.array([columns[name] for name in classes], np.str_)
    words[:, (words == "").all(0)] = "0"
    chances = [_parsed(where, name, row, np.float64) for name, row in zip(classes, words, strict=True)]
    return Rows(path, where, index, names, np.stack(chances, 1), classes)


def _parsed(where: Callable[[int], str], column: str, words: Sequence[str], kind: type) -> np.ndarray:
    parsed: np.ndarray = np.zeros(len(words), kind)
    for i, word in enumerate(words):
        try:
            parsed[i] = kind(word)
        except (ValueError, OverflowError):
            wanted = "a whole number" if kind is np.int64 else "a number"
            raise UserError(f"{where(i)}: {column} is {str(word)!r}; wanted {wanted}") from None
    return parsed


def _read_records(path: Path) -> Rows:
    try:
        from google.protobuf.message import DecodeError
        from tensorflow_datasets.proto import tf_example_pb2  # slow to import, and an extra
    except ImportError:
        raise UserError(
            f"{path}: labels in TFRecords want pip install 'compare_gan[tfds]'; "
            f"or write them to a .csv with the columns {NAME} and {LABEL}"
        ) from None
    places, names, labels = list[str](), list[str](), list[Any]()
    for file in files_of(path):
        for i, record in enumerate(_records(file)):
            places.append(f"{file}: record {i}")
            try:
                feature = tf_example_pb2.Example.FromString(record).features.feature
            except DecodeError:
                raise UserError(f"{places[i]}: not a tf.train.Example") from None
            name, number = feature[NAME].bytes_list.value, feature[LABEL].int64_list.value
            logits = list(feature[LABEL].float_list.value)
            if len(name) != 1 or len(number) != (0 if logits else 1):
                raise UserError(f"{places[-1]}: wanted one {NAME}, and {LABEL} as one int64 or as floats")
            names.append(name[0].decode(errors="surrogateescape"))
            labels.append(logits or number[0])
            if np.shape(labels[-1]) != np.shape(labels[0]):
                raise UserError(f"{places[-1]}: its {LABEL} is not of the kind of {places[0]}")
    found = np.array(labels, np.float64 if np.ndim(labels) == 2 else np.int64)
    return Rows(path, places.__getitem__, None, names, softmax(found, 1) if found.ndim == 2 else found)


def _records(file: Path) -> Iterator[bytes]:
    """What a TFRecord file holds. Checksums are passed over: whether a row makes sense is checked later."""
    data, at = contents(file), 0
    while at < len(data):
        length = int.from_bytes(
            data[at : at + 8], "little"
        )  # then its checksum, 4 bytes, as after the record
        if at + length + 16 > len(data):
            raise UserError(f"{file}: not a label file; wanted .npz, .csv or whole, uncompressed TFRecords")
        yield data[at + 12 : at + 12 + length]
        at += length + 16
