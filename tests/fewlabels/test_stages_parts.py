"""The mathematics of the label stages: calibration, linear classifier, clusters, probe, quality."""

import itertools

import numpy as np
import pytest
from scipy import special
from sklearn.neighbors import KNeighborsClassifier

from compare_gan.core.errors import UserError
from compare_gan.data import ImageDataset, Split
from compare_gan.fewlabels.calibration import calibration_error, fit_temperature, stratified_folds
from compare_gan.fewlabels.cluster import cluster
from compare_gan.fewlabels.inferred import Inferred, Predictions
from compare_gan.fewlabels.linear import classify_linear, out_of_fold
from compare_gan.fewlabels.probe import nearest_neighbours, probe, write_probe
from compare_gan.fewlabels.quality import label_quality, match_clusters
from compare_gan.fewlabels.representation import Features


def sample_classes(p, seed=0):
    """A random class [N] for each row of probabilities [N, K]."""
    return (p.cumsum(1) < np.random.default_rng(seed).random((len(p), 1))).sum(1)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_labels_were_sampled_with_is_recovered(temperature):
    logits = 3 * np.random.default_rng(0).standard_normal((20000, 4))
    labels = sample_classes(special.softmax(logits / temperature, axis=1))
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)
    absent = np.concatenate([logits, np.full((20000, 1), -np.inf)], axis=1)
    assert fit_temperature(absent, labels) == pytest.approx(fit_temperature(logits, labels), rel=1e-5)


def test_the_prior_keeps_the_temperature_near_one_with_few_labels():
    """The expected value is the MAP estimate on a fine grid."""
    logits, labels = np.random.default_rng(0).standard_normal((8, 3)), np.arange(8) % 3
    grid = np.linspace(-2, 2, 40001)
    fit = -special.log_softmax(logits / np.exp(grid)[:, None, None], axis=2)[:, np.arange(8), labels].sum(1)
    expected = np.exp(grid[np.argmin(fit + grid**2 / (2 * 0.3**2))])
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-3)
    right = fit_temperature(np.tile([[2.0, 0.0]], (8, 1)), np.zeros(8, int))
    assert 0.8 < right < 1
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == pytest.approx(1, abs=1e-4)


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.95, 0.55, 0.55])
    predicted = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 0, 1, 0, 1])  # correct: two of three, and one of two
    expected = (3 * abs(0.95 - 2 / 3) + 2 * abs(0.55 - 1 / 2)) / 5
    assert calibration_error(predicted, labels) == pytest.approx(expected)
    calibrated = np.random.default_rng(1).dirichlet([1, 1, 1], 50000)
    assert calibration_error(calibrated, sample_classes(calibrated)) < 0.01


def test_folds_are_stratified():
    labels = np.array([2, 0, 0, 2, 0, 0, 2, 1, 2])
    assert stratified_folds(labels, 3).tolist() == [0, 0, 1, 1, 2, 0, 2, 0, 0]


def gaussians(count=60, classes=3, gap=4.0, seed=0):
    """Gaussian blobs: features [classes * count, 5] and their classes."""
    rng = np.random.default_rng(seed)
    centres = gap * np.eye(classes, 5)
    features = np.repeat(centres, count, axis=0) + rng.standard_normal((classes * count, 5))
    return features.astype(np.float32), np.repeat(np.arange(classes), count)


def few_of(labels, every):
    return np.where(np.arange(len(labels)) % every == 0, labels, -1)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_classifier_is_accurate_and_calibrated(classes):
    features, labels = gaussians(600, classes, gap=2.0)
    test, test_labels = gaussians(600, classes, gap=2.0, seed=1)
    found = classify_linear(Features(features, test), few_of(labels, 10), classes)
    # With unit noise in each direction, the Bayes classifier picks the nearest centre.
    bayes = np.mean(test[:, :classes].argmax(1) == test_labels)
    assert np.mean(found.test.argmax(1) == test_labels) > bayes - 0.03
    assert calibration_error(found.test, test_labels) < 0.05
    assert found.train.dtype == np.float32 and found.train.shape == (len(labels), classes)


def test_scaling_the_features_does_not_matter():
    features, labels = gaussians()
    scaled = Features(features * [1, 10, 0.1, 5, 1000] + 3)
    plain = classify_linear(Features(features), few_of(labels, 10), 3)
    np.testing.assert_allclose(classify_linear(scaled, few_of(labels, 10), 3).train, plain.train, atol=1e-3)


def test_classes_without_a_label_are_never_inferred():
    features, labels = gaussians()
    few = few_of(np.where(labels == 1, -1, labels), 10)
    found = classify_linear(Features(features), few, 4)
    assert found.train.shape == (180, 4) and not found.train[:, [1, 3]].any()
    np.testing.assert_array_equal(found.train.argmax(1)[labels != 1], labels[labels != 1])


