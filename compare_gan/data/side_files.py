"""Labels in files beside the images: StyleGAN's dataset.json, Hugging Face's metadata, WebDataset's .cls."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.words import counted
from compare_gan.data.base import UNLABELLED
from compare_gan.data.splits import MOST_CLASSES
from compare_gan.data.tree import Tree, is_image

STYLEGAN, METADATA = "dataset.json", ("metadata.csv", "metadata.jsonl")
FILE_NAME = "file_name"
LABELS = ("label", "labels", "class", "class_name", "classname", "cls", "category", "target", "fine_label")
CAPTIONS = ("text", "caption", "prompt", "description")
TRIED = 100  # .json files beside images that are looked at for a label, before all are read
Label = int | str | None  # class number, or word; None: unlabelled


@dataclasses.dataclass(frozen=True)
class SideLabels:
    """What side files say."""

    labels: dict[str, Label]  # of images by their name in the tree
    used: frozenset[str]  # the side files
    notes: tuple[str, ...]

    def classes(self) -> tuple[str, ...]:
        """Class names: "0" to the largest number, or the words in their order."""
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
    """Whether the file holds the labels of a folder."""
    return name.rpartition("/")[2].lower() in (STYLEGAN, *METADATA)


def side_labels(tree: Tree, names: Sequence[str]) -> SideLabels | None:
    """The labels that side files give to images; None if there are no such files, or without labels.

    Args:
      names: of the files in the tree that belong to the data set.

    Raises:
      UserError: a side file is damaged, or names an image that is not there.
    """
    known, labels, notes, used = set(names), dict[str, Label](), list[str](), set[str]()
    named = False
    for name in filter(is_side_file, names):
        folder = name[: len(name) - len(name.rpartition("/")[2])]
        where = f"{tree.path}/{name}"
        reader = _stylegan if name.lower().endswith(STYLEGAN) else _metadata
        about, rows = reader(where, tree.read(name))
        if rows is None:
            notes.append(f"{name} is not used: {about}")
            continue
        named = True
        used.add(name)
        notes.append(f"labels are read from {name}{about}")
        for row, file, value in rows:
            image = folder + "/".join(part for part in file.replace("\\", "/").split("/") if part != ".")
            if image not in known:
                raise UserError(f"{where}: {row}: there is no image {file}; remove the row, or add the image")
            if image in labels:
                raise UserError(f"{where}: {row}: {file} is named twice")
            labels[image] = _label(where, row, value)
    if not named:
        found, used = _webdataset(tree, names)
        if found is None:
            return SideLabels({}, frozenset(), tuple(notes)) if notes else None
        labels = found
        notes.append(f"labels are read from {counted(len(used), 'file')} beside the images (.cls or .json)")
    images = list(filter(is_image, names))
    missing = sum(labels.get(name) is None for name in images)
    if 0 < missing < len(images):
        notes.append(f"{missing:,} of {counted(len(images), 'image')} have no label there")
    return SideLabels(labels, frozenset(used), tuple(notes))


def _label(where: str, row: str, value: Any) -> Label:
    """One label as a class number or a word; nothing, NaN and -1 are no label."""
    if isinstance(value, str):
        value = value.strip()
        if value.lower() in ("", "nan", "null"):
            return None
        try:
            number = float(value)
        except ValueError:
            return value
        if not number.is_integer() or value.isdigit() and value != str(int(value)):  # 007 is a word
            return value
        value = number
    if isinstance(value, list):
        value = _hot(where, row, value)
    if value is None or isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        if isinstance(value, bool):
            return str(value).lower()
        raise UserError(f"{where}: {row}: the label {value!r} is neither a class number nor a word")
    if not UNLABELLED <= value < MOST_CLASSES:
        raise UserError(f"{where}: {row}: the label {value:g}; class numbers are 0 to {MOST_CLASSES - 1}")
    return None if value == UNLABELLED else int(value)


def _hot(where: str, row: str, values: list[Any]) -> int:
    """The class of a one-hot label."""
    hot = [i for i, value in enumerate(values) if value]
    if len(hot) != 1 or values[hot[0]] != 1:
        raise UserError(f"{where}: {row}: a label of {len(values)} numbers that is not one-hot; give a class")
    return hot[0]


def _stylegan(where: str, data: bytes) -> tuple[str, list[tuple[str, str, Any]] | None]:
    """Rows of dataset.json (where, file name, label) and what to tell of them; None: it is not StyleGAN's."""
    damaged = UserError(
        f'{where}: not a StyleGAN label file; wanted {{"labels": [["name.png", 0], ...]}} or null'
    )
    try:
        found = json.loads(data)
        if not isinstance(found, dict) or "labels" not in found:
            return 'it holds no "labels" as StyleGAN writes them', None
        rows = [(f"entry {i}", file, label) for i, (file, label) in enumerate(found["labels"] or [])]
    except (TypeError, ValueError, RecursionError):
        raise damaged from None
    if not all(isinstance(file, str) for _, file, _ in rows):
        raise damaged
    return "" if rows else ", which gives none", rows


