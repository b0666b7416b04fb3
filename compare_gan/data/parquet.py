"""Images and labels in parquet files, as on the Hugging Face hub."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from compare_gan.core.errors import UserError
from compare_gan.core.memory import MAX_RATIO, is_bomb, memory_budget
from compare_gan.core.words import first_few
from compare_gan.data.base import UNLABELLED
from compare_gan.data.classes import numbered, stored_labels
from compare_gan.data.records import Contents, Encoded, StoredSplit, joined
from compare_gan.data.splits import TEST_SPLITS, SplitName, split_of

IMAGE_NAMES = ("image", "img", "images", "jpg", "jpeg", "png", "webp", "picture", "photo", "pixels")
LABEL_NAMES = (  # the first two take precedence
    *("label", "labels", "fine_label", "class", "class_label", "class_name", "target", "category", "cls"),
    *("label_name", "class_id", "label_id", "category_id"),
)
NO_LABELS = "none"  # value of --label_column for no labels
BATCH = 256  # rows per read
BATCH_BYTES = 2**28  # bytes per read, if every row has the largest value


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of images and labels chosen by the user; None: detect."""

    image: str | None = None
    label: str | None = None  # `NO_LABELS`: the images have no labels


@dataclasses.dataclass(frozen=True)
class Field:
    """A column, or a field of a struct column."""

    path: tuple[str, ...]
    type: pa.DataType

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def of(self, data: pa.Table | pa.RecordBatch) -> Any:
        """The values of this field in data that was read with `columns=[field.name]`."""
        values = data.column(0)
        for name in self.path[1:]:
            values = pc.struct_field(values, name)
        return values


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """A parquet file and the roles of its columns."""

    file: Path
    image: Field
    label: Field | None  # None: unlabelled
    class_names: tuple[str, ...]  # from the hub metadata of the label column; empty: none
    ignored: tuple[str, ...]  # the other columns
    notes: tuple[str, ...]