def test_one_label_per_class_is_enough():
    features, labels = gaussians(gap=8.0)
    found = classify_linear(Features(features), few_of(labels, 60), 3)
    assert np.mean(found.train.argmax(1) == labels) > 0.7 and found.temperature == 1
    with pytest.raises(UserError, match="two classes"):
        classify_linear(Features(features), np.where(labels == 0, 0, -1), 3)


def test_out_of_fold_logits_do_not_depend_on_their_own_labels():
    features, labels = gaussians(10)
    folds = stratified_folds(labels)
    before = out_of_fold(features, labels, folds, 3, 1.0)
    other = np.where(folds == 2, (labels + 1) % 3, labels)
    after = out_of_fold(features, other, folds, 3, 1.0)
    rows = folds[folds > 0] == 2
    np.testing.assert_array_equal(before[rows], after[rows])
    assert not np.allclose(before[~rows], after[~rows])


def test_clusters_depend_on_directions_only():
    features, labels = gaussians(gap=12.0)
    found = cluster(Features(features, features[:5]), 3, seed=0)
    assert len({tuple(pair) for pair in zip(labels, found.train, strict=True)}) == 3
    np.testing.assert_array_equal(found.test, found.train[:5])
    lengths = np.random.default_rng(0).uniform(0.1, 10, (len(features), 1)).astype(np.float32)
    np.testing.assert_array_equal(cluster(Features(features * lengths), 3, seed=0).train, found.train)
    with pytest.raises(UserError, match="181 clusters of 180 images"):
        cluster(Features(features), 181, seed=0)


def test_nearest_neighbours_agree_with_scikit_learn():
    features, labels = gaussians(gap=1.0)
    queries = gaussians(gap=1.0, seed=1)[0]
    expected = KNeighborsClassifier(1, metric="cosine").fit(features, labels).predict(queries)
    np.testing.assert_array_equal(nearest_neighbours(features, labels, queries, 1), expected)
    votes = KNeighborsClassifier(7, metric="cosine").fit(features, labels).predict_proba(queries)
    clear = np.sort(votes, 1)[:, -1] > np.sort(votes, 1)[:, -2]
    ours = nearest_neighbours(features, labels, queries, 7)
    np.testing.assert_array_equal(ours[clear], votes.argmax(1)[clear])


def dataset_of(train, test, names=("a", "b", "c")):
    def split(labels):
        return Split(np.zeros((len(labels), 2, 2, 1), np.uint8), np.asarray(labels, np.int32))

    return ImageDataset("toy", split(train), split(test), names)


def test_the_probe_trains_on_kept_labels_and_scores_test_labels(tmp_path):
    features, labels = gaussians()
    test, test_labels = gaussians(20, seed=1)
    few = dataset_of(few_of(labels, 6), test_labels)
    found = write_probe(few, Features(features, test), tmp_path)
    assert found["linear_accuracy"] > 0.95 and found["neighbours_accuracy"] > 0.9
    assert (found["neighbours"], found["labels"], found["test_images"]) == (20, 30, 60)
    wrong = probe(dataset_of(few_of(labels, 6), (test_labels + 1) % 3), Features(features, test))
    assert wrong["linear_accuracy"] < 0.05
    with pytest.raises(UserError, match="needs features of the test images"):
        probe(few, Features(features))


def test_the_probe_has_no_accuracy_without_labelled_test_images():
    features, labels = gaussians()
    unlabelled = dataset_of(few_of(labels, 6), np.full(60, -1))
    found = probe(unlabelled, Features(features, gaussians(20, seed=1)[0]))
    assert found["linear_accuracy"] is None and found["neighbours_accuracy"] is None
    assert (found["labels"], found["test_images"]) == (30, 0)


def test_quality_counts_hidden_labels_only():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 200)
    kept = np.where(rng.random(200) < 0.3, true, -1)
    train = rng.dirichlet([0.5] * 3, 200)
    full = dataset_of(true, rng.integers(-1, 3, 50))
    few = full.with_labels(kept.astype(np.int32))
    hard = full.with_labels(train.argmax(1).astype(np.int32))
    inferred = Inferred(hard, full.with_labels(train), Predictions(train, rng.dirichlet([1] * 3, 50)))
    quality = label_quality(full, inferred, few)
    hidden = kept < 0
    assert quality["hidden_labels"] == hidden.sum() and np.sum(quality["confusion"]) == hidden.sum()
    assert quality["accuracy"] == pytest.approx(np.mean((train.argmax(1) == true)[hidden]))
    confidence, correct = train.max(1)[hidden], (train.argmax(1) == true)[hidden]
    edges = np.arange(15) / 15
    bins = [(confidence > low) & (confidence <= low + 1 / 15) for low in edges]
    error = sum(abs(confidence[b].sum() - correct[b].sum()) for b in bins) / hidden.sum()
    assert quality["calibration_error"] == pytest.approx(error)
    assert quality["kept_balance"] == [int((kept == k).sum()) for k in range(3)]
    assert quality["true_balance"] == [int((true == k).sum()) for k in range(3)]
    assert quality["test_labels"] == (full.test.labels >= 0).sum() == np.sum(quality["test"]["confusion"])


