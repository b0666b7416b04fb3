"""The graphical sections of the page: labels, samples, their evolution, interpolations, training curves."""

import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from compare_gan.core.label_methods import find_method
from compare_gan.core.words import listed
from compare_gan.report import figures
from compare_gan.report.budgets import distance_figure
from compare_gan.report.charts import Axes, Series, axes_for, curves, heat_map, legend
from compare_gan.report.collect import Grid, LabelAccuracy, LabelQuality, Log, StudyReport, curve, number
from compare_gan.report.film import excerpt
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.tables import class_table
from compare_gan.report.words import ABSENT, compact, count, name_of, percent

MAX_MATRIX_CLASSES = 25  # with more, only the most frequent confusions are listed
LOSSES = ("loss/d", "loss/g")
PRETRAINING = {"loss": "loss", "accuracy": "accuracy (chance: 0.25)"}
FOUR_COLUMNS, THREE_COLUMNS, PHONE = 270, 360, 368  # width in CSS pixels of a picture in a row of 4, 3 or 1
MAX_WIDTH = 552  # CSS pixels; two such pictures fit side by side


def distances(study: StudyReport) -> Markup:
    """The plot of distance against labels; empty with a single number of labels."""
    figure = distance_figure(study.lines, number(study.real_scores.get("frechet_distance")))
    if not figure:
        return Markup()
    caption = (
        "Points are means; whiskers are 95% intervals, or span the lowest and highest run where there is no "
        "interval. Horizontal lines do not depend on the number of labels. A method is as good as all labels "
        "if its whole interval lies below the dashed line."
    )
    return join(tag("p", caption), tag("div", figure, class_="scroll"))


def label_inference(study: StudyReport) -> Markup:
    """The quality of inferred labels: accuracy, confusion matrix, class counts, uncertain images."""
    quality, cluster_note = study.labels, clusters(study)
    if quality is None:
        return cluster_note
    by_budget = accuracies(study)
    accuracy = accuracy_sentence(quality)
    if by_budget and (few := [run.record for run in study.runs if from_few(run.key)]):
        labels, seed = number(few[0].get("labels")), few[0].get("seed")
        accuracy = f"With {count(labels or 0)} labels and seed {seed}: {accuracy}"
    tables = [by_budget] if by_budget else []
    blocks = []
    legible = len(quality.class_names) <= MAX_MATRIX_CLASSES
    evaluated = quality.hidden or quality.test
    if evaluated and legible:
        images = "training images with a hidden label" if quality.hidden else "labelled held-out images"
        caption = (
            f"{count(evaluated.images)} {images}. Rows are true classes, columns inferred ones; the shade is "
            "the square root of the share of the row."
        )
        picture = heat_map(evaluated.confusion, quality.class_names)
        blocks.append(tag("figure", picture, tag("figcaption", caption)))
    if quality.balance and legible:
        kinds = {"True": quality.true, "Kept": quality.kept, "Inferred": quality.balance}
        columns = {name: counts for name, counts in kinds.items() if counts}
        title = tag("h3", "Labels per class, over all training images")
        tables += [title, class_table(quality.class_names, columns)]
    if tables:
        blocks.insert(0, tag("div", *tables))
    sentences = [accuracy, *([mistakes(evaluated, quality.class_names)] if evaluated else [])]
    parts = [tag("p", " ".join(sentences)), tag("div", *blocks, class_="blocks labels")]
    return join(*parts, uncertain_images(study, quality), cluster_note)


def from_few(key: str) -> bool:
    """Whether a method depends on which labels are kept."""
    found = find_method(key)
    return found is not None and found.from_few


def accuracy_sentence(quality: LabelQuality) -> str:
    """The accuracy of inferred labels as a sentence."""
    accuracies = []
    for evaluated, images in ((quality.hidden, "hidden labels"), (quality.test, "labelled held-out images")):
        if evaluated is not None and evaluated.accuracy is not None:
            accuracies.append(f"{percent(evaluated.accuracy)} on {count(evaluated.images)} {images}")
    if not accuracies:
        return "No known label was hidden, so the accuracy of inferred labels is unknown."
    return f"Accuracy of inferred labels: {listed(accuracies)}."


