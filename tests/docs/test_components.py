"""docs/components.md is what the registries and docstrings say."""

from compare_gan.nn.options import Weights

from .components import INITIALISERS, ROOT, page


def test_the_page_is_up_to_date():
    written = (ROOT / "docs" / "components.md").read_text()
    assert written == page(), "run: python -m tests.docs.components > docs/components.md"


def test_every_initialiser_makes_weights():
    assert all(callable(Weights(name).make()) for name in INITIALISERS)
