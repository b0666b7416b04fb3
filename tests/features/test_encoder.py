"""An encoder's file, and the classifier that comes with the package."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.data import open_dataset
from compare_gan.features import digits, open_extractor
from compare_gan.features.encoder import Encoder, EncoderSpec, TrainedEncoder, load_encoder
from compare_gan.nn.state import net_state

SPEC = EncoderSpec((8, 8, 1), ("a", "b", "c"), width=4)


@pytest.fixture(scope="module")
def encoder():
    return TrainedEncoder(SPEC, jax.device_get(net_state(Encoder(SPEC, nnx.Rngs(0)))))


def images(count, size=8):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 1), dtype=np.uint8)


def test_saving_and_loading_round_trips(encoder, tmp_path):
    for name in ("one.npz", "two.npz"):
        encoder.save(tmp_path / name, {"seed": 0})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    again = load_encoder(tmp_path / "one.npz")
    assert again.spec == SPEC and len(again.sha256) == 64
    for a, b in zip(encoder(images(7)), again(images(7)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_results_do_not_depend_on_the_batch_size(encoder):
    at_once, batched = encoder(images(11)), encoder(images(11), batch_size=4)
    assert at_once.features.shape == (11, SPEC.feature_dim) and at_once.classes.shape == (11, 3)
    for a, b in zip(at_once, batched, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_files_other_than_encoders_are_refused(encoder, tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, images=images(2))
    with pytest.raises(UserError, match="not an encoder"):
        load_encoder(path)
    encoder.save(path, {})
    arrays = dict(np.load(path))
    arrays.pop("params/stem/kernel")
    np.savez(path, **arrays)
    with pytest.raises(UserError, match="do not match"):
        load_encoder(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        load_encoder(path)
    with pytest.raises(UserError, match="did you mean 'digits'"):
        open_extractor("digit")


def test_images_of_another_size_are_refused(encoder):
    with pytest.raises(UserError, match="expects images of"):
        encoder(images(2, size=16))


def test_the_digits_classifier_matches_its_recorded_accuracy():
    extractor = open_extractor("digits")
    test = open_dataset("digits").test
    right = np.mean(extractor(test.images).classes.argmax(1) == test.labels)
    with np.load(Path(digits.__file__).with_suffix(".npz")) as file:
        about = json.loads(str(file["about"]))
    assert right == pytest.approx(about["provenance"]["test_accuracy"], abs=1e-4)
    assert right > 0.98
    assert dataclasses.asdict(extractor.spec)["classes"] == tuple("0123456789")


def test_the_fashion_classifier_is_as_accurate_on_the_packaged_images_as_on_all():
    """Its recorded accuracy is on the 10,000 test images of Fashion-MNIST; a fifth of them is packaged."""
    extractor, clothes = open_extractor("fashion"), open_dataset("fashion")
    assert extractor.spec.classes == clothes.class_names
    right = np.mean(extractor(clothes.test.images).classes.argmax(1) == clothes.test.labels)
    with np.load(Path(digits.__file__).with_name("fashion.npz")) as file:
        recorded = json.loads(str(file["about"]))["provenance"]["test_accuracy"]
    assert recorded > 0.9 and abs(right - recorded) < 3 * np.sqrt(recorded * (1 - recorded) / 2000)
