"""Findings claim only differences that the intervals of the scores support."""

import numpy as np
import pytest
from scipy import stats

from compare_gan.evaluation.scores import NOT_FINITE
from compare_gan.fewlabels.findings import findings, notes
from compare_gan.fewlabels.results import method_lines, results_table

DIGITS = {"name": "digits", "infers_labels": False}


def run(method, distance, seed=0, agreement=None, fraction=None, labels=0, label_set=None):
    row = {"method": method, "frechet_distance": distance, "seed": seed, "class_agreement": agreement}
    row |= {"fraction": fraction, "per_class": None, "labels": labels, "label_set": label_set}
    return row | {"steps": 10, "seconds": 1.0}


def few(distance, seed=0, **more):
    return run("s3gan", distance, seed, fraction=0.1, labels=135, **{"label_set": str(seed)} | more)


def summary(rows, **more):
    fields = {
        "lines": method_lines(rows),
        "labels": [],
        "real": None,
        "extractor": DIGITS,
        "train_images": 1347,
        "data": {"held_out": 450},
    } | more
    return fields | {"findings": findings(fields), "notes": notes(fields)}


def drawn(seed, *, few_mean, count=8):
    """Runs of three methods; all labels have a mean of 0.43."""
    rng = np.random.default_rng(seed)
    rows = [run("all_labels", rng.normal(0.43, 0.03), i) for i in range(count)]
    rows += [run("no_labels", rng.normal(1.3, 0.1), i) for i in range(count)]
    return rows + [few(rng.normal(few_mean, 0.07), i) for i in range(count)]


def distances(rows, method):
    return [row["frechet_distance"] for row in rows if row["method"] == method]


@pytest.mark.parametrize("few_mean", [0.1, 0.4, 0.9])
def test_a_difference_is_claimed_only_if_its_interval_excludes_zero(few_mean):
    rows = drawn(0, few_mean=few_mean)
    (finding,) = findings({"lines": method_lines(rows)})
    ours = distances(rows, "s3gan")
    for other, words in (("all_labels", "all labels"), ("no_labels", "no labels")):
        found = stats.ttest_ind(ours, distances(rows, other), equal_var=False).confidence_interval(0.95)
        size = np.mean(ours) - np.mean(distances(rows, other))
        numbers = f"({size:+.3f}, 95% interval {found.low:.3f} to {found.high:.3f})"
        if found.low < 0 < found.high:
            assert f"The difference from {words} is not significant {numbers}." in finding
        else:
            direction = "lower" if found.high < 0 else "higher"
            assert f"On these held-out images it is {direction} than with {words} {numbers}." in finding
    low, high = stats.t.interval(0.95, 7, np.mean(ours), stats.sem(ours))
    assert f"{np.mean(ours):.3f} (95% interval {low:.3f} to {high:.3f}, 8 runs)" in finding


def test_single_runs_have_no_intervals():
    rows = [run("all_labels", 0.4), few(0.3), run("no_labels", 1.3)]
    (finding,) = findings({"lines": method_lines(rows)})
    assert finding.startswith(
        "Fréchet distance: S3GAN with 135 labels 0.300, All labels 0.400, No labels 1.300."
    )
    assert "Small differences between single runs are not meaningful" in finding
    assert "lower" not in finding
    (mixed,) = findings({"lines": method_lines([*rows, few(0.31, 1)])})
    assert "The difference from all labels is -0.095; these runs give no interval." in mixed


def test_without_few_labels_the_first_other_method_is_compared():
    rows = [run("clustering", 0.3 + i / 50, i) for i in range(3)] + [
        run("no_labels", 1 + i / 9, i) for i in range(3)
    ]
    (finding,) = findings({"lines": method_lines(rows)})
    assert finding.startswith("Clustering: ") and "lower than with no labels" in finding
    (finding,) = findings({"lines": method_lines(rows[3:])})
    assert finding.startswith("No labels: ")
    assert findings({"lines": []}) == []


@pytest.mark.parametrize("count", [1, 3, 8])
def test_noise_is_noted_for_any_number_of_seeds(count):
    note = notes(summary(drawn(0, few_mean=0.4, count=count)))[0]
    assert ("comes from one run" in note) == (count == 1)
    assert ("not the choice of held-out images" in note) == (count > 1)


def test_label_sets_are_counted():
    rows = drawn(0, few_mean=0.4)
    assert method_lines(rows)[2]["label_sets"] == 8 and method_lines(rows)[0]["label_sets"] == 0
    assert "Each seed determines both the label set and the GAN's random numbers." in notes(summary(rows))
    shared = [row | {"label_set": row["label_set"] and "same"} for row in rows]
    assert any(note.startswith("All seeds have the same label set") for note in notes(summary(shared)))


def test_class_proportions_and_the_extractor_are_noted_where_they_matter():
    text = " ".join(notes(summary(drawn(0, few_mean=0.4))))
    assert "Methods without labels (No labels) are scored with the class proportions" in text
    assert "--extractor" not in text
    own = {"name": "pre-trained", "seed": 3, "infers_labels": True}
    text = " ".join(notes(summary([run("no_labels", 1.0), run("ssgan", 1.1)], extractor=own)))
    assert "class proportions" not in text and "the encoder that also infers the labels (seed 3)" in text


def test_class_agreement_as_high_as_that_of_real_images_is_saturated():
    rows = [
        run("all_labels", 0.4, agreement=0.993),
        few(0.4, agreement=0.978),
        run("s2gan", 0.4, agreement=0.9),
    ]
    (note,) = [
        n for n in notes(summary(rows, real={"class_agreement": 0.987})) if "real test images correctly" in n
    ]
    assert (
        note.startswith("The extractor classifies 98.7% of the real test images correctly.")
        and "All labels and S3GAN are within one percentage point" in note
    )


def test_means_exclude_generators_with_nan_or_inf():
    rows = [few(0.3), few(0.5, 1), few(NOT_FINITE, 2, agreement=NOT_FINITE), run("no_labels", NOT_FINITE)]
    found = summary(rows)
    ours, none = found["lines"]
    assert ours["scores"]["frechet_distance"]["mean"] == pytest.approx(0.4) and ours["not_finite"] == 1
    assert none["scores"] == {"frechet_distance": None, "class_agreement": None}
    assert any("S3GAN with 135 labels: 1 of 3 runs generated NaN or Inf" in n for n in found["notes"])
    assert found["findings"][0].count("runs") == 1 and "31337" not in results_table(found)


def test_the_table_reports_the_accuracy_of_inferred_labels():
    labels = {"kept": 135, "accuracy": 0.951, "hidden_labels": 1212, "test_accuracy": None, "test_labels": 0}
    text = " ".join(results_table(summary([few(0.3)], labels=[labels])).split())
    assert (
        "135 of 1347 training labels are used; accuracy of inferred labels: 95.1% on 1212 hidden labels."
        in text
    )
    unknown = labels | {"kept": 40, "accuracy": None, "hidden_labels": 0}
    text = results_table(summary([few(0.3)], labels=[unknown], real={"frechet_distance": 0.18}))
    assert "unknown" in text and "Real training images" in text and "best" not in text
