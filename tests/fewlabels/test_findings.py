"""Sentences claim what the intervals of the scores show, and nothing else."""

import numpy as np
import pytest
from scipy import stats

from compare_gan.evaluation.scores import NOT_FINITE
from compare_gan.fewlabels.findings import findings, notes
from compare_gan.fewlabels.results import lines, table

DIGITS = {"name": "digits", "infers_labels": False}


def run(method, distance, seed=0, agreement=None, fraction=None, labels=0, label_set=None):
    row = {"method": method, "frechet_distance": distance, "seed": seed, "class_agreement": agreement}
    row |= {"fraction": fraction, "per_class": None, "labels": labels, "label_set": label_set}
    return row | {"steps": 10, "seconds": 1.0}


def few(distance, seed=0, **more):
    return run("s3gan", distance, seed, fraction=0.1, labels=135, **{"label_set": str(seed)} | more)


def summary(rows, **more):
    made = {
        "lines": lines(rows),
        "labels": [],
        "real": None,
        "extractor": DIGITS,
        "train_images": 1347,
        "data": {"held_out": 450},
    } | more
    return made | {"findings": findings(made), "notes": notes(made)}


def drawn(seed, *, few_mean, count=8):
    """Runs of three methods; all labels have a mean of 0.43."""
    rng = np.random.default_rng(seed)
    rows = [run("all_labels", rng.normal(0.43, 0.03), i) for i in range(count)]
    rows += [run("no_labels", rng.normal(1.3, 0.1), i) for i in range(count)]
    return rows + [few(rng.normal(few_mean, 0.07), i) for i in range(count)]


def distances(rows, method):
    return [row["frechet_distance"] for row in rows if row["method"] == method]


@pytest.mark.parametrize("few_mean", [0.1, 0.4, 0.9])
def test_a_difference_is_claimed_where_its_interval_lies_on_one_side_of_zero(few_mean):
    rows = drawn(0, few_mean=few_mean)
    (told,) = findings({"lines": lines(rows)})
    ours = distances(rows, "s3gan")
    for other, words in (("all_labels", "all labels"), ("no_labels", "no labels")):
        found = stats.ttest_ind(ours, distances(rows, other), equal_var=False).confidence_interval(0.95)
        size = np.mean(ours) - np.mean(distances(rows, other))
        numbers = f"({size:+.3f}, 95% interval {found.low:.3f} to {found.high:.3f})"
        if found.low < 0 < found.high:
            assert f"No difference from {words} is shown {numbers}." in told
        else:
            way = "lower" if found.high < 0 else "higher"
            assert f"On these held-out images it is {way} than with {words} {numbers}." in told
    low, high = stats.t.interval(0.95, 7, np.mean(ours), stats.sem(ours))
    assert f"{np.mean(ours):.3f} (95% interval {low:.3f} to {high:.3f}, 8 runs)" in told


def test_the_intervals_of_one_run_show_nothing():
    rows = [run("all_labels", 0.4), few(0.3), run("no_labels", 1.3)]
    (told,) = findings({"lines": lines(rows)})
    assert told.startswith(
        "Fréchet distance: S3GAN with 135 labels 0.300, All labels 0.400, No labels 1.300."
    )
    assert "One run shows nothing about small differences" in told and "lower" not in told
    (mixed,) = findings({"lines": lines([*rows, few(0.31, 1)])})
    assert "Its difference from all labels is -0.095; the runs give no interval." in mixed


def test_without_few_labels_the_first_other_method_is_compared():
    rows = [run("clustering", 0.3 + i / 50, i) for i in range(3)] + [
        run("no_labels", 1 + i / 9, i) for i in range(3)
    ]
    (told,) = findings({"lines": lines(rows)})
    assert told.startswith("Clustering: ") and "lower than with no labels" in told
    (told,) = findings({"lines": lines(rows[3:])})
    assert told.startswith("No labels: ")
    assert findings({"lines": []}) == []


@pytest.mark.parametrize("count", [1, 3, 8])
def test_noise_is_noted_for_any_number_of_seeds(count):
    told = notes(summary(drawn(0, few_mean=0.4, count=count)))[0]
    assert ("comes from one run" in told) == (count == 1)
    assert ("not the choice of held-out images" in told) == (count > 1)


def test_label_sets_are_counted():
    rows = drawn(0, few_mean=0.4)
    assert lines(rows)[2]["label_sets"] == 8 and lines(rows)[0]["label_sets"] == 0
    assert "A seed decides both the label set and the GAN's random numbers." in notes(summary(rows))
    shared = [row | {"label_set": row["label_set"] and "same"} for row in rows]
    assert any(note.startswith("All seeds have the same label set") for note in notes(summary(shared)))


def test_class_shares_and_the_measure_are_noted_where_they_matter():
    told = " ".join(notes(summary(drawn(0, few_mean=0.4))))
    assert "Methods without labels (No labels) are scored with the class shares" in told
    assert "--extractor" not in told
    own = {"name": "pre-trained", "seed": 3, "infers_labels": True}
    alike = " ".join(notes(summary([run("no_labels", 1.0), run("ssgan", 1.1)], extractor=own)))
    assert "class shares" not in alike and "the encoder that also infers labels (seed 3)" in alike


def test_class_agreement_as_high_as_that_of_real_images_is_saturated():
    rows = [
        run("all_labels", 0.4, agreement=0.993),
        few(0.4, agreement=0.978),
        run("s2gan", 0.4, agreement=0.9),
    ]
    (told,) = [n for n in notes(summary(rows, real={"class_agreement": 0.987})) if "in their class" in n]
    assert (
        told.startswith("The extractor puts 98.7% of the real test images")
        and "All labels and S3GAN reach" in told
    )


def test_generators_whose_images_are_not_finite_have_no_part_in_means():
    rows = [few(0.3), few(0.5, 1), few(NOT_FINITE, 2, agreement=NOT_FINITE), run("no_labels", NOT_FINITE)]
    made = summary(rows)
    ours, none = made["lines"]
    assert ours["scores"]["frechet_distance"]["mean"] == pytest.approx(0.4) and ours["not_finite"] == 1
    assert none["scores"] == {"frechet_distance": None, "class_agreement": None}
    assert any(
        "S3GAN with 135 labels: 1 of 3 runs made images that are not finite" in n for n in made["notes"]
    )
    assert made["findings"][0].count("runs") == 1 and "31337" not in table(made)


def test_the_table_says_how_many_inferred_labels_are_right():
    labels = {"kept": 135, "accuracy": 0.951, "hidden_labels": 1212, "test_accuracy": None, "test_labels": 0}
    told = " ".join(table(summary([few(0.3)], labels=[labels])).split())
    assert (
        "135 of 1347 training images have a label that is used; inferred right: 95.1% of 1212 hidden labels."
        in told
    )
    unknown = labels | {"kept": 40, "accuracy": None, "hidden_labels": 0}
    told = table(summary([few(0.3)], labels=[unknown], real={"frechet_distance": 0.18}))
    assert "not known" in told and "Real training images" in told and "best" not in told
