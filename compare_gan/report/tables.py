"""The sections made of tables: scores and configuration."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compare_gan.core.statistics import decimals
from compare_gan.report.budgets import REAL
from compare_gan.report.charts import px
from compare_gan.report.collect import Record, StudyReport, number
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.words import ABSENT, count, duration, heading, name_of, plain

DISTANCE, AGREEMENT, BASELINE = "frechet_distance", "class_agreement", "all_labels"
STRIP_WIDTH, STRIP_HEIGHT, STRIP_MARGIN = 160, 16, 5  # pixels of a drawing of all values


def scores(study: StudyReport) -> Markup:
    """A line for each method with a label budget, and one for real images."""
    lines = study.lines
    if not lines:
        return Markup()
    real, real_agreement = (number(study.real_scores.get(name)) for name in (DISTANCE, AGREEMENT))
    distances = [values(line, DISTANCE) for line in lines]
    everything = [value for found in distances for value in found]
    places, longest = decimals(everything), max([*everything, real or 0.0])
    against = any(difference(line) is not None for line in lines)
    agreeing = any(mean(line, AGREEMENT) is not None for line in lines)
    extra = list(dict.fromkeys(name for line in lines for name in scores_of(line)))
    extra = [name for name in extra if name not in (DISTANCE, AGREEMENT)]

    def distance(value: float) -> str:
        return f"{value:,.{places}f}"

    heads = [
        tag("th", "Method", scope="col"),
        tag("th", "Labels", scope="col"),
        tag("th", heading(DISTANCE), tag("small", "lower is better"), scope="col", colspan=2, class_="wide"),
        *(
            [tag("th", "Difference", tag("small", "from all labels, 95% interval"), scope="col")]
            if against
            else []
        ),
        *([tag("th", heading(AGREEMENT), tag("small", "higher is better"), scope="col")] if agreeing else []),
        *(tag("th", heading(name), scope="col") for name in extra),
        tag("th", "Runs", scope="col"),
        tag("th", "Steps", scope="col"),
        tag("th", "Time", tag("small", "of one run"), scope="col"),
    ]
    rows = [
        tag(
            "tr",
            tag("th", name_of(str(line.get("method"))), scope="row"),
            cell("Labels", number(line.get("labels")) or None, count),
            estimate(line, DISTANCE, distance),
            tag("td", strip(found, interval(line, DISTANCE), longest, real), class_="bar-cell"),
            *([difference_cell(line, places)] if against else []),
            *([estimate(line, AGREEMENT, percentage)] if agreeing else []),
            *(estimate(line, name, "{:.10g}".format) for name in extra),
            cell("Runs", number(line.get("seeds")), count),
            cell("Steps", number(line.get("steps")), count),
            cell("Time", number(line.get("seconds")), duration),
        )
        for line, found in zip(lines, distances, strict=True)
    ]
    if real is not None:
        rows.append(
            tag(
                "tr",
                tag("th", REAL, scope="row"),
                cell("Labels", None, count),
                cell(heading(DISTANCE), real, lambda value: f"{value:,.{decimals([value])}f}"),
                tag("td", strip([real], None, longest, real), class_="bar-cell"),
                *([tag("td", ABSENT, data_label="Difference from all labels")] if against else []),
                *([cell(heading(AGREEMENT), real_agreement, percentage)] if agreeing else []),
                *(cell(heading(name), None, count) for name in [*extra, "runs", "steps", "time"]),
                class_="real",
            )
        )
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="scores cards")
    return join(tag("div", table, class_="scroll"), notes(study))


def scores_of(line: Record) -> Record:
    found = line.get("scores")
    return found if isinstance(found, Mapping) else {}


def score(line: Record, name: str) -> Record:
    """What is known of a score; empty where that is nothing."""
    found = scores_of(line).get(name)
    return found if isinstance(found, Mapping) else {}


def mean(line: Record, name: str) -> float | None:
    return number(score(line, name).get("mean"))


def values(line: Record, name: str) -> list[float]:
    """The scores of all runs."""
    found = score(line, name).get("values")
    return [v for x in found if (v := number(x)) is not None] if isinstance(found, list) else []


def bounds(found: Any) -> tuple[float, float] | None:
    """A pair of numbers."""
    usable = [v for x in found if (v := number(x)) is not None] if isinstance(found, list) else []
    return (usable[0], usable[1]) if len(usable) == 2 else None


def interval(line: Record, name: str) -> tuple[float, float] | None:
    return bounds(score(line, name).get("interval"))


def difference(line: Record) -> tuple[float, tuple[float, float]] | None:
    """The distance minus that of all labels, and the interval of it, where there is one."""
    found = line.get("differences")
    found = found.get(BASELINE) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    size, around = number(found.get("difference")), bounds(found.get("interval"))
    return None if size is None or around is None else (size, around)


def percentage(value: float) -> str:
    return f"{100 * value:.1f}%"


def cell(label: str, value: float | None, show: Callable[[float], str]) -> Markup:
    return tag("td", ABSENT if value is None else show(value), data_label=label, title=value)


def estimate(line: Record, name: str, show: Callable[[float], str]) -> Markup:
    """The mean over runs and the half width of its interval; the values themselves as a tooltip."""
    middle, around = mean(line, name), interval(line, name)
    if middle is None:
        return cell(heading(name), None, show)
    half = "" if around is None else f" ± {show(around[1] - middle).rstrip('%')}"
    told = ", ".join(map(show, values(line, name))) or show(middle)
    shown = tag("span", show(middle), tag("small", half))  # one box, where a phone sets label and value apart
    return tag("td", shown, data_label=heading(name), title=told)


def difference_cell(line: Record, places: int) -> Markup:
    found = difference(line)
    if found is None:
        return tag("td", ABSENT, data_label="Difference from all labels")
    size, (low, high) = found
    around = tag("small", f" {low:+.{places}f} to {high:+.{places}f}")
    return tag("td", tag("span", f"{size:+.{places}f}", around), data_label="Difference from all labels")


def strip(
    found: Sequence[float], around: tuple[float, float] | None, longest: float, real: float | None
) -> Markup:
    """All values as dots from 0 to the longest distance, over the interval of their mean.

    A thin line marks real images.
    """
    if not found or longest <= 0:
        return Markup()

    def at(value: float) -> str:
        share = min(max(value / longest, 0.0), 1.0)
        return px(STRIP_MARGIN + share * (STRIP_WIDTH - 2 * STRIP_MARGIN))

    middle = STRIP_HEIGHT / 2
    parts = [tag("line", class_="rule", x1=at(0), x2=at(longest), y1=middle, y2=middle)]
    if real is not None:
        parts.append(tag("line", class_="mark", x1=at(real), x2=at(real), y1=0, y2=STRIP_HEIGHT))
    if around is not None:
        parts.append(tag("line", class_="interval", x1=at(around[0]), x2=at(around[1]), y1=middle, y2=middle))
    parts += [tag("circle", class_="value", cx=at(value), cy=middle, r=3) for value in found]
    return tag("svg", *parts, viewBox=f"0 0 {STRIP_WIDTH} {STRIP_HEIGHT}", class_="strip", aria_hidden="true")


def bar(value: float, longest: float) -> Markup:
    share = value / longest if longest > 0 else 0.0
    return tag(
        "span", tag("span", style=f"width:{100 * max(0.0, share):.1f}%"), class_="bar", aria_hidden="true"
    )


def notes(study: StudyReport) -> Markup:
    """What the scores mean, and what they do not show."""
    extractor = study.summary.get("extractor")
    extractor = extractor if isinstance(extractor, dict) else {}
    tests = number(study.summary.get("test_images"))
    said = ["The Fréchet distance compares feature statistics of generated images with those of "]
    which = "the training images" if study.data.get("held_out") == 0 else "held-out real images"
    said.append(which if tests is None or which.startswith("the") else f"{count(tests)} {which}")
    if extractor.get("name"):
        said.append(f". The features are those of the extractor “{extractor['name']}”")
        said.append(f" (sha256 {str(extractor['sha256'])[:12]}…)" if extractor.get("sha256") else "")
        said.append("; scores of another extractor are not comparable")
    if any(mean(line, AGREEMENT) is not None for line in study.lines):
        said.append(
            ". Class agreement is the share of generated images that a classifier of real images puts in the "
            "class they were asked for; a generator that takes no class has none"
        )
        if study.real_scores.get(AGREEMENT) is not None:
            said.append(". For real images it is that of the held-out ones")
    several = any(interval(line, DISTANCE) for line in study.lines)
    said.append(
        ". Dots are runs" + (", the bar behind them is the interval of their mean" if several else "")
    )
    said.append("" if study.real_scores.get(DISTANCE) is None else ", and the thin line marks real images")
    caveats = [tag("li", note) for note in study.notes]
    return join(
        tag("p", "".join(said) + ".", class_="note"), tag("ul", *caveats, class_="note") if caveats else ""
    )


def left_out(study: StudyReport) -> Markup:
    """What the study could not do with the labels there are."""
    lines = study.data.get("left_out")
    if not isinstance(lines, list) or not lines:
        return Markup()
    return tag("ul", *(tag("li", str(line)) for line in lines))


def configuration(study: StudyReport) -> Markup:
    blocks = []
    settings = {name: value for name, value in study.settings.items() if name != "command"}  # in the footer
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
    return tag("div", tag("h3", title), table)


def pairs(values: Mapping[str, Any]) -> Markup:
    rows = [tag("tr", tag("th", key, scope="row"), tag("td", plain(value))) for key, value in values.items()]
    return tag("table", tag("tbody", *rows), class_="pairs")


def stage_table(seconds: Mapping[str, Any]) -> Markup:
    known = {stage: value for stage, s in seconds.items() if (value := number(s)) is not None}
    longest = max(known.values(), default=0.0)
    rows = [
        tag(
            "tr",
            tag("th", heading(stage), scope="row"),
            tag("td", duration(value), class_="figure"),
            tag("td", bar(value, longest), class_="bar-cell"),
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
    """Counts of each class, a column a kind; bars show the last column."""
    *_, last = columns.values()
    longest = max(last, default=0)
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            *(tag("td", count(counts[i]), class_="figure") for counts in columns.values()),
            tag("td", bar(last[i], longest), class_="bar-cell"),
        )
        for i, name in enumerate(names)
    ]
    heads = (tag("th", head, scope="col") for head in ("Class", *columns))
    head = tag("thead", tag("tr", *heads, tag("td")))
    return tag("table", head, tag("tbody", *rows), class_="pairs")
