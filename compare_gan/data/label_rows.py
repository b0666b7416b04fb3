"""Parses label files into rows. The suffix of the file selects the format.

  .npz                  index [M] integers, or file_name [M] strings, or both; label [M] or [M, K]
  .csv .tsv .txt        a header; a column index or file_name, or both; then label, or a column per class
  .json .jsonl          the same as objects; see `compare_gan.data.label_tables`
  .tfrecord, any other  uncompressed TFRecords of tf.train.Example, as in compare_gan: file_name, and
                        label as an int64 or as K float logits; the name may be a pattern of several files

A label is a class index or a class name; -1, NaN or an empty cell means unlabelled. [M, K] are probabilities;
a row of zeros means unlabelled. Columns may have other common names, see `NAMES` and `LABELS`.
"""

import dataclasses
import glob
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_bytes
from compare_gan.core.memory import memory_budget
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import UNLABELLED
from compare_gan.data.label_tables import TEXT_SUFFIXES, Table, read_table

INDEX, NAME, LABEL, COUNT = "index", "file_name", "label", "num_images"
NAMES = (  # names of the column of image file names; the first match is used
    *(NAME, "filename", "file", "image_path", "file_path", "filepath", "path", "image_name", "image_file"),
    *("image", "img", "name", "image_id", "img_id", "id"),
)
LABELS = (LABEL, "labels", "class", "class_name", "classname", "class_label", "target", "category")
UNNAMED = ("", "unnamed: 0")  # how pandas writes and reads an unnamed column
FORMATS = "label files end in .npz, .csv, .tsv, .txt, .json or .jsonl, or are uncompressed TFRecords"


@dataclasses.dataclass(frozen=True, eq=False)
class LabelRows:
    """The rows of a label file, before they are matched to a data set."""

    path: Path
    where: Callable[[int], str]  # names row i in error messages
    index: np.ndarray | None  # [M] int64 image indices
    names: Sequence[str] | None  # [M] image names; at least one of `index` and `names` is set
    labels: np.ndarray  # [M] int64 class indices or strings; or [M, K] probabilities
    columns: tuple[str, ...] = ()  # [K] column names of probabilities, if the file has them
    count: int | None = None  # number of images that the indices refer to, if the file stores it
    notes: tuple[str, ...] = ()  # notes for the user, such as ignored columns

    def refuse(self, bad: np.ndarray, message: Callable[[int], str]) -> None:
        """Raises UserError for the first row in the mask `bad`, if any."""
        if bad.any():
            i = int(bad.argmax())
            raise UserError(f"{self.where(i)}: {message(i)}")


def read_rows(path: Path) -> LabelRows:
    """Reads the rows of a label file.

    Raises:
      UserError: the file cannot be read, or is not a label file.
    """
    kind = path.suffix.lower()
    if kind == ".npz":
        return rows_of_arrays(path, plain_arrays(path))
    if kind in TEXT_SUFFIXES:
        return _rows_of_table(path, read_table(path, file_bytes(path)))
    return _read_records(path)


