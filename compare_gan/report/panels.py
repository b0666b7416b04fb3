"""The sections made of pictures: labels, samples, their evolution, interpolations, curves."""

from collections.abc import Sequence

import numpy as np

from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.core.words import listed
from compare_gan.report import figures
from compare_gan.report.budgets import distance_figure
from compare_gan.report.charts import Axes, Series, axes_for, curves, heat_map, legend
from compare_gan.report.collect import Checked, Grid, LabelQuality, Log, StudyReport, curve, number
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.tables import class_table
from compare_gan.report.words import ABSENT, compact, count, name_of, percent

FEW = {name for name, method in LABEL_METHODS.items() if method.from_few}

MOST_CLASSES = 25  # beyond which a matrix cannot be read, and only its worst cells are listed
LOSSES = ("loss/d", "loss/g")
PRETRAINING = {"loss": "loss", "accuracy": "accuracy (0.25 by chance)"}
FOUR_WIDE, THREE_WIDE, PHONE = 270, 360, 368  # CSS pixels for a picture beside others, and alone
WIDEST = 552  # so that two large ones still stand side by side


def distances(study: StudyReport) -> Markup:
    """The study's figure, where more than one number of labels was tried."""
    figure = distance_figure(study.lines, number(study.real_scores.get("frechet_distance")))
    if not figure:
        return Markup()
    said = (
        "Points are means over runs; whiskers reach from the lowest run to the highest. Level lines belong "
        "to what does not depend on the number of labels."
    )
    return join(tag("p", said), tag("div", figure, class_="scroll"))


def label_inference(study: StudyReport) -> Markup:
    quality, grouped = study.labels, clusters(study)
    if quality is None:
        return grouped
    several = accuracies(study)
    right = correct(quality)
    if several and (few := [run.record for run in study.runs if run.key in FEW]):
        labels, seed = number(few[0].get("labels")), few[0].get("seed")
        right = f"With {count(labels or 0)} labels and seed {seed}: {right}"
    tables = [several] if several else []
    blocks = []
    legible = len(quality.class_names) <= MOST_CLASSES
    checked = quality.hidden or quality.test
    if checked and legible:
        whose = "training images whose label was hidden" if quality.hidden else "labelled held-out images"
        caption = (
            f"{count(checked.images)} {whose}. Rows are true classes, columns inferred ones; shade is the "
            "square root of the row's share."
        )
        picture = heat_map(checked.confusion, quality.class_names)
        blocks.append(tag("figure", picture, tag("figcaption", caption)))
    if quality.balance and legible:
        kinds = {"True": quality.true, "Kept": quality.kept, "Inferred": quality.balance}
        columns = {name: counts for name, counts in kinds.items() if counts}
        title = tag("h3", "Labels of each class, over all training images")
        tables += [title, class_table(quality.class_names, columns)]
    if tables:
        blocks.insert(0, tag("div", *tables))
    told = [right, *([mistakes(checked, quality.class_names)] if checked else [])]
    parts = [tag("p", " ".join(told)), tag("div", *blocks, class_="blocks labels")]
    return join(*parts, doubts(study, quality), grouped)


def correct(quality: LabelQuality) -> str:
    """How many inferred labels are right, in words."""
    told = []
    for checked, whose in ((quality.hidden, "hidden labels"), (quality.test, "labelled held-out images")):
        if checked is not None and checked.accuracy is not None:
            told.append(f"{percent(checked.accuracy)} of {count(checked.images)} {whose}")
    if not told:
        return "No known label was hidden, so it is not known how many inferred labels are right."
    return f"Inferred right: {listed(told)}."


def clusters(study: StudyReport) -> Markup:
    """How well the clusters agree with the classes; nothing where there are none."""
    purities = [purity for record in study.clusters if (purity := number(record.get("purity"))) is not None]
    shared = [m for record in study.clusters if (m := number(record.get("mutual_information"))) is not None]
    if not purities or not shared:
        return Markup()
    low, high = percent(min(purities)), percent(max(purities))
    said = (
        f"Clusters of features, for the method of that name: {low if low == high else f'{low} to {high}'} of "
        f"the images are of their cluster's most frequent class; normalised mutual information with the "
        f"classes {np.median(shared):.2f}. No label has gone into them."
    )
    return tag("p", said, class_="note")


ACCURACIES = {
    "accuracy": "hidden labels",
    "test_accuracy": "held-out images",
    "probe": "held-out images, linear on features",
}


