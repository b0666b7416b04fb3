"""A study folder as one self-contained HTML page."""

from pathlib import Path

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.core.label_methods import ALL_LABELS, NO_LABELS, find_method
from compare_gan.core.words import listed
from compare_gan.report import panels, tables, truncation, worth
from compare_gan.report.collect import Record, StudyReport, collect_study, number
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.shell import document
from compare_gan.report.words import command_line, count, name_of, percent


def write_report(study: Path, out: Path) -> None:
    """Reads a study folder and writes its report to `out`.

    Raises:
      UserError: this is not a study folder, one of its files cannot be read, or `out` cannot be written.
    """
    html = page(collect_study(study))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic(out) as file:
            file.write(html.encode("utf-8", "replace"))  # a JSON string may contain a lone surrogate
    except OSError as error:
        raise UserError(f"{out}: cannot write the report ({error.strerror}); choose another path") from None


def page(study: StudyReport) -> str:
    """The report as HTML. Sections without content are omitted."""
    sections = [
        ("figure", "Distance against number of labels", panels.distances(study)),
        ("scores", "Scores", tables.scores(study)),
        ("worth", "What the unlabelled images were worth", worth.unlabelled_images(study)),
        ("left-out", "Omitted", tables.left_out(study)),
        ("labels", "Inferred labels", panels.label_inference(study)),
        ("samples", "Samples", panels.samples(study)),
        ("neighbours", "Nearest training images", panels.neighbours(study)),
        ("evolution", "Samples over training", panels.evolution(study)),
        ("interpolation", "Between two latent vectors", panels.interpolations(study)),
        ("truncation", "Truncated latent vectors", truncation.section(study)),
        ("training", "Training curves", panels.training(study)),
        ("configuration", "Configuration", tables.configuration(study)),
    ]
    shown = [(name, title, body) for name, title, body in sections if body]
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in shown]
    return document(
        title(study),
        tag("header", tag("h1", title(study)), introduction(study), pipeline(study), findings(study)),
        tag("nav", tag("ul", *links), aria_label="Sections"),
        tag("main", *(tag("section", tag("h2", title), body, id=name) for name, title, body in shown)),
        footer(study),
    )


def title(study: StudyReport) -> str:
    """The title of the page."""
    if not few_labels(study):
        return "Comparison of GANs"
    kept = budgets(study)
    if len(kept) != 1 or labels_from_file(study):
        return "GANs with few labels"
    if partly_labelled(study):
        return (
            f"GANs with {count(sum(kept_counts(study)))} labels"
            if len(kept_counts(study)) == 1
            else "GANs with few labels"
        )
    return f"GANs with {' '.join(kept[0])}"


def few_labels(study: StudyReport) -> bool:
    """Whether a method learns from few labels."""
    methods = [find_method(str(line.get("method"))) for line in study.lines]
    return any(method is not None and method.from_few for method in methods)


def labels_from_file(study: StudyReport) -> bool:
    """Whether the labels come from the user's label file."""
    return bool(study.settings.get("label_file"))


def partly_labelled(study: StudyReport) -> bool:
    """Whether some images of the data set have no label."""
    return study.data.get("source_labelled") == "some"


def kept_counts(study: StudyReport) -> list[float]:
    """The numbers of kept labels, ascending."""
    return sorted({n for record in study.label_sets if (n := number(record.get("kept")))})


def budgets(study: StudyReport) -> list[tuple[str, str]]:
    """The label budgets as (amount, unit), such as ("10%", "of the labels"), by number of labels."""
    lines = sorted(study.lines, key=lambda line: number(line.get("labels")) or 0)
    return list(dict.fromkeys(pair for line in lines if (pair := budget(line))))


def budget(line: Record) -> tuple[str, str] | None:
    """The label budget of a line as (amount, unit); None if it has none."""
    fraction, per_class = number(line.get("fraction")), number(line.get("per_class"))
    if fraction is not None:
        return percent(fraction), "of the labels"
    return None if per_class is None else (count(per_class), "labels per class")


def introduction(study: StudyReport) -> Markup:
    """The paragraph that describes the study."""
    sentences = [labels_used(study), *inference(study), comparison(study)]
    return tag("p", " ".join(sentence for sentence in sentences if sentence), class_="lead")


