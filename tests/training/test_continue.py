"""Resuming a run with changed settings: more steps are accepted, other changes only on request."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from compare_gan.architectures import resnet_small
from compare_gan.core.errors import UserError
from compare_gan.core.events import event_files
from compare_gan.core.run_files import DONE
from compare_gan.data import Split
from compare_gan.data.source import refuse_inside
from compare_gan.data.validation import with_validation
from compare_gan.training.gan import train
from compare_gan.training.resume import changed_bindings, check_fits, check_run_dir, split_fingerprints
from compare_gan.training.run_dir import describe_run
from compare_gan.training.schedule import TrainSchedule
from tests.training.tiny import GANS, blobs

CONFIG = """
# Parameters for ModularGAN:
# ==============================================================================
ModularGAN.g_lr = 0.001
ModularGAN.tasks = \\
    (@Rotation(),
     @Projection())

options.training_steps = 40
run_config.save_checkpoints_steps = 5000
eval_z.stddev = 1.0
"""
ORIGIN = {"data": "blobs", "reading": {"image_size": None}, "seed": 0, "labels": None}


def described(folder, dataset=None, config=CONFIG, proceed=False, **origin):
    describe_run(folder, dataset or blobs(), config, ORIGIN | origin, proceed)
    return json.loads((folder / "run.json").read_text())


def refused(folder, expected, **changes):
    with pytest.raises(UserError) as error:
        described(folder, **changes)
    message = str(error.value)
    assert expected in message and str(folder) in message and len(message.splitlines()) == 1
    return message


def test_more_steps_give_the_bits_of_one_long_run(tmp_path, monkeypatch):
    gan, split = GANS["ssgan"], blobs().train
    long = TrainSchedule(8, log_every=2, sample_every=8, save_every=3)
    uninterrupted = train(gan, split, run_dir=tmp_path / "uninterrupted", schedule=long, tensorboard=False)
    for steps in (4, 8):
        schedule = dataclasses.replace(long, steps=steps)
        parts = train(gan, split, run_dir=tmp_path / "parts", schedule=schedule)
        assert int(parts.step) == steps and (tmp_path / "parts" / DONE).exists()
    for a, b in zip(jax.tree.leaves(uninterrupted), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not event_files(tmp_path / "uninterrupted") and event_files(tmp_path / "parts")
    check_run_dir(tmp_path / "parts", 8)
    with pytest.raises(UserError, match="is already trained for 8 steps, .* = 6 asks for fewer"):
        check_run_dir(tmp_path / "parts", 6)
    monkeypatch.chdir(tmp_path)  # run folders may be relative, Orbax wants absolute ones
    check_fits(Path("parts"), gan)
    wider = dataclasses.replace(gan, make_generator=functools.partial(resnet_small.Generator, ch=8))
    without_mean = dataclasses.replace(gan, g_use_ema=False)
    for other, difference in (
        (wider, r"conv1/u is \[72, 1\] in the checkpoint and \[144, 1\] now, and \d+ more arrays"),
        (without_mean, r"g_ema/\S+ is \[.*\] in the checkpoint and absent now"),
    ):
        with pytest.raises(UserError, match=f"of step 8 does not match the changed settings .*{difference}"):
            check_fits(Path("parts"), other)


def test_bindings_are_compared_not_their_text():
    lines = CONFIG.replace("1.0\n", "2.0\n").replace("= 40", "= 80").replace("5000", "7").splitlines()
    assert changed_bindings(CONFIG, "\n".join(reversed(lines[3:4] + lines[8:])) + "\n" + tasks()) == []
    found = changed_bindings(CONFIG, CONFIG.replace("@Projection", "@Other").replace("0.001", "0.1"))
    assert found == [
        "ModularGAN.g_lr 0.001 -> 0.1",
        "ModularGAN.tasks (@Rotation(), @Projection()) -> (@Rotation(), @Other())",
    ]
    more = CONFIG + "options.new = 1\n"
    assert changed_bindings(CONFIG, more) == ["options.new (absent) -> 1"]
    assert changed_bindings(CONFIG, more, same_version=False) == []


def tasks():
    return "ModularGAN.tasks = (@Rotation(), @Projection())"


def test_steps_saving_and_evaluation_may_change(tmp_path):
    described(tmp_path)
    changed = CONFIG.replace("= 40", "= 80").replace("5000", "10").replace("stddev = 1.0", "stddev = 0.5")
    assert "changes" not in described(tmp_path, config=changed)
    assert (tmp_path / "operative_config.gin").read_text() == changed


def test_other_bindings_are_named_and_need_a_flag(tmp_path):
    described(tmp_path)
    other = CONFIG.replace("0.001", "0.002")
    message = refused(tmp_path, "(ModularGAN.g_lr 0.001 -> 0.002)", config=other)
    assert "--continue_with_changes" in message
    assert (tmp_path / "operative_config.gin").read_text() == CONFIG
    about = described(tmp_path, config=other, proceed=True)
    assert about["changes"] == [{"step": 0, "changes": ["ModularGAN.g_lr 0.001 -> 0.002"]}]
    assert described(tmp_path, config=other)["changes"] == about["changes"]  # kept, and not repeated


def test_a_message_names_five_changes_at_most(tmp_path):
    config = "".join(f"options.a{i} = 0\n" for i in range(8))
    described(tmp_path, config=config)
    assert "options.a4 0 -> 1 and 3 more" in refused(
        tmp_path, "a0 0 -> 1", config=config.replace("= 0", "= 1")
    )


def test_other_classes_labels_images_and_seeds_are_refused(tmp_path):
    described(tmp_path)
    dataset = blobs()
    renamed = dataclasses.replace(dataset, class_names=("z", *dataset.class_names[1:]))
    refused(tmp_path, "class_names", dataset=renamed)
    refused(tmp_path, "class_names", dataset=renamed, proceed=True)  # scores would be named wrongly
    swapped = dataset.with_labels(3 - dataset.train.labels)
    refused(tmp_path, "other training labels", dataset=swapped)
    inverted = Split(255 - dataset.train.images, dataset.train.labels)
    refused(tmp_path, "other training images", dataset=dataclasses.replace(dataset, train=inverted))
    fewer = Split(dataset.train.images[1:], dataset.train.labels[1:])
    refused(tmp_path, "256 -> 255 training images", dataset=dataclasses.replace(dataset, train=fewer))
    refused(tmp_path, "seed 0 -> 1", seed=1)
    refused(tmp_path, "image_size None -> 8", reading={"image_size": 8})


def test_a_data_set_may_move_and_relative_paths_are_the_same_run(tmp_path, monkeypatch):
    (tmp_path / "toy").mkdir()
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    described(run, data="toy")
    about = json.loads((run / "run.json").read_text())
    for data in ("./toy", "toy/", str(tmp_path / "toy"), "/elsewhere/toy"):
        described(run, data=data)
    del about["fingerprint"]  # as older versions wrote it
    for data in ("./toy", "toy/", str(tmp_path / "toy")):
        (run / "run.json").write_text(json.dumps(about))
        described(run, data=data)
    (run / "run.json").write_text(json.dumps(about))
    refused(run, "data toy -> /elsewhere/toy", data="/elsewhere/toy")


def test_what_an_older_version_did_not_write_is_not_compared(tmp_path):
    described(tmp_path)
    about = described(tmp_path, reading={"image_size": None, "holdout": 0.1}, validation=0.2)
    assert about["reading"]["holdout"] == 0.1
    refused(tmp_path, "holdout 0.1 -> 0.3", reading={"image_size": None, "holdout": 0.3}, validation=0.2)


def test_a_run_within_its_data_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "toy")
    (tmp_path / "blobs").mkdir()
    for folder, source in (
        ("toy", "toy"),
        ("toy/run", "./toy"),
        ("link/a/b", ["blobs", str(tmp_path / "toy")]),
    ):
        with pytest.raises(UserError, match=f"^{folder}: is inside the data set"):
            refuse_inside(Path(folder), source)
    for folder, source in (("toys", "toy"), (".", "toy"), ("blobs/run", "blobs"), ("toy/run", "none")):
        refuse_inside(Path(folder), source)  # "blobs" is a name before it is a folder


def test_validation_images_are_a_share_of_each_class():
    dataset = blobs()
    labels = np.where(np.arange(256) % 4 == 0, -1, dataset.train.labels)
    dataset = dataset.with_labels(labels)
    rest, held = with_validation(dataset, 0.25, seed=3)
    numbers, counts = np.unique(labels, return_counts=True)
    for label, count in zip(numbers, counts, strict=True):
        assert (held.labels == label).sum() == round(0.25 * count)
    assert rest.test is dataset.test

    def rows(split):
        return {image.tobytes() for image in split.images[:]}

    assert rows(rest.train) | rows(held) == rows(dataset.train) and not rows(rest.train) & rows(held)
    assert rows(with_validation(dataset, 0.25, seed=3)[1]) == rows(held)
    assert rows(with_validation(dataset, 0.25, seed=4)[1]) != rows(held)
    for share in (0, 1, 0.001, 0.999):
        with pytest.raises(UserError, match="--validation"):
            with_validation(dataset, share, seed=0)


def test_fingerprints_tell_images_from_labels():
    train_split = blobs().train
    one, other = (
        split_fingerprints(train_split),
        split_fingerprints(Split(train_split.images, -train_split.labels)),
    )
    assert {name for name in one if one[name] != other[name]} == {"labels_sha256"}
