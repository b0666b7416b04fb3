"""Label files of text as tables: .csv, .tsv, .txt, .json and .jsonl."""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compare_gan.core.errors import UserError
from compare_gan.data.layout import is_image

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl")


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A header and rows of unparsed cells."""

    header: tuple[str, ...]
    rows: Sequence[Sequence[Any]]  # each as long as the header
    where: Callable[[int], str]  # names row i in error messages

    def words(self, name: str) -> list[str]:
        """A column as text, stripped. Raises UserError for a cell that is a list or an object."""
        k = self.header.index(name)
        return [_word(row[k], self.where(i), name) for i, row in enumerate(self.rows)]


def read_table(path: Path, data: bytes) -> Table:
    """The table in a file of one of `TEXT_SUFFIXES`.

    Cells are separated by a comma, a semicolon, a tab or, in a .txt, whitespace, depending on the first line.
    If the first line begins with the name of an image file, it is not a header; the two columns are then
    file_name and label. A .json file is {"1.png": "cat", ...}, a list of objects, or StyleGAN's
    {"labels": [["1.png", 0], ...]}; a .jsonl file has an object on each line.

    Raises:
      UserError: the file is not such a table.
    """
    try:
        text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
        if path.suffix.lower() == ".json":
            return _of_json(path, json.loads(text))
        if path.suffix.lower() == ".jsonl":
            lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
            places = [f"{path}: line {n}" for n, _ in lines]
            return _of_objects(path, [json.loads(line) for _, line in lines], places)
        return _of_text(path, text)
    except (csv.Error, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        reason = str(error) or "nested too deeply"
        raise UserError(f"{path}: not a table of comma-separated text or JSON in UTF-8 ({reason})") from None


def _of_text(path: Path, text: str) -> Table:
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = next((mark for mark in ",;\t" if mark in first), ",")
    if path.suffix.lower() == ".txt" and separator not in first:
        lines = [(n, line.rsplit(None, 1)) for n, line in enumerate(text.splitlines(), 1)]
    else:
        lines_of_text = io.StringIO(text, newline="")
        reader = csv.reader(lines_of_text, delimiter=separator, skipinitialspace=True, strict=True)
        lines = [(reader.line_num, row) for row in reader]
    lines = [(n, [cell.strip() for cell in row]) for n, row in lines if row]
    if not lines:
        return Table((), [], lambda i: str(path))
    header = tuple(lines[0][1])
    if any(map(is_image, header)):
        if len(header) != 2 or not is_image(header[0]):
            raise UserError(f"{path}: its first line has no column names; add a line such as file_name,label")
        header = ("file_name", "label")
    else:
        lines = lines[1:]
    for n, row in lines:
        if len(row) != len(header):
            raise UserError(f"{path}: line {n}: has {len(row)} entries for {len(header)} columns")
    return Table(header, [row for _, row in lines], lambda i: f"{path}: line {lines[i][0]}")


def _of_json(path: Path, found: Any) -> Table:
    if isinstance(found, dict) and "labels" in found:
        found = found["labels"]
        if found is None:
            raise UserError(f"{path}: its labels are null")
    if isinstance(found, list) and all(isinstance(item, list) and len(item) == 2 for item in found):
        found = [{"file_name": name, "label": label} for name, label in found]
    if isinstance(found, dict) and not any(isinstance(value, dict | list) for value in found.values()):
        found = [{"file_name": name, "label": label} for name, label in found.items()]
    if not isinstance(found, list):
        raise UserError(
            f'{path}: not a label file; expected {{"1.png": "cat", ...}} or '
            f'[{{"file_name": "1.png", "label": "cat"}}, ...]'
        )
    return _of_objects(path, found, [f"{path}: entry {i}" for i in range(len(found))])


def _of_objects(path: Path, found: list[Any], places: list[str]) -> Table:
    for item, place in zip(found, places, strict=True):
        if not isinstance(item, dict):
            raise UserError(f'{place}: not an object such as {{"file_name": "1.png", "label": "cat"}}')
    header = tuple(dict.fromkeys(name for item in found for name in item))
    return Table(header, [[item.get(name) for name in header] for item in found], places.__getitem__)


def _word(cell: Any, place: str, name: str) -> str:
    if isinstance(cell, dict | list):
        raise UserError(f"{place}: {name} is {json.dumps(cell)[:40]}; expected a string or a number")
    return "" if cell is None else str(cell).strip()