def rows_of_arrays(path: Path, arrays: dict[str, np.ndarray]) -> LabelRows:
    """The rows in the arrays of an `.npz` label file.

    Raises:
      UserError: the arrays are not those of a label file.
    """
    if not {LABEL} < arrays.keys() <= {INDEX, NAME, LABEL, COUNT} or not {INDEX, NAME} & arrays.keys():
        raise UserError(
            f"{path}: not a label file: contains {', '.join(arrays) or 'nothing'}; "
            f"expected {INDEX} or {NAME}, and {LABEL}"
        )
    index, names, labels, count = (arrays.get(key) for key in (INDEX, NAME, LABEL, COUNT))
    assert labels is not None
    if index is not None and (index.ndim != 1 or index.dtype.kind not in "iu"):
        raise UserError(f"{path}: {INDEX} is {index.dtype} {list(index.shape)}; expected 1-D integers")
    if names is not None and (names.ndim != 1 or names.dtype.kind not in "US"):
        raise UserError(f"{path}: {NAME} is {names.dtype} {list(names.shape)}; expected 1-D strings")
    if count is not None and (count.ndim or count.dtype.kind not in "iu"):
        raise UserError(f"{path}: {COUNT} is {count.dtype} {list(count.shape)}; expected an integer")
    if (labels.ndim, labels.dtype.kind) not in {*((1, kind) for kind in "iufbUS"), (2, "f")}:
        raise UserError(
            f"{path}: {LABEL} is {labels.dtype} {list(labels.shape)}; "
            f"expected class indices or names [M], or probabilities [M, K]"
        )
    for name, array in {INDEX: index, NAME: names}.items():
        if array is not None and len(array) != len(labels):
            raise UserError(f"{path}: {name} has {len(array)} entries, but {LABEL} has {len(labels)}")
    rows = LabelRows(
        path,
        lambda i: f"{path}: row {i}",
        None if index is None else index.astype(np.int64),
        None if names is None else _text(names).tolist(),
        labels,
        count=None if count is None else int(count),
    )
    if labels.dtype.kind in "US":
        return dataclasses.replace(rows, labels=np.strings.strip(_text(labels)))
    if labels.ndim == 2:
        return rows
    numbers = np.where(np.isnan(labels), UNLABELLED, labels) if labels.dtype.kind == "f" else labels
    rows.refuse(numbers != np.rint(numbers), lambda i: f"label {labels[i]} is not an integer")
    rows.refuse(np.abs(numbers) > 2**53, lambda i: f"label {labels[i]} is not a class index")
    return dataclasses.replace(rows, labels=numbers.astype(np.int64))


def _text(array: np.ndarray) -> np.ndarray:
    return np.strings.decode(array, "utf-8", "surrogateescape") if array.dtype.kind == "S" else array


def files_of(path: Path) -> list[Path]:
    """The file of this name, or else the files that match it as a pattern; `{split}` stands for train."""
    named = Path(str(path).replace("{split}", "train"))
    return [named] if named.exists() else sorted(map(Path, glob.glob(str(named)))) or [named]


def file_bytes(file: Path) -> bytes:
    """The bytes of a file. Raises UserError if it cannot be read."""
    return read_bytes(file, memory_budget())


def _rows_of_table(path: Path, table: Table) -> LabelRows:
    spelled = {name: name.strip().lower().replace(" ", "_") for name in table.header}
    index = next((name for name in table.header if spelled[name] == INDEX), None)
    named = _first(spelled, NAMES)
    if index is None and named is None:
        named = _nameless_names(table, spelled)
    rest = [name for name in table.header if name not in (index, named) and spelled[name] not in UNNAMED]
    if len(set(table.header)) < len(table.header) or not rest or (index is None and named is None):
        raise UserError(
            f"{path}: its columns are {', '.join(table.header) or 'none'}; "
            f"expected {INDEX} or {NAME}, then {LABEL} or one per class"
        )
    label = _label_column(path, spelled, rest)
    rows = LabelRows(
        path,
        table.where,
        None if index is None else _parsed(table.where, INDEX, table.words(index), np.int64),
        None if named is None else table.words(named),
        np.zeros(0),
    )
    if label is not None:
        labels = np.array(table.words(label), np.str_)
        ignored = [name for name in rest if name != label]
        ignores = f"; {', '.join(ignored)} {'are' if ignored[1:] else 'is'} ignored" if ignored else ""
        standard = not ignored and spelled[label] in LABELS
        notes = () if standard else (f"labels are in the column {label}{ignores}",)
        return dataclasses.replace(rows, labels=labels, notes=notes)
    words = np.array([table.words(name) for name in rest], np.str_)
    for name, column in zip(rest, words, strict=True):
        if len(column) and not any(map(is_number, column)) and (column != "").any():
            raise UserError(
                f"{path}: no column is called {LABEL}, and {name} does not contain probabilities; "
                f"rename the column of labels to {LABEL}"
            )
    words[:, (words == "").all(0)] = "0"
    probabilities = [
        _parsed(table.where, name, row, np.float64) for name, row in zip(rest, words, strict=True)
    ]
    return dataclasses.replace(rows, labels=np.stack(probabilities, 1), columns=tuple(rest))


