"""Rows of scores with their evaluation protocol and its fingerprint, and the file that stores them.

A row is a flat dictionary. Scores of one generated set are in columns named after their metrics; scores of
several sets are in NAME_mean, NAME_std and NAME_list, as in compare_gan. All sets are from one GAN: NAME_std
does not include the variation over training seeds. `scored` lists the metrics of a row, since a score may be
None.
"""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan import metrics as _  # noqa: F401  (registers them)
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_text, write_csv
from compare_gan.core.lock import exclusive
from compare_gan.core.origin import SIGNATURE, signed
from compare_gan.core.processes import is_main_process
from compare_gan.core.registry import METRICS
from compare_gan.core.run_files import SCORES

CHECKPOINT_SHA256 = "checkpoint_sha256"  # column: of the manifest of the checkpoint
NOT_FINITE = 31337.0  # compare_gan's score if generated images contain NaN or Inf

# The evaluation protocol: rows that differ in these columns are not comparable. Weight averaging and batch
# statistics are properties of the GAN, and have columns of their own.
PROTOCOL_FIELDS = (
    "extractor",
    "extractor_sha256",
    "data",
    "data_sha256",
    "labels_sha256",  # of the test images
    "fit",
    "real_images",
    "generated_images",
    "runs",
    "seed",
    "statistics_examples",
    "compare_gan",
    "protocol",
    "truncation",
)
OPTIONAL_FIELDS = ("protocol", "truncation")  # not in a fingerprint if empty, as in rows of older versions

# Which images a seed and a state give. Version 1 (no column): a latent vector depended on its batch of 500,
# and accumulated batch statistics on the seed. Version 2: `core.sampler`, the same as samples and exports.
PROTOCOL_VERSION = 2
TRAINING_SHARES = "in the training shares"  # value of the column labels_drawn
Row = Mapping[str, Any]


def fingerprint(row: Row) -> str:
    """Twelve hexadecimal digits that identify the evaluation protocol of a row.

    Labels in the training shares are part of it, but do not prevent a comparison: like the moving average of
    weights, which labels a GAN is given is a property of the GAN.
    """
    values = {name: _format(row.get(name)) for name in PROTOCOL_FIELDS}
    fields = [[name, value] for name, value in values.items() if value or name not in OPTIONAL_FIELDS]
    if row.get("labels_drawn") == TRAINING_SHARES:
        fields.append(["labels_drawn", TRAINING_SHARES])
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:12]


def summarize_runs(runs: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """The columns of a row for the scores of one or more generated sets."""
    if len(runs) == 1:
        return dict(runs[0])
    columns: dict[str, Any] = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        known = [value for value in values if value is not None]
        columns[f"{name}_mean"] = float(np.mean(known)) if known else None
        columns[f"{name}_std"] = float(np.std(known)) if known else None
        columns[f"{name}_list"] = "_".join(_format(value) for value in values)
    return columns


def score(row: Row, name: str) -> float | None:
    """A score by the name of its column without _mean; None if it is missing."""
    found = _format(row.get(f"{name}_mean", row.get(name)))
    return float(found) if found else None


def names(rows: Iterable[Row]) -> list[str]:
    """Names of all scores in some rows, in order of appearance."""
    known = {column for metric in METRICS for column in METRICS[metric].columns}
    found = (column.removesuffix("_mean") for row in rows for column in row)
    return [name for name in dict.fromkeys(found) if name in known]


def higher_is_better(name: str) -> bool:
    """Whether higher values of a score are better, by the name of its column."""
    return any(name in METRICS[each].higher_is_better for each in METRICS)


def write_scores(run_dir: Path, row: Row, filename: str = SCORES) -> None:
    """Adds a row to the scores of a run, or new columns to the row with the same step and protocol.

    Several threads and processes may write to one file: each waits for the others.

    Args:
      run_dir: the run folder.
      row: step, protocol and scores.
      filename: name of the CSV file in the run folder.
    """
    if not is_main_process():
        return
    new = _format_row({**row, "fingerprint": fingerprint(row)})
    rows = []
    with exclusive(run_dir / filename):
        for old in read_scores(run_dir, filename):
            if _key(old) == _key(new) and not _same_checkpoint(old, new):
                continue  # the scores of a checkpoint that was replaced
            if _key(old) == _key(new):
                scored = [*old.get("scored", "").split(), *new.get("scored", "").split()]
                new = old | new | {"scored": " ".join(dict.fromkeys(scored))}
            else:
                rows.append(old)
        _replace_rows(run_dir / filename, sorted([*rows, new], key=lambda each: int(each["step"])))


def discard_later_scores(run_dir: Path, step: int, filename: str = SCORES) -> None:
    """Removes the rows of later steps, which a run at `step` discarded when it was rolled back."""
    if not is_main_process():
        return
    with exclusive(run_dir / filename):
        rows = read_scores(run_dir, filename)
        kept = [row for row in rows if int(row["step"]) <= step]
        if len(kept) < len(rows):
            _replace_rows(run_dir / filename, kept)


def _replace_rows(path: Path, rows: list[dict[str, str]]) -> None:
    from compare_gan.evaluation.events import mirror_scores  # it needs the names of scores

    mirror_scores(path, rows)  # first: what the table holds is not scored again
    write_csv(path, [row | {SIGNATURE: _signature(row)} for row in rows])


def read_scores(run_dir: Path, filename: str = SCORES) -> list[dict[str, str]]:
    """The rows of a run's scores as text, sorted by step; empty if there is no file.

    Args:
      run_dir: the run folder.
      filename: name of the CSV file in the run folder.

    Raises:
      UserError: the file is not a table of scores.
    """
    path = run_dir / filename
    if not path.exists():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path))))
        for row in rows:
            int(row["step"])
            if (stored := row.pop(SIGNATURE, "")) and stored != _signature(row):
                raise UserError(
                    f"{path}: the row of step {row['step']} has changed since it was written; remove it to "
                    "score the step again"
                )
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise UserError(f"{path}: not a table of scores with a column step; move it away") from None
    return rows


