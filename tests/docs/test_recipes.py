"""The code of the recipes runs as it stands, in the order of each page; their last block is a test."""

import re

import pytest

from compare_gan.core import registry

from .components import ROOT

PAGES = sorted((ROOT / "docs" / "recipes").glob("*.md"))
SLOW = {"loop"}  # compiles a training step


@pytest.fixture(autouse=True)
def own_registries():
    """What a recipe registers is forgotten after its test."""
    found = [item._items for item in vars(registry).values() if isinstance(item, registry.Registry)]
    before = [(items, dict(items)) for items in (*found, registry.EXPOSED)]
    yield
    for items, content in before:
        items.clear()
        items.update(content)


def pages():
    for page in PAGES:
        if "```python" in page.read_text():
            yield pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem in SLOW else [])


@pytest.mark.parametrize("page", list(pages()))
def test_the_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert "assert" in blocks[-1]
    names: dict = {"__name__": "mine"}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)


def test_every_recipe_is_listed():
    listed = (ROOT / "docs" / "recipes" / "index.md").read_text()
    assert all(f"]({page.name})" in listed for page in PAGES if page.stem != "index")
