"""The order of batches does not depend on where images are stored or which feed reads them."""

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.core.placement import Placement
from compare_gan.data import LoadOptions, Split, open_dataset
from compare_gan.data.fit import CropResize
from compare_gan.data.order import Order, batch_indices
from compare_gan.data.records import Pixels
from compare_gan.data.streamed import Streamed
from compare_gan.nn.images import random_flip
from compare_gan.training.feed import DeviceFeed, HostFeed, StreamingFeed, evenly, labelled_images, open_feed
from compare_gan.training.gan import job_of, train
from compare_gan.training.loop import Job
from compare_gan.training.schedule import TrainSchedule
from tests.training.tiny import GANS, blobs

ROOT = Path(__file__).parents[2]


def streamed(split, fit=CropResize()):  # noqa: B008  (a constant)
    shape = split.images.shape[1:]
    return dataclasses.replace(split, images=Streamed(Pixels(split.images), fit, shape))


def feed_of(split, batch_size=16, sub_batches=2, steps=40, labelled_rows=(), balanced=False, **more):
    rows = tuple(labelled_rows)
    job = Job("job", None, None, batch_size, sub_batches, labelled_rows=rows, balanced=balanced)
    return open_feed(split, job, steps=steps, seed=7, placement=Placement.create(), **more)


def batches(feed, start, stop):
    """What a step gets from a feed, as NumPy: images [steps, S, B, ...], labels."""
    steps = [feed.select(feed.data, feed.batch(step)) for step in range(start, stop)]
    return tuple(np.stack(part) for part in zip(*steps, strict=True))


def on_the_host(split):
    return HostFeed(split, Order(len(split), 16, 7), 2, Placement.create())


@pytest.mark.parametrize("make", [feed_of, on_the_host, lambda split: feed_of(streamed(split))])
def test_batches_follow_the_order_of_the_data(make):
    split = blobs().train
    feed = make(split)
    index = batch_indices(len(split), 16, 7, 10, 6).reshape(3, 2, 16)
    images, labels = batches(feed, 5, 8)
    np.testing.assert_array_equal(images, split.images[index])
    np.testing.assert_array_equal(labels, split.labels[index])


