"""Properties of the index stream."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data.order import Order, batch_indices, permutation, spread_rows


def stream(count, seed, length):
    return batch_indices(count, 1, seed, 0, length).ravel()


@pytest.mark.parametrize(("count", "batch_size"), [(100, 10), (103, 16), (7, 20), (1, 3)])
def test_each_epoch_is_a_permutation(count, batch_size):
    batches = -(-5 * count // batch_size)
    found = batch_indices(count, batch_size, 3, 0, batches)
    assert found.shape == (batches, batch_size) and found.dtype == np.int64
    epochs = found.ravel()[: 5 * count].reshape(5, count)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(count), (5, 1)))


def test_epochs_and_seeds_differ():
    epochs = stream(100, 3, 300).reshape(3, 100)
    assert not (epochs[0] == epochs[1]).all() and not (epochs[1] == epochs[2]).all()
    assert not (stream(100, 4, 100) == epochs[0]).all()


@pytest.mark.parametrize("count", [103, 5])
def test_a_stream_resumes_at_any_batch(count):
    full = batch_indices(count, 16, 7, 0, 40)
    for start in (0, 1, 6, 7, 39):
        np.testing.assert_array_equal(batch_indices(count, 16, 7, start, 40 - start), full[start:])
    assert batch_indices(count, 16, 7, 12, 0).shape == (0, 16)


def test_a_batch_straddles_epochs():
    np.testing.assert_array_equal(
        batch_indices(10, 4, 0, 2, 1)[0], np.concatenate([stream(10, 0, 10)[8:], stream(10, 0, 20)[10:12]])
    )


def test_subset_rows_are_a_separate_stream():
    few, rows = np.array([3, 50, 77, 91]), (0, 3, 7)
    order = Order(100, 10, 7, few, rows)
    found, others = order.batches(5, 9), [1, 2, 4, 5, 6, 8, 9]
    np.testing.assert_array_equal(found[:, rows].ravel(), few[stream(4, 7, 14 * 3)[5 * 3 :]])
    np.testing.assert_array_equal(found[:, others].ravel(), stream(100, 7, 14 * 7)[5 * 7 :])
    one_by_one = [[order.at(batch, row) for row in range(10)] for batch in range(5, 14)]
    np.testing.assert_array_equal(found, one_by_one)


@pytest.mark.parametrize(("count", "parts"), [(8, 4), (8, 8), (3, 2), (0, 4), (31, 4), (1, 1)])
def test_subset_rows_are_spread_over_microbatches(count, parts):
    rows = spread_rows(count, 32)
    assert len(set(rows)) == count and list(rows) == sorted(rows) and set(rows) <= set(range(32))
    shares = np.bincount(np.array(rows, int) * parts // 32, minlength=parts)
    assert shares.max() - shares.min() <= 1


def test_returned_indices_may_be_modified():
    first = batch_indices(10, 10, 0, 0, 1)
    first[:] = -1
    assert batch_indices(10, 10, 0, 0, 1).min() == 0


def test_positions_are_uniform():
    draws = np.stack([permutation(4, 0, epoch) for epoch in range(4000)])
    counts = np.stack([np.bincount(draws[:, place], minlength=4) for place in range(4)])
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_the_order_is_pinned():
    """Scores of old runs depend on it; NEP 19 guarantees the stream of PCG64."""
    assert permutation(6, 0, 0).tolist() == [3, 2, 1, 0, 4, 5]


@pytest.mark.parametrize(
    ("count", "batch_size", "seed", "words"),
    [(0, 4, 0, "no images"), (4, 0, 0, "batch size 0"), (4, 4, -1, "seed -1 is negative")],
)
def test_invalid_arguments_are_refused(count, batch_size, seed, words):
    with pytest.raises(UserError, match=words) as caught:
        batch_indices(count, batch_size, seed, 0, 1)
    assert "\n" not in str(caught.value)
