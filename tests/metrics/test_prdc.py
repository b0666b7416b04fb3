"""Precision, recall, density and coverage by their definition, and for known cases."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.metrics import prdc
from compare_gan.metrics.context import EvalContext, ImageSet
from compare_gan.metrics.prdc import Points, manifolds, nearest


def samples(seed, n=40, dim=3, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (n, dim))


def by_definition(real, fake, balls, counted):
    """By explicit loops over pairs."""

    def reach(points, k):
        return [sorted(np.linalg.norm(points - p, axis=1))[k] for p in points]  # the first is itself

    def inside(p, centers, radii):
        return [np.linalg.norm(p - c) <= r for c, r in zip(centers, radii, strict=True)]

    small, others, large = reach(real, balls), reach(fake, balls), reach(real, counted)
    return (
        np.mean([any(inside(p, real, small)) for p in fake]),
        np.mean([any(inside(p, fake, others)) for p in real]),
        np.mean([sum(inside(p, real, large)) for p in fake]) / counted,
        np.mean([any(np.linalg.norm(fake - p, axis=1) <= r) for p, r in zip(real, large, strict=True)]),
    )


@pytest.mark.parametrize("block", [7, 1024])
def test_agrees_with_the_definition_in_blocks_of_any_size(monkeypatch, block):
    monkeypatch.setattr(prdc, "BLOCK", block)
    real, fake = samples(0), samples(1, 29, shift=0.7)
    assert manifolds(real, fake) == pytest.approx(by_definition(real, fake, 3, 5), rel=1e-12)


def test_memory_is_limited_to_a_block_of_distances(monkeypatch):
    sizes, pairs = [], prdc.Pairs.of
    monkeypatch.setattr(prdc, "BLOCK", 8)
    monkeypatch.setattr(
        prdc.Pairs, "of", lambda x, y: sizes.append(x.rounded.shape + y.rounded.shape) or pairs(x, y)
    )
    manifolds(samples(0), samples(1))
    assert max(max(size[0], size[2]) for size in sizes) == 8


@pytest.mark.parametrize("many", [0, 16])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_comparisons_are_those_of_float64(monkeypatch, size, many):
    """Real points on a line, and generated ones at the distance of a radius, give or take 1e-10 of it."""
    monkeypatch.setattr(prdc, "MANY", many)  # whether doubtful pairs are computed by products of matrices
    real = np.zeros((60, 50))
    real[:, 0] = np.arange(60)
    inside, outside = real[10:50].copy(), real[10:50].copy()
    inside[:, 1], outside[:, 1] = 2 - 2e-10, 2 + 2e-10  # the third neighbour has distance 2
    assert manifolds(size * real, size * inside).precision == 1
    assert manifolds(size * real, size * outside).precision == 0


def test_points_that_are_nearly_equal():
    """Far fewer differences than float32 resolves, so that no bound decides."""
    points = samples(0, 200) * 1e-9 + samples(1, 1)
    other = samples(2, 200) * 1e-9 + samples(1, 1)
    exact = by_definition(points, other, 3, 5)
    assert manifolds(points, other) == pytest.approx(exact, abs=0.01)


def test_neighbours_are_those_of_a_full_table():
    points = samples(0, 60)
    table = ((points[:, None] - points) ** 2).sum(-1)
    np.fill_diagonal(table, np.inf)
    scaled = Points.of(points, points)
    np.testing.assert_allclose(nearest(scaled, 4) * scaled.scale**2, np.sort(table)[:, :4], rtol=1e-9)


def test_a_copy_has_full_precision_and_recall():
    real = samples(0, 60) + 1e3
    found = manifolds(real, np.random.default_rng(1).permutation(real))
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    # Each point is in its own ball, and in those of which it is one of the five nearest.
    assert found.density == pytest.approx(6 / 5)


def test_a_copy_of_points_that_occur_several_times():
    real = np.repeat(samples(0, 10) * 1e3, 6, axis=0).astype(np.float32)
    found = manifolds(real, real)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_disjoint_sets():
    assert manifolds(samples(0), samples(1) + 100) == (0, 0, 0, 0)


def test_half_of_the_modes():
    modes = 100 * np.repeat([[0.0], [1.0]], 30, axis=0)
    found = manifolds(samples(0, 60) + modes, samples(1, 60))
    assert found.precision > 0.8 and found.recall == pytest.approx(0.5, abs=0.1)
    assert found.coverage == pytest.approx(0.5, abs=0.1) and found.density > 0.7


def test_expected_density_and_coverage_of_equal_distributions():
    """Lemma 1 and 2 of Naeem et al.: density is 1; coverage (1 - (N-1)...(N-k)/((2N-1)...(2N-k))), N = M."""
    n, k = 200, 5
    found = np.mean(
        [manifolds(samples(2 * i, n, 2), samples(2 * i + 1, n, 2))[2:] for i in range(20)], axis=0
    )
    expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    assert found == pytest.approx([1, expected], abs=0.03)


def test_too_few_samples():
    with pytest.raises(UserError, match="each of which needs 5 neighbours"):
        manifolds(samples(0, 5), samples(1))


def test_scores_do_not_depend_on_how_many_were_generated():
    """Of one law on both sides; the formula itself finds other coverage of ten times as many."""
    real, few, many = samples(0, 100), samples(1, 100), samples(2, 1000)

    def scores(fake):
        return prdc.prdc(EvalContext(ImageSet.of_features(real), ImageSet.of_features(fake)))

    assert scores(few) == manifolds(real, few)._asdict()
    assert scores(many)["coverage"] == pytest.approx(scores(few)["coverage"], abs=0.1)
    assert manifolds(real, many).coverage == 1 > scores(many)["coverage"]