def test_a_part_of_each_batch_is_drawn_from_the_labelled_images():
    split = blobs().train
    labels = np.where(np.arange(len(split)) % 10 == 3, split.labels, -1)
    split = dataclasses.replace(split, labels=labels)
    images, seen = batches(feed_of(split, labelled_rows=range(6)), 5, 8)
    assert (seen[..., :6] >= 0).all() and (seen[..., 6:] < 0).any()
    known = np.flatnonzero(labels >= 0)
    few = known[batch_indices(len(known), 6, 7, 10, 6)].reshape(3, 2, 6)
    others = batch_indices(len(split), 10, 7, 10, 6).reshape(3, 2, 10)
    np.testing.assert_array_equal(images, split.images[np.concatenate([few, others], axis=2)])
    for one, other in zip(
        (images, seen), batches(feed_of(streamed(split), labelled_rows=range(6)), 5, 8), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_labelled_images_are_drawn_from_each_class_equally_often_if_asked():
    split = blobs().train
    labels = np.where(np.arange(len(split)) % 3 > 0, split.labels, -1)
    labels[np.flatnonzero(labels == 2)[2:]] = -1  # two images of this class are left
    counts = np.bincount(labels[labels >= 0])
    assert counts.min() == 2 and len(set(counts)) > 1
    uneven = dataclasses.replace(split, labels=labels)
    epoch = 4 * counts.max()
    feed = feed_of(uneven, labelled_rows=range(16), balanced=True, steps=epoch)
    _, seen = batches(feed, 0, epoch // 2)
    assert (np.bincount(seen.reshape(-1)) == seen.size // 4).all()  # whole epochs
    soft = np.where(labels[:, None] >= 0, np.eye(4, dtype=np.float32)[labels], 0)
    np.testing.assert_array_equal(
        evenly(labelled_images(soft), soft), evenly(labelled_images(labels), labels)
    )


def test_a_gan_draws_labelled_images_more_often_if_asked():
    gan = dataclasses.replace(GANS["s3gan"], labelled_batch_fraction=0.2)
    rows = job_of(gan, False).labelled_rows
    assert gan.batch_size == 16 and rows == (0, 4, 8, 12)  # a fifth of 16, rounded up
    assert job_of(GANS["s3gan"], False).labelled_rows == ()
    split = blobs().train
    labels = np.where(np.arange(len(split)) % 32 == 3, split.labels, -1)
    sparse = dataclasses.replace(split, labels=labels)
    _, seen = batches(feed_of(sparse, labelled_rows=rows), 5, 8)
    assert (seen[..., rows] >= 0).all() and (seen >= 0).mean() < 0.4
    for start in (6, 7):  # what a step sees does not depend on where training was resumed
        _, again = batches(feed_of(sparse, labelled_rows=rows), start, 8)
        np.testing.assert_array_equal(again, seen[start - 5 :])
    soft = np.where(labels[:, None] >= 0, np.eye(4, dtype=np.float32)[labels], 0)
    _, seen_soft = batches(feed_of(dataclasses.replace(split, labels=soft), labelled_rows=rows), 5, 8)
    np.testing.assert_array_equal(seen_soft.any(-1), seen >= 0)
    np.testing.assert_array_equal(  # where all images have a label there is nothing to favour
        batches(feed_of(split, labelled_rows=rows), 5, 8)[1], batches(feed_of(split), 5, 8)[1]
    )
    with pytest.raises(UserError, match="no training image has a label"):
        feed_of(dataclasses.replace(split, labels=np.full(len(split), -1)), labelled_rows=rows)
    with pytest.raises(UserError, match=r"labelled_batch_fraction is 1.0; it must be in \[0, 1\)"):
        dataclasses.replace(gan, labelled_batch_fraction=1.0)


def test_feed_depends_on_where_images_are_stored():
    split = blobs().train
    assert isinstance(feed_of(split), DeviceFeed) and isinstance(feed_of(streamed(split)), StreamingFeed)


def random_crops(count=48):
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (count, 9, 12, 3), np.uint8), np.arange(count, dtype=np.int32))
    return Split(Streamed(Pixels(split.images), CropResize(6, "random"), (6, 6, 3)), split.labels)


def test_going_on_in_the_middle_of_an_epoch_gives_the_same_batches():
    """Random crops included; another feed starts at step 4 of an epoch of 1.5 steps."""
    whole, rest = feed_of(random_crops()), feed_of(random_crops())
    first = [batches(whole, step, step + 1) for step in range(7)]
    second = batches(rest, 4, 7)
    for part in range(2):
        np.testing.assert_array_equal(np.concatenate([one[part] for one in first[4:]]), second[part])
    assert len(np.unique(first[0][0].reshape(32, -1), axis=0)) == 32


def test_an_image_gets_a_new_crop_in_each_epoch():
    images, labels = batches(feed_of(random_crops()), 0, 3)  # 96 images of 48
    images, labels = images.reshape(96, -1), labels.ravel()
    same = [np.ptp(images[labels == k], axis=0).max() == 0 for k in range(48)]
    assert sum(same) < 12  # 21 crops of each image; by chance 1 in 21 agree


def test_the_number_of_workers_changes_nothing():
    expected = batches(feed_of(random_crops()), 1, 4)
    for workers in (1, 2):
        feed = feed_of(random_crops(), workers=workers)
        for found, wanted in zip(batches(feed, 1, 4), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        feed.close()


def test_a_data_set_smaller_than_the_batch():
    few = Split(blobs().train.images[:3], blobs().train.labels[:3])
    for split in (few, streamed(few)):
        images, _ = batches(feed_of(split), 0, 3)
        found, times = np.unique(images.reshape(96, -1), axis=0, return_counts=True)
        assert times.tolist() == [32, 32, 32]


def test_no_images_are_refused():
    with pytest.raises(UserError, match="no images"):
        feed_of(Split(np.zeros((0, 4, 4, 3), np.uint8), np.zeros(0, np.int32)))


@pytest.mark.slow
def test_training_is_the_same_wherever_the_images_lie(tmp_path):
    gan, split = GANS["ssgan"], blobs().train
    states = [
        train(gan, each, run_dir=tmp_path / name, schedule=TrainSchedule(3, log_every=2), seed=1)
        for name, each in (("held", split), ("read", streamed(split)))
    ]
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_that_breaks_while_training_costs_nothing_that_was_computed(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    for i in range(40):
        Image.fromarray(blobs().train.images[i]).save(tmp_path / "data" / "a" / f"{i:02}.png")
    dataset = open_dataset(str(tmp_path / "data"), reading=LoadOptions(memory=0))
    order = batch_indices(len(dataset.train), 16, 0, 0, 2)
    late = next(i for i in order[1] if i not in order[0])
    broken = Path(dataset.train.images.records.where(int(late)))
    whole = broken.read_bytes()
    broken.write_bytes(b"junk")
    gan = dataclasses.replace(GANS["ssgan"], spec=dataset.spec)
    options = dict(schedule=TrainSchedule(4, log_every=1), seed=0)
    with pytest.raises(UserError, match=f"{broken.name}: not a readable image"):
        train(gan, dataset.train, run_dir=tmp_path / "run", **options)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["1"]
    broken.write_bytes(whole)
    repaired = train(gan, dataset.train, run_dir=tmp_path / "run", **options)
    undisturbed = train(gan, dataset.train, run_dir=tmp_path / "other", **options)
    for a, b in zip(*map(jax.tree.leaves, (repaired, undisturbed)), strict=True):
        np.testing.assert_array_equal(a, b)


PROGRAM = """
import sys
import jax
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
import numpy as np
from tests.training.test_feed import feed_of, random_crops, streamed
from tests.training.tiny import blobs
for split in (random_crops(64), blobs().train):
    feed = feed_of(split, sub_batches=1, steps=8)
    mine = [feed.indices(step).ravel() for step in range(len(split) // 16)]
    batch = feed.read(0)
    labels = split.labels[batch] if isinstance(batch, np.ndarray) else batch.labels
    np.testing.assert_array_equal(labels.ravel(), split.labels[mine[0]])
    print("read", *np.concatenate(mine), flush=True)
whole = feed.batch(0)
print("shape", *whole.shape, flush=True)
"""


@pytest.mark.slow
def test_two_processes_read_disjoint_shards_whose_union_is_the_epoch():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, address]
    started = [
        subprocess.Popen([*command, str(i)], env=environment, cwd=ROOT, stdout=-1, stderr=-1, text=True)
        for i in range(2)
    ]
    ended = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended[0][1][-3000:] + ended[1][1][-3000:]
    lines = [[line.split() for line in out.splitlines()] for out, _ in ended]
    for part, count in ((0, 64), (1, 256)):
        mine, other = (set(map(int, read[part][1:])) for read in lines)
        assert not mine & other and mine | other == set(range(count))
        assert len(mine) == len(other) == count // 2
    assert lines[0][2] == ["shape", "1", "16"]


def test_half_of_the_images_are_mirrored():
    images = np.random.default_rng(0).random((3, 200, 4, 5, 2)).astype(np.float32)
    found = np.asarray(random_flip(jax.random.key(0), images))
    mirrored = (found == images[..., ::-1, :]).all((2, 3, 4))
    np.testing.assert_array_equal(
        found, np.where(mirrored[..., None, None, None], images[..., ::-1, :], images)
    )
    assert 250 < mirrored.sum() < 350


@pytest.mark.slow
def test_flips_change_training_but_not_the_order(tmp_path):
    """On images that are their own mirror, flips change nothing."""
    gan, split = GANS["ssgan"], blobs().train
    images = np.concatenate([split.images[:, :, :4], split.images[:, :, 3::-1]], axis=2)
    even = dataclasses.replace(split, images=images)

    def trained(name, split, flip):
        options = dict(run_dir=tmp_path / name, schedule=TrainSchedule(2, log_every=2), seed=1)
        return jax.tree.leaves(train(gan, split, random_flip=flip, **options).g.params)

    for a, b in zip(trained("a", even, False), trained("b", even, True), strict=True):
        np.testing.assert_array_equal(a, b)
    pairs = zip(trained("c", split, False), trained("d", split, True), strict=True)
    assert any(np.any(a != b) for a, b in pairs)
