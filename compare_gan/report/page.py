"""A study folder as one HTML page that needs nothing but itself."""

from importlib import resources
from pathlib import Path

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.core.words import listed
from compare_gan.report import panels, tables
from compare_gan.report.collect import Record, StudyReport, collect_study, number
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.words import command_line, count, name_of, percent

# Nothing is fetched and nothing runs, whatever a file of the study may hold.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(study: Path, out: Path) -> None:
    """Reads a study folder and writes its page to `out`.

    Raises:
      UserError: the folder is no study folder, one of its files cannot be read, or `out` cannot be written.
    """
    html = page(collect_study(study))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic(out) as file:
            file.write(html.encode("utf-8", "replace"))  # a JSON string may hold half a character
    except OSError as error:
        raise UserError(f"{out}: cannot write the report ({error.strerror}); choose another place") from None


def page(study: StudyReport) -> str:
    parts = [
        ("figure", "Distance against number of labels", panels.distances(study)),
        ("scores", "Scores", tables.scores(study)),
        ("left-out", "What was left out", tables.left_out(study)),
        ("labels", "Inferred labels", panels.label_inference(study)),
        ("samples", "Samples", panels.samples(study)),
        ("evolution", "Samples over training", panels.evolution(study)),
        ("interpolation", "Between two latent vectors", panels.interpolations(study)),
        ("training", "Training curves", panels.training(study)),
        ("configuration", "Configuration", tables.configuration(study)),
    ]
    shown = [(name, title, body) for name, title, body in parts if body]
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in shown]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", title(study)),
        tag("style", Markup(resources.files(__package__).joinpath("style.css").read_text("utf-8"))),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title(study)), story(study), pipeline(study), findings(study)),
        tag("nav", tag("ul", *links), aria_label="Sections"),
        tag("main", *(tag("section", tag("h2", title), body, id=name) for name, title, body in shown)),
        footer(study),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def title(study: StudyReport) -> str:
    if not few_labels(study):
        return "Comparison of GANs"
    kept = budgets(study)
    if len(kept) != 1 or given_labels(study):
        return "GANs with few labels"
    if partly_labelled(study):
        return (
            f"GANs with {count(sum(amounts(study)))} labels"
            if len(amounts(study)) == 1
            else "GANs with few labels"
        )
    return f"GANs with {' '.join(kept[0])}"


def few_labels(study: StudyReport) -> bool:
    """Whether a method learns from few labels."""
    methods = [LABEL_METHODS.get(str(line.get("method"))) for line in study.lines]
    return any(method is not None and method.from_few for method in methods)


def given_labels(study: StudyReport) -> bool:
    """Whether labels come from a file, not from kept ones."""
    return bool(study.settings.get("label_file"))


def partly_labelled(study: StudyReport) -> bool:
    """Whether some images had no label to begin with."""
    return study.data.get("source_labelled") == "some"


def amounts(study: StudyReport) -> list[float]:
    """How many labels were kept, ascending."""
    return sorted({n for record in study.label_sets if (n := number(record.get("kept")))})


def budgets(study: StudyReport) -> list[tuple[str, str]]:
    """How many labels were kept, in the order of the numbers: ("10%", "of the labels")."""
    lines = sorted(study.lines, key=lambda line: number(line.get("labels")) or 0)
    return list(dict.fromkeys(found for line in lines if (found := budget(line))))


def budget(line: Record) -> tuple[str, str] | None:
    fraction, each = number(line.get("fraction")), number(line.get("per_class"))
    if fraction is not None:
        return percent(fraction), "of the labels"
    return None if each is None else (count(each), "labels a class")


def story(study: StudyReport) -> Markup:
    """What the study did, in a paragraph."""
    told = [labels_used(study), *inference(study), comparison(study)]
    return tag("p", " ".join(sentence for sentence in told if sentence), class_="lead")