def test_quality_without_a_hidden_label():
    """All known labels are kept, so no label is left for evaluation."""
    full = dataset_of([0, 1, -1, -1, -1], [-1, -1])
    train = np.full((5, 3), 1 / 3)
    inferred = Inferred(
        full.with_labels(np.zeros(5, np.int32)), full.with_labels(train), Predictions(train, train[:2])
    )
    quality = label_quality(full, inferred, full)
    assert quality["hidden_labels"] == quality["test_labels"] == 0
    assert [quality[name] for name in ("accuracy", "confusion", "calibration_error")] == [None] * 3
    assert quality["balance"] == [5, 0, 0] and quality["kept_balance"] == [1, 1, 0]
    assert "test" not in quality and "true_balance" not in quality
    clusters = full.with_labels(np.zeros(5, np.int32), ("cluster 0", "cluster 1"))
    found = label_quality(full.with_labels(np.full(5, -1, np.int32)), Inferred(clusters, None, None))
    assert found["accuracy"] is None and "purity" not in found


def test_quality_counts_images_with_both_labels_known():
    full = dataset_of([0, 0, 1, 2, -1, 2], [0, 1, 2])
    hard = full.with_labels(np.array([0, 1, 1, 2, 0, -1]))
    train = np.eye(3)[[0, 1, 1, 2, 0, 0]] * 0.6 + 0.4 / 3
    train[3] = [0.2, 0.2, 0.6]
    train[5] = [0.4, 0.3, 0.3]
    soft, test = full.with_labels(train), np.eye(3)[[0, 1, 1]]
    quality = label_quality(full, Inferred(hard, soft, Predictions(train, test, 1.5)))
    assert quality["accuracy"] == 0.75
    assert quality["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert quality["balance"] == [2, 2, 1] and quality["unlabelled"] == 1
    assert quality["least_certain"]["index"][:2] == [5, 3]
    assert quality["least_certain"]["true"][:2] == [2, 2]
    assert quality["test"]["accuracy"] == pytest.approx(2 / 3)
    assert quality["test"]["calibration_error"] == pytest.approx(1 / 3)
    assert quality["temperature"] == 1.5
    alone = label_quality(full, Inferred(hard, None, None))  # labels from the user's file
    assert alone["accuracy"] == 0.75 and "test" not in alone


@pytest.mark.parametrize("clusters", [3, 5])
def test_the_matching_of_clusters_is_optimal(clusters):
    counts = np.random.default_rng(clusters).integers(0, 50, (4, clusters))
    matching = match_clusters(counts)
    found = sum(counts[k, i] for i, k in enumerate(matching) if k >= 0)
    rows, columns = (counts, range(clusters)) if clusters >= 4 else (counts.T, range(4))
    assignments = itertools.permutations(columns, len(rows))
    assert found == max(
        sum(row[i] for row, i in zip(rows, assignment, strict=True)) for assignment in assignments
    )
    assert sorted(k for k in matching if k >= 0) == sorted(set(matching) - {-1})


def test_quality_of_clusters_does_not_depend_on_their_order():
    full = dataset_of([0, 0, 0, 1, 1, 2], [0, 2])
    found = np.array([1, 1, 3, 0, 0, 2], np.int32)
    names = tuple(f"cluster {k}" for k in range(4))
    hard = full.with_labels(found, names)
    quality = label_quality(full, Inferred(hard, None, Predictions(found, np.array([1, 3], np.int32))))
    assert quality["accuracy"] == pytest.approx(5 / 6) and quality["purity"] == 1
    assert quality["matching"] == [1, 0, 2, -1] and quality["balance"] == [2, 2, 1, 1]
    assert quality["test"]["accuracy"] == 0.5
    joint = np.array([[2, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]) / 6

    def entropy(p):
        return -special.xlogy(p, p).sum()

    mutual = entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint)
    expected = 2 * mutual / (entropy(joint.sum(0)) + entropy(joint.sum(1)))
    assert quality["mutual_information"] == pytest.approx(expected)
