"""The sections made of tables: scores and configuration."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compare_gan.report.collect import Study, number
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.words import ABSENT, count, decimals, duration, heading, name_of, plain

BASELINE = "all_labels"
KNOWN_SCORES = ("frechet_distance", "class_agreement", "steps", "seconds")
Row = Sequence[Markup]


def scores(study: Study) -> Markup:
    if not study.methods:
        return Markup()
    distances = [number(m.scores.get("frechet_distance")) for m in study.methods]
    baseline = next((d for m, d in zip(study.methods, distances, strict=True) if m.key == BASELINE), None)
    extra = list(dict.fromkeys(k for m in study.methods for k in m.scores if k not in KNOWN_SCORES))

    def column(
        key: str, show: Callable[[float], str], best: Callable[..., float] | None = None
    ) -> list[Markup]:
        values = [number(m.scores.get(key)) for m in study.methods]
        known = [v for v in values if v is not None]
        winner = best(known) if best and len(known) > 1 else None
        return [cell(heading(key), v, show, v is not None and v == winner) for v in values]

    known = [d for d in distances if d is not None]
    places = decimals(known)
    columns = [
        column("frechet_distance", lambda v: f"{v:,.{places}f}", min),
        [bar_cell(d, max(known, default=0.0)) for d in distances],
        *([[ratio(d, baseline) for d in distances]] if baseline else []),
        column("class_agreement", lambda v: f"{100 * v:.1f}%", max),
        column("steps", count),
        column("seconds", duration),
        *(
            [tag("td", plain(m.scores.get(key)), data_label=heading(key)) for m in study.methods]
            for key in extra
        ),
    ]
    heads = [
        tag("th", "Method", scope="col"),
        tag("th", "Fréchet distance", tag("small", "lower is better"), scope="col", colspan=2, class_="wide"),
        *([tag("th", "Ratio", tag("small", "to all labels"), scope="col")] if baseline else []),
        tag("th", "Class agreement", tag("small", "higher is better"), scope="col"),
        tag("th", "Steps", scope="col"),
        tag("th", "Time", scope="col"),
        *(tag("th", heading(key), scope="col") for key in extra),
    ]
    rows = [
        tag("tr", tag("th", name_of(m.key), scope="row"), *cells)
        for m, *cells in zip(study.methods, *columns, strict=True)
    ]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="scores cards")
    return join(tag("div", table, class_="scroll"), notes(study))


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
    tests, seed = number(summary.get("test_images")), summary.get("seed")
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
    if seed is not None:
        said.append(f". All figures come from one run with seed {seed}, so small differences prove nothing")
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
        for m in study.methods
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
