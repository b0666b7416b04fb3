"""The page of `compare-gan explore` in a browser, with small and large images."""

import shlex

import numpy as np
import pytest

from compare_gan.explore.views import VIEWS
from tests.helpers.browser import opened, overflows

from .test_explore_server import served
from .toy import NAMES, NONE, explorer, training_images

pytestmark = pytest.mark.slow
READY = "#between .tiles button >> nth=8"


def loaded(page, selector, other=""):
    """Waits until a picture is another than before, and returns its source."""
    page.wait_for_function(
        "([selector, other]) => { const image = document.querySelector(selector); "
        "return image.src && image.src !== other && image.complete && image.naturalWidth > 0; }",
        arg=[selector, other],
    )
    return page.locator(selector).get_attribute("src")


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("side", [32, 128])
def test_the_picture_is_that_of_the_command_and_fits(side, width, colors):
    toy = explorer(side=side)
    with served(toy) as server, opened(server.url, width=width, colors=colors, wait="#grid[src]") as page:
        for image in ("#grid", "#map", "#image", "#a", "#b"):
            loaded(page, image)
        assert not overflows(page)
        columns = 10  # as many as one request may ask for
        assert page.locator("#columns").input_value() == str(columns)
        expected = VIEWS["samples"](toy, {"seed": "0", "columns": str(columns), "classes": "0,1,2,3"})
        assert page.locator("#grid").get_attribute("src") == expected["picture"]
        assert page.locator("#save").get_attribute("href") == expected["picture"]
        assert page.locator("#command").inner_text() == expected["command"]
        assert page.locator("#samples .tiles button").count() == 4 * columns
        assert page.locator(".names span").all_inner_texts() == list(NAMES)
        assert ("crisp" in (page.locator("#grid").get_attribute("class") or "")) == (side < 64)
        assert page.locator("#near-note").inner_text() == NONE


def test_classes_seeds_and_columns():
    with served(explorer()) as server, opened(server.url, wait=READY) as page:
        before = loaded(page, "#grid")
        page.get_by_role("button", name="cat", exact=True).click()
        before = loaded(page, "#grid", before)
        page.locator("#seed").fill("17")
        before = loaded(page, "#grid", before)
        page.locator("#columns").fill("3")
        loaded(page, "#grid", before)
        page.wait_for_function("() => document.querySelectorAll('#samples .tiles button').length === 9")
        words = shlex.split(page.locator("#command").inner_text())
        assert words[3:-2] == ["--classes", "<b>dog</b>", "2", "it's", "--columns", "3", "--seed", "17"]
        for name in NAMES[1:]:  # the last class cannot be switched off
            page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_function("() => document.querySelectorAll('#samples .tiles button').length === 3")
        assert page.locator(".chips [aria-pressed=true]").count() == 1


def test_two_images_are_chosen_and_what_lies_between_is_shown():
    toy = explorer()
    with served(toy) as server, opened(server.url, wait=READY) as page:
        tiles = page.locator("#samples .tiles button")
        tiles.nth(10 * 1 + 2).click()  # class 1, column 2: image 2 * 4 + 1
        page.get_by_text("A: <b>dog</b>, seed 0, image 9").wait_for()
        assert tiles.nth(12).get_attribute("data-mark") == "A"
        page.locator("[name=end][value=b]").check(force=True)
        tiles.nth(10 * 3).focus()
        page.keyboard.press("ArrowRight")  # class 3, column 1: image 1 * 4 + 3
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelector('#b + span').textContent.endsWith('image 7')")
        assert page.locator("[for=z]").inner_text() == "1.00" == page.locator("[for=y]").inner_text()
        before = page.locator("#image").get_attribute("src")
        page.locator("#z").fill("0.25")
        page.locator("#y").fill("0.5")
        expected = VIEWS["between"](toy, {"a": "0.9.1", "b": "0.7.3", "z": "0.25", "y": "0.5"})["picture"]
        page.wait_for_function("(src) => document.querySelector('#image').src === src", arg=expected)
        assert before != expected
        assert page.locator("#between .tiles [data-mark]").count() == 1
        page.locator("#between .tiles button").nth(9 * 4 + 8).click()  # the last of 5 rows of 9
        assert page.locator("[for=z]").inner_text() == "1.00" == page.locator("[for=y]").inner_text()
        page.wait_for_function("(src) => document.querySelector('#image').src === src", arg=before)


def test_a_link_shows_the_same():
    with served(explorer()) as server:
        with opened(server.url, wait=READY) as page:
            page.locator("#seed").fill("5")
            page.locator("#samples .tiles button").nth(11).click()
            page.locator("#z").fill("0.5")
            page.wait_for_function(
                "() => document.querySelector('#command').textContent.includes('--seed 5')"
            )
            link, image = page.url, loaded(page, "#image")
            page.wait_for_function("() => !document.querySelector('.busy')")
            image = page.locator("#image").get_attribute("src")
        assert server.token in link
        with opened(link, wait=READY) as page:
            page.wait_for_function("(src) => document.querySelector('#image').src === src", arg=image)
            assert page.locator("#seed").input_value() == "5"
            assert page.locator("[for=z]").inner_text() == "0.50"


def test_the_truncation_of_gaussian_vectors():
    with served(explorer(prior="normal")) as server, opened(server.url, wait=READY) as page:
        assert page.locator("#truncation").is_disabled()
        page.locator("#truncated").check()
        page.wait_for_function(
            "() => document.querySelector('#command').textContent.includes('--truncation 1 ')"
        )
        page.locator("#truncation").fill("0.5")
        page.wait_for_function(
            "() => document.querySelector('#command').textContent.includes('--truncation 0.5 ')"
        )
    with served(explorer()) as server, opened(server.url, wait=READY) as page:
        assert not page.locator("#truncated").is_visible()


def test_an_unconditional_generator_has_a_row_of_images_between_two():
    toy = explorer(names=())
    with served(toy) as server, opened(server.url, wait=READY) as page:
        assert not page.locator(".classes").is_visible() and not page.locator("#y").is_visible()
        assert page.locator("#samples .tiles button").count() == 100
        assert page.locator("#between .tiles button").count() == 9


def test_the_nearest_training_images():
    training = training_images(np.arange(9, dtype=np.int32) % 4, 20)
    with served(explorer(lambda: training)) as server, opened(server.url, wait=READY) as page:
        page.locator("#find").click()
        page.wait_for_selector(".near li >> nth=6")
        assert page.locator(".near li").count() == 7
        assert page.locator(".near li >> nth=0").inner_text().split("\n") == ["0.00", "<b>dog</b>"]
        assert "the extractor “red”. 0.0% of held-out images" in page.locator("#near-note").inner_text()


def test_an_error_of_the_server_is_shown_until_the_next_picture(monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    with served(explorer()) as server, opened(server.url, wait=READY, expected="status of 500") as page:
        monkeypatch.setitem(VIEWS, "samples", fail)
        page.locator("#seed").fill("1")
        page.get_by_text("failed (out of memory)").wait_for()
        monkeypatch.undo()
        page.locator("#seed").fill("2")
        page.wait_for_selector(".problem", state="hidden")


def test_a_wrong_token_is_explained():
    with served(explorer()) as server:
        url = server.url[:-1] + ("a" if server.url[-1] != "a" else "b")
        with opened(url, wait="body", expected="status of 403") as page:
            assert "open the URL that compare-gan explore printed" in page.content()
