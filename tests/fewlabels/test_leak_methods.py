"""Hidden labels do not change a bit of any GAN, except those trained on all labels."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS, method
from compare_gan.core.run_files import KEPT, LABELS, LEAK_CHECK
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import UNLABELLED, Split
from compare_gan.data.label_files import write_labels
from compare_gan.fewlabels.artefacts import KEPT_LABELS, Artefacts
from compare_gan.fewlabels.leak import FILES, deleted, permuted, verify
from compare_gan.fewlabels.study import Task
from compare_gan.fewlabels.tasks import dataset_for, prepare, task_stages, train_gan
from tests.helpers.tiers import slow_unless

from . import small

NAMES = (*LABEL_METHODS, "s3gan_co+oversampled", "labelled_only+diffaugment")
BLIND = sorted(name for name in NAMES if not method(name).needs_every_label)


def task_of(name):
    return Task("gan", small.SEED, small.SHARE if method(name).from_few else None, method(name))


def with_labels_inferred(study):
    """Runs all label stages of a study, and returns it."""
    for task in [task for stage in task_stages(study)[:2] for task in stage]:
        prepare(study, task)
    return study


def trained_state(study, task):
    """The final state of the GAN of a task; trains the missing steps."""
    artefacts = Artefacts(study, task.seed, task.budget)
    return train_gan(study, task, dataset_for(artefacts, task.method))


def weights(study, name):
    """All arrays of the GAN of a method, which is trained on first use."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(trained_state(study, task_of(name)))]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return with_labels_inferred(small.small_study(tmp_path_factory.mktemp("original"), *NAMES))


def constant(labels, hidden):
    changed = labels.copy()
    changed[hidden] = 2
    return changed


def changed_study(original, folder, change, names):
    """A study of the named methods with changed hidden labels, and with all test labels equal."""
    shutil.copy(original.folder / KEPT, folder / KEPT)  # the choice is stratified, so it reads all labels
    kept = plain_arrays(folder / KEPT)["index"]
    labels = original.dataset.train.labels
    other = original.dataset.with_labels(change(labels, np.setdiff1d(np.arange(len(labels)), kept)))
    assert (other.train.labels != labels).sum() > 20
    test = Split(other.test.images, np.zeros_like(other.test.labels))
    methods = tuple(map(method, names))
    dataset = dataclasses.replace(other, test=test)
    return dataclasses.replace(original, folder=folder, dataset=dataset, methods=methods)


CHANGES = slow_unless(lambda change: change is permuted, (permuted, deleted, constant))
EACH_KIND = ("s3gan", "s2gan_co", "labelled_only", "random_label")  # the others are slow


@pytest.fixture(scope="module", params=CHANGES, ids=lambda change: change.__name__)
def changed(request, original, tmp_path_factory):
    return with_labels_inferred(
        changed_study(original, tmp_path_factory.mktemp("changed"), request.param, BLIND)
    )


def test_only_methods_of_true_labels_see_hidden_ones():
    assert set(NAMES) - set(BLIND) == {"all_labels", "all_labels_rotation", "noise_matched"}


@pytest.mark.parametrize("name", slow_unless(lambda name: name in EACH_KIND, BLIND))
def test_hidden_labels_change_no_weight(original, changed, name):
    for a, b in zip(weights(original, name), weights(changed, name), strict=True):
        np.testing.assert_array_equal(a, b)


def test_hidden_labels_change_no_file(original, changed):
    found = {path.relative_to(original.folder) for name in FILES for path in original.folder.rglob(name)}
    assert {path.name for path in found} == set(FILES)
    for path in found:
        assert (original.folder / path).read_bytes() == (changed.folder / path).read_bytes(), path


def test_hidden_labels_change_the_weights_of_all_labels(original, tmp_path):
    """Control: the test above can fail, since a GAN that sees hidden labels ends with other weights."""
    study = with_labels_inferred(changed_study(original, tmp_path, constant, ["all_labels"]))
    pairs = zip(weights(original, "all_labels"), weights(study, "all_labels"), strict=True)
    assert not all(np.array_equal(a, b) for a, b in pairs)


def test_methods_of_one_recipe_differ_by_their_labels(original):
    """Control: labels do influence the weights."""
    weights_s2gan = weights(original, "s2gan")
    for other in ("all_labels", "s2gan_soft", "random_label", "clustering"):
        assert LABEL_METHODS[other].recipe == LABEL_METHODS["s2gan"].recipe
        assert not all(map(np.array_equal, weights_s2gan, weights(original, other))), other


def test_verify_finds_no_leak(original):
    verdict = verify(original)
    assert verdict.proven and verdict.files == len(FILES) + 2  # clusters have their own two files
    assert verdict.message.startswith("no leak: all 9 files") and "GANs were not checked" in verdict.message
    assert (verdict.kept, verdict.hidden) == (12, 48)
    assert not (original.folder / LEAK_CHECK).exists()


