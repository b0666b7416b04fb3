"""The script of a report, in a browser: sorting, curves on and off, values under the pointer, the slider."""

import json

import pytest

from compare_gan.report.page import write_report
from compare_gan.report.scores import scores_page
from tests.helpers.browser import opened, overflows

from .conftest import line

pytestmark = pytest.mark.slow


@pytest.fixture
def url(study, tmp_path):
    """The report of a study with a plot over numbers of labels."""
    summary = json.loads((study / "summary.json").read_text())
    summary["lines"] += [
        line("s3gan", 0.2, 3.5, 0.95, labels=12, seeds=3, seconds=7.0) | {"fraction": 0.2},
        line("zeta", None, 12.5, None),
    ]
    (study / "summary.json").write_text(json.dumps(summary))
    write_report(study, tmp_path / "report.html")
    return (tmp_path / "report.html").as_uri()


def column(page, table, index):
    return page.locator(f"{table} >> tbody tr").evaluate_all(
        "(rows, index) => rows.map((row) => row.cells[index].textContent)", index
    )


def test_tables_are_sorted_by_their_headings(url):
    with opened(url, wait="th button") as page:
        table, heading = "#scores table >> nth=0", page.locator("#scores table >> nth=0 >> th button")
        before = column(page, table, 0)
        distance = heading.get_by_text("Fréchet distance")
        distance.click()
        assert column(page, table, 2) == ["3.20", "3.50 ± 0.70", "4.00", "9.60", "12.50", "1.80"]
        assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Fréchet distance")
        distance.press("Enter")  # keyboard
        assert column(page, table, 2) == ["12.50", "9.60", "4.00", "3.50 ± 0.70", "3.20", "1.80"]
        assert page.locator("th[aria-sort=descending]").count() == 1
        distance.click()
        assert column(page, table, 0) == before and page.locator("th[aria-sort]").count() == 0
        heading.get_by_text("Labels").click()  # dashes come last, and real images after them
        assert column(page, table, 1) == ["6", "12", "60", "–", "–", "–"]
        assert column(page, table, 0)[-1] == "Real training images"
        heading.get_by_text("Time").click()  # in seconds, whatever the cell says
        assert column(page, table, 7)[0] == "7 s" and page.locator("th[aria-sort]").count() == 1
        heading.get_by_text("Method").click()
        assert column(page, table, 0)[:-1] == sorted(before[:-1], key=str.casefold)


def test_curves_are_switched_off_and_on(url):
    with opened(url, wait=".legend button") as page:
        button = page.get_by_role("button", name="generator")
        hidden = page.locator("#training .charts >> nth=0 >> .off")
        button.click()
        assert button.get_attribute("aria-pressed") == "false" and hidden.count() == 2 * 3  # of three methods
        button.click()
        assert button.get_attribute("aria-pressed") == "true" and hidden.count() == 0
        page.locator("#figure").get_by_role("button", name="S3GAN").click()
        assert page.locator("#figure .off").count() == 2 + 1 + 2 + 1  # whiskers, line, points, name


def test_values_under_the_pointer_and_by_keyboard(url):
    with opened(url, wait=".legend button") as page:
        chart = page.locator("#training svg.chart >> nth=0")
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        step_600 = 40 + 600 / 1200 * (360 - 40 - 18)  # in the units of the drawing
        page.mouse.move(box["x"] + box["width"] * step_600 / 360, box["y"] + box["height"] / 2)
        rows = [row.split("\t") for row in page.locator(".tip tr").all_inner_texts()]
        assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
            ["step 600", "logged", "average"],
            ["discriminator", "1.06", "1.06"],
            ["generator", "0.5", "0.5"],
        ]
        assert chart.locator(".marks circle").count() == 2
        page.mouse.move(5, 5)
        assert page.locator(".tip tr").count() == 0 and chart.locator(".marks circle").count() == 0
        chart.focus()
        page.keyboard.press("ArrowLeft")  # the last step
        assert page.locator(".tip tr >> nth=0").inner_text().startswith("step 1,200")
        page.keyboard.press("ArrowLeft")
        assert page.locator(".tip tr >> nth=0").inner_text().startswith("step 1,180")
        page.keyboard.press("Escape")
        assert page.locator(".tip tr").count() == 0
        plot = page.locator("svg.budgets")
        plot.focus()
        page.keyboard.press("ArrowRight")
        text = " ".join(page.locator(".tip").inner_text().split())
        assert text.startswith(
            "labels: 12 mean whisker All labels 3.2 2.88 to 3.52 S3GAN 3.5 2.8 to 4.2 No labels"
        )
        assert text.endswith("All labels + 10% 3.52 Real training images 1.8")


def test_the_slider_shows_a_column_of_the_picture(url):
    """The pixels of the row of samples equal those of the column, cut from the picture."""
    cut = """([column, rows]) => {
        const image = document.querySelector("#evolution img"), canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const stage = document.querySelector("#evolution canvas").getContext("2d");
        const data = (from, x, y) => from.getImageData(x, y, 4, 4).data.join();
        return Array.from({ length: rows }, (_, row) =>
            data(context, column * 5, row * 5) === data(stage, row * 5, 0));
    }"""
    with opened(url, wait="#evolution input") as page:
        note = page.locator("#evolution .at >> nth=0")
        assert note.inner_text() == ", step 1,200"
        page.locator("#evolution input").press("Home")
        page.locator("#evolution input").press("ArrowRight")
        assert note.inner_text() == ", step 100" and page.evaluate(cut, [1, 3]) == [True] * 3
        assert page.evaluate(cut, [2, 3]) != [True] * 3
        picture = page.locator("#evolution img >> nth=1")
        width = picture.bounding_box()["width"]
        picture.click(position={"x": width * 0.35, "y": 5})  # the fourth of ten columns
        assert page.locator("#evolution output").inner_text() == note.inner_text().strip(", ") == "step 400"
        assert page.locator("#evolution .steps .now").all_inner_texts() == ["400"] * 3


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_fits_the_window(url, width, colors):
    with opened(url, width=width, colors=colors, wait="#evolution input") as page:
        assert not overflows(page)


def test_the_table_of_runs_is_sorted_too(tmp_path):
    body = [["a", "20", "2.5 ± 0.25"], ["b", "3", "11"], ["c", "100", ""]]
    path = tmp_path / "scores.html"
    path.write_text(scores_page(["run", "step", "fid"], body, ["A note."]))
    with opened(path.as_uri(), wait="th button") as page:
        page.get_by_role("button", name="fid").click()
        page.get_by_role("button", name="step").click()
        assert column(page, "table", 1) == ["3", "20", "100"]
        page.get_by_role("button", name="fid").click()
        assert column(page, "table", 0) == ["a", "b", "c"] and not overflows(page)
