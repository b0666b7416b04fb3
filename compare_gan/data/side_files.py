"""Labels in side files: StyleGAN's dataset.json, Hugging Face's metadata, WebDataset's .cls and .json."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.records import MAX_CLASSES
from compare_gan.core.words import counted
from compare_gan.data.base import UNLABELLED
from compare_gan.data.tree import Tree, is_image

STYLEGAN, METADATA = "dataset.json", ("metadata.csv", "metadata.jsonl")
FILE_NAME = "file_name"
LABELS = ("label", "labels", "class", "class_name", "classname", "cls", "category", "target", "fine_label")
CAPTIONS = ("text", "caption", "prompt", "description")
TRIED = 100  # .json files that are probed for a label before all are read
Label = int | str | None  # class index or name; None: unlabelled


@dataclasses.dataclass(frozen=True)
class SideLabels:
    """The labels in side files."""

    labels: dict[str, Label]  # by the name of the image in the tree
    used: frozenset[str]  # the side files
    notes: tuple[str, ...]

    def classes(self) -> tuple[str, ...]:
        """Class names: "0" to the largest index, or the sorted strings."""
        found = {label for label in self.labels.values() if label is not None}
        numbers = [label for label in found if isinstance(label, int)]
        if len(numbers) == len(found):
            return tuple(map(str, range(max(numbers, default=-1) + 1)))
        return tuple(sorted(map(str, found)))

    def of(self, names: Iterable[str]) -> np.ndarray:
        """Class indices of these images, [N] int32, -1 = unlabelled."""
        number = {name: i for i, name in enumerate(self.classes())}
        labels = [self.labels.get(name) for name in names]
        return np.array([UNLABELLED if label is None else number[str(label)] for label in labels], np.int32)


def is_side_file(name: str) -> bool:
    """Whether a file name is that of a label file for a folder."""
    return name.rpartition("/")[2].lower() in (STYLEGAN, *METADATA)


def side_labels(tree: Tree, names: Sequence[str]) -> SideLabels | None:
    """Reads the labels in side files; None if there are no side files.

    Args:
      tree: the files.
      names: names of the files in the tree that belong to the data set.

    Raises:
      UserError: a side file is damaged, or names a missing image.
    """
    known, labels, notes, used = set(names), dict[str, Label](), list[str](), set[str]()
    named = False
    for name in filter(is_side_file, names):
        folder = name[: len(name) - len(name.rpartition("/")[2])]
        where = f"{tree.path}/{name}"
        reader = _stylegan if name.lower().endswith(STYLEGAN) else _metadata
        description, rows = reader(where, tree.read(name))
        if rows is None:
            notes.append(f"{name} is not used: {description}")
            continue
        named = True
        used.add(name)
        notes.append(f"labels are read from {name}{description}")
        for row, file, value in rows:
            image = folder + "/".join(part for part in file.replace("\\", "/").split("/") if part != ".")
            if image not in known:
                raise UserError(f"{where}: {row}: no image {file}; remove the row or add the image")
            if image in labels:
                raise UserError(f"{where}: {row}: {file} occurs twice")
            labels[image] = _label(where, row, value)
    if not named:
        found, used = _webdataset(tree, names)
        if found is None:
            return SideLabels({}, frozenset(), tuple(notes)) if notes else None
        labels = found
        notes.append(f"labels are read from {counted(len(used), 'file')} next to the images (.cls or .json)")
    images = list(filter(is_image, names))
    missing = sum(labels.get(name) is None for name in images)
    if 0 < missing < len(images):
        notes.append(f"{missing:,} of {counted(len(images), 'image')} have no label in these files")
    return SideLabels(labels, frozenset(used), tuple(notes))


def _label(where: str, row: str, value: Any) -> Label:
    """Parses a label to a class index or name; empty, NaN and -1 become None."""
    if isinstance(value, str):
        value = value.strip()
        if value.lower() in ("", "nan", "null"):
            return None
        try:
            number = float(value)
        except ValueError:
            return value
        if not number.is_integer() or value.isdigit() and value != str(int(value)):  # 007 is a name
            return value
        value = number
    if isinstance(value, list):
        value = _hot(where, row, value)
    if value is None or isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        if isinstance(value, bool):
            return str(value).lower()
        raise UserError(f"{where}: {row}: the label {value!r} is neither a class index nor a name")
    if not UNLABELLED <= value < MAX_CLASSES:
        raise UserError(f"{where}: {row}: the label {value:g}; class indices are 0 to {MAX_CLASSES - 1}")
    return None if value == UNLABELLED else int(value)


def _hot(where: str, row: str, values: list[Any]) -> int:
    """The class of a one-hot label."""
    hot = [i for i, value in enumerate(values) if value]
    if len(hot) != 1 or values[hot[0]] != 1:
        raise UserError(
            f"{where}: {row}: a label of {len(values)} numbers that is not one-hot; use a class index"
        )
    return hot[0]


def _stylegan(where: str, data: bytes) -> tuple[str, list[tuple[str, str, Any]] | None]:
    """A description, and the rows (location, file name, label) of dataset.json; None: not from StyleGAN."""
    damaged = UserError(
        f'{where}: not a StyleGAN label file; expected {{"labels": [["name.png", 0], ...]}} or null'
    )
    try:
        found = json.loads(data)
        if not isinstance(found, dict) or "labels" not in found:
            return 'it has no "labels" in the format of StyleGAN', None
        rows = [(f"entry {i}", file, label) for i, (file, label) in enumerate(found["labels"] or [])]
    except (TypeError, ValueError, RecursionError):
        raise damaged from None
    if not all(isinstance(file, str) for _, file, _ in rows):
        raise damaged
    return "" if rows else ", which has none", rows


def _metadata(where: str, data: bytes) -> tuple[str, list[tuple[str, str, Any]] | None]:
    """A description, and the rows of metadata.csv or metadata.jsonl; None: the description is the reason."""
    try:
        text = data.decode("utf-8-sig")
        table = list(_json_lines(text) if where.endswith("l") else _csv_lines(text))
    except (csv.Error, ValueError, RecursionError):
        raise UserError(f"{where}: damaged, or not a table in the format of the Hugging Face hub") from None
    columns = list(dict.fromkeys(name for _, row in table for name in row if isinstance(name, str)))
    if FILE_NAME not in columns:
        return f"it has no column {FILE_NAME}", None
    others = [name for name in columns if name != FILE_NAME]
    column = _label_column(others, table)
    if column is None:
        listed = f" (it has {', '.join(others)})" if others else ""
        return f"it has no column of labels{listed}; name the column label", None
    for line, row in table:
        if not isinstance(row.get(FILE_NAME), str):
            raise UserError(f"{where}: {line}: has no {FILE_NAME}")
    ignored = [name for name in others if name != column]
    description = f", column {column}" + (f" ({', '.join(ignored)} ignored)" if ignored else "")
    return description, [(line, row[FILE_NAME], row.get(column)) for line, row in table]


def _label_column(names: list[str], table: list[tuple[str, dict[str, Any]]]) -> str | None:
    """The column with a common name for labels, or the only column if its values repeat like classes."""
    folded = {name.lower(): name for name in reversed(names)}
    for name in LABELS:
        if name in folded:
            return folded[name]
    if len(names) != 1 or names[0].lower() in CAPTIONS:
        return None
    values = [row.get(names[0]) for _, row in table]
    repeats = all(isinstance(value, int | str) for value in values) and len(set(values)) <= len(values) // 2
    return names[0] if repeats else None


def _csv_lines(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    lines = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    for row in lines:
        yield f"line {lines.line_num}", row


def _json_lines(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError
            yield f"line {number}", row


def _webdataset(tree: Tree, names: Sequence[str]) -> tuple[dict[str, Label] | None, set[str]]:
    """Labels in `key.cls`, else in `key.json`, for images such as `key.jpg`; and the files that were used."""
    images: dict[str, list[str]] = {}
    for name in filter(is_image, names):
        images.setdefault(_key(name), []).append(name)
    for suffix, value in ((".cls", _word), (".json", _field)):
        candidates = [name for name in names if name.lower().endswith(suffix) and _key(name) in images]
        if suffix == ".json" and not any(_read(tree, name, value) is not None for name in candidates[:TRIED]):
            continue
        if candidates:
            found = {
                name: _label(f"{tree.path}/{name}", "label", _read(tree, name, value)) for name in candidates
            }
            labels = {image: found[name] for name in candidates for image in images[_key(name)]}
            return labels, set(candidates)
    return None, set()


def _key(name: str) -> str:
    """The key shared by the files of one sample: the path up to the first dot of the base name."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _read(tree: Tree, name: str, value: Callable[[str], Any]) -> Any:
    try:
        return value(tree.read(name).decode())
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{tree.path}/{name}: damaged; it should contain the label of an image") from None


def _word(text: str) -> str:
    return text


def _field(text: str) -> Any:
    found = json.loads(text)
    if isinstance(found, dict):
        found = next((found[name] for name in LABELS if name in found), None)
    return found if isinstance(found, int | float | str) else None