def validate_score_filename(filename: str) -> str:
    """Returns `filename` if it is the name of a CSV file, without a folder.

    Raises:
      UserError: it is anything else.
    """
    if Path(filename).name != filename or Path(filename).suffix != ".csv":
        raise UserError(f"--score_filename is {filename!r}; give a name without a folder that ends in .csv")
    return filename


def has_scores(run_dir: Path, row: Row, metrics: Iterable[str], filename: str = SCORES) -> bool:
    """Whether all of `metrics` were scored for the step and the protocol of `row`; scores may be None.

    Scores of another checkpoint of the same step do not count.
    """
    old = find_scores(run_dir, row, filename)
    if old is None:
        return False
    scored = (old["scored"] or "").split()
    return all(
        name in scored or all(score(old, column) is not None for column in METRICS[name].columns)
        for name in metrics
    )


def find_scores(run_dir: Path, row: Row, filename: str = SCORES) -> dict[str, Any] | None:
    """The stored row with the step and the protocol of `row`, or None.

    Returns:
      The values of `row`, further scores as float, and other columns as text; None for empty cells.
    """
    key = _format(row["step"]), fingerprint(row)
    for old in read_scores(run_dir, filename):
        if _key(old) == key and _same_checkpoint(old, row):
            scores = {f"{name}{suffix}" for name in names([old]) for suffix in ("", "_mean", "_std")}
            values = {name: (float if name in scores else str)(text) for name, text in old.items() if text}
            return dict.fromkeys([*old, "scored"]) | values | {**row}
    return None


def differences(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Protocol fields in which rows differ -> the distinct values."""
    found = {name: list(dict.fromkeys(_format(row.get(name)) for row in rows)) for name in PROTOCOL_FIELDS}
    return {name: values for name, values in found.items() if len(values) > 1}


def _same_checkpoint(row: Row, other: Row) -> bool:
    """Whether two rows of a step are of the same weights, as far as both have their SHA-256."""
    known = [_format(each.get(CHECKPOINT_SHA256)) for each in (row, other)]
    return not all(known) or known[0] == known[1]


def _key(row: Mapping[str, str]) -> tuple[str, str | None]:
    """What identifies a row of a file: its step and the fingerprint of its protocol."""
    return row["step"], row.get("fingerprint")


def _signature(row: Mapping[str, str]) -> str:
    """SHA-256 of the cells of a row; empty cells do not count."""
    return signed({name: value for name, value in row.items() if value})[SIGNATURE]


def _format_row(row: Row) -> dict[str, str]:
    return {name: _format(value) for name, value in row.items()}


def _format(value: Any) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return "" if value is None else str(value)