def labels_used(study: StudyReport) -> str:
    if not few_labels(study) or given_labels(study):
        return ""
    units = {unit: [n for n, u in budgets(study) if u == unit] for _, unit in budgets(study)}
    kept = listed([f"{listed(numbers, 'or')} {unit}" for unit, numbers in units.items()], "or")
    if not partly_labelled(study):
        return f"This study keeps {kept or 'few labels'} of a data set."
    there, images, classes = (number(study.data.get(key)) for key in ("labelled", "train_images", "classes"))
    shares = f"{count(there)} of {count(images)}" if there is not None and images is not None else "Some"
    within = "" if classes is None else f", in {count(classes)} classes"
    used = "all of them" if kept in ("", "100% of the labels") else kept
    return f"{shares} training images have labels{within}. This study uses {used}."


def inference(study: StudyReport) -> list[str]:
    """Where the labels of the other images come from."""
    if not few_labels(study):
        return []
    if not inferring(study):
        return ["It trains GANs that learn from these labels directly."]
    if given_labels(study):
        return ["This study takes labels of the training images from a file and trains GANs on them."]
    learned = (
        "It fits a classifier to given features and these labels"
        if study.settings.get("features")
        else "It learns features from all images by predicting how they were rotated, fits a classifier to "
        "these labels"
    )
    return [f"{learned}, infers the others with it, and trains GANs on the result."]


def inferring(study: StudyReport) -> bool:
    methods = (LABEL_METHODS.get(str(line.get("method"))) for line in study.lines)
    return any(method is not None and method.labels in ("inferred", "soft") for method in methods)


def comparison(study: StudyReport) -> str:
    """Which other GANs the scores stand beside."""
    there = list(dict.fromkeys(str(line.get("method")) for line in study.lines))
    if not few_labels(study):
        return f"This study compares {listed([name_of(name) for name in there])}." if len(there) > 1 else ""
    words = {"all_labels": "every label", "no_labels": "no label"}
    given = [what for name, what in words.items() if name in there]
    return f"It compares them with GANs that are given {listed(given, 'or')}." if given else ""


def pipeline(study: StudyReport) -> Markup:
    """The stages of the story, with the numbers this study has for them."""
    images = number(study.summary.get("train_images"))
    counts = listed([count(n) for n in amounts(study)], "or") if amounts(study) else ""
    runs = sum(int(number(line.get("seeds")) or 0) for line in study.lines)
    stages = [("Images", "" if images is None else f"{count(images)} to train on")]
    if few_labels(study) and counts:
        stages.append(("Labels", counts))
    if inferring(study):
        if not (study.settings.get("features") or given_labels(study)):
            stages.append(("Rotation pre\u2011training", "all images, no labels"))
        if counts:
            stages.append(("Classifier", f"fitted to {counts} labels"))
        stages.append(("Inferred labels", correct(study)))
    stages.append(("GANs", f"{count(runs)} trained"))
    return tag(
        "ol", *(tag("li", tag("strong", name), tag("span", note)) for name, note in stages), class_="flow"
    )


def correct(study: StudyReport) -> str:
    """How many inferred labels are right: of hidden ones, else of held-out images."""
    for key, number_of, what in (
        ("accuracy", "hidden_labels", "hidden labels"),
        ("test_accuracy", "test_labels", "held\u2011out images"),
    ):
        sets = [record for record in study.label_sets if number(record.get(number_of))]
        right = [value for record in sets if (value := number(record.get(key))) is not None]
        if right:
            low, high = percent(min(right)), percent(max(right))
            return f"{low if low == high else f'{low} to {high}'} of {what} right"
    return "accuracy not known"


def findings(study: StudyReport) -> Markup:
    """What the scores show."""
    return join(*(tag("p", finding, class_="finding") for finding in study.findings))


def footer(study: StudyReport) -> Markup:
    version = study.summary.get("versions")
    version = version.get("compare_gan", "") if isinstance(version, dict) else ""
    made_by = tag("p", f"Made by compare_gan {version}".rstrip() + ".")
    command = study.settings.get("command")
    if not isinstance(command, str | list):
        return tag("footer", made_by)
    return tag(
        "footer",
        made_by,
        tag("p", "To make this study again:"),
        tag("pre", tag("code", command_line(command))),
    )
