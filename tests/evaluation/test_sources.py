"""Images, features and statistics from folders and files, scored without a GAN."""

import dataclasses
import logging

import numpy as np
import pytest
from scipy import linalg

from compare_gan import scoring
from compare_gan.core.errors import UserError
from compare_gan.core.registry import METRICS
from compare_gan.data import LoadOptions, Split
from compare_gan.data.loading import load_split
from compare_gan.data.records import Contents, Pixels, StoredSplit
from compare_gan.evaluation.sets import compute_scores
from compare_gan.evaluation.sources import (
    Source,
    is_features_file,
    read_features,
    score_against_features,
    score_features,
    score_images,
)
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.metrics.context import EvalContext, ImageSet
from compare_gan.metrics.frechet import frechet_distance, moments

CLASSES = ("dark", "bright")


class Pooled:
    """An extractor of RGB images: the mean of each channel of each half, and how dark and bright it is."""

    name, sha256 = "pooled", "0"

    def __init__(self, class_names=()):
        self.class_names = class_names

    def __call__(self, images, batch_size=None):
        x = np.broadcast_to(np.asarray(images[:], np.float64), (*images.shape[:3], 3))
        brightness = x.mean((1, 2, 3))
        logits = (
            np.stack([128 - brightness, brightness - 128], 1) if self.class_names else np.zeros((len(x), 0))
        )
        return FeaturesAndClasses(x.reshape(len(x), 2, -1, 3).mean(2).reshape(-1, 6), logits)


def source(seed=0, count=40, names=CLASSES, size=4, channels=3, name="here"):
    """Alternating dark and bright images, labelled with the indices of these classes in `names`."""
    rng, bright = np.random.default_rng(seed), np.arange(count) % 2
    pixels = rng.integers(0, 100, (count, size, size, channels)) + 150 * bright[:, None, None, None]
    labels = np.full(count, -1) if not names else np.array([names.index(CLASSES[i]) for i in bright])
    return Source(name, "all", Split(pixels.astype(np.uint8), labels.astype(np.int32)), names)


def test_a_row_names_its_sources():
    row = score_images(source(0), source(1, 30, name="there"), Pooled(), ["fid_score"])
    assert (row["generated_images"], row["real_images"], row["real_split"]) == (40, 30, "all")
    assert (row["generated"], row["data"], row["scored"]) == ("here", "there", "fid_score")
    other = score_images(source(0), source(1, 20, name="there"), Pooled(), ["fid_score"])
    assert other["fingerprint"] != row["fingerprint"]


@pytest.mark.parametrize("stored", [1, 3])
def test_grey_images_compare_with_colour_however_they_are_stored(stored):
    grey, colour = source(0, channels=1), source(1)
    wide = Split(np.repeat(grey.split.images, 3, axis=3), grey.split.labels)
    given = dataclasses.replace(grey, split=Split(wide.images[..., :stored], wide.labels))
    seen = [Pooled()(images).features for images in (colour.split.images, wide.images)]
    expected = frechet_distance(*moments(seen[0]), *moments(seen[1]))
    assert score_images(given, colour, Pooled(), ["fid_score"])["fid_score"] == pytest.approx(expected)
    back = score_images(colour, given, Pooled(), ["fid_score"])["fid_score"]
    assert back == pytest.approx(expected, rel=1e-6)  # of a singular covariance


def test_two_sizes_are_refused_with_both_names():
    with pytest.raises(UserError, match="images of here are 4x4, those of there 6x6; give --image_size"):
        score_images(source(), source(size=6, name="there"), Pooled(), ["fid_score"])


def test_classes_of_both_sides_are_used_by_name():
    """Per-class scores do not depend on the order of classes."""
    same = score_images(source(0), source(1), Pooled(), ["intra_fid_score"])["intra_fid_score"]
    swapped = source(0, names=("bright", "dark"))
    assert score_images(swapped, source(1), Pooled(), ["intra_fid_score"])["intra_fid_score"] == same
    extractor = Pooled(CLASSES)
    assert score_images(swapped, source(1), extractor, ["class_agreement"])["class_agreement"] == 1
    assert score_images(swapped, source(1, names=()), Pooled(swapped.class_names), ["class_agreement"])


