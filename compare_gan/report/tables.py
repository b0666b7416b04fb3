"""The tabular sections of the page: scores and configuration."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compare_gan.core.label_methods import ALL_LABELS
from compare_gan.core.statistics import MARGIN, decimals
from compare_gan.report.budgets import REAL
from compare_gan.report.charts import px
from compare_gan.report.collect import Record, StudyReport, number
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.words import ABSENT, count, duration, heading, name_of, plain

DISTANCE, AGREEMENT = "frechet_distance", "class_agreement"
RATIO = "Ratio to all labels"
SHORT_VERDICTS = {"as good": "as good", "worse": "worse", "open": "not shown"}
STRIP_WIDTH, STRIP_HEIGHT, STRIP_MARGIN = 160, 16, 5  # pixels of a dot plot


def scores(study: StudyReport) -> Markup:
    """The score table: a row per method and label budget, and one for real images."""
    lines = study.lines
    if not lines:
        return Markup()
    real, real_agreement = (number(study.real_scores.get(name)) for name in (DISTANCE, AGREEMENT))
    distances = [values(line, DISTANCE) for line in lines]
    all_distances = [value for row in distances for value in row]
    places, largest = decimals(all_distances), max([*all_distances, real or 0.0])
    with_images = any(number(line.get("images")) for line in lines)
    with_ratio = any(ratio(line) is not None for line in lines)
    with_agreement = any(mean(line, AGREEMENT) is not None for line in lines)

    def distance(value: float) -> str:
        return f"{value:,.{places}f}"

    heads = [
        tag("th", "Method", scope="col"),
        tag("th", "Labels", scope="col"),
        *([tag("th", "Images", scope="col")] if with_images else []),
        tag("th", heading(DISTANCE), tag("small", "lower is better"), scope="col", colspan=2, class_="wide"),
        *(
            [tag("th", "Ratio", tag("small", "to all labels, 95% interval"), scope="col")]
            if with_ratio
            else []
        ),
        *(
            [tag("th", heading(AGREEMENT), tag("small", "higher is better"), scope="col")]
            if with_agreement
            else []
        ),
        tag("th", "Runs", scope="col"),
        tag("th", "Steps", scope="col"),
        tag("th", "Time", tag("small", "per run"), scope="col"),
    ]
    rows = [
        tag(
            "tr",
            tag("th", name_of(str(line.get("method"))), scope="row"),
            cell("Labels", number(line.get("labels")) or None, count),
            *([cell("Images", number(line.get("images")), count)] if with_images else []),
            estimate(line, DISTANCE, distance),
            tag("td", dot_plot(row, interval(line, DISTANCE), largest, real), class_="bar-cell"),
            *([ratio_cell(line)] if with_ratio else []),
            *([estimate(line, AGREEMENT, percentage)] if with_agreement else []),
            cell("Runs", number(line.get("seeds")), count),
            cell("Steps", number(line.get("steps")), count),
            cell("Time", number(line.get("seconds")), duration),
        )
        for line, row in zip(lines, distances, strict=True)
    ]
    if real is not None:
        rows.append(
            tag(
                "tr",
                tag("th", REAL, scope="row"),
                cell("Labels", None, count),
                *([cell("Images", None, count)] if with_images else []),
                cell(heading(DISTANCE), real, lambda value: f"{value:,.{decimals([value])}f}"),
                tag("td", dot_plot([real], None, largest, real), class_="bar-cell"),
                *([tag("td", ABSENT, data_label=RATIO)] if with_ratio else []),
                *([cell(heading(AGREEMENT), real_agreement, percentage)] if with_agreement else []),
                *(cell(heading(name), None, count) for name in ("runs", "steps", "time")),
                class_="real",
            )
        )
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="scores cards")
    return join(tag("div", table, class_="scroll"), secondary(study), notes(study))


def secondary(study: StudyReport) -> Markup:
    """The table of all other scores; empty if there are none."""
    lines = [line for line in study.lines if scores_of(line)]
    names = list(dict.fromkeys(name for line in lines for name in scores_of(line)))
    names = [name for name in names if name not in (DISTANCE, AGREEMENT)]
    names = [name for name in names if any(mean(line, name) is not None for line in lines)]
    if not names:
        return Markup()
    rows = [
        tag(
            "tr",
            tag("th", name_of(str(line.get("method"))), scope="row"),
            cell("Labels", number(line.get("labels")) or None, count),
            *(estimate(line, name, "{:.3g}".format) for name in names),
        )
        for line in lines
    ]
    real = [number(study.real_scores.get(name)) for name in names]
    if any(value is not None for value in real):
        cells = (cell(heading(name), x, "{:.3g}".format) for name, x in zip(names, real, strict=True))
        row = (tag("th", REAL, scope="row"), cell("Labels", None, count), *cells)
        rows.append(tag("tr", *row, class_="real"))
    heads = (tag("th", name, scope="col") for name in ("Method", "Labels", *map(heading, names)))
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="scores cards")
    return join(tag("h3", "Other scores"), tag("div", table, class_="scroll"))


def scores_of(line: Record) -> Record:
    """The scores of a line by name; empty if there are none."""
    value = line.get("scores")
    return value if isinstance(value, Mapping) else {}


def score(line: Record, name: str) -> Record:
    """The statistics of a score; empty if it is missing."""
    value = scores_of(line).get(name)
    return value if isinstance(value, Mapping) else {}


def mean(line: Record, name: str) -> float | None:
    """The mean of a score over runs; None if unknown."""
    return number(score(line, name).get("mean"))


def values(line: Record, name: str) -> list[float]:
    """The values of a score, one per run."""
    recorded = score(line, name).get("values")
    return [v for x in recorded if (v := number(x)) is not None] if isinstance(recorded, list) else []


def bounds(value: Any) -> tuple[float, float] | None:
    """`value` as an interval, if it is a list of two finite numbers; else None."""
    numbers = [v for x in value if (v := number(x)) is not None] if isinstance(value, list) else []
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def interval(line: Record, name: str) -> tuple[float, float] | None:
    """The 95% interval of the mean of a score; None if unknown."""
    return bounds(score(line, name).get("interval"))


def ratio(line: Record, other: str = ALL_LABELS) -> tuple[float, tuple[float, float] | None] | None:
    """The distance over that of another method, with its 95% interval or None; None if unknown."""
    by_baseline = line.get("ratios")
    record = by_baseline.get(other) if isinstance(by_baseline, Mapping) else None
    size = number(record.get("ratio")) if isinstance(record, Mapping) else None
    return None if size is None else (size, bounds(record.get("interval")))  # type: ignore[union-attr]


def percentage(value: float) -> str:
    """`0.971` -> `"97.1%"`."""
    return f"{100 * value:.1f}%"


def cell(label: str, value: float | None, show: Callable[[float], str]) -> Markup:
    """A table cell with a formatted value, or a dash; phones also show `label`."""
    text = ABSENT if value is None else show(value)
    return tag("td", text, data_label=label, data_value=value, title=value)


def estimate(line: Record, name: str, show: Callable[[float], str]) -> Markup:
    """A cell with the mean over runs and the half width of its interval; a tooltip lists the values."""
    average, ends = mean(line, name), interval(line, name)
    if average is None:
        return cell(heading(name), None, show)
    half_width = "" if ends is None else f" ± {show(ends[1] - average).rstrip('%')}"
    tooltip = ", ".join(map(show, values(line, name))) or show(average)
    text = tag("span", show(average), tag("small", half_width))  # one box, next to the label on phones
    return tag("td", text, data_label=heading(name), data_value=average, title=tooltip)


def ratio_cell(line: Record, other: str = ALL_LABELS, label: str = RATIO) -> Markup:
    """A cell with the ratio to another method, its interval, and for all labels the verdict."""
    result = ratio(line, other)
    if result is None:
        return tag("td", ABSENT, data_label=label)
    size, ends = result
    note = "" if ends is None else f" {ends[0]:.2f} to {ends[1]:.2f}"
    judged = SHORT_VERDICTS.get(str(line.get("verdict"))) if other == ALL_LABELS else None
    words = f"{note}, {judged}" if note and judged else note
    return tag("td", tag("span", f"{size:.2f}", tag("small", words)), data_label=label, data_value=size)


def dot_plot(
    values: Sequence[float], interval: tuple[float, float] | None, largest: float, real: float | None
) -> Markup:
    """A dot plot of the values on an axis from 0 to `largest`, over the interval of their mean.

    A thin line marks real images.
    """
    if not values or largest <= 0:
        return Markup()

    def at(value: float) -> str:
        share = min(max(value / largest, 0.0), 1.0)
        return px(STRIP_MARGIN + share * (STRIP_WIDTH - 2 * STRIP_MARGIN))

    middle = STRIP_HEIGHT / 2
    parts = [tag("line", class_="rule", x1=at(0), x2=at(largest), y1=middle, y2=middle)]
    if real is not None:
        parts.append(tag("line", class_="mark", x1=at(real), x2=at(real), y1=0, y2=STRIP_HEIGHT))
    if interval is not None:
        parts.append(
            tag("line", class_="interval", x1=at(interval[0]), x2=at(interval[1]), y1=middle, y2=middle)
        )
    parts += [tag("circle", class_="value", cx=at(value), cy=middle, r=3) for value in values]
    return tag("svg", *parts, viewBox=f"0 0 {STRIP_WIDTH} {STRIP_HEIGHT}", class_="strip", aria_hidden="true")


def bar(value: float, largest: float) -> Markup:
    """A horizontal bar whose length is the share of `value` in `largest`."""
    share = value / largest if largest > 0 else 0.0
    return tag(
        "span", tag("span", style=f"width:{100 * max(0.0, share):.1f}%"), class_="bar", aria_hidden="true"
    )


def notes(study: StudyReport) -> Markup:
    """An explanation of the scores, and caveats."""
    extractor = study.summary.get("extractor")
    extractor = extractor if isinstance(extractor, dict) else {}
    tests = number(study.summary.get("test_images"))
    sentences = ["The Fréchet distance compares feature statistics of generated images with those of "]
    reference = "the training images" if study.data.get("held_out") == 0 else "held-out real images"
    sentences.append(
        reference if tests is None or reference.startswith("the") else f"{count(tests)} {reference}"
    )
    if extractor.get("name"):
        sentences.append(f". The features are those of the extractor “{extractor['name']}”")
        sentences.append(f" (sha256 {str(extractor['sha256'])[:12]}…)" if extractor.get("sha256") else "")
        sentences.append("; scores of different extractors are not comparable")
    if any(mean(line, AGREEMENT) is not None for line in study.lines):
        sentences.append(
            ". Class agreement is the share of generated images that a classifier trained on real images "
            "assigns to the requested class; unconditional generators have none"
        )
        if study.real_scores.get(AGREEMENT) is not None:
            sentences.append(". For real images it is measured on the held-out ones")
    if any(ratio(line) for line in study.lines):
        sentences.append(
            ". A method is as good as all labels if the whole interval of the ratio lies below "
            f"{1 + MARGIN:g}, and worse if it lies above"
        )
    if any(mean(line, "within_class_spread") is not None for line in study.lines):
        sentences.append(
            ". Within-class spread is the variance of features within a class, over that of held-out images"
        )
    if any(mean(line, "class_matched_distance") is not None for line in study.lines):
        sentences.append(
            ". The distance in matched class shares weights generated images so that their classes, as the "
            "extractor predicts them, are as frequent as those of real images"
        )
    if any(mean(line, "authenticity") is not None for line in study.lines):
        sentences.append(
            ". Authenticity is the share of generated images whose nearest training image is nearer to "
            "another training image than to them; copies are not. Beside it is that of held-out images: a "
            "GAN far below it copies training images or draws only typical ones, a GAN above it is no better "
            "for that"
        )
    several = any(interval(line, DISTANCE) for line in study.lines)
    sentences.append(
        ". Dots are runs" + (", the bar behind them is the 95% interval of their mean" if several else "")
    )
    sentences.append(
        "" if study.real_scores.get(DISTANCE) is None else ", and the thin line marks real images"
    )
    caveats = [tag("li", note) for note in study.notes]
    return join(
        tag("p", "".join(sentences) + ".", class_="note"),
        tag("ul", *caveats, class_="note") if caveats else "",
    )


def left_out(study: StudyReport) -> Markup:
    """The methods and measurements that the available labels did not allow."""
    lines = study.data.get("left_out")
    if not isinstance(lines, list) or not lines:
        return Markup()
    return tag("ul", *(tag("li", str(line)) for line in lines))


def configuration(study: StudyReport) -> Markup:
    """Settings, times, versions and operative configurations."""
    blocks = []
    settings = {
        name: value for name, value in study.settings.items() if name != "command"
    }  # the footer shows it
    if settings:
        blocks.append(block("Settings", pairs(settings)))
    seconds = study.summary.get("seconds")
    if isinstance(seconds, Mapping) and seconds:
        blocks.append(block("Time by stage", stage_table(seconds)))
    software = study.summary.get("versions")
    if isinstance(software, Mapping) and software:
        blocks.append(block("Versions", pairs(software)))
    configs = [
        tag(
            "details",
            tag("summary", f"Operative configuration: {name_of(m.key)}"),
            tag("pre", tag("code", m.operative_config)),
        )
        for m in study.runs
        if m.operative_config
    ]
    return join(tag("div", *blocks, class_="blocks"), *configs) if blocks or configs else Markup()


def block(title: str, table: Markup) -> Markup:
    """A titled table."""
    return tag("div", tag("h3", title), table)


def pairs(values: Mapping[str, Any]) -> Markup:
    """A table of keys and values."""
    rows = [tag("tr", tag("th", key, scope="row"), tag("td", plain(value))) for key, value in values.items()]
    return tag("table", tag("tbody", *rows), class_="pairs")


def stage_table(seconds: Mapping[str, Any]) -> Markup:
    """A table of the time of each stage, with bars and the total."""
    known = {stage: value for stage, s in seconds.items() if (value := number(s)) is not None}
    largest = max(known.values(), default=0.0)
    rows = [
        tag(
            "tr",
            tag("th", heading(stage), scope="row"),
            tag("td", duration(value), class_="figure"),
            tag("td", bar(value, largest), class_="bar-cell"),
        )
        for stage, value in known.items()
    ]
    total = tag(
        "tr",
        tag("th", "Total", scope="row"),
        tag("td", duration(sum(known.values())), class_="figure"),
        tag("td"),
    )
    return tag("table", tag("tbody", *rows), tag("tfoot", total), class_="pairs")


def class_table(names: Sequence[str], columns: Mapping[str, Sequence[int]]) -> Markup:
    """A table of counts per class, one column per kind of label; bars show the last column."""
    *_, last = columns.values()
    largest = max(last, default=0)
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            *(tag("td", count(counts[i]), class_="figure") for counts in columns.values()),
            tag("td", bar(last[i], largest), class_="bar-cell"),
        )
        for i, name in enumerate(names)
    ]
    heads = (tag("th", head, scope="col") for head in ("Class", *columns))
    head = tag("thead", tag("tr", *heads, tag("td")))
    return tag("table", head, tag("tbody", *rows), class_="pairs")