def labels_used(study: StudyReport) -> str:
    """How many labels the study uses."""
    if not few_labels(study) or labels_from_file(study):
        return ""
    units = {unit: [n for n, u in budgets(study) if u == unit] for _, unit in budgets(study)}
    kept = listed([f"{listed(numbers, 'or')} {unit}" for unit, numbers in units.items()], "or")
    if not partly_labelled(study):
        return f"This study keeps {kept or 'few labels'} of a data set."
    labelled, images, classes = (
        number(study.data.get(key)) for key in ("labelled", "train_images", "classes")
    )
    share = f"{count(labelled)} of {count(images)}" if labelled is not None and images is not None else "Some"
    in_classes = "" if classes is None else f", in {count(classes)} classes"
    used = "all of them" if kept in ("", "100% of the labels") else kept
    return f"{share} training images have labels{in_classes}. This study uses {used}."


def inference(study: StudyReport) -> list[str]:
    """How the other labels are inferred."""
    if not few_labels(study):
        return []
    if not inferring(study):
        return ["It trains GANs that learn from these labels directly."]
    if labels_from_file(study):
        return ["This study takes labels of the training images from a file and trains GANs on them."]
    learned = (
        "It fits a classifier to the provided features and these labels"
        if study.settings.get("features")
        else "It learns features from all images by predicting their rotation, fits a classifier to "
        "these labels"
    )
    return [f"{learned}, infers the other labels with it, and trains GANs on the result."]


def inferring(study: StudyReport) -> bool:
    """Whether a method trains on inferred labels."""
    methods = (find_method(str(line.get("method"))) for line in study.lines)
    return any(method is not None and method.needs_inference for method in methods)


def comparison(study: StudyReport) -> str:
    """The methods that are compared."""
    methods = list(dict.fromkeys(str(line.get("method")) for line in study.lines))
    if not few_labels(study):
        return (
            f"This study compares {listed([name_of(name) for name in methods])}." if len(methods) > 1 else ""
        )
    words = {ALL_LABELS: "all labels", NO_LABELS: "no labels"}
    baselines = [text for name, text in words.items() if name in methods]
    return f"It compares them with GANs trained with {listed(baselines, 'or')}." if baselines else ""


def pipeline(study: StudyReport) -> Markup:
    """The stages of the study as a list, with their numbers."""
    images = number(study.summary.get("train_images"))
    counts = listed([count(n) for n in kept_counts(study)], "or") if kept_counts(study) else ""
    runs = sum(int(number(line.get("seeds")) or 0) for line in study.lines)
    stages = [("Images", "" if images is None else f"{count(images)} for training")]
    if few_labels(study) and counts:
        stages.append(("Labels", counts))
    if inferring(study):
        if not (study.settings.get("features") or labels_from_file(study)):
            stages.append(("Rotation pre\u2011training", "all images, no labels"))
        if counts:
            stages.append(("Classifier", f"fitted to {counts} labels"))
        stages.append(("Inferred labels", accuracy_summary(study)))
    stages.append(("GANs", f"{count(runs)} trained"))
    return tag(
        "ol", *(tag("li", tag("strong", name), tag("span", note)) for name, note in stages), class_="flow"
    )


def accuracy_summary(study: StudyReport) -> str:
    """The accuracy of inferred labels on hidden labels, or else on held-out images."""
    for key, total_key, images in (
        ("accuracy", "hidden_labels", "hidden labels"),
        ("test_accuracy", "test_labels", "held\u2011out images"),
    ):
        sets = [record for record in study.label_sets if number(record.get(total_key))]
        values = [value for record in sets if (value := number(record.get(key))) is not None]
        if values:
            low, high = percent(min(values)), percent(max(values))
            return f"{low if low == high else f'{low} to {high}'} accuracy on {images}"
    return "accuracy unknown"


def findings(study: StudyReport) -> Markup:
    """The main results."""
    return join(*(tag("p", finding, class_="finding") for finding in study.findings))


def footer(study: StudyReport) -> Markup:
    """The version, and the command that reproduces the study."""
    version = study.summary.get("versions")
    version = version.get("compare_gan", "") if isinstance(version, dict) else ""
    credit = tag("p", f"Created by compare_gan {version}".rstrip() + ".")
    command = study.settings.get("command")
    if not isinstance(command, str | list):
        return tag("footer", credit)
    return tag(
        "footer",
        credit,
        tag("p", "To reproduce this study:"),
        tag("pre", tag("code", command_line(command))),
    )