@pytest.mark.parametrize(
    "fake, real, names, metric, words",
    [
        (source(names=()), source(), (), "intra_fid_score", "classes of the generated images"),
        (source(), source(names=()), (), "intra_fid_score", "classes of the real images"),
        (source(), source(), ("a", "b"), "class_agreement", "same classes as the generated images"),
        (source(), source(), (), "inception_score", "class logits"),
        (source(count=8), source(), (), "prd", "20 real and 20 generated images, but one set has 8"),
        (source(count=5), source(), (), "prdc", "6 real and 6 generated images"),
        (source(count=3), source(count=2000), (), "kid_score", "4 real and 4 generated images"),
        (source(), source(), (), "gilbo", "training images and a generator"),
    ],
)
def test_missing_inputs_are_refused_in_one_line(fake, real, names, metric, words):
    with pytest.raises(UserError, match=words) as error:
        score_images(fake, real, Pooled(names), ["fid_score", metric])
    assert "\n" not in str(error.value) and metric in str(error.value)


def statistics(path, features, **more):
    np.savez(path, mu=features.mean(0), sigma=np.cov(features.T), **more)
    return path


def test_mean_and_covariance_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    fake, real = rng.normal(size=(50, 4)), rng.normal(1, 2, size=(70, 4))
    given = read_features(statistics(tmp_path / "s.npz", real))
    cov1, cov2 = np.cov(fake.T), np.cov(real.T)
    expected = ((fake.mean(0) - real.mean(0)) ** 2).sum() + np.trace(
        cov1 + cov2 - 2 * linalg.sqrtm(cov1 @ cov2)
    )
    row = score_features(fake, given, ["fid_score", "frechet_distance"])
    assert row["fid_score"] == row["frechet_distance"] == pytest.approx(expected)
    assert row["generated_images"] == 50 and "real_images" not in row
    assert score_features(given, given, ["fid_score"])["fid_score"] == pytest.approx(0, abs=1e-9)
    for metric in ("kid_score", "prd", "fid_interval"):
        with pytest.raises(UserError, match=f"{metric} needs the features of every image"):
            score_features(fake, given, ["fid_score", metric])


def test_images_against_statistics_of_the_same_extractor(tmp_path):
    real, extractor = source(1), Pooled(CLASSES)
    given = read_features(statistics(tmp_path / "s.npz", extractor(real.split.images).features))
    row = score_against_features(source(0), given, extractor, ["fid_score", "inception_score"])
    expected = score_images(source(0), real, extractor, ["fid_score", "inception_score"])
    for name in ("fid_score", "inception_score"):
        assert row[name] == pytest.approx(expected[name])
    with pytest.raises(UserError, match="6 features of generated images are incompatible with 4"):
        score_against_features(source(0), np.zeros((50, 4)), extractor, ["fid_score"])


def test_files_of_features_are_recognised(tmp_path):
    features, images = np.random.default_rng(0).normal(size=(20, 3)), np.zeros((2, 4, 4, 3), np.uint8)
    np.save(tmp_path / "features.npy", features)
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "features.npz", features=features, labels=np.zeros(20))
    np.savez(tmp_path / "single.npz", features)
    np.savez(tmp_path / "images.npz", images=images, labels=np.zeros(2))
    (tmp_path / "text.npy").write_text("no array")
    statistics(tmp_path / "both.npz", features, arr_0=images)
    statistics(tmp_path / "statistics.npz", features)
    recognised = sorted(path.name for path in tmp_path.iterdir() if is_features_file(path))
    assert recognised == ["features.npy", "features.npz", "single.npz", "statistics.npz"]
    assert not is_features_file(tmp_path) and not is_features_file(tmp_path / "none.npz")


def test_arrays_files_and_features_give_the_same_scores(tmp_path):
    """The library function, for what the commands take as folders and files."""
    fake, real, extractor = source(0).split.images, source(1, 30).split.images, Pooled()
    np.save(tmp_path / "fake.npy", fake)
    np.save(tmp_path / "real.npy", real)
    np.save(tmp_path / "features.npy", extractor(real).features)
    given = statistics(tmp_path / "statistics.npz", extractor(real).features)
    metrics = ["fid_score", "kid_score"]
    row = scoring.score_images(fake, real, metrics, extractor=extractor)
    expected = score_features(extractor(fake).features, extractor(real).features, metrics)
    assert {name: row[name] for name in metrics} == {name: expected[name] for name in metrics}
    assert row["compared"] == "40 images of an array (all) against 30 of an array (all)"
    for reference in (tmp_path / "real.npy", str(tmp_path / "features.npy"), extractor(real).features):
        again = scoring.score_images(tmp_path / "fake.npy", reference, metrics, extractor=extractor)
        assert {name: again[name] for name in metrics} == {name: row[name] for name in metrics}
    by_statistics = scoring.score_images(extractor(fake).features, given, ["fid_score"])
    assert by_statistics["fid_score"] == pytest.approx(row["fid_score"])
    assert "frechet_distance" in scoring.score_images(fake, real, extractor=extractor)