class ParquetImages(Encoded):
    """Image files in a column of parquet files, kept in memory encoded."""

    def __init__(self, files: Sequence[Path], columns: Sequence[pa.ChunkedArray]):
        self.files, self.columns = files, columns
        self.starts = np.cumsum([0, *(len(column) for column in columns)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def data(self, i: int) -> bytes:
        value = self._value(i)
        data = (value["bytes"] if value.is_valid else value) if pa.types.is_struct(value.type) else value
        if not data.is_valid:
            raise UserError(f"{self.where(i)} has no image bytes; the parquet file must embed the images")
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


def without_columns(contents: Contents, columns: Columns) -> Contents:
    """A source other than parquet, with a note if the user chose columns."""
    if columns == Columns():
        return contents
    note = "contains no parquet files, so --image_column and --label_column have no effect"
    return dataclasses.replace(contents, notes=(*contents.notes, note))


def read_parquet(path: Path, columns: Columns = Columns()) -> Contents:
    """One parquet file.

    Unless `columns` selects them, the image column is struct<bytes, path> or binary, and either has a name in
    `IMAGE_NAMES` or is the only such column; the label column has a name in `LABEL_NAMES` or is a class label
    in the hub metadata, where `label` and `labels` take precedence. Fields of structs are named with dots.
    Without a label column the images are unlabelled, with a note. Labels are as in
    `compare_gan.data.classes.stored_labels`; null means unlabelled. Other columns are ignored.

    Raises:
      UserError: there is no image column, a role is ambiguous, the columns do not contain images and labels,
        or the images do not fit into memory.
    """
    return _contents(path, {"train": [path]}, columns, ())


def read_shards(path: Path, names: Sequence[str], columns: Columns = Columns()) -> Contents:
    """Parquet files at any depth in a folder; each as in `read_parquet`.

    The split of a file is determined by its name, or else by the name of a parent folder. Unlabelled images
    are added to the training images. If no name contains a split, all files are training data. A note lists
    the files that are left out.

    Args:
      path: the folder.
      names: paths of the files, relative to `path`.
      columns: columns chosen by the user.

    Raises:
      UserError: as in `read_parquet`; or there is no training file, or there are several data sets.
    """
    splits, left_out = _splits(path, sorted(names))
    notes = [f"left out {first_few(left_out)}"] if left_out else []
    files = {split: [path / name for name in names] for split, names in splits.items()}
    return _contents(path, files, columns, notes)


def _splits(path: Path, names: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The files of the train, test and unlabelled splits, and the unused files."""
    found = {name: _split_of(name) for name in names}
    if not any(found.values()):
        return {"train": names}, []
    train = [name for name in names if found[name] == "train"]
    if not train:
        raise UserError(f"{path}: no train*.parquet; found: {first_few(names)}")
    folders = list(dict.fromkeys(map(_dataset_folder, train)))
    if len(folders) > 1:
        raise UserError(
            f"{path}: contains several data sets, in {folders[0] or '.'} and {folders[1] or '.'}; "
            f"pass one folder"
        )

    def files_of(split: str) -> list[str]:
        return [name for name in names if found[name] == split and _dataset_folder(name) == folders[0]]

    test = next(filter(None, map(files_of, TEST_SPLITS)), [])
    splits = {"train": train, "test": test, "unlabelled": files_of("unlabelled")}
    used = set().union(*splits.values())
    return {split: files for split, files in splits.items() if files}, [n for n in names if n not in used]


def _split_of(name: str) -> SplitName | None:
    *folders, file = name.split("/")
    words = re.split(r"[\W_]+", file.lower())  # as in cifar10-train.parquet and test-a1b2c3.parquet
    return next(filter(None, map(split_of, (file, *words, *folders))), None)


def _dataset_folder(name: str) -> str:
    """The folder of a data set: the folder of a file without the components that name a split."""
    return "/".join(folder for folder in name.split("/")[:-1] if split_of(folder) is None)


def _contents(path: Path, files: dict[str, list[Path]], columns: Columns, notes: Sequence[str]) -> Contents:
    unlabelled = dataclasses.replace(columns, label=NO_LABELS)
    shards = {
        split: [_shard(file, unlabelled if split == "unlabelled" else columns) for file in named]
        for split, named in files.items()
    }
    all_shards = [shard for several in shards.values() for shard in several]
    _check_fits(path, all_shards)
    notes = [*notes, *dict.fromkeys(note for shard in all_shards for note in shard.notes)]
    labelled = [shard for split in ("train", "test") for shard in shards.get(split, ())]
    notes += _label_notes(labelled, columns)
    found, class_names = numbered(path, [_labels(shard) for shard in labelled], _class_names(labelled))
    named = [shard.label.name for shard in labelled if shard.label is not None]
    if named and not any((numbers != UNLABELLED).any() for numbers in found):
        notes.append(f"its column {named[0]} labels no image")
    labels = dict(zip((shard.file for shard in labelled), found, strict=True))
    parts = {}
    for split, several in shards.items():
        rows = ParquetImages([shard.file for shard in several], [_images(shard) for shard in several])
        if not len(rows):
            raise UserError(f"{several[0].file}: contains no rows")
        unlabelled_rows = np.full(len(rows), UNLABELLED, np.int32)
        split_labels = (
            unlabelled_rows
            if split == "unlabelled"
            else np.concatenate([labels[shard.file] for shard in several])
        )
        parts[split] = StoredSplit(rows, split_labels)
    train = parts["train"]
    if pool := parts.get("unlabelled"):
        train = joined([train, pool])
        names = first_few([file.name for file in files["unlabelled"]])
        notes.append(f"{len(pool)} images of {names} are added to the training images without labels")
    return Contents(str(path), path.resolve().name, train, parts.get("test"), class_names, tuple(notes))


def _label_notes(shards: Sequence[Shard], columns: Columns) -> list[str]:
    """A note on files without a label column."""
    without = [shard for shard in shards if shard.label is None]
    if not without or columns.label == NO_LABELS:
        return []
    if len(without) < len(shards):
        names = first_few([shard.file.name for shard in without])
        return [f"no label column in {names}; its images are unlabelled"]
    ignored = first_few(without[0].ignored)
    return (
        [f"no label column, so the images are unlabelled; --label_column can select one of {ignored}"]
        if ignored
        else []
    )


def _check_fits(path: Path, shards: Sequence[Shard]) -> None:
    """Checks the size in the file metadata, before image data is read."""
    size = 0
    for shard in shards:
        with _opened(shard.file) as parquet:
            for group in map(parquet.metadata.row_group, range(parquet.metadata.num_row_groups)):
                chunks = map(group.column, range(group.num_columns))
                size += sum(
                    chunk.total_uncompressed_size
                    for chunk in chunks
                    if f"{chunk.path_in_schema}.".startswith(f"{shard.image.name}.")
                )
    if size > memory_budget():
        raise _too_large(path, size)


def _too_large(path: Path, size: int) -> UserError:
    budget = memory_budget()
    return UserError(
        f"{path}: its images take at least {size / 1e9:.1f} GB, more than the memory budget of "
        f"{budget / 1e9:.1f} GB; write them to a folder of image files, which are read on demand"
    )


def _labels(shard: Shard) -> np.ndarray:
    """Class indices or strings; see `stored_labels`."""
    with _opened(shard.file) as parquet:
        count = parquet.metadata.num_rows
        if shard.label is None:
            return np.full(count, UNLABELLED, np.int32)
        batches = list(_batches(shard, parquet, shard.label.name))
        if not batches:
            return np.full(0, UNLABELLED, np.int32)
        table = pa.Table.from_batches(batches)
        return stored_labels(shard.file, shard.label.name, _as_array(shard, shard.label.of(table)), count)


def _as_array(shard: Shard, values: pa.ChunkedArray) -> np.ndarray:
    """Labels as a NumPy array: null becomes -1, NaN or an empty string."""
    assert shard.label is not None
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if _is_list(values.type):
        return _of_lists(shard.file, shard.label.name, values.to_pylist())
    if pa.types.is_integer(values.type):
        return values.cast(pa.int64(), safe=False).fill_null(UNLABELLED).to_numpy()
    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        return values.cast(pa.float64()).to_numpy()
    words = ["" if word is None else word for word in values.to_pylist()]
    return np.array(
        [word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in words]
    )


def _of_lists(file: Path, name: str, rows: list[list[Any] | None]) -> np.ndarray:
    """Labels from lists of one label, or empty for unlabelled; or from one-hot lists of equal length."""
    lengths = np.array([len(row or ()) for row in rows])
    if (lengths <= 1).all():
        labels = [None if not row else row[0] for row in rows]
        words = any(isinstance(label, str) for label in labels)
        return np.array([("" if words else np.nan) if label is None else label for label in labels])
    if (lengths == lengths[0]).all():
        return np.array(rows)
    row = int(lengths.argmax())
    raise UserError(
        f"{file}: row {row} of {name} has {lengths[row]} labels, but an image must have one class; "
        f"choose another column with --label_column, or {NO_LABELS}"
    )


def _class_names(shards: Sequence[Shard]) -> tuple[str, ...]:
    """The class names in the metadata of the files, which must agree; empty if there are none."""
    found: dict[tuple[str, ...], Path] = {}
    for shard in shards:
        if shard.class_names:
            found.setdefault(shard.class_names, shard.file)
    if len(found) > 1:
        one, other = list(found.values())[:2]
        raise UserError(
            f"{other}: has other class names than {one.name}; do both belong to the same data set?"
        )
    return next(iter(found), ())


def _images(shard: Shard) -> pa.ChunkedArray:
    with _opened(shard.file) as parquet:
        pieces = [shard.image.of(batch) for batch in _batches(shard, parquet, shard.image.name)]
        return pa.chunked_array(pieces, shard.image.type)


def _batches(shard: Shard, parquet: pq.ParquetFile, column: str) -> Iterator[pa.RecordBatch]:
    """The rows of a column. A dictionary can repeat a large value in few bytes, so the size is checked.

    Raises:
      UserError: they do not fit into memory.
    """
    size, budget, metadata = 0, memory_budget(), parquet.metadata
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        chunks = [
            chunk
            for chunk in map(group.column, range(group.num_columns))
            if f"{chunk.path_in_schema}.".startswith(f"{column}.")
        ]
        largest = max(
            (max(chunk.total_uncompressed_size, _dictionary_size(shard, chunk)) for chunk in chunks),
            default=0,
        )
        if largest > budget:
            raise _too_large(shard.file, largest)
        rows = max(1, min(BATCH, BATCH_BYTES // max(1, largest)))
        for batch in parquet.iter_batches(rows, row_groups=[i], columns=[column]):
            size += batch.nbytes
            if is_bomb(size, shard.file.stat().st_size):
                raise UserError(
                    f"{shard.file}: its column {column} unpacks to more than {MAX_RATIO} times the size of "
                    "the file, like one made to fill the memory; write the images to a folder"
                )
            if size > budget:
                raise _too_large(shard.file, size)
            yield batch


def _dictionary_size(shard: Shard, chunk: Any) -> int:
    """The size of a dictionary in its page header; that in the footer may be lower.

    The header is a Thrift struct whose first fields are the type of the page and its uncompressed size.
    """
    if not chunk.has_dictionary_page or not chunk.dictionary_page_offset:
        return 0
    with open(shard.file, "rb") as file:
        file.seek(chunk.dictionary_page_offset)
        start = file.read(16)
    numbers, at = list[int](), 0
    for _ in range(2):  # each: a byte for field and type, then the number, 7 bits a byte, zigzag
        value, shift, at = 0, 0, at + 1
        while True:
            value |= (start[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if start[at - 1] < 128:
                break
        numbers.append(value >> 1)
    return numbers[1]


def _shard(file: Path, columns: Columns) -> Shard:
    with _opened(file) as parquet:
        schema = parquet.schema_arrow
        fields, class_names = _fields(schema), _class_names_in_metadata(schema)
    image, notes = _image_field(file, fields, columns.image)
    others = [field for field in fields if field != image]
    label, more = _label_field(file, others, columns.label, class_names)
    ignored = tuple(field.name for field in others if field != label)
    names = class_names.get(label.name, ()) if label else ()
    if unused := [name for name in ignored if name.lower() in ("split", "subset", "partition")]:
        more = [*more, f"ignores its column {unused[0]}; a file must contain one split"]
    return Shard(file, image, label, names, ignored, (*notes, *more))


def _image_field(file: Path, fields: list[Field], selected: str | None) -> tuple[Field, list[str]]:
    """The field of images, and a note if there were alternatives."""
    if selected is not None:
        field = _named_field(file, fields, selected, "--image_column")
        if not _holds_bytes(field.type):
            raise UserError(f"{file}: the column {field.name} is {field.type}; images must be bytes")
        return field, []
    fitting = [field for field in fields if _holds_bytes(field.type) and not _is_called(field, LABEL_NAMES)]
    if not fitting:
        several = [field for field in fields if _is_list(field.type) and _holds_bytes(field.type.value_type)]
        other = [field for field in fields if _is_called(field, IMAGE_NAMES)]
        reason = "".join(f"; {field.name} has several images per row" for field in several[:1])
        reason = reason or "".join(f"; {field.name} is {field.type}, not bytes" for field in other[:1])
        raise UserError(f"{file}: no column of images as bytes{reason}; {_columns(fields)}")
    return _choose_field(file, "image", fitting, IMAGE_NAMES)


def _label_field(
    file: Path, fields: list[Field], selected: str | None, class_names: Mapping[str, tuple[str, ...]]
) -> tuple[Field | None, list[str]]:
    """The field of labels if any, and a note if there were alternatives."""
    if selected == NO_LABELS:
        return None, []
    if selected is not None:
        field = _named_field(file, fields, selected, "--label_column")
        if not _may_label(field.type):
            raise UserError(
                f"{file}: the column {field.name} is {field.type}; labels must be numbers or strings"
            )
        return field, []
    named = [field for field in fields if _is_called(field, LABEL_NAMES) or field.name in class_names]
    fitting = [field for field in named if _may_label(field.type)]
    if named and not fitting:
        raise UserError(
            f"{file}: the column {named[0].name} is {named[0].type}; labels must be numbers or strings; "
            f"choose another with --label_column, or {NO_LABELS}"
        )
    if not fitting:
        return None, []
    return _choose_field(file, "label", fitting, LABEL_NAMES[:2])


def _named_field(file: Path, fields: list[Field], selected: str, option: str) -> Field:
    found = [field for field in fields if field.name == selected]
    found = found or [field for field in fields if field.path[0] == selected]
    if not found:
        raise UserError(f"{file}: has no column {selected!r}; {_columns(fields)}")
    if len(found) > 1:
        raise UserError(f"{file}: {selected} has several fields: {_listed(found)}; choose one with {option}")
    return found[0]


def _is_called(field: Field, names: Sequence[str]) -> bool:
    return field.path[0].lower() in names or field.path[-1].lower() in names


def _choose_field(
    file: Path, what: str, fitting: list[Field], names: Sequence[str]
) -> tuple[Field, list[str]]:
    """The only fitting field, or the only one with the first matching name; and a note on alternatives."""
    found = next(filter(None, ([f for f in fitting if _is_called(f, [name])] for name in names)), fitting)
    if len(found) > 1:
        raise UserError(f"{file}: has {what} columns {_listed(found)}; choose one with --{what}_column")
    others = [field.name for field in fitting if field != found[0]]
    note = (
        f"its {what}s are in the column {found[0].name}, not {first_few(others)}; "
        f"--{what}_column selects another"
    )
    return found[0], [note] if others else []


def _listed(fields: Sequence[Field]) -> str:
    names = [field.name for field in fields]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _fields(schema: pa.Schema) -> list[Field]:
    """The columns, with structs other than images replaced by their fields."""
    found = list[Field]()

    def add(path: tuple[str, ...], kind: pa.DataType) -> None:
        if pa.types.is_struct(kind) and not _holds_bytes(kind):
            for field in kind:
                add((*path, field.name), field.type)
        else:
            found.append(Field(path, kind))

    for column in schema:
        add((column.name,), column.type)
    return found


def _class_names_in_metadata(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """The class names of each label field, from the Hugging Face metadata of a file."""
    found = dict[str, tuple[str, ...]]()

    def add(path: str, features: dict[str, Any]) -> None:
        for name, feature in features.items():
            if feature.get("_type") == "ClassLabel":
                found[path + name] = tuple(feature["names"])
            elif not isinstance(feature.get("_type"), str):  # fields of a struct
                add(f"{path}{name}.", feature)

    try:
        add("", json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"])
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
    ):  # no metadata, or in an unknown format
        return {}
    return {name: names for name, names in found.items() if all(isinstance(word, str) for word in names)}


def _may_label(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind) or _is_list(kind):
        return _may_label(kind.value_type)
    tests = (
        *(pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean),
        *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_null),
    )
    return any(test(kind) for test in tests)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _columns(fields: Sequence[Field]) -> str:
    return f"its columns: {', '.join(f'{field.name} ({field.type})' for field in fields)}"


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(file) as parquet:
            yield parquet
    except UserError:
        raise
    except Exception:  # a damaged file may raise anything, such as decoding errors for names
        raise UserError(f"{file}: truncated or corrupt parquet file; download it again") from None
