"""A study folder as one HTML page that needs nothing but itself."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.report import panels, tables
from compare_gan.report.collect import Record, Study, number, read_study
from compare_gan.report.markup import Markup, tag
from compare_gan.report.tables import median
from compare_gan.report.words import command_line, count, percent, score

# Nothing is fetched and nothing runs, whatever a file of the study may hold.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(study: Path, out: Path) -> None:
    """Reads a study folder and writes its page to `out`.

    Raises:
      UserError: the folder is no study folder, one of its files cannot be read, or `out` cannot be written.
    """
    html = page(read_study(study))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic(out) as file:
            file.write(html.encode("utf-8", "replace"))  # a JSON string may hold half a character
    except OSError as error:
        raise UserError(f"{out}: cannot write the report ({error.strerror}); choose another place") from None


def page(study: Study) -> str:
    parts = [
        ("figure", "Distance against number of labels", panels.distances(study)),
        ("scores", "Scores", tables.scores(study)),
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


def title(study: Study) -> str:
    told = list(budgets(study))
    return f"GANs with {' '.join(told[0])}" if len(told) == 1 else "GANs with few labels"


def budgets(study: Study) -> list[tuple[str, str]]:
    """How many labels were kept, in the order of the numbers: ("10%", "of the labels")."""
    lines = sorted(study.lines, key=lambda line: number(line.get("labels")) or 0)
    return list(dict.fromkeys(told for line in lines if (told := budget(line))))


def budget(line: Record) -> tuple[str, str] | None:
    fraction, each = number(line.get("fraction")), number(line.get("per_class"))
    if fraction is not None:
        return percent(fraction), "of the labels"
    return None if each is None else (count(each), "labels a class")


def story(study: Study) -> Markup:
    units = {unit: [n for n, u in budgets(study) if u == unit] for _, unit in budgets(study)}
    kept = listed([f"{listed(amounts)} {unit}" for unit, amounts in units.items()]) or "few labels"
    return tag(
        "p",
        f"This study keeps {kept} of a data set, learns features from all images by telling how they "
        "were rotated, fits a classifier to the labels that are left, infers the others with it, and trains "
        "GANs on the result. It compares them with GANs that are given every label, and none.",
        class_="lead",
    )


def listed(words: Sequence[str]) -> str:
    """`["a", "b", "c"]` -> `"a, b or c"`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def pipeline(study: Study) -> Markup:
    """The stages of the story, with the numbers this study has for them."""
    images = number(study.summary.get("train_images"))
    kept = sorted({n for record in study.label_sets if (n := number(record.get("kept"))) is not None})
    right = [a for record in study.label_sets if (a := number(record.get("accuracy"))) is not None]
    counts = listed([count(n) for n in kept]) if kept else ""
    low, high = (percent(min(right)), percent(max(right))) if right else ("", "")
    best = min(
        (d for line in study.lines if (d := median(line, "frechet_distance")) is not None), default=None
    )
    stages = [
        ("Images", "" if images is None else f"{count(images)} to train on"),
        ("Labels kept", counts),
        ("Rotation pre\u2011training", "all images, no labels"),
        ("Classifier", f"fitted to {counts} labels" if counts else ""),
        ("Inferred labels", "" if not right else f"{low if low == high else f'{low} to {high}'} right"),
        ("GANs", "" if best is None else f"Fréchet distance {score(best)} at best"),
    ]
    return tag(
        "ol", *(tag("li", tag("strong", name), tag("span", note)) for name, note in stages), class_="flow"
    )


def findings(study: Study) -> Markup:
    """One sentence with the result, where the three methods of the story all have a score."""
    found = {
        (str(line.get("method")), budget(line)): distance
        for line in study.lines
        if (distance := median(line, "frechet_distance")) is not None
    }
    every, none = found.get(("all_labels", None)), found.get(("no_labels", None))
    told = [f"{score(found['s3gan', b])} with {' '.join(b)}" for b in budgets(study) if ("s3gan", b) in found]
    if not told or every is None or none is None:
        return Markup()
    return tag(
        "p",
        "Fréchet distance, lower is better: ",
        tag("strong", f"S3GAN {', '.join(told)}"),
        f", against {score(every)} with all labels and {score(none)} with none.",
        class_="finding",
    )


def footer(study: Study) -> Markup:
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