@pytest.mark.parametrize(
    "generated, reference, options, expected",
    [
        (np.zeros((4, 4, 4, 3)), "digits", {}, "an array of float64 [4, 4, 4, 3]; expected uint8 images"),
        (np.zeros((4, 9)), np.zeros((4, 4, 4, 3), np.uint8), {}, "an array holds features"),
        (
            np.zeros((4, 4, 4, 3), np.uint8),
            np.zeros((4, 9)),
            {"reference_split": "test"},
            "--reference_split is for images",
        ),
        ("digits", "no/such/folder", {}, "no/such/folder"),
        ("digits", "digits", {"metrics": ["fid"]}, "unknown metric 'fid'"),
        ("digits", "digits", {"extractor": "diggits"}, "did you mean 'digits'"),
    ],
)
def test_sides_that_cannot_be_compared(generated, reference, options, expected):
    with pytest.raises(UserError) as error:
        scoring.score_images(generated, reference, **options)
    assert expected in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "mu, sigma, words",
    [
        (np.zeros(3), np.eye(2), "expected \\[F\\] and \\[F, F\\]"),
        (np.zeros((3, 3)), np.eye(3), "expected \\[F\\] and \\[F, F\\]"),
        (np.full(2, np.nan), np.eye(2), "NaN or Inf"),
        (np.zeros(2), np.array([[1, 5], [0, 1]]), "not symmetric"),
        (np.array(["a", "b"]), np.eye(2), "real numbers"),
        (np.zeros(2), np.array([[1, 2], [2, 1]]), "negative eigenvalues"),
    ],
)
def test_damaged_statistics(tmp_path, mu, sigma, words):
    np.savez(tmp_path / "s.npz", mu=mu, sigma=sigma)
    with pytest.raises(UserError, match=f"s.npz: .*{words}"):
        read_features(tmp_path / "s.npz")


def test_one_failure_leaves_the_other_scores(monkeypatch, caplog):
    def broken(ctx):
        raise ZeroDivisionError("of no account")

    monkeypatch.setitem(METRICS._items, "prd", dataclasses.replace(METRICS["prd"], compute=broken))
    features = np.random.default_rng(0).normal(size=(60, 4))
    context = EvalContext(ImageSet.of_features(features), ImageSet.of_features(features + 1))
    with caplog.at_level(logging.WARNING):
        scores, failed = compute_scores(context, ["fid_score", "prd"])
    assert failed == ["prd"] and scores["prd_f8"] is None and scores["fid_score"] == pytest.approx(4)
    assert [record.getMessage() for record in caplog.records] == [
        "prd failed and has no score: of no account"
    ]
    with pytest.raises(ZeroDivisionError):
        compute_scores(context, ["prd"])
    huge = ImageSet.of_features(features * 1e200)
    with pytest.raises(UserError, match="fid_score gives NaN"), np.errstate(all="ignore"):
        compute_scores(EvalContext(context.real, huge), ["fid_score"])


def test_a_warning_if_images_are_fewer_than_features(caplog):
    rng = np.random.default_rng(0)
    with caplog.at_level(logging.WARNING):
        score_features(rng.normal(size=(9, 5)), rng.normal(size=(9, 5)), ["fid_score"])
        assert not caplog.records
        score_features(rng.normal(size=(9, 12)), rng.normal(size=(30, 12)), ["kid_score"])
        assert not caplog.records
        score_features(rng.normal(size=(9, 12)), rng.normal(size=(30, 12)), ["fid_score"])
    assert "9 generated images are fewer than the 12 features" in caplog.text


def test_splits_of_a_source():
    def part(count, label):
        return StoredSplit(
            Pixels(np.full((count, 2, 2, 1), label, np.uint8)), np.full(count, label, np.int32)
        )

    contents = Contents("x", "x", part(10, 1), part(4, 2), ("0", "1", "2"))
    found = {which: load_split(contents, LoadOptions(), which).labels for which in ("train", "test", "all")}
    assert {which: len(labels) for which, labels in found.items()} == {"train": 10, "test": 4, "all": 14}
    assert found["all"].tolist() == [1] * 10 + [2] * 4
    unsplit = dataclasses.replace(contents, test=None)
    assert len(load_split(unsplit, LoadOptions(), "all")) == 10
    assert (
        len(load_split(unsplit, LoadOptions(), "train")) + len(load_split(unsplit, LoadOptions(), "test"))
        == 10
    )