def accuracies(study: StudyReport) -> Markup:
    """Accuracy by the number of kept labels, mean over seeds; nothing for one number of labels."""
    rows = []
    kept = sorted({n for record in study.label_sets if (n := number(record.get("kept")))})
    for n in kept:
        records = [record for record in study.label_sets if number(record.get("kept")) == n]
        means = []
        for key in ACCURACIES:
            values = [value for record in records if (value := number(record.get(key))) is not None]
            means.append(tag("td", percent(float(np.mean(values))) if values else ABSENT, class_="figure"))
        rows.append(tag("tr", tag("th", count(n), scope="row"), *means))
    if len(rows) < 2:
        return Markup()
    heads = [tag("th", name, scope="col") for name in ("Labels", *ACCURACIES.values())]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="pairs")
    return join(tag("h3", "Share of inferred labels that are right, mean over seeds"), table)


def doubts(study: StudyReport, quality: LabelQuality) -> Markup:
    """The images whose label is least certain, the worst first, with what was made of them."""
    grid, names = study.doubtful, quality.class_names
    if grid is None or not quality.least_certain:
        return Markup()
    cells = figures.tiles(grid)[0]
    pictures = []
    for pixels, doubt in zip(cells, quality.least_certain, strict=False):
        wrong = doubt.true not in (doubt.inferred, -1)
        said = f"{names[doubt.inferred]}, {percent(doubt.confidence)} sure"
        truth = tag("span", f"is {names[doubt.true]}", class_="wrong") if wrong else ""
        crisp = "crisp" if max(grid.tile) < figures.CRISP_BELOW else None
        image = tag(
            "img", src=figures.data_uri(pixels), width=64, height=64, alt=f"Uncertain: {said}", class_=crisp
        )
        pictures.append(tag("figure", image, tag("figcaption", said, truth)))
    title = tag("h3", "Training images whose label is least certain")
    return join(title, tag("div", *pictures, class_="doubts"))


def mistakes(checked: Checked, names: Sequence[str]) -> str:
    wrong = checked.confusion * (1 - np.eye(len(checked.confusion), dtype=int))
    worst = [divmod(int(i), len(wrong)) for i in np.argsort(-wrong, axis=None, kind="stable")[:3]]
    told = [f"{names[a]} taken for {names[b]} ({count(int(wrong[a, b]))})" for a, b in worst if wrong[a, b]]
    return f"Most common mistakes: {', '.join(told)}." if told else "There are no mistakes."


def samples(study: StudyReport) -> Markup:
    pictures, order = [], ""
    which = shown_runs(study)
    if study.real:
        real = figures.corner(study.real)
        alt = f"Held-out real images, {real.rows} rows of {real.columns}, one class a row."
        pictures.append(picture(whole(real), real, "Real images", FOUR_WIDE, alt, ", held out"))
        names = study.labels.class_names if study.labels else ()
        if len(names) == study.real.rows:
            order = f" Rows of classes, from the top: {', '.join(names[: real.rows])}."
    for m in study.runs:
        if m.samples:
            step = max(m.samples)
            grid = figures.corner(m.samples[step])
            name = name_of(m.key)
            alt = f"Generated images of {name} at step {step}, {grid.rows} rows of {grid.columns}."
            pictures.append(picture(whole(grid), grid, name, FOUR_WIDE, alt, f", step {count(step)}"))
    said = (
        "Not hand-picked. Real images and those of generators that are given true classes have one class a "
        "row. Elsewhere a row is a cluster or a random label, or has no meaning."
    )
    return gallery(f"{said}{order}{which}", pictures)


def shown_runs(study: StudyReport) -> str:
    """Which runs the pictures are from, if there are several of a method."""
    if all((number(line.get("seeds")) or 1) == 1 for line in study.lines) and not distances(study):
        return ""
    kept = [n for run in study.runs if run.key in FEW and (n := number(run.record.get("labels")))]
    few = f"; methods that use few labels had {count(kept[0])}" if kept else ""
    return f" All runs shown are those of the first seed{few}."


def evolution(study: StudyReport) -> Markup:
    pictures = []
    for m in study.runs:
        if len(m.samples) > 1:
            grids = list(m.samples.values())
            name, first, last = name_of(m.key), min(m.samples), max(m.samples)
            alt = f"{name}: the same latent vectors (rows) at {len(grids)} steps, {first} to {last}."
            pixels = figures.evolution(grids)
            pictures.append(
                picture(pixels, grids[0], name, THREE_WIDE, alt, below=step_axis(list(m.samples)))
            )
    return gallery("Every row follows one fixed latent vector; every column is one training step.", pictures)


