"""A study folder as one HTML page that needs nothing but itself."""

from importlib import resources
from pathlib import Path

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.report import panels, tables
from compare_gan.report.collect import Study, number, read_study
from compare_gan.report.markup import Markup, tag
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
    fraction = number(study.summary.get("label_fraction"))
    return "GANs with few labels" if fraction is None else f"GANs with {percent(fraction)} of the labels"


def story(study: Study) -> Markup:
    fraction = number(study.summary.get("label_fraction"))
    kept = "a few" if fraction is None else percent(fraction)
    return tag(
        "p",
        f"This study keeps {kept} of the labels of a data set, learns features from all images by telling "
        "how they were rotated, fits a classifier to the labels that are left, infers the others with it, "
        "and trains S3GAN on the result. It compares that generator with one given every label and with one "
        "given none.",
        class_="lead",
    )


def pipeline(study: Study) -> Markup:
    """The stages of the story, with the numbers this study has for them."""
    summary = study.summary
    images, kept = number(summary.get("train_images")), number(summary.get("labels_kept"))
    accuracy = number(summary.get("label_accuracy"))
    stages = [
        ("Images", "" if images is None else f"{count(images)} to train on"),
        ("Labels kept", "" if kept is None else count(kept)),
        ("Rotation pre\u2011training", "all images, no labels"),
        ("Classifier", "" if kept is None else f"fitted to {count(kept)} labels"),
        ("Inferred labels", "" if accuracy is None else f"{percent(accuracy)} right"),
        ("S3GAN", score_line(study, "s3gan")),
    ]
    return tag(
        "ol", *(tag("li", tag("strong", name), tag("span", note)) for name, note in stages), class_="flow"
    )


def score_line(study: Study, key: str) -> str:
    distance = next((number(m.scores.get("frechet_distance")) for m in study.methods if m.key == key), None)
    return "" if distance is None else f"Fréchet distance {score(distance)}"


def findings(study: Study) -> Markup:
    """One sentence with the result, where the three methods of the story all have a score."""
    found = {m.key: number(m.scores.get("frechet_distance")) for m in study.methods}
    few, every, none = (found.get(key) for key in ("s3gan", "all_labels", "no_labels"))
    if few is None or every is None or none is None:
        return Markup()
    return tag(
        "p",
        "Fréchet distance, lower is better: ",
        tag("strong", f"{score(few)} with inferred labels"),
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
