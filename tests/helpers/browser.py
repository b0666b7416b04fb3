"""A headless browser for tests of pages."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_MS = 120_000  # for a condition; the tests wait for conditions only


@contextlib.contextmanager
def opened(
    url: str, *, width: int = 1280, colors: str = "light", wait: str, expected: str = "no error"
) -> Iterator[Any]:
    """A page in Chromium, once it has the element `wait`.

    Errors of its scripts and requests fail the test at the end, except those that contain `expected`.

    The test is skipped where playwright or the browser is missing.
    """
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright to test pages")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    errors: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=colors)
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.goto(url)
        page.wait_for_selector(wait, state="attached")
        yield page
        browser.close()
    assert [error for error in errors if expected not in error] == []


def overflows(page: Any) -> bool:
    """Whether the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")
