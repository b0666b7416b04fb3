"""The Inception network against torch-fidelity's, with the same random weights."""

import importlib.util

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.features.inception import inception_of, spatial_of
from compare_gan.features.resize import RESIZES

from .inception_case import CASE, SIZES, pictures, random_weights, reference

SMALL = pictures(*SIZES["small"])


@pytest.fixture(scope="module")
def weights():
    return random_weights(seed=0)


@pytest.fixture(scope="module")
def extractor(weights):
    return inception_of(weights, "random")


def assert_close(found, expected):
    """As parts of the greatest number: single ones may be nothing but rounding."""
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_recorded_torch_fidelity(extractor, size):
    seen = extractor(pictures(*SIZES[size]), batch_size=2)
    with np.load(CASE) as case:
        assert_close(seen.features, case[f"{size}_features"])
        assert_close(seen.classes, case[f"{size}_logits"])
    assert seen.features.dtype == seen.classes.dtype == np.float32


def test_agrees_with_torch_fidelity():
    for name in ("torch", "torch_fidelity"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the reference needs {name}: pip install --no-deps torch-fidelity, and torch")
    weights = random_weights(seed=1)
    expected, extractor = reference(weights, SMALL), inception_of(weights, "random")
    seen = extractor(SMALL, batch_size=2)
    assert_close(seen.features, expected["features"])
    assert_close(seen.classes, expected["logits"])
    assert_close(spatial_of(extractor)(SMALL, batch_size=2).features, expected["spatial"])


def test_features_of_sfid_agree_with_recorded_torch_fidelity(extractor):
    spatial = spatial_of(extractor)
    seen = spatial(SMALL, batch_size=2)
    assert seen.features.shape == (2, 2023) and seen.classes.shape == (2, 0)
    with np.load(CASE) as case:
        assert_close(seen.features, case["small_spatial"])
    assert spatial.name == "inception_spatial" and spatial.sha256 != extractor.sha256


def test_the_last_batch_is_padded_and_order_does_not_matter(extractor):
    outputs, reordered = extractor(SMALL, batch_size=2), extractor(SMALL[[1, 0, 1]], batch_size=2)
    for a, b in zip(outputs, reordered, strict=True):
        assert_close(b, a[[1, 0, 1]])


def test_grey_is_three_equal_colours(extractor):
    grey = SMALL[..., :1]
    assert_close(extractor(grey, batch_size=2).features, extractor(grey.repeat(3, 3), batch_size=2).features)
    with pytest.raises(UserError, match="inception: expected grey or RGB images, got 4 channels"):
        extractor(np.zeros((1, 8, 8, 4), np.uint8))


def test_clean_differs_only_in_the_resize(extractor, weights):
    clean = inception_of(weights, "random", "clean")
    assert clean.name == "inception_clean" and clean.sha256 != extractor.sha256
    resized = np.asarray(RESIZES["clean"](SMALL.astype(np.float32), 299))
    seen, expected, bilinear = clean(SMALL, 2), extractor(resized, 2), extractor(SMALL, 2)
    assert_close(seen.features, expected.features)
    assert np.abs(seen.features - bilinear.features).max() > 0.1


def test_other_networks_are_refused(weights):
    with pytest.raises(UserError, match=r"x\.pth: not the Inception network of 2015: has no fc\.weight"):
        inception_of({name: value for name, value in weights.items() if name != "fc.weight"}, "x.pth")
    others = weights | {"fc.weight": np.zeros((1000, 2048), np.float32)}
    with pytest.raises(UserError, match=r"fc\.weight is \[1000, 2048\] instead of \[1008, 2048\]"):
        inception_of(others, "x.pth")
