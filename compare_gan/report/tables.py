"""The sections made of tables: scores and configuration."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compare_gan.report.collect import Record, Study, number
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.words import ABSENT, count, decimals, duration, heading, name_of, plain

BASELINE = "all_labels"
SCORES = ("frechet_distance", "class_agreement")
Row = Sequence[Markup]


def scores(study: Study) -> Markup:
    lines = study.lines
    if not lines:
        return Markup()
    distances = [median(line, "frechet_distance") for line in lines]
    known = [d for d in distances if d is not None]
    baseline = next((d for x, d in zip(lines, distances, strict=True) if x.get("method") == BASELINE), None)
    several = any((number(line.get("seeds")) or 1) > 1 for line in lines)
    extra = list(dict.fromkeys(name for line in lines for name in scores_of(line) if name not in SCORES))
    places = decimals(known)

    def distance(value: float) -> str:
        return f"{value:,.{places}f}"

    def column(
        name: str, show: Callable[[float], str], best: Callable[..., float] | None = None
    ) -> list[Markup]:
        values = [median(line, name) for line in lines]
        known = [v for v in values if v is not None]
        winner = best(known) if best and len(known) > 1 else None
        return [cell(heading(name), v, show, v is not None and v == winner) for v in values]

    def plain_column(key: str, label: str, show: Callable[[float], str]) -> list[Markup]:
        return [cell(label, number(line.get(key)), show, False) for line in lines]

    columns = [
        plain_column("labels", "Labels", lambda v: count(v) if v else ABSENT),
        column("frechet_distance", distance, min),
        [bar_cell(d, max(known, default=0.0)) for d in distances],
        *([[spread_cell(line, distance) for line in lines]] if several else []),
        *([[ratio(d, baseline) for d in distances]] if baseline else []),
        column("class_agreement", lambda v: f"{100 * v:.1f}%", max),
        *(column(name, lambda v: f"{v:.10g}") for name in extra),
        *([plain_column("seeds", "Seeds", count)] if several else []),
        plain_column("steps", "Steps", count),
        plain_column("seconds", "Time", duration),
    ]
    kind = "median, lower is better" if several else "lower is better"
    heads = [
        tag("th", "Method", scope="col"),
        tag("th", "Labels", scope="col"),
        tag("th", "Fréchet distance", tag("small", kind), scope="col", colspan=2, class_="wide"),
        *([tag("th", "Range", tag("small", "over seeds"), scope="col")] if several else []),
        *([tag("th", "Ratio", tag("small", "to all labels"), scope="col")] if baseline else []),
        tag("th", "Class agreement", tag("small", "higher is better"), scope="col"),
        *(tag("th", heading(name), scope="col") for name in extra),
        *([tag("th", "Seeds", scope="col")] if several else []),
        tag("th", "Steps", scope="col"),
        tag("th", "Time", scope="col"),
    ]
    rows = [
        tag("tr", tag("th", name_of(str(line.get("method"))), scope="row"), *cells)
        for line, *cells in zip(lines, *columns, strict=True)
    ]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="scores cards")
    return join(tag("div", table, class_="scroll"), notes(study))


def scores_of(line: Record) -> Record:
    found = line.get("scores")
    return found if isinstance(found, Mapping) else {}


def part(line: Record, name: str, key: str) -> float | None:
    """The median, lowest or highest of a score, where it is known."""
    found = scores_of(line).get(name)
    return number(found.get(key)) if isinstance(found, Mapping) else None


def median(line: Record, name: str) -> float | None:
    return part(line, name, "median")


def spread_cell(line: Record, show: Callable[[float], str]) -> Markup:
    low, high = (part(line, "frechet_distance", key) for key in ("lowest", "highest"))
    known = low is not None and high is not None and (number(line.get("seeds")) or 1) > 1
    return tag("td", f"{show(low)}–{show(high)}" if known else ABSENT, data_label="Range over seeds")  # type: ignore[arg-type]


def cell(label: str, value: float | None, show: Callable[[float], str], best: bool) -> Markup:
    shown = ABSENT if value is None else show(value)
    inner = tag("strong", shown, tag("span", " (best)", class_="unseen")) if best else shown
    return tag("td", inner, data_label=label, title=None if value is None else value)


def ratio(value: float | None, baseline: float) -> Markup:
    return cell(
        "Ratio to all labels", None if value is None else value / baseline, lambda v: f"{v:.2f} ×", False
    )


def bar_cell(value: float | None, longest: float) -> Markup:
    return tag("td", bar(value, longest) if value is not None else "", class_="bar-cell")


def bar(value: float, longest: float) -> Markup:
    share = value / longest if longest > 0 else 0.0
    return tag(
        "span", tag("span", style=f"width:{100 * max(0.0, share):.1f}%"), class_="bar", aria_hidden="true"
    )


def notes(study: Study) -> Markup:
    """What the scores mean, and how far they can be trusted."""
    summary = study.summary
    extractor = summary.get("extractor")
    extractor = extractor if isinstance(extractor, dict) else {}
    tests = number(summary.get("test_images"))
    seeds = max((int(number(line.get("seeds")) or 0) for line in study.lines), default=0)
    said = ["The Fréchet distance compares feature statistics of generated images with those of "]
    said.append("held-out real images" if tests is None else f"{count(tests)} held-out real images")
    if extractor.get("name"):
        said.append(f". The features are those of the extractor “{extractor['name']}”")
        said.append(f" (sha256 {str(extractor['sha256'])[:12]}…)" if extractor.get("sha256") else "")
        said.append("; distances from another extractor are on another scale")
    said.append(
        ". Class agreement is the share of generated images that a classifier of real images puts in the "
    )
    said.append("class they were asked to be; a generator that takes no class has none")
    if seeds == 1:
        said.append(". All figures come from one run each, so small differences prove nothing")
    return tag("p", "".join(said) + ".", class_="note")


def configuration(study: Study) -> Markup:
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


def class_table(names: Sequence[str], inferred: Sequence[int], true: Sequence[int] | None) -> Markup:
    """How often each class was inferred, next to how often it occurs where that is known."""
    longest = max([*inferred, *(true or ())], default=0)
    heads = ["Class", *(["True"] if true else []), "Inferred"]
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            *([tag("td", count(true[i]), class_="figure")] if true else []),
            tag("td", count(inferred[i]), class_="figure"),
            tag("td", bar(inferred[i], longest), class_="bar-cell"),
        )
        for i, name in enumerate(names)
    ]
    head = tag("thead", tag("tr", *(tag("th", h, scope="col") for h in heads), tag("td")))
    return tag("table", head, tag("tbody", *rows), class_="pairs")
