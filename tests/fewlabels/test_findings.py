"""Findings claim only differences that the intervals of the scores support."""

import numpy as np
import pytest
from scipy import stats

from compare_gan.evaluation.scores import NOT_FINITE
from compare_gan.fewlabels.findings import findings, notes
from compare_gan.fewlabels.lines import method_lines
from compare_gan.fewlabels.results import results_table

DIGITS = {"name": "digits", "infers_labels": False}


def run(method, distance, seed=0, agreement=None, fraction=None, labels=0, label_set=None):
    row = {"method": method, "frechet_distance": distance, "seed": seed, "class_agreement": agreement}
    row |= {"fraction": fraction, "per_class": None, "labels": labels, "label_set": label_set}
    return row | {"steps": 10, "seconds": 1.0}


def few(distance, seed=0, **more):
    return run("s3gan", distance, seed, **{"fraction": 0.1, "labels": 135, "label_set": str(seed)} | more)


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


@pytest.mark.parametrize("few_mean", [0.1, 0.42, 0.9])
def test_a_difference_is_claimed_only_if_its_interval_excludes_one(few_mean):
    rows = drawn(0, few_mean=few_mean)
    (finding,) = findings({"lines": method_lines(rows)})
    ours = np.array(distances(rows, "s3gan"))
    for other, words in (("all_labels", "all labels"), ("no_labels", "no labels")):
        theirs = np.array(distances(rows, other))
        start = f"That is {ours.mean() / theirs.mean():.2f} times the distance of {words} (95% interval "
        low, high = map(float, finding.partition(start)[2].partition(")")[0].split(" to "))
        for end in (low, high):  # rounded to two places
            assert 0.02 < stats.ttest_1samp(ours - end * theirs, 0).pvalue < 0.12 or end < 0.15
        rest = finding.partition(start)[2].partition("): ")[2]
        if other == "no_labels":
            assert f"{high:.2f})." in finding  # far below 1
        elif high < 1.1:
            assert rest.startswith("as good, within 10%.")
        elif low > 1.1:
            assert rest.startswith("worse, by more than 10%.")
        else:
            assert rest.startswith("not shown to be as good within 10%.")
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
    assert "That is 0.76 times the distance of all labels; these runs give no interval." in mixed


def test_without_few_labels_the_first_other_method_is_compared():
    rows = [run("clustering", 0.3 + i / 50, i) for i in range(3)] + [
        run("no_labels", 1 + i / 9, i) for i in range(3)
    ]
    (finding,) = findings({"lines": method_lines(rows)})
    assert (
        finding.startswith("Clustering: ") and "That is 0.29 times the distance of no labels (95%" in finding
    )
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
    assert "Each run has its own label set and its own random numbers." in notes(summary(rows))
    shared = [row | {"label_set": row["label_set"] and "same"} for row in rows]
    assert any(note.startswith("All seeds have the same label set") for note in notes(summary(shared)))
    (finding,) = findings({"lines": method_lines(shared)})
    assert "S3GAN with 135 labels: Fréchet distance" in finding and "(8 runs)" in finding
    assert finding.count("these runs give no interval") == 2  # one label set says nothing of others


def test_the_label_set_is_the_unit_of_intervals():
    """Three label sets of two GANs each: the interval is that of the three means, whatever the seeds."""
    values = {("a", 0): 0.3, ("a", 1): 0.34, ("b", 0): 0.5, ("b", 1): 0.52, ("c", 0): 0.4, ("c", 1): 0.44}
    rows = [few(value, seed, label_set=chosen) for (chosen, seed), value in values.items()]
    every = [run("all_labels", value, seed) for seed, value in enumerate((0.40, 0.44))]
    line = method_lines([*rows, *every])[0]
    means = np.array([0.32, 0.51, 0.42])
    score = line["scores"]["frechet_distance"]
    assert score["mean"] == pytest.approx(means.mean()) and len(score["values"]) == 6
    assert score["interval"] == pytest.approx(stats.t.interval(0.95, 2, means.mean(), stats.sem(means)))
    found = line["ratios"]["all_labels"]
    assert found["ratio"] == pytest.approx(means.mean() / 0.42) and not found["paired"]
    text = " ".join(notes(summary([*rows, *every])))
    assert "There are 3 label sets, fewer than runs; runs on the same label set are averaged first" in text


