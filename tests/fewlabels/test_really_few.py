"""Very few labels, and stage files of other labels, budgets, seeds or data."""

import dataclasses
import logging

import numpy as np
import pytest
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.run_files import KEPT
from compare_gan.data.label_files import write_labels
from compare_gan.features.encoder import Encoder, EncoderSpec, TrainedEncoder
from compare_gan.fewlabels import infer_labels, keep_labels, pretrain
from compare_gan.fewlabels.budget import PerClass, choose
from compare_gan.fewlabels.fine_tune import calibration_folds
from compare_gan.fewlabels.leak import refuse_unverifiable
from compare_gan.fewlabels.overview import overview, usable_methods
from compare_gan.fewlabels.quality import label_quality
from compare_gan.fewlabels.recipe import RECIPES
from compare_gan.fewlabels.representation import Features
from compare_gan.nn.state import net_state

from . import small

LINEAR = dataclasses.replace(small.RECIPE, classifier="linear")
NAMES = ("a", "b", "c", "d", "e")


def partly(*labelled):
    """The images of the small data set, of five classes, with only the given (image, class) labels."""
    labels = np.full(60, -1, np.int32)
    for image, label in labelled:
        labels[image] = label
    return small.dataset().with_labels(labels, NAMES)


THREE = ((0, 0), (1, 1), (5, 3))  # one label each of a, b and d; none of c and e


def brightness(dataset):
    return Features(small.Brightness()(dataset.train.images).features.astype(np.float32))


@pytest.fixture(scope="module")
def encoder():
    spec = EncoderSpec((4, 4, 1), NAMES, width=4)
    return TrainedEncoder(spec, net_state(Encoder(spec, nnx.Rngs(0))))


def test_all_known_labels_can_be_kept(tmp_path):
    few = keep_labels(partly(*THREE), 1.0, 0, tmp_path)
    np.testing.assert_array_equal(few.train.labels, partly(*THREE).train.labels)


@pytest.mark.parametrize(
    ("budget", "seed", "words"),
    [
        (0.1, 0, "fraction 0.5, not 0.1"),
        (0.5, 7, "seed 0, not 7"),
        (PerClass(3), 0, "fraction 0.5, not None; per_class None, not 3"),
    ],
)
def test_kept_labels_of_another_budget_or_seed_are_refused(tmp_path, budget, seed, words):
    keep_labels(small.dataset(), 0.5, 0, tmp_path)
    with pytest.raises(UserError, match=f"labels-kept.npz: was created from other inputs .{words}"):
        keep_labels(small.dataset(), budget, seed, tmp_path)


def test_kept_labels_that_were_edited_are_chosen_again(tmp_path):
    expected = keep_labels(small.dataset(), 0.5, 0, tmp_path)
    path = tmp_path / "labels-kept.npz"
    content = path.read_bytes()
    with np.load(path) as arrays:
        np.savez(path, **{name: array[:-1] if array.ndim else array for name, array in arrays.items()})
    edited = path.read_bytes()
    again = keep_labels(small.dataset(), 0.5, 0, tmp_path)
    np.testing.assert_array_equal(again.train.labels, expected.train.labels)
    assert path.read_bytes() == content
    assert (tmp_path / "labels-kept.npz.damaged").read_bytes() == edited


def test_kept_labels_of_other_data_are_refused(tmp_path):
    dataset = small.dataset()
    keep_labels(dataset, 0.5, 0, tmp_path)
    brighter = dataclasses.replace(dataset.train, images=dataset.train.images + np.uint8(1))
    with pytest.raises(UserError, match="other images"):
        keep_labels(dataclasses.replace(dataset, train=brighter), 0.5, 0, tmp_path)
    with pytest.raises(UserError, match="image .* has label .*, but label .* in the data set"):
        keep_labels(dataset.with_labels((dataset.train.labels + 1) % 3), 0.5, 0, tmp_path)
    soft = dataset.with_labels(np.eye(3, dtype=np.float32)[dataset.train.labels])
    with pytest.raises(UserError, match="probabilities as labels"):
        keep_labels(soft, 0.5, 0, tmp_path)


def test_kept_labels_of_the_user_are_used_and_counted(tmp_path, caplog):
    labels = small.dataset().train.labels
    chosen = choose(labels, 0.2, 0)
    write_labels(
        tmp_path / KEPT, chosen, labels[chosen]
    )  # without an origin file, like those of earlier versions
    with caplog.at_level(logging.WARNING):
        keep_labels(small.dataset(), 0.2, 0, tmp_path)
        assert not caplog.messages
        few = keep_labels(small.dataset(), 0.1, 0, tmp_path)
    assert (few.train.labels >= 0).sum() == 12
    assert "its 12 labels replace the 6 labels that 10% of the labels and seed 0 choose" in caplog.text


def test_a_linear_classifier_learns_from_three_labels(tmp_path, caplog):
    dataset = partly(*THREE)
    with caplog.at_level(logging.WARNING):
        inferred = infer_labels(dataset, brightness(dataset), LINEAR, 0, tmp_path)
    assert set(inferred.hard.train.labels) == {0, 1, 3} and inferred.predictions.temperature == 1
    np.testing.assert_array_equal(inferred.hard.train.labels[[0, 1, 5]], [0, 1, 3])
    assert not inferred.predictions.train[:, [2, 4]].any()
    assert "no label of 'c', 'e'; these classes are never inferred" in caplog.text
    assert "no kept label can be held out for calibration" in caplog.text