def _first(spelled: dict[str, str], preferred: Sequence[str]) -> str | None:
    names = {spelling: name for name, spelling in spelled.items()}
    return next((names[spelling] for spelling in preferred if spelling in names), None)


def _nameless_names(table: Table, spelled: dict[str, str]) -> str | None:
    """The first column if it is unnamed and contains image names, as pandas writes a data frame index.

    Numbers in such a column may be row numbers in any order, so they are not used as image indices.
    """
    first = table.header[0] if table.header else None
    if first is None or spelled[first] not in UNNAMED or all(map(is_number, table.words(first))):
        return None
    return first


def _label_column(path: Path, spelled: dict[str, str], rest: list[str]) -> str | None:
    """The column of labels; None if there is one column per class."""
    found = [name for name in rest if spelled[name] in LABELS]
    exact = [name for name in found if spelled[name] == LABEL]
    if len(found) > 1 and not exact:
        raise UserError(
            f"{path}: {' and '.join(found)} are candidates for labels; rename the column of labels to {LABEL}"
        )
    if found:
        return (exact or found)[0]
    return rest[0] if len(rest) == 1 else None


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _parsed(where: Callable[[int], str], column: str, words: Sequence[str], kind: type) -> np.ndarray:
    parsed: np.ndarray = np.zeros(len(words), kind)
    for i, word in enumerate(words):
        try:
            parsed[i] = kind(word)
        except (ValueError, OverflowError):
            expected = "an integer" if kind is np.int64 else "a number"
            raise UserError(f"{where(i)}: {column} is {str(word)!r}; expected {expected}") from None
    return parsed


def _read_records(path: Path) -> LabelRows:
    for file in files_of(path):
        if ".tfrecord" not in file.name and not _looks_like_records(file_bytes(file)):
            raise UserError(f"{file}: not a label file; {FORMATS}")
    try:
        from google.protobuf.message import DecodeError
        from tensorflow_datasets.proto import tf_example_pb2  # slow to import, and an extra
    except ImportError:
        raise UserError(
            f"{path}: labels in TFRecords need pip install 'compare_gan[tfds]'; "
            f"alternatively, write them to a .csv with the columns {NAME} and {LABEL}"
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
                raise UserError(f"{places[-1]}: expected one {NAME}, and {LABEL} as one int64 or as floats")
            names.append(name[0].decode(errors="surrogateescape"))
            labels.append(logits or number[0])
            if np.shape(labels[-1]) != np.shape(labels[0]):
                raise UserError(f"{places[-1]}: its {LABEL} differs in type or shape from {places[0]}")
    found = np.array(labels, np.float64 if np.ndim(labels) == 2 else np.int64)
    if found.ndim == 2:
        from scipy.special import softmax  # takes a quarter of a second to import

        found = softmax(found, 1)
    return LabelRows(path, places.__getitem__, None, names, found)


def _looks_like_records(data: bytes) -> bool:
    """Whether the length field of the first record is consistent with the size of the file."""
    return not data or 16 <= 16 + int.from_bytes(data[:8], "little") <= len(data)


def _records(file: Path) -> Iterator[bytes]:
    """The records of a TFRecord file. Checksums are not verified, since rows are validated later."""
    data, offset = file_bytes(file), 0
    while offset < len(data):
        length = int.from_bytes(
            data[offset : offset + 8], "little"
        )  # followed by a 4-byte checksum, as is the record
        if offset + length + 16 > len(data):
            raise UserError(f"{file}: not intact, uncompressed TFRecords; {FORMATS}")
        yield data[offset + 12 : offset + 12 + length]
        offset += length + 16
