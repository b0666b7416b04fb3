"""The labels that each method trains on."""

import dataclasses

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS, PARTS, find_method, method, rank
from compare_gan.core.origin import note_of
from compare_gan.core.run_files import NOISY
from compare_gan.data.label_files import write_labels
from compare_gan.fewlabels.artefacts import Artefacts
from compare_gan.fewlabels.stages import match_noise
from compare_gan.fewlabels.tasks import count_true_labels, dataset_for, prepare, task_stages

from . import small


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = small.small_study(tmp_path_factory.mktemp("study"))
    for task in [task for stage in task_stages(study)[:2] for task in stage]:
        prepare(study, task)
    return study


def artefacts(study):
    return Artefacts(study, small.SEED, small.SHARE)


def labels(study, name):
    return dataset_for(artefacts(study), LABEL_METHODS[name]).train.labels


def test_baselines(study):
    true, count = study.dataset.train.labels, len(study.dataset.train)
    for name in ("all_labels", "all_labels_rotation"):
        np.testing.assert_array_equal(labels(study, name), true)
    for name in ("no_labels", "ssgan"):
        np.testing.assert_array_equal(labels(study, name), np.full(count, -1))
    np.testing.assert_array_equal(labels(study, "single_label"), np.zeros(count))
    drawn = labels(study, "random_label")
    assert set(drawn) == {0, 1, 2} and not np.array_equal(drawn, true)
    np.testing.assert_array_equal(drawn, labels(study, "random_label"))  # drawn once


def test_kept_labels_are_true_and_a_fifth_of_each_class(study):
    true = study.dataset.train.labels
    for name in ("s2gan_co", "s2gan_co_soft", "s3gan_co", "s3gan_co_soft"):
        few = labels(study, name)
        kept = few != -1
        np.testing.assert_array_equal(few[kept], true[kept])
        assert np.bincount(few[kept]).tolist() == [4, 4, 4]


def test_labelled_only_has_no_other_images(study):
    alone, few = (
        dataset_for(artefacts(study), LABEL_METHODS[name]) for name in ("labelled_only", "s3gan_co")
    )
    kept = np.flatnonzero(few.train.labels != -1)
    np.testing.assert_array_equal(alone.train.images[:], study.dataset.train.images[kept])
    np.testing.assert_array_equal(alone.train.labels, study.dataset.train.labels[kept])
    np.testing.assert_array_equal(alone.test.images, study.dataset.test.images)


def confusion_of(true, labels):
    return [[int(((true == i) & (labels == j)).sum()) for j in range(-1, 3)] for i in range(3)]


def test_noise_matched_labels_have_the_errors_of_inference_at_other_images(study):
    true, inferred, noisy = study.dataset.train.labels, labels(study, "s2gan"), labels(study, "noise_matched")
    assert confusion_of(true, noisy) == confusion_of(true, inferred)
    assert 0 < (noisy != true).sum() and not np.array_equal(noisy, inferred)
    np.testing.assert_array_equal(noisy, labels(study, "noise_matched"))


def test_noise_is_independent_of_images_and_recorded(tmp_path):
    """Half of the inferred labels of a class are wrong, all at its first images; noise is anywhere."""
    dataset = small.dataset()
    true = dataset.train.labels
    inferred = true.copy()
    for k in range(3):
        inferred[np.flatnonzero(true == k)[:10]] = (k + 1) % 3
    inferred[:3] = -1
    early = []
    for seed in range(40):
        noisy = match_noise(dataset, dataset.with_labels(inferred), seed, tmp_path / str(seed)).train.labels
        assert confusion_of(true, noisy) == confusion_of(true, inferred)
        early.append(np.mean((noisy != true)[:30]))
    assert abs(np.mean(early) - 0.5) < 3 * np.std(early) / np.sqrt(40)
    path = tmp_path / "0" / NOISY
    before = path.read_bytes()
    match_noise(dataset, dataset.with_labels(inferred), 0, tmp_path / "0")
    path.write_bytes(before[:-9])  # damaged: created again
    match_noise(dataset, dataset.with_labels(inferred), 0, tmp_path / "0")
    assert path.read_bytes() == before and note_of(path).exists()
    with pytest.raises(UserError, match=r"labels-noisy\.npz: was created from other inputs"):
        match_noise(dataset, dataset.with_labels(true), 0, tmp_path / "0")


def test_inferred_labels_are_hard_or_soft(study):
    hard, soft = labels(study, "s3gan"), labels(study, "s3gan_soft")
    assert hard.shape == (60,) and set(hard) <= {0, 1, 2}
    assert soft.shape == (60, 3) and np.allclose(soft.sum(1), 1, atol=1e-5) and soft.max() < 1
    np.testing.assert_array_equal(soft.argmax(1), hard)
    np.testing.assert_array_equal(hard, labels(study, "s2gan"))
    np.testing.assert_array_equal(soft, labels(study, "s2gan_soft"))