@pytest.mark.parametrize("fits", [0, 2])
def test_s4l_infers_only_classes_that_have_a_label(tmp_path, monkeypatch, encoder, fits):
    monkeypatch.setattr("compare_gan.fewlabels.fine_tune.train_encoder", lambda *args, **more: encoder)
    recipe = dataclasses.replace(small.RECIPE, calibration_fits=fits)
    found = infer_labels(partly(*THREE), encoder, recipe, 0, tmp_path).predictions
    assert found.temperature == 1 and not found.train[:, [2, 4]].any() and not found.test[:, [2, 4]].any()
    logits = np.asarray(encoder(small.dataset().train.images).classes, np.float64)[:, [0, 1, 3]]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found.train[:, [0, 1, 3]], expected, rtol=1e-4)


@pytest.mark.parametrize("classifier", ["s4l", "linear"])
def test_labels_of_one_class_are_refused_in_one_line(tmp_path, encoder, classifier):
    recipe = dataclasses.replace(small.RECIPE, classifier=classifier)
    with pytest.raises(UserError, match="all labels are of one class, 'd'; label images of at least two"):
        infer_labels(partly((3, 3), (9, 3)), encoder, recipe, 0, tmp_path)


def test_labels_inferred_from_other_inputs_are_refused(tmp_path):
    dataset = partly(*THREE)
    infer_labels(dataset, brightness(dataset), LINEAR, 0, tmp_path)
    other = dataclasses.replace(LINEAR, confidence=0.5)
    for labels, source, recipe, seed, words in (
        (partly(*THREE, (7, 1)), brightness(dataset), LINEAR, 0, "other labels"),
        (dataset, Features(brightness(dataset).train + 1), LINEAR, 0, "other source"),
        (dataset, brightness(dataset), other, 0, "confidence None, not 0.5"),
        (dataset, brightness(dataset), LINEAR, 1, "seed 0, not 1"),
    ):
        with pytest.raises(UserError, match=f"labels-train.npz: was created from other inputs .{words}"):
            infer_labels(labels, source, recipe, seed, tmp_path)


def test_an_encoder_of_another_seed_or_recipe_is_refused(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr("compare_gan.fewlabels.representation.train_encoder", lambda *args, **more: encoder)
    dataset = partly(*THREE)
    pretrain(dataset, small.RECIPE, 0, tmp_path)
    pretrain(partly((4, 2)), small.RECIPE, 0, tmp_path)  # labels do not matter
    longer = dataclasses.replace(small.RECIPE, pretrain_steps=5)
    for recipe, seed, words in ((small.RECIPE, 3, "seed 0, not 3"), (longer, 0, "pretrain_steps 4, not 5")):
        with pytest.raises(UserError, match=words):
            pretrain(dataset, recipe, seed, tmp_path)


def test_the_paper_recipe_is_plain_s4l():
    recipe = RECIPES["paper"]
    assert recipe.classifier == "s4l" and recipe.class_rotations and recipe.rotation_weight == 1
    assert not recipe.pseudo_weight and not recipe.training.augmentation.cutout
    assert recipe.calibration_fits == 1  # so the classifier trains on all kept labels
    labels = np.repeat([0, 1], 50)
    assert len(calibration_folds(labels, recipe.calibration_fits)) == 1


def test_training_images_do_not_count_as_held_out(tmp_path):
    dataset = small.dataset()
    same = dataclasses.replace(
        dataset, test=dataclasses.replace(dataset.train, images=dataset.train.images.copy())
    )
    counts = overview(same)
    assert (counts.held_out, counts.held_out_labelled) == (0, 0)
    assert "none held out, so scores compare with the training images" in counts.lines()[0]
    few = keep_labels(same, 1.0, 0, tmp_path)
    inferred = infer_labels(few, brightness(same), LINEAR, 0, tmp_path)
    quality = label_quality(same, inferred, few)
    assert quality["test_labels"] == quality["hidden_labels"] == 0 and "test" not in quality
    assert overview(dataset).held_out == 30


def test_methods_that_need_labels_are_refused_without_any(tmp_path):
    counts = overview(partly())
    with pytest.raises(
        UserError, match="no training image has a label, and s3gan and random_label need labels"
    ):
        usable_methods(["s3gan", "no_labels", "random_label"], counts)
    assert usable_methods(["ssgan", "clustering"], counts) == (["ssgan", "clustering"], [])
    with pytest.raises(UserError, match="no training image has a label to learn from; pass --labels FILE"):
        small.small_study(tmp_path, "s3gan", dataset=partly())


def test_no_confident_prediction_is_refused(tmp_path):
    dataset = partly(*THREE)
    certain = dataclasses.replace(LINEAR, confidence=1.0)
    with pytest.raises(UserError, match="no prediction reaches confidence 1.0; .* lower --confidence"):
        infer_labels(dataset, brightness(dataset), certain, 0, tmp_path)


def test_a_leak_check_needs_hidden_labels(tmp_path):
    study = small.small_study(tmp_path, "s3gan")
    refuse_unverifiable(study)
    all_kept = dataclasses.replace(study, budgets=(1.0,))
    with pytest.raises(UserError, match="all 60 labels are used, none is hidden; --label_fraction 0.5 hides"):
        refuse_unverifiable(all_kept)
    with pytest.raises(UserError, match="61 clusters of 60 images; choose fewer --clusters"):
        recipe = dataclasses.replace(small.RECIPE, clusters=61)
        small.small_study(tmp_path, "clustering", recipe=recipe)


def test_an_encoder_of_images_without_classes_can_be_trained_and_saved(tmp_path):
    classless = dataclasses.replace(partly(), class_names=())
    assert pretrain(classless, small.RECIPE, 0, tmp_path).class_names == ()