def test_methods_with_the_same_label_sets_are_paired():
    """Both have a large effect of the label set, so that only pairs show the ratio."""
    sets = {str(k): 0.3 + 0.1 * k for k in range(4)}
    noise = iter(np.random.default_rng(0).normal(0, 0.005, 8))
    rows = [few(x + next(noise), k, label_set=name) for k, (name, x) in enumerate(sets.items())]
    alone = [
        run("labelled_only", 2 * x + next(noise), 9 - k, fraction=0.1, labels=135, label_set=name)
        for k, (name, x) in enumerate(sets.items())
    ]
    (line,) = [each for each in method_lines([*alone, *rows]) if each["method"] == "s3gan"]
    found = line["ratios"]["labelled_only"]
    assert found["paired"] and 0.45 < found["interval"][0] < 0.5 < found["interval"][1] < 0.55
    ours, theirs = np.array(distances(rows, "s3gan")), np.array(distances(alone, "labelled_only"))
    for end in found["interval"]:
        assert stats.ttest_1samp(ours - end * theirs, 0).pvalue == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("factor", "spread", "expected"),
    [
        (0.9, 0.01, "as good"),
        (1.05, 0.01, "as good"),
        (1.3, 0.01, "worse"),
        (1.05, 0.1, "open"),
        (1, 0, None),
    ],
)
def test_as_good_needs_the_whole_interval_below_the_margin(factor, spread, expected):
    offsets = np.array([-1, -0.4, 0.1, 0.5, 0.8])
    every = [run("all_labels", 0.5 + 0.01 * x * bool(spread), i) for i, x in enumerate(offsets)]
    rows = [few(factor * 0.5 + spread * x, i) for i, x in enumerate(offsets[::-1])]
    line = method_lines([*every, *rows])[1]
    assert line["verdict"] == expected
    ends = line["ratios"]["all_labels"]["interval"]
    assert ends is None if expected is None else (ends[1] < 1.1) == (expected == "as good")


def test_the_smallest_number_of_labels_that_is_as_good_is_named():
    def rows(*factors):
        every = [run("all_labels", 0.5 + 0.002 * i, i) for i in range(5)]
        for labels, factor in zip((6, 60, 600, 6000), factors, strict=False):
            every += [
                few(factor * (0.5 + 0.002 * i), i, fraction=labels / 6e4, labels=labels) for i in range(5)
            ]
        noise = np.random.default_rng(0).normal(1, 0.004, len(every))
        return [
            row | {"frechet_distance": row["frechet_distance"] * x}
            for row, x in zip(every, noise, strict=True)
        ]

    last = findings({"lines": method_lines(rows(3.0, 1.5, 1.02, 0.98))})[-1]
    assert last == (
        "S3GAN is as good as all labels, within 10%, with 600 labels or more; "
        "with 60 it is worse, by more than 10%."
    )
    assert findings({"lines": method_lines(rows(1.0, 1.0))})[-1].endswith(
        "or more, the smallest number tried."
    )
    last = findings({"lines": method_lines(rows(1.0, 1.5))})[-1]  # by luck with few, not with more
    assert last == "S3GAN is not shown to be as good as all labels, within 10%, even with 60 labels."
    assert "even with" not in findings({"lines": method_lines(rows(1.5))})[-1]


def test_unknown_numbers_of_labels_are_not_told():
    """With the user's label file the number of true labels is not known."""
    rows = [run("all_labels", 0.4 + 0.01 * i, i) for i in range(4)]
    rows += [few(0.41 + 0.01 * i, i, fraction=part, labels=0) for part in (0.1, 0.2) for i in range(4)]
    assert "0 labels" not in " ".join(summary(rows)["findings"])


def test_a_control_is_explained_and_is_not_the_finding():
    noisy = [run("noise_matched", 0.4, i, fraction=0.1, labels=135, label_set=str(i)) for i in range(2)]
    alone = [run("labelled_only", 0.9, i, fraction=0.1, labels=135, label_set=str(i)) for i in range(2)]
    found = summary([*noisy, *alone, few(0.3), few(0.31, 1)])
    assert found["findings"][0].startswith("S3GAN with 135 labels")
    assert any(note.startswith("Noise-matched labels are the true labels") for note in found["notes"])


def test_class_proportions_and_the_extractor_are_noted_where_they_matter():
    text = " ".join(notes(summary(drawn(0, few_mean=0.4))))
    assert "Methods without labels (No labels) are scored with the class proportions" in text
    assert "--extractor" not in text
    assert "matched" not in text
    matched = [row | {"class_matched_distance": 0.25} for row in drawn(0, few_mean=0.4)]
    text = " ".join(notes(summary(matched)))
    expected = "All labels 0.25, No labels 0.25."
    assert f"Distances in matched class shares: {expected}" in text
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
    assert set(none["scores"].values()) == {None}
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


def test_methods_that_copy_are_named():
    rows = [
        few(4.0) | {"authenticity": 0.1, "authenticity_held_out": 0.5},
        run("all_labels", 3.0) | {"authenticity": 0.45, "authenticity_held_out": 0.5},
    ]
    (note,) = [text for text in notes(summary(rows)) if "Authentic" in text]
    assert "S3GAN with 135 labels 10% (held-out images 50%)." in note and "All labels" not in note
    assert not [text for text in notes(summary([few(4.0)])) if "Authentic" in text]