def clusters(study: StudyReport) -> Markup:
    """The agreement of clusters with classes; empty if there are no clusters."""
    purities = [value for record in study.clusters if (value := number(record.get("purity"))) is not None]
    shared = [m for record in study.clusters if (m := number(record.get("mutual_information"))) is not None]
    if not purities or not shared:
        return Markup()
    low, high = percent(min(purities)), percent(max(purities))
    purity = low if low == high else f"{low} to {high}"
    text = (
        f"Clusters of features, used by the method Clustering: purity {purity}, "
        f"normalised mutual information with the classes {np.median(shared):.2f}. They use no labels."
    )
    return tag("p", text, class_="note")


ACCURACIES = {
    "accuracy": "hidden labels",
    "test_accuracy": "held-out images",
    "probe": "held-out images, linear on features",
}


def accuracies(study: StudyReport) -> Markup:
    """Accuracy by number of kept labels, mean over seeds; empty with a single number of labels."""
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
    return join(tag("h3", "Accuracy of inferred labels, mean over seeds"), table)


def uncertain_images(study: StudyReport, quality: LabelQuality) -> Markup:
    """The images with the least certain labels, least certain first, with inferred and true class."""
    grid, names = study.uncertain_grid, quality.class_names
    if grid is None or not quality.least_certain:
        return Markup()
    cells = figures.tiles(grid)[0]
    pictures = []
    for pixels, label in zip(cells, quality.least_certain, strict=False):
        wrong = label.true not in (label.inferred, -1)
        prediction = f"{names[label.inferred]}, {percent(label.confidence)}"
        truth = tag("span", f"true class: {names[label.true]}", class_="wrong") if wrong else ""
        crisp = "crisp" if max(grid.tile) < figures.CRISP_BELOW else None
        image = tag(
            "img",
            src=figures.data_uri(pixels),
            width=64,
            height=64,
            alt=f"Uncertain: {prediction}",
            class_=crisp,
        )
        pictures.append(tag("figure", image, tag("figcaption", prediction, truth)))
    title = tag("h3", "Training images with the least certain labels")
    return join(title, tag("div", *pictures, class_="doubts"))


def mistakes(evaluated: LabelAccuracy, names: Sequence[str]) -> str:
    """The three most frequent confusions as a sentence."""
    wrong = evaluated.confusion * (1 - np.eye(len(evaluated.confusion), dtype=int))
    pairs = [divmod(int(i), len(wrong)) for i in np.argsort(-wrong, axis=None, kind="stable")[:3]]
    errors = [f"{names[a]} as {names[b]} ({count(int(wrong[a, b]))})" for a, b in pairs if wrong[a, b]]
    return f"Most common errors: {', '.join(errors)}." if errors else "There are no errors."


def samples(study: StudyReport) -> Markup:
    """Real images and the last samples of each run."""
    pictures, order = [], ""
    source = shown_runs(study)
    if study.real:
        real = figures.crop(study.real)
        alt = f"Held-out real images, {real.rows} rows of {real.columns}, one class per row."
        pictures.append(picture(montage_of(real), real, "Real images", FOUR_COLUMNS, alt, ", held out"))
        names = study.labels.class_names if study.labels else ()
        if len(names) == study.real.rows:
            order = f" Classes from the top row: {', '.join(names[: real.rows])}."
    for m in study.runs:
        if m.samples:
            step = max(m.samples)
            grid = figures.crop(m.samples[step])
            name = name_of(m.key)
            alt = f"Generated images of {name} at step {step}, {grid.rows} rows of {grid.columns}."
            pictures.append(picture(montage_of(grid), grid, name, FOUR_COLUMNS, alt, f", step {count(step)}"))
    caption = (
        "Not hand-picked. Real images and samples conditioned on true classes have one class per row. In "
        "other grids a row is a cluster or a random label, or has no meaning."
    )
    return gallery(f"{caption}{order}{source}", pictures)


