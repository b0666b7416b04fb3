"""docs/components.md is what the registries and docstrings say."""

import jax
import numpy as np
import pytest

from compare_gan.nn.options import Weights

from .components import INITIALISERS, ROOT, page


def test_the_page_is_up_to_date():
    written = (ROOT / "docs" / "components.md").read_text()
    assert written == page(), "run: python -m tests.docs.components > docs/components.md"


def test_initialisers_draw_what_the_page_says():
    shape, deviation = (300, 200), 0.02
    drawn = {
        name: np.float64(Weights(name, deviation).make()(jax.random.key(0), shape, np.float32))
        for name in INITIALISERS
    }
    assert drawn.keys() == {"normal", "truncated", "orthogonal"}
    assert drawn["normal"].std() == pytest.approx(deviation, rel=0.02)
    assert np.abs(drawn["normal"]).max() > 3 * deviation
    assert 1.99 * deviation < np.abs(drawn["truncated"]).max() <= 2 * deviation
    np.testing.assert_allclose(drawn["orthogonal"].T @ drawn["orthogonal"], np.eye(200), atol=1e-5)