def _metadata(where: str, data: bytes) -> tuple[str, list[tuple[str, str, Any]] | None]:
    """Rows of metadata.csv or metadata.jsonl and which column they are of; None: why there are none."""
    try:
        text = data.decode("utf-8-sig")
        table = list(_json_lines(text) if where.endswith("l") else _csv_lines(text))
    except (csv.Error, ValueError, RecursionError):
        raise UserError(f"{where}: damaged, or not a table as the Hugging Face hub stores it") from None
    columns = list(dict.fromkeys(name for _, row in table for name in row if isinstance(name, str)))
    if FILE_NAME not in columns:
        return f"it has no column {FILE_NAME}", None
    others = [name for name in columns if name != FILE_NAME]
    column = _label_column(others, table)
    if column is None:
        listed = f" (it has {', '.join(others)})" if others else ""
        return f"it has no column of labels{listed}; call that label", None
    for line, row in table:
        if not isinstance(row.get(FILE_NAME), str):
            raise UserError(f"{where}: {line}: has no {FILE_NAME}")
    ignored = [name for name in others if name != column]
    about = f", column {column}" + (f" ({', '.join(ignored)} ignored)" if ignored else "")
    return about, [(line, row[FILE_NAME], row.get(column)) for line, row in table]


def _label_column(names: list[str], table: list[tuple[str, dict[str, Any]]]) -> str | None:
    """The column with a name of labels, or the only one if its values repeat as those of classes do."""
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
    """Labels of `key.cls`, else of `key.json`, for the images called `key.jpg` and so on; and those files."""
    images: dict[str, list[str]] = {}
    for name in filter(is_image, names):
        images.setdefault(_key(name), []).append(name)
    for suffix, value in ((".cls", _word), (".json", _field)):
        beside = [name for name in names if name.lower().endswith(suffix) and _key(name) in images]
        if suffix == ".json" and not any(_read(tree, name, value) is not None for name in beside[:TRIED]):
            continue
        if beside:
            found = {
                name: _label(f"{tree.path}/{name}", "label", _read(tree, name, value)) for name in beside
            }
            labels = {image: found[name] for name in beside for image in images[_key(name)]}
            return labels, set(beside)
    return None, set()


def _key(name: str) -> str:
    """What the files of one sample share: the name up to the first dot of its last part."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _read(tree: Tree, name: str, value: Callable[[str], Any]) -> Any:
    try:
        return value(tree.read(name).decode())
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{tree.path}/{name}: damaged; it should hold the label of an image") from None


def _word(text: str) -> str:
    return text


def _field(text: str) -> Any:
    found = json.loads(text)
    if isinstance(found, dict):
        found = next((found[name] for name in LABELS if name in found), None)
    return found if isinstance(found, int | float | str) else None