def shown_runs(study: StudyReport) -> str:
    """Says which runs the pictures show, if a method has several."""
    if all((number(line.get("seeds")) or 1) == 1 for line in study.lines) and not distances(study):
        return ""
    kept = [n for run in study.runs if from_few(run.key) and (n := number(run.record.get("labels")))]
    few = f"; methods that use few labels had {count(kept[0])}" if kept else ""
    return f" The runs of the first seed are shown{few}."


def evolution(study: StudyReport) -> Markup:
    """Samples of fixed latent vectors over training."""
    pictures = []
    for m in study.runs:
        if len(m.samples) > 1:
            grids = list(m.samples.values())
            name, first, last = name_of(m.key), min(m.samples), max(m.samples)
            alt = f"{name}: the same latent vectors (rows) at {len(grids)} steps, {first} to {last}."
            pixels = figures.evolution(grids)
            note = tag("span", f", steps {count(first)} to {count(last)}", class_="at")
            axis = step_axis(list(m.samples))
            layout = (*grids[0].tile, figures.gap_of(grids[0].tile[0]))
            data = {"data_steps": words(m.samples), "data_tile": words(layout)}  # for the slider of page.js
            pictures.append(picture(pixels, grids[0], name, THREE_COLUMNS, alt, note, axis, **data))
    shown = gallery("Each row is a fixed latent vector, each column a training step.", pictures)
    return join(shown, films(study)) if pictures else Markup()


def films(study: StudyReport) -> Markup:
    """Small films of the samples, folded up, so that nothing moves unless the reader wants it."""
    pictures = []
    for m in study.runs:
        if len(m.samples) > 1 and (content := excerpt(m.samples)):
            with Image.open(io.BytesIO(content)) as opened:
                w, h = opened.size
            name = name_of(m.key)
            alt = f"{name}: a film of the samples over {len(m.samples)} steps."
            image = tag("img", src=figures.uri(content, "webp"), width=w, height=h, alt=alt)
            sizes = f"--wide:{min(w, THREE_COLUMNS)}px;--phone:{min(w, PHONE)}px"
            pictures.append(tag("figure", image, tag("figcaption", tag("strong", name)), style=sizes))
    if not pictures:
        return Markup()
    note = tag("p", "compare-gan film makes a film of all samples and steps of a run.", class_="note")
    return tag(
        "details", tag("summary", "Films"), tag("div", *pictures, class_="pictures"), note, class_="films"
    )


def words(numbers: Iterable[int]) -> str:
    """Numbers with spaces in between."""
    return " ".join(map(str, numbers))


def step_axis(steps: Sequence[int]) -> Markup:
    """The step numbers below a montage, one per column."""
    columns = f"grid-template-columns:repeat({len(steps)},1fr)"
    return tag("div", *(tag("span", compact(step)) for step in steps), class_="steps", style=columns)


def interpolations(study: StudyReport) -> Markup:
    """The last interpolations of each run."""
    pictures = []
    for m in study.runs:
        if m.interpolation:
            grid = figures.crop(m.interpolation)
            name = name_of(m.key)
            alt = f"{name}: {grid.rows} interpolations of {grid.columns} images between two latent vectors."
            pictures.append(picture(montage_of(grid), grid, name, THREE_COLUMNS, alt))
    return gallery(
        "Each row interpolates in equal steps from one latent vector (left) to another (right).", pictures
    )


def neighbours(study: StudyReport) -> Markup:
    """Generated images of each run beside the training images that are nearest to them."""
    pictures = []
    for m in study.runs:
        if m.neighbours:
            name = name_of(m.key)
            alt = (
                f"{name}: generated images (left), each with the nearest training images and their distances."
            )
            pictures.append(sheet(m.neighbours, name, alt))
    caption = (
        "The first images that each run generated, nearest to a training image first. A copy looks like its "
        "nearest training image and has a smaller distance than almost all held-out images have."
    )
    return gallery(caption, pictures)


def sheet(grid: Grid, name: str, alt: str) -> Markup:
    """A picture with small writing in it, in its own size."""
    height, width = grid.pixels.shape[:2]
    image = tag("img", src=figures.data_uri(grid.pixels), width=width, height=height, alt=alt)
    sizes = f"--wide:{width}px;--phone:{width}px"
    return tag("figure", image, tag("figcaption", tag("strong", name)), style=sizes)