def test_classes_depend_on_the_method(study):
    inputs = artefacts(study)
    classes = {name: dataset_for(inputs, method).class_names for name, method in LABEL_METHODS.items()}
    assert classes["single_label"] == ("all",)
    assert classes["clustering"] == ("cluster 0", "cluster 1", "cluster 2")
    assert classes["random_label"] == ("random 0", "random 1", "random 2")
    assert all(
        classes[name] == study.dataset.class_names for name in LABEL_METHODS if LABEL_METHODS[name].from_few
    )
    for name in LABEL_METHODS:
        gan = study.gan(LABEL_METHODS[name])
        assert gan.spec.num_classes == len(classes[name]), name


def test_number_of_true_labels_of_each_method(study):
    used = {name: count_true_labels(artefacts(study), method) for name, method in LABEL_METHODS.items()}
    assert used.pop("all_labels") == used.pop("all_labels_rotation") == 60
    for name, count in used.items():
        assert count == (12 if LABEL_METHODS[name].from_few else 0), name


def test_a_label_file_replaces_inferred_labels(study, tmp_path):
    classes = np.arange(60, dtype=np.int32) % 3
    write_labels(tmp_path / "hard.npz", np.arange(50), classes[:50])
    other = small.small_study(tmp_path, "s3gan", "s3gan_co", label_file=tmp_path / "hard.npz")
    np.testing.assert_array_equal(labels(other, "s3gan"), np.where(np.arange(60) < 50, classes, -1))
    np.testing.assert_array_equal(labels(other, "s3gan_co"), labels(study, "s3gan_co"))
    assert [task.kind for stage in task_stages(other)[:2] for task in stage] == [
        "labels"
    ]  # no encoder to train
    with pytest.raises(UserError, match=r"hard\.npz: contains classes, but soft labels need probabilities"):
        small.small_study(tmp_path, "s3gan_soft", label_file=tmp_path / "hard.npz")


def test_a_soft_label_file_serves_both(tmp_path):
    soft = np.random.default_rng(0).dirichlet(np.ones(3), 60).astype(np.float32)
    write_labels(tmp_path / "soft.npz", np.arange(60), soft)
    study = small.small_study(tmp_path, "s3gan", "s3gan_soft", label_file=tmp_path / "soft.npz")
    np.testing.assert_array_equal(labels(study, "s3gan_soft"), soft)
    np.testing.assert_array_equal(labels(study, "s3gan"), soft.argmax(1))


def test_an_unknown_method_is_refused():
    with pytest.raises(UserError, match="unknown method 's3gn'; did you mean 's3gan'"):
        method("s3gn")
    assert find_method("s3gn") is None


def test_parts_are_added_to_a_method():
    found = method("s3gan+r1+diffaugment")
    assert found.name == "s3gan+diffaugment+r1" and found.title == "S3GAN, DiffAugment, R1"
    assert found.recipes == ("s3gan", "diffaugment", "r1") and found.base == "s3gan"
    assert (found.labels, found.from_few) == ("inferred", True)
    assert method("s3gan") is LABEL_METHODS["s3gan"]
    names = ["no_labels", "s3gan+lecam", "s3gan+diffaugment", "all_labels+ada", "s3gan"]
    assert sorted(names, key=rank) == [
        "all_labels+ada", "s3gan", "s3gan+diffaugment", "s3gan+lecam", "no_labels"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s3gan+difaugment", "unknown part 'difaugment'; did you mean 'diffaugment'"),
        ("s3gan+r1+r1", "names a part twice"),
        ("s3gan+oversampled", "oversampled is only for co-training: s3gan_co"),
        ("s3gan+", "unknown part ''"),
    ],
)
def test_parts_that_do_not_fit_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        method(name)


def test_a_part_changes_its_own_setting_only(study):
    """Every part with a method that it fits; the labels are those of the method without it."""
    for part in PARTS:
        base = "s2gan_co" if part == "oversampled" else "labelled_only"
        other = small.small_study(study.folder, f"{base}+{part}", base)
        changed, plain = (other.gan(each) for each in other.methods)
        fields = {"diffaugment": ["augment"], "ada": ["augment", "augment_probability"], "r1": ["penalty"]}
        fields |= {"lecam": ["regularizers"], "oversampled": ["labelled_batch_fraction"]}
        different = {
            field.name
            for field in dataclasses.fields(plain)
            if getattr(plain, field.name) != getattr(changed, field.name)
        }
        assert different == set(fields[part]), part
        np.testing.assert_array_equal(
            dataset_for(artefacts(other), other.methods[0]).train.labels, labels(study, base)
        )