@pytest.mark.slow
def test_gans_are_verified_on_request(original):
    study = dataclasses.replace(
        original, methods=(LABEL_METHODS["s3gan"], LABEL_METHODS["s2gan_co"], LABEL_METHODS["all_labels"])
    )
    verdict = verify(study, gans=True)
    assert verdict.proven and verdict.gans == 2  # all_labels is not checked
    assert "and the weights of 2 GANs after 3 steps are identical with the 48" in verdict.message


@pytest.mark.parametrize(
    ("state_of", "expected"),
    [
        (lambda dataset: dataset.train.images, "no leak: the weights of 1 GANs after 3 steps"),
        (lambda dataset: dataset.train.labels, "LEAK: s2gan_co depends on hidden labels"),
        (lambda dataset: dataset.test.labels, "LEAK: s2gan_co depends on hidden labels"),
        (lambda dataset: np.random.default_rng().random(3), "inconclusive: s2gan_co differs even with"),
    ],
)
def test_gans_that_read_hidden_labels_are_detected(tmp_path, monkeypatch, state_of, expected):
    monkeypatch.setattr(
        "compare_gan.fewlabels.leak.train_gan", lambda study, task, dataset: state_of(study.dataset)
    )
    study = small.small_study(tmp_path, "s2gan_co", "all_labels")
    assert verify(study, gans=True).message.startswith(expected)
    with pytest.raises(UserError, match="these methods infer no labels; --verify_no_leak gans checks"):
        verify(study)


@pytest.mark.parametrize(
    ("count", "budget", "expected"),
    [
        (60, 0.2, "not verified: labels-kept.npz keeps 60 labels, but 20% of the labels would be 12"),
        (60, 1.0, "not verified: no label is hidden; all 60"),
        (12, 0.2, "12 labels are kept, not those that budget and seed choose"),
    ],
)
def test_kept_labels_are_compared_with_the_budget(tmp_path, monkeypatch, count, budget, expected):
    monkeypatch.setattr("compare_gan.fewlabels.leak.prepare", lambda study, task: None)
    study = small.small_study(tmp_path, "s3gan", budgets=(budget,))
    write_labels(tmp_path / KEPT, np.arange(count), study.dataset.train.labels[:count])
    verdict = verify(study)
    assert expected in verdict.message and verdict.proven == (count == 12)


def stage_that_writes(bytes_of):
    """A fake label stage that writes bytes derived from the data set."""

    def stage(study, task):
        Artefacts(study, small.SEED, small.SHARE).ensure(KEPT_LABELS)
        (study.folder / LABELS).write_bytes(bytes_of(study.dataset))

    return stage


@pytest.mark.parametrize(
    ("bytes_of", "expected"),
    [
        (lambda dataset: dataset.train.images.tobytes(), "no leak: all 2 files"),
        (lambda dataset: dataset.train.labels.tobytes(), f"LEAK: {LABELS} depends on hidden labels"),
        (lambda dataset: dataset.test.labels.tobytes(), f"LEAK: {LABELS} depends on hidden labels"),
        (
            lambda dataset: np.random.default_rng().bytes(9),
            f"inconclusive: {LABELS} differs even with unchanged",
        ),
    ],
)
def test_verify_distinguishes_leaks_from_randomness(tmp_path, monkeypatch, bytes_of, expected):
    stage = stage_that_writes(bytes_of)
    monkeypatch.setattr("compare_gan.fewlabels.leak.prepare", stage)
    study = small.small_study(tmp_path, "s3gan")
    stage(study, None)
    verdict = verify(study)
    assert verdict.message.startswith(expected)
    assert (tmp_path / LEAK_CHECK).exists() == bool(verdict.differing)


def test_methods_without_inferred_labels_have_nothing_to_verify(tmp_path):
    with pytest.raises(UserError, match="a method that does not use all labels"):
        verify(small.small_study(tmp_path, "all_labels"))


def test_hidden_labels_are_permuted_or_deleted():
    labels, hidden = np.array([0, 1, 2, 0, 1, 2, 0]), np.array([1, 2, 3, 4, 6])
    for change in (permuted, deleted):
        assert (change(labels, hidden)[[0, 5]] == labels[[0, 5]]).all()
    assert sorted(permuted(labels, hidden)) == sorted(labels)
    assert (permuted(labels, hidden) != labels).any()
    assert (deleted(labels, hidden)[hidden] == UNLABELLED).all()


def test_the_study_has_a_task_for_every_method(original):
    assert {task.method.name for task in task_stages(original)[2]} == set(NAMES)
