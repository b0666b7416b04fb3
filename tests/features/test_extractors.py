"""What all extractors have in common, and how they are opened."""

import numpy as np
import pytest

from compare_gan import features
from compare_gan.core.errors import UserError
from compare_gan.features import default_extractor, open_extractor, public
from compare_gan.features.base import FeaturesAndClasses, in_batches
from compare_gan.metrics.frechet import frechet_distance, moments
from compare_gan.metrics.inception_score import inception_score
from compare_gan.metrics.kernel import kernel_distance

from .inception_case import random_weights


class Lazy:
    """Images read lazily, at most `max_rows` at a time."""

    def __init__(self, images, max_rows):
        self.images, self.max_rows, self.shape = images, max_rows, images.shape

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        found = self.images[index]
        assert len(found) <= self.max_rows
        return found


def images(count, size=8, channels=1):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


@pytest.fixture(params=["digits", "random"])
def extractor(request):
    return open_extractor(request.param)


def test_features_of_chunks_are_chunks_of_features(extractor):
    outputs = extractor(images(11))
    assert (
        outputs.features.ndim == outputs.classes.ndim == 2
        and len(outputs.features) == len(outputs.classes) == 11
    )
    assert outputs.features.dtype == np.float32
    parts = [extractor(images(11)[part]) for part in (slice(4), slice(4, 11))]
    for key in ("features", "classes"):
        joined = np.concatenate([getattr(part, key) for part in parts])
        np.testing.assert_allclose(joined, getattr(outputs, key), rtol=1e-5, atol=1e-5)


def test_images_are_read_one_batch_at_a_time(extractor):
    lazy = extractor(Lazy(images(11), max_rows=4), batch_size=4)
    np.testing.assert_allclose(lazy.features, extractor(images(11)).features, rtol=1e-5, atol=1e-5)


def test_opening_is_deterministic(extractor):
    again = open_extractor(extractor.name)
    assert again.sha256 == extractor.sha256 and len(again.sha256) == 64
    np.testing.assert_array_equal(again(images(3)).features, extractor(images(3)).features)


def test_metrics_accept_every_extractor(extractor):
    real, fake = extractor(images(30)), extractor(images(40)[10:] // 2)
    assert frechet_distance(*moments(real.features), *moments(fake.features)) > 0
    assert np.isfinite(kernel_distance(real.features, fake.features).mean)
    assert 1 <= inception_score(fake.classes) <= fake.classes.shape[1]


def test_batches_are_padded_to_a_constant_size():
    sizes = []

    def see(batch):
        sizes.append(len(batch))
        return FeaturesAndClasses(batch.reshape(len(batch), -1), np.zeros((len(batch), 0)))

    for count in (0, 1, 4, 5):
        seen = in_batches(see, images(count), 4, "any")
        np.testing.assert_array_equal(seen.features, images(count).reshape(count, 64))
        assert seen.classes.shape == (count, 0)
    assert set(sizes) == {4} and len(sizes) == 5


def test_the_random_network_is_pinned():
    """Pinned outputs for a grey ramp, at any size and in grey or RGB."""
    random = open_extractor("random")
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    seen = random(ramp)
    assert random.sha256 == "f6122a54d26d29145771c3920effbdc0279085c181fe66450f0a8bd415a3806b"
    np.testing.assert_allclose(
        seen.features[0, :4], [0.01552654, 0.1964854, 0.03610895, 0.07735831], rtol=1e-4
    )
    np.testing.assert_allclose(random(ramp.repeat(3, 3)).features, seen.features, rtol=1e-6)
    assert random(images(2, size=37, channels=3)).features.shape == (2, 64)
    assert np.ptp(random(images(9, size=16)).features, axis=0).max() > 0.01
    with pytest.raises(UserError, match="random: expected grey or RGB images, got 2 channels"):
        random(images(1, channels=2))


def test_inception_weights_are_opened_by_path_or_by_name(tmp_path, monkeypatch):
    weights = random_weights(seed=0)
    path = tmp_path / "mine.npz"
    np.savez(path, **weights, **{"fc.bias": np.zeros(1008, np.float32)})
    opened = open_extractor(str(path))
    monkeypatch.setenv(public.INCEPTION.variable, str(path))
    named, clean = open_extractor("inception"), open_extractor("inception_clean")
    assert opened.name == named.name == "inception" and clean.name == "inception_clean"
    assert opened.sha256 == named.sha256 != clean.sha256


def test_an_unknown_extractor_is_reported(tmp_path):
    with pytest.raises(UserError, match="did you mean 'inception'"):
        open_extractor("inceptoin")
    with pytest.raises(UserError, match="neither a known feature extractor nor a file"):
        open_extractor(str(tmp_path))
    for name in ("x.npz", "x.pth", "x.onnx", "x"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(UserError, match=rf"{name}: "):
            open_extractor(str(tmp_path / name))


def test_the_default_extractor_is_never_one_of_other_images(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(public, "download", None)  # would raise
    for name in ("COMPARE_GAN_INCEPTION", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert default_extractor("digits", (8, 8, 1)).sha256 == open_extractor("digits").sha256
    for name, shape in (("digits", (16, 16, 1)), ("random", (8, 8, 1)), ("photos", (64, 64, 3))):
        with pytest.raises(
            UserError, match=f"for {name}; give --extractor inception .* classifier .* .onnx"
        ) as error:
            default_extractor(name, shape)
        assert "\n" not in str(error.value)
    weights = tmp_path / "w.npz"
    weights.touch()
    monkeypatch.setenv("COMPARE_GAN_INCEPTION", str(weights))
    opened = []
    monkeypatch.setattr(features, "open_extractor", opened.append)
    default_extractor("photos", (64, 64, 3))
    default_extractor("digits", (8, 8, 1))
    assert opened == ["inception", "digits"]
