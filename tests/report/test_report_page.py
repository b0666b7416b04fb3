"""The report page, parsed as HTML."""

import base64
import hashlib
import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.report.page import write_report

from .conftest import line, write_grid

VOID = {"img", "meta", "link", "br"}


class Page(HTMLParser):
    """Elements with their attributes, table cells by row, section names; asserts that all tags are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def sections(self):
        return [attrs["id"] for attrs in self.all("section")]


def report(study: Path) -> Page:
    out = study.parent / "out" / "report.html"
    write_report(study, out)
    return Page(out.read_text("utf-8"))


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def image_sizes(page: Page) -> list[tuple[int, int]]:
    sizes = []
    for attrs in page.all("img"):
        with Image.open(io.BytesIO(base64.b64decode(attrs["src"].split(",", 1)[1]))) as image:
            image.load()
            sizes.append(image.size)
    return sizes


def test_a_complete_study_has_every_section_in_order(study):
    page = report(study)
    assert page.sections() == [
        "scores", "labels", "samples", "evolution", "interpolation", "training", "configuration"
    ]  # fmt: skip
    assert "keeps 10% of the labels" in page.text
    assert "trained with all labels or no labels" in page.text
    assert "That is 1.25 times the distance of all labels." in page.text
    assert "Each score comes from one run." in page.text
    assert "compare-gan demo --out 'a b'" in page.text
    assert "S3GAN.seed = 1  # <&>" in page.text


def test_the_page_loads_nothing_and_runs_only_the_script_in_its_policy(study):
    page = report(study)
    (script,) = page.scripts
    assert page.all("script") == [{}] and "<" + "/script" not in script and "<!--" not in script
    (policy,) = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'"
    ]  # fmt: skip
    for tag, attrs in page.elements:
        assert tag not in ("link", "iframe", "object", "base")
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("href", "#").startswith("#")
        kinds = ("data:image/png;base64,", "data:image/webp;base64,")
        assert attrs.get("src", "data:").startswith(kinds) or tag != "img"
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {attrs["href"][1:] for attrs in page.all("a")} <= ids
    style = (Path(__file__).parents[2] / "compare_gan/report/style.css").read_text()
    assert "url(" not in style and "@import" not in style


def test_images_have_the_declared_sizes_and_alt_texts(study):
    page = report(study)
    images = page.all("img")
    sheet, strip, walk = (5 * 5 - 1, 3 * 5 - 1), (10 * 5 - 1, 3 * 5 - 1), (7 * 5 - 1, 2 * 5 - 1)
    film = (20 * 24 + 2 * 8, 20 * 14 + 15 + 5 * 8)  # magnified, with margins and the step
    assert image_sizes(page) == [(4, 4)] * 2 + [sheet] * 4 + [strip] * 3 + [film] * 3 + [walk] * 3
    assert [(int(i["width"]), int(i["height"])) for i in images][2:] == image_sizes(page)[2:]
    assert all(i["alt"] and (i.get("class") == "crisp" or "film" in i["alt"]) for i in images)


def test_the_score_table_equals_the_summary(study):
    rows = report(study).rows
    assert rows[0] == [
        "Method", "Labels", "Fréchet distancelower is better", "Class agreementhigher is better",
        "Runs", "Steps", "Timeper run",
    ]  # fmt: skip
    assert rows[1] == ["All labels", "60", "3.20", "", "97.0%", "1", "1,200", "1 min 10 s"]
    assert rows[2] == ["S3GAN", "6", "4.00", "", "90.0%", "1", "1,200", "1 min 35 s"]
    assert rows[3] == ["No labels", "–", "9.60", "", "–", "1", "1,200", "1 h 01 min"]
    assert rows[4] == ["Real training images", "–", "1.80", "", "98.0%", "–", "–", "–"]


def test_several_seeds_show_all_runs_their_interval_and_the_ratio(study):
    ratios = {"all_labels": {"ratio": 1.25, "interval": [0.95, 1.6]}}
    lines = [
        line("all_labels", None, 3.2, 0.97, seeds=3),
        line("s3gan", 0.1, 4.0, 0.9, seeds=5, ratios=ratios, verdict="open"),
    ]
    edit(study / "summary.json", lines=lines)
    page = report(study)
    assert page.rows[0][3] == "Ratioto all labels, 95% interval"
    assert page.rows[1][2] == "3.20 ± 0.64" and page.rows[1][4] == "–" and page.rows[1][6] == "3"
    assert page.rows[2][2] == "4.00 ± 0.80" and page.rows[2][4] == "1.25 0.95 to 1.60, not shown"
    dots = [float(attrs["cx"]) for attrs in page.all("circle") if attrs["class"] == "value"]
    assert len(dots) == 3 + 5 + 1
    gaps = np.diff([5, *dots[:3]])  # from zero, and between runs
    np.testing.assert_allclose(gaps / gaps[0], np.diff([0, 0.9, 1.0, 1.1]) / 0.9, atol=0.01)


@pytest.mark.parametrize("seeds", [1, 3, 8])
def test_no_method_is_called_best(study, seeds):
    lines = [line("all_labels", None, 3.2, 0.97, seeds=seeds), line("s3gan", 0.1, 4.0, 0.9, seeds=seeds)]
    edit(study / "summary.json", lines=lines)
    page = report(study)
    table = study.parent / "out" / "report.html"
    scores = table.read_text().split('id="scores"')[1].split("</section>")[0]
    assert "best" not in page.text and "strong" not in scores and "×" not in page.text


def test_a_partly_labelled_data_set(study):
    """No label is hidden and no method uses all labels."""
    data = {"source_labelled": "some", "labelled": 6, "train_images": 60, "classes": 3}
    data["left_out"] = ["The method all_labels, which needs a label for every image."]
    lines = [line("s3gan", 1.0, 4.0, 0.9, labels=6)]
    sets = [{"kept": 6, "accuracy": None, "hidden_labels": 0, "test_accuracy": None, "test_labels": 0}]
    edit(study / "summary.json", lines=lines, labels=sets, data=data, real=None)
    quality = {"accuracy": None, "confusion": None, "class_names": ["a", "b", "c"], "balance": [19, 25, 16]}
    (study / "label_quality.json").write_text(json.dumps(quality | {"kept_balance": [2, 2, 2]}))
    page = report(study)
    assert "GANs with 6 labels" in page.text
    assert "6 of 60 training images have labels, in 3 classes. This study uses all of them." in page.text
    assert "GANs trained with" not in page.text
    assert "the accuracy of inferred labels is unknown" in page.text
    assert page.sections()[:3] == ["scores", "left-out", "labels"]
    assert "The method all_labels, which needs a label for every image." in page.text
    assert not [attrs for attrs in page.all("svg") if attrs.get("class") == "heat"]
    assert ["Class", "Kept", "Inferred", ""] in page.rows and ["a", "2", "19", ""] in page.rows


def test_held_out_images_evaluate_labels_if_none_is_hidden(study):
    quality = json.loads((study / "label_quality.json").read_text())
    (study / "label_quality.json").write_text(json.dumps(quality | {"accuracy": None, "confusion": None}))
    page = report(study)
    assert "Accuracy of inferred labels: 80% on 15 labelled held-out images. Most common errors:" in page.text
    assert "15 labelled held-out images. Rows are true classes" in page.text


def test_several_numbers_of_labels_give_a_plot_and_a_table_of_accuracies(study):
    lines = [line("s3gan", share, 4.0, 0.9, labels=n) for share, n in ((0.1, 6), (0.2, 12))]
    right = ((6, 0.8), (6, 0.9), (12, 0.95))
    sets = [{"kept": n, "accuracy": a, "hidden_labels": 60 - n, "test_accuracy": None} for n, a in right]
    edit(study / "summary.json", lines=lines, labels=sets)
    page = report(study)
    assert page.sections()[0] == "figure" and "keeps 10% or 20% of the labels" in page.text
    assert ["6", "85%", "–", "–"] in page.rows and ["12", "95%", "–", "–"] in page.rows
    assert "GANs with few labels" in page.text and "The runs of the first seed are shown" in page.text


def test_the_worth_of_unlabelled_images(study):
    def ratios(**sizes):
        return {name: {"ratio": size, "interval": [0.9 * size, 1.1 * size]} for name, size in sizes.items()}

    lines = [
        line("all_labels", None, 3.0, 0.9, labels=60, images=60),
        line("s3gan", 0.1, 4.0, 0.9, labels=6, images=60, ratios=ratios(all_labels=1.333, labelled_only=0.5)),
        line("labelled_only", 0.1, 8.0, 0.9, labels=6, images=6, ratios=ratios(all_labels=2.667)),
        line("s3gan", 0.2, 3.5, 0.9, labels=12, images=60),  # nothing to compare with
    ]
    edit(study / "summary.json", lines=lines)
    page = report(study)
    assert page.sections()[:3] == ["figure", "scores", "worth"]
    assert (
        "With 6 labels, a GAN of the labelled images alone has a distance of 8.00; with the unlabelled "
        "images, S3GAN has 4.00, 0.50 times as much (95% interval 0.45 to 0.55). All labels have 3.00: the "
        "unlabelled images close 80% of the gap."
    ) in page.text
    assert ["S3GAN", "6", "60", "4.00", "0.50 0.45 to 0.55", "1.33 1.20 to 1.47"] in page.rows
    assert ["Labelled images only", "6", "6", "8.00", "–", "2.67 2.40 to 2.93"] in page.rows
    assert ["All labels", "60", "60", "3.00", "–", "–"] in page.rows
    edit(study / "summary.json", lines=[lines[0], lines[1]])
    assert "worth" not in report(study).sections()


def test_secondary_scores_have_columns_where_they_are_known(study):
    lines = [line("all_labels", None, 3.2, 0.97), line("no_labels", None, 9.6, None)]
    lines[0]["scores"] |= {"within_class_spread": {"mean": 0.8412}, "recall": None}
    edit(study / "summary.json", lines=lines, real={"frechet_distance": 1.8, "within_class_spread": 0.95})
    page = report(study)
    start = page.rows.index(["Method", "Labels", "Within-class spread"])
    rows = page.rows[start + 1 : start + 4]
    assert [row[2] for row in rows] == ["0.841", "–", "0.95"] and rows[2][0] == "Real training images"
    assert "Recall" not in page.text and "variance of features within a class" in page.text


def test_nearest_training_images_and_authenticity_are_shown_where_they_are_known(study):
    assert "neighbours" not in report(study).sections()  # a study of before they were measured
    lines = [line("all_labels", None, 3.2, 0.97), line("no_labels", None, 9.6, None)]
    lines[0]["scores"] |= {"authenticity": {"mean": 0.123}, "authenticity_held_out": {"mean": 0.5}}
    edit(study / "summary.json", lines=lines)
    folder = study / "all_labels" / "neighbours"
    write_grid(folder / "sheet.png", folder / "grid.json", 1, 1, 0)
    page = report(study)
    assert "neighbours" in page.sections() and "Nearest training images" in page.text
    start = page.rows.index(["Method", "Labels", "Authenticity", "Authenticity of held-out images"])
    assert page.rows[start + 1][2:] == ["0.123", "0.5"] and page.rows[start + 2][2:] == ["–", "–"]
    assert "copies are not" in page.text


def test_cluster_quality_is_reported(study):
    edit(study / "summary.json", clusters=[{"purity": 0.7, "mutual_information": 0.654}])
    text = report(study).text
    assert "purity 70%" in text and "0.65." in text
    edit(study / "summary.json", clusters=[{"purity": 0.7}])
    assert "purity" not in report(study).text


def test_labels_per_class(study):
    edit(study / "summary.json", lines=[line("s3gan", None, 4.0, 0.9, labels=15, per_class=5)])
    assert "GANs with 5 labels per class" in report(study).text


def test_uncertain_images_show_inferred_and_true_class(study):
    text = report(study).text
    assert "cat, 40%true class: dog" in text and "<i>cow</i>, 50%" in text and "true class: <i>" not in text


def test_unknown_methods_and_scores_keep_their_order_and_absent_values_are_dashes(study):
    lines = [
        {
            "method": "zeta",
            "scores": {"frechet_distance": {"mean": float("nan")}, "inception_score": {"mean": 8.25}},
        },
        {"method": "alpha_1", "scores": {"frechet_distance": {"mean": 0.5, "values": [0.5]}}},
    ]
    edit(study / "summary.json", lines=lines, real=None)
    page = report(study)
    assert page.rows[1] == ["zeta", "–", "–", "", "–", "–", "–"]
    assert page.rows[2] == ["alpha_1", "–", "0.500", "", "–", "–", "–"]
    assert page.rows[3] == ["Method", "Labels", "Inception score"]
    assert page.rows[4:6] == [["zeta", "–", "8.25"], ["alpha_1", "–", "–"]]
    assert "This study compares zeta and alpha_1." in page.text


def test_hostile_names_are_escaped(study):
    evil = '<script>alert("1")</script>\'"&'
    summary = json.loads((study / "summary.json").read_text())
    summary["lines"] += [line(evil, None, 5.0, None) | {"scores": {evil: {"mean": 1.0}}, "labels": evil}]
    summary["shown"]["runs"] += [{"method": evil, "folder": "s3gan", "seed": evil, "fraction": evil}]
    summary |= {"extractor": {"name": evil}, "versions": {evil: evil}, "seconds": {evil: 1.0}}
    summary |= {"findings": [evil], "notes": [evil], "data": {"left_out": [evil], "source_labelled": evil}}
    (study / "summary.json").write_text(json.dumps(summary))
    edit(study / "settings.json", **{evil: [evil], "command": evil})
    edit(study / "label_quality.json", class_names=[evil, evil, evil])
    record = {"step": 1300, evil: 1.0}
    with (study / "s3gan/metrics.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    page = report(study)
    assert page.all("script") == [{}] and "alert" not in page.scripts[0]
    assert evil in [row[0] for row in page.rows]
    assert page.text.count(evil) > 10


@pytest.mark.parametrize(
    ("lost", "section"),
    [
        ("label_quality.json", "labels"),
        ("settings.json", ""),
        ("real/grid.json", ""),
        ("pretrain/metrics.jsonl", ""),
        ("least_certain/grid.json", ""),
    ],
)
def test_a_missing_file_omits_its_section(study, lost, section):
    before = report(study)
    (study / lost).unlink()
    after = report(study)
    assert after.sections() == [s for s in before.sections() if s != section]
    assert len(after.text) < len(before.text)


def test_scores_alone_make_a_page(study):
    for path in study.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "summary.json":
            path.unlink()
    assert report(study).sections() == ["scores", "configuration"]
    edit(study / "summary.json", versions=None, seconds=None)
    assert report(study).sections() == ["scores"]


def test_large_grids_are_cropped_and_smoothed(study):
    pixels = Image.new("L", (12 * 128, 3 * 128), 90)
    pixels.save(study / "real" / "real.png")
    (study / "real" / "grid.json").write_text(json.dumps({"rows": 3, "columns": 12, "tile": [128, 128]}))
    page = report(study)
    assert image_sizes(page)[2] == (10 * 128 + 9 * 4, 3 * 128 + 2 * 4)
    assert "class" not in page.all("img")[2]


def test_a_missing_summary_is_a_one_line_error(study, tmp_path):
    (study / "summary.json").unlink()
    with pytest.raises(UserError, match=r"no summary\.json here") as caught:
        write_report(study, tmp_path / "report.html")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "broken",
    [
        "[]",
        "{",
        '{"lines": []}',
        '{"lines": {"a": 1}}',
        '{"shown": {"runs": 1}, "lines": [], "labels": []}',
        '{"shown": {"runs": []}, "lines": [], "labels": [], "clusters": []}',
    ],
)
def test_an_invalid_summary_is_a_one_line_error(study, tmp_path, broken):
    (study / "summary.json").write_text(broken)
    with pytest.raises(UserError) as caught:
        write_report(study, tmp_path / "report.html")
    assert "\n" not in str(caught.value)


def test_an_unwritable_page_is_an_error(study):
    with pytest.raises(UserError, match="cannot write the report"):
        write_report(study, study / "summary.json" / "report.html")


def test_many_classes_list_only_the_most_common_errors(study):
    matrix = [[9 if i == j else 0 for j in range(100)] for i in range(100)]
    matrix[41][7] = 5
    labels = {"accuracy": 0.99, "confusion": matrix, "balance": [9] * 100}
    (study / "label_quality.json").write_text(json.dumps(labels))
    page = report(study)
    assert "Most common errors: 41 as 7 (5)." in page.text
    assert not [attrs for attrs in page.all("svg") if attrs.get("class") == "heat"]