def step_axis(steps: Sequence[int]) -> Markup:
    columns = f"grid-template-columns:repeat({len(steps)},1fr)"
    return tag("div", *(tag("span", compact(step)) for step in steps), class_="steps", style=columns)


def interpolations(study: StudyReport) -> Markup:
    pictures = []
    for m in study.runs:
        if m.interpolation:
            grid = figures.corner(m.interpolation)
            name = name_of(m.key)
            alt = f"{name}: {grid.rows} walks of {grid.columns} images between two latent vectors."
            pictures.append(picture(whole(grid), grid, name, THREE_WIDE, alt))
    return gallery(
        "Each row walks in equal steps from one latent vector (left) to another (right).", pictures
    )


def whole(grid: Grid) -> np.ndarray:
    return figures.montage(figures.tiles(grid))


def gallery(said: str, pictures: Sequence[Markup]) -> Markup:
    return join(tag("p", said), tag("div", *pictures, class_="pictures")) if pictures else Markup()


def picture(
    pixels: np.ndarray, grid: Grid, name: str, room: int, alt: str, note: str = "", below: str = ""
) -> Markup:
    """Pixels magnified a whole number of times to fill `room`, so that small tiles stay crisp."""
    height, width = pixels.shape[:2]
    wide, phone = (min(max(1, r // width) * width, WIDEST) for r in (room, PHONE))
    sizes = f"--wide:{wide}px;--phone:{phone}px"
    crisp = "crisp" if max(grid.tile) < figures.CRISP_BELOW else None
    image = tag("img", src=figures.data_uri(pixels), width=width, height=height, alt=alt, class_=crisp)
    return tag("figure", image, below, tag("figcaption", tag("strong", name), note), style=sizes)


def training(study: StudyReport) -> Markup:
    blocks = []
    losses = {m.key: series_of(m.metrics, LOSSES) for m in study.runs}
    everything = [s for series in losses.values() for s in series]
    if everything:
        axes = axes_for(everything)
        charts = [chart(name_of(k), series, axes, "loss") for k, series in losses.items() if series]
        names = list(dict.fromkeys(s.name for s in everything))
        blocks += [tag("h3", "Losses of both networks"), legend(names), tag("div", *charts, class_="charts")]
    if pretrain := pretraining(study.pretrain):
        blocks += [tag("h3", "Rotation pre-training"), tag("div", *pretrain, class_="charts")]
    others = other_values(study)
    if others:
        keys = legend([name_of(m.key) for m in study.runs])
        inner = (tag("summary", "All other recorded values"), keys, tag("div", *others, class_="charts"))
        blocks.append(tag("details", *inner))
    if not blocks:
        return Markup()
    return join(tag("p", "Faint lines are values as recorded, strong ones a running mean."), *blocks)


def pretraining(log: Log) -> list[Markup]:
    charts = []
    for key in PRETRAINING:
        if series := series_of(log, [key]):
            fitted = axes_for(series)
            axes = Axes(fitted.x, (0.0, 1.0)) if key == "accuracy" else fitted
            charts.append(chart(f"Rotation {key}", series, axes, PRETRAINING[key]))
    return charts


def other_values(study: StudyReport) -> list[Markup]:
    """A chart for each further key, one line a method, always in the colour of its place in the study."""
    hidden = {"step", "seconds", *LOSSES}
    keys = dict.fromkeys(k for m in study.runs for record in m.metrics for k in record if k not in hidden)
    charts = []
    for key in keys:
        series = [Series(name_of(m.key), *curve(m.metrics, key), i) for i, m in enumerate(study.runs)]
        if drawn := [s for s in series if len(s.x)]:
            charts.append(chart(key, drawn, axes_for(drawn), key))
    return charts


def series_of(log: Log, keys: Sequence[str]) -> list[Series]:
    series = [Series(name_of(key), *curve(log, key), i) for i, key in enumerate(keys)]
    return [s for s in series if len(s.x)]


def chart(title: str, series: Sequence[Series], axes: Axes, label: str) -> Markup:
    ends = [f"{s.name} ends at {np.mean(s.y[-10:]):.3g}" for s in series]
    drawing = curves(series, axes, label=label, description=f"{title} over steps: {', '.join(ends)}.")
    return tag("figure", tag("figcaption", tag("strong", title)), drawing)
