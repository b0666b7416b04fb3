"""Statistics of a study: a line per method and label budget, over label sets and seeds.

The unit of a mean and its interval is the label set: runs on the same label set are averaged first, so the
choice of labelled images counts as a random effect, and runs that share it are not taken as independent.
Where nothing is chosen (methods without kept labels, or data of which all labels are used), it is the run.
"""

import statistics
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from compare_gan.core.label_methods import ALL_LABELS, LABELLED_ONLY, NO_LABELS, method
from compare_gan.core.statistics import MARGIN, mean_interval, paired_ratio_interval, ratio_interval
from compare_gan.evaluation.scores import NOT_FINITE

DISTANCE = "frechet_distance"
# Scores of a run that are summarised: the primary one first.
SCORES = (
    DISTANCE,
    "class_agreement",
    "class_matched_distance",
    "within_class_spread",
    "precision",
    "recall",
    "authenticity",
    "authenticity_held_out",
)
BASELINES = (ALL_LABELS, NO_LABELS)  # besides these, LABELLED_ONLY at the same label budget
Row = Mapping[str, Any]
Group = tuple[str, float | None, int | None]  # method, fraction, labels per class


def method_lines(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line per method and label budget: statistics over its runs, and ratios to the baselines.

    Args:
      rows: one per run, see `results.run_rows`.
    """
    groups: dict[Group, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["method"], *budget_key(row)), []).append(row)
    lines = []
    for (name, fraction, per_class), members in groups.items():
        baselines: list[Group] = [(other, None, None) for other in BASELINES]
        if method(name).from_few:
            baselines.append((LABELLED_ONLY, fraction, per_class))
        known = [group for group in baselines if group[0] != name and group in groups]
        ratios = {group[0]: ratio(members, groups[group]) for group in known}
        all_labels = ratios.get(ALL_LABELS)
        lines.append(
            {
                "method": name,
                "fraction": fraction,
                "per_class": per_class,
                "labels": statistics.median_low(row["labels"] for row in members),
                "images": max((row["images"] for row in members if row.get("images")), default=None),
                "seeds": len(members),
                "label_sets": len({row["label_set"] for row in members} - {None}),
                "steps": max(row["steps"] for row in members),
                "seconds": statistics.median(row["seconds"] for row in members),
                "not_finite": [row.get(DISTANCE) for row in members].count(NOT_FINITE),
                "scores": {score: summary_statistics(members, score) for score in SCORES},
                "ratios": ratios,
                "verdict": None if all_labels is None else verdict(all_labels),
            }
        )
    return lines


def budget_key(row: Row) -> tuple[float | None, int | None]:
    """The label budget of a row: (fraction, labels per class); at most one is set."""
    return row.get("fraction"), row.get("per_class")


def units(rows: Sequence[Row], score: str) -> dict[Hashable, float]:
    """The mean of a score over the runs of each label set; or the value of each run, by seed.

    Runs whose images contain NaN or Inf are left out.
    """
    values: dict[Hashable, list[float]] = {}
    for row in rows:
        if (value := row.get(score)) not in (None, NOT_FINITE):
            chosen = row.get("label_set")
            values.setdefault(("seed", row["seed"]) if chosen is None else chosen, []).append(value)
    return {unit: statistics.fmean(found) for unit, found in values.items()}


def summary_statistics(rows: Sequence[Row], score: str) -> dict[str, Any] | None:
    """Mean and 95% interval over label sets, and the values of all runs; None if there are none."""
    found = list(units(rows, score).values())
    if not found:
        return None
    values = [value for row in rows if (value := row.get(score)) not in (None, NOT_FINITE)]
    return {
        "values": values,
        "mean": statistics.fmean(found),
        "interval": mean_interval(found),
        "lowest": min(values),
        "highest": max(values),
    }


def ratio(rows: Sequence[Row], others: Sequence[Row]) -> dict[str, Any] | None:
    """The mean Fréchet distance of some runs over that of others, with its 95% interval.

    Both are paired where they have the same label sets, or the same seeds with one run for each.
    """
    ours, theirs = units(rows, DISTANCE), units(others, DISTANCE)
    if not ours or not theirs or not statistics.fmean(theirs.values()):
        return None
    size = statistics.fmean(ours.values()) / statistics.fmean(theirs.values())
    if ours.keys() != theirs.keys() and (seeds := by_seed(rows)) and (known := by_seed(others)):
        ours, theirs = (seeds, known) if seeds.keys() == known.keys() else (ours, theirs)
    paired = ours.keys() == theirs.keys()
    pairs = [ours[unit] for unit in ours], [theirs[unit] for unit in (ours if paired else theirs)]
    interval = paired_ratio_interval(*pairs) if paired else ratio_interval(*pairs)
    return {"ratio": size, "interval": interval, "paired": paired}


def by_seed(rows: Sequence[Row]) -> dict[Hashable, float]:
    """The distance of each seed; empty if two runs have the same seed or the same label set."""
    finite = [row for row in rows if row.get(DISTANCE) not in (None, NOT_FINITE)]
    chosen = [row["label_set"] for row in finite if row.get("label_set") is not None]
    seeds = [row["seed"] for row in finite]
    if len({*chosen}) < len(chosen) or len({*seeds}) < len(seeds):
        return {}
    return {row["seed"]: row[DISTANCE] for row in finite}


def verdict(found: Row) -> str | None:
    """Whether a method is "as good" as all labels within `MARGIN`, or "worse" by more; else "open".

    It is as good only if the whole interval of the ratio lies below the margin. None without an interval.
    """
    if found["interval"] is None:
        return None
    low, high = found["interval"]
    if high < 1 + MARGIN:
        return "as good"
    return "worse" if low > 1 + MARGIN else "open"
