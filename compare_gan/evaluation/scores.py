"""Rows of scores: what made them, a fingerprint of that, and the file that keeps them.

A row is a flat dictionary. Scores of one set of generated images stand under the names of their metrics; of
several sets under NAME_mean, NAME_std and NAME_list, as compare_gan names them. These are sets that one GAN
generated: NAME_std does not cover what another training seed changes. `scored` names the metrics of a row,
for a score may be None.
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

from compare_gan.core.errors import UserError
from compare_gan.core.files import write_csv
from compare_gan.core.processes import is_main_process
from compare_gan.core.registry import METRICS
from compare_gan.core.run_files import SCORES

NOT_FINITE = 31337.0  # what compare_gan writes for each score of a generator whose images are not numbers

# What a score depends on besides the GAN: rows that differ here do not compare. Whether weights are
# averaged and how batch statistics are taken belongs to the GAN; a row tells that, too.
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
)
Row = Mapping[str, Any]


def fingerprint(row: Row) -> str:
    """Twelve hexadecimal digits that are equal where two rows were measured alike."""
    protocol = json.dumps([[name, _word(row.get(name))] for name in PROTOCOL_FIELDS])
    return hashlib.sha256(protocol.encode()).hexdigest()[:12]


def summarize_runs(runs: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """The scores of some sets of generated images as columns of a row."""
    if len(runs) == 1:
        return dict(runs[0])
    columns: dict[str, Any] = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        known = [value for value in values if value is not None]
        columns[f"{name}_mean"] = float(np.mean(known)) if known else None
        columns[f"{name}_std"] = float(np.std(known)) if known else None
        columns[f"{name}_list"] = "_".join(_word(value) for value in values)
    return columns


def score(row: Row, name: str) -> float | None:
    """A score by the name of its column without _mean; None if the row has none."""
    found = _word(row.get(f"{name}_mean", row.get(name)))
    return float(found) if found else None


def names(rows: Iterable[Row]) -> list[str]:
    """Names of all scores in some rows, in the order in which they come."""
    known = {column for metric in METRICS for column in METRICS[metric].columns}
    found = (column.removesuffix("_mean") for row in rows for column in row)
    return [name for name in dict.fromkeys(found) if name in known]


def higher_is_better(name: str) -> bool:
    """Whether the greater of two scores, by the name of their column, is the better one."""
    return any(name in METRICS[each].higher_is_better for each in METRICS)


def write_scores(run_dir: Path, row: Row) -> None:
    """Adds a row to the scores of a run, or new columns to the row of this step that was measured alike."""
    if not is_main_process():
        return
    new = _text({**row, "fingerprint": fingerprint(row)})
    rows = []
    for old in read_scores(run_dir):
        if (old["step"], old.get("fingerprint")) == (new["step"], new["fingerprint"]):
            known = {name: value for name, value in old.items() if value}
            scored = [*old.get("scored", "").split(), *new.get("scored", "").split()]
            new = known | new | {"scored": " ".join(dict.fromkeys(scored))}
        else:
            rows.append(old)
    write_csv(run_dir / SCORES, sorted([*rows, new], key=lambda each: int(each["step"])))


def read_scores(run_dir: Path) -> list[dict[str, str]]:
    """The rows of a run's scores as text, by step; none where there is no file.

    Raises:
      UserError: the file is not such a table.
    """
    path = run_dir / SCORES
    if not path.exists():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        for row in rows:
            int(row["step"])
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise UserError(f"{path}: not a table of scores with a column step; move it away") from None
    return rows


def has_scores(run_dir: Path, wanted: Row, metrics: Iterable[str]) -> bool:
    """Whether all of `metrics` were scored for the step of `wanted`, measured alike; some may be None."""
    for row in read_scores(run_dir):
        if (row["step"], row.get("fingerprint")) == (_word(wanted["step"]), fingerprint(wanted)):
            scored = row.get("scored", "").split()
            return all(
                name in scored or all(score(row, column) is not None for column in METRICS[name].columns)
                for name in metrics
            )
    return False


def differences(rows: Sequence[Row]) -> dict[str, list[str]]:
    """What was not measured alike: by the name of a making, the values that rows have."""
    found = {name: list(dict.fromkeys(_word(row.get(name)) for row in rows)) for name in PROTOCOL_FIELDS}
    return {name: values for name, values in found.items() if len(values) > 1}


def _text(row: Row) -> dict[str, str]:
    return {name: _word(value) for name, value in row.items()}


def _word(value: Any) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return "" if value is None else str(value)