def montage_of(grid: Grid) -> np.ndarray:
    """A grid as one image with gaps between its tiles."""
    return figures.montage(figures.tiles(grid))


def gallery(caption: str, pictures: Sequence[Markup]) -> Markup:
    """A caption and pictures; empty without pictures."""
    return join(tag("p", caption), tag("div", *pictures, class_="pictures")) if pictures else Markup()


def picture(
    pixels: np.ndarray,
    grid: Grid,
    name: str,
    width: int,
    alt: str,
    note: str = "",
    below: str = "",
    **data: str,
) -> Markup:
    """An image with a caption, magnified by an integer factor to at most `width` CSS pixels."""
    h, w = pixels.shape[:2]
    wide, phone = (min(max(1, available // w) * w, MAX_WIDTH) for available in (width, PHONE))
    sizes = f"--wide:{wide}px;--phone:{phone}px"
    crisp = "crisp" if max(grid.tile) < figures.CRISP_BELOW else None
    image = tag("img", src=figures.data_uri(pixels), width=w, height=h, alt=alt, class_=crisp)
    return tag("figure", image, below, tag("figcaption", tag("strong", name), note), style=sizes, **data)


def training(study: StudyReport) -> Markup:
    """Loss curves, pre-training curves and all other logged values."""
    blocks = []
    losses = {m.key: series_of(m.metrics, LOSSES) for m in study.runs}
    all_series = [s for series in losses.values() for s in series]
    if all_series:
        axes = axes_for(all_series)
        charts = [chart(name_of(k), series, axes, "loss") for k, series in losses.items() if series]
        names = list(dict.fromkeys(s.name for s in all_series))
        blocks += [tag("h3", "Losses of both networks"), legend(names), tag("div", *charts, class_="charts")]
    if pretrain := pretraining(study.pretrain):
        blocks += [tag("h3", "Rotation pre-training"), tag("div", *pretrain, class_="charts")]
    others = other_values(study)
    if others:
        keys = legend([name_of(m.key) for m in study.runs])
        inner = (tag("summary", "All other logged values"), keys, tag("div", *others, class_="charts"))
        blocks.append(tag("details", *inner))
    if not blocks:
        return Markup()
    return join(tag("p", "Faint lines are logged values, strong lines a moving average."), *blocks)


def pretraining(log: Log) -> list[Markup]:
    """Charts of rotation pre-training."""
    charts = []
    for key in PRETRAINING:
        if series := series_of(log, [key]):
            fitted = axes_for(series)
            axes = Axes(fitted.x, (0.0, 1.0)) if key == "accuracy" else fitted
            charts.append(chart(f"Rotation {key}", series, axes, PRETRAINING[key]))
    return charts


def other_values(study: StudyReport) -> list[Markup]:
    """A chart for each other logged key, with one line per method; colours are consistent."""
    hidden = {"step", "seconds", *LOSSES}
    keys = dict.fromkeys(k for m in study.runs for record in m.metrics for k in record if k not in hidden)
    charts = []
    for key in keys:
        series = [Series(name_of(m.key), *curve(m.metrics, key), i) for i, m in enumerate(study.runs)]
        if drawn := [s for s in series if len(s.x)]:
            charts.append(chart(key, drawn, axes_for(drawn), key))
    return charts


def series_of(log: Log, keys: Sequence[str]) -> list[Series]:
    """The logged keys that have values, as series."""
    series = [Series(name_of(key), *curve(log, key), i) for i, key in enumerate(keys)]
    return [s for s in series if len(s.x)]


def chart(title: str, series: Sequence[Series], axes: Axes, label: str) -> Markup:
    """A titled chart, described by the final values of its series."""
    ends = [f"{s.name} ends at {np.mean(s.y[-10:]):.3g}" for s in series]
    drawing = curves(series, axes, label=label, description=f"{title} over steps: {', '.join(ends)}.")
    return tag("figure", tag("figcaption", tag("strong", title)), drawing)
