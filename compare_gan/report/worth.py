"""What the unlabelled images were worth: labelled images alone, all images, and all labels."""

from compare_gan.core.label_methods import ALL_LABELS, LABELLED_ONLY, find_method
from compare_gan.core.statistics import decimals
from compare_gan.report.collect import Record, StudyReport, number
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.tables import DISTANCE, cell, estimate, mean, ratio, ratio_cell
from compare_gan.report.words import count, heading, name_of


def unlabelled_images(study: StudyReport) -> Markup:
    """A sentence and a table for each label budget; empty without the method `labelled_only`."""
    lines = [line for line in study.lines if mean(line, DISTANCE) is not None]
    parts = []
    for alone in (line for line in lines if line.get("method") == LABELLED_ONLY):
        same = [line for line in lines if same_budget(line, alone) and kind(line) in ("few_only", "inferred")]
        full = [line for line in lines if kind(line) == "true"]
        if len(same) > 1:
            parts += [tag("p", worth(alone, same, full)), table([*same, *full])]
    return join(*parts)


def kind(line: Record) -> str | None:
    """Which labels the method of a line gets."""
    found = find_method(str(line.get("method")))
    return None if found is None else found.labels


def same_budget(line: Record, other: Record) -> bool:
    """Whether two lines have the same label budget."""
    return all(line.get(key) == other.get(key) for key in ("fraction", "per_class"))


def worth(alone: Record, same: list[Record], full: list[Record]) -> str:
    """A sentence on the first method that uses all images, compared with the labelled images alone."""
    ours = next((line for line in same if kind(line) == "inferred"), None)
    labels = f"With {count(number(alone.get('labels')) or 0)} labels"
    start = mean(alone, DISTANCE) or 0.0
    if ours is None:
        return f"{labels}, no method used the unlabelled images."
    end = mean(ours, DISTANCE) or 0.0
    places = decimals([start, end])
    name = name_of(str(ours.get("method")))
    text = (
        f"{labels}, a GAN of the labelled images alone has a distance of {start:.{places}f}; with the "
        f"unlabelled images, {name} has {end:.{places}f}"
    )
    against = ratio(ours, LABELLED_ONLY)
    if against is not None:
        size, ends = against
        text += f", {size:.2f} times as much"
        text += "" if ends is None else f" (95% interval {ends[0]:.2f} to {ends[1]:.2f})"
    best = next((line for line in full if line.get("method") == ALL_LABELS), None)
    goal = None if best is None else mean(best, DISTANCE)
    if goal is not None and max(goal, end) < start:
        share = (start - end) / (start - goal)
        text += f". All labels have {goal:.{places}f}: the unlabelled images close {share:.0%} of the gap"
    return f"{text}."


def table(lines: list[Record]) -> Markup:
    """A table of the methods of one label budget."""
    places = decimals([value for line in lines if (value := mean(line, DISTANCE)) is not None])
    columns = {"labelled images only": LABELLED_ONLY, "all labels": ALL_LABELS}
    heads = ["Method", "Labels", "Images", heading(DISTANCE), *(f"Ratio to {name}" for name in columns)]
    rows = [
        tag(
            "tr",
            tag("th", name_of(str(line.get("method"))), scope="row"),
            cell("Labels", number(line.get("labels")), count),
            cell("Images", number(line.get("images")), count),
            estimate(line, DISTANCE, lambda value: f"{value:,.{places}f}"),
            *(ratio_cell(line, other, f"Ratio to {name}") for name, other in columns.items()),
        )
        for line in lines
    ]
    head = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in heads)))
    return tag("div", tag("table", head, tag("tbody", *rows), class_="scores cards"), class_="scroll")
