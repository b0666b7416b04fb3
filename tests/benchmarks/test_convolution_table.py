"""The table of single convolutions: the work that it counts, and how its rows are put together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.cases import Case
from benchmarks.contenders.convolutions import arrays, of_jax
from benchmarks.convolutions import OURS, entry, means, picture, worst
from compare_gan.nn.convolution import convolve
from compare_gan.nn.rescale import convolve_rescaled

KINDS = [(3, "none"), (1, "none"), (4, "stride 2"), (3, "repeat"), (3, "up"), (3, "down")]


@pytest.mark.parametrize(("kernel", "scale"), KINDS)
def test_operations_are_those_that_xla_counts_in_our_convolution(kernel, scale):
    case = Case(2, 64, 24, 32, kernel, scale)
    x, k, _ = (jax.ShapeDtypeStruct(a.shape, jnp.float32) for a in arrays(case))

    def forward(x, k):
        return convolve(x, k, 2) if scale == "stride 2" else convolve_rescaled(x, k, scale)

    counted = jax.jit(forward).trace(x, k).lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]
    # XLA leaves out products with the padding; sums of neighbours are extra.
    assert counted == pytest.approx(case.flops, rel=0.05)


def test_operations_of_a_plain_convolution_in_closed_form():
    assert Case(2, 8, 3, 5).flops == 2 * 2 * 8 * 8 * 3 * 3 * 3 * 5
    assert Case(2, 8, 3, 5, 4, "stride 2").flops == 2 * 2 * 4 * 4 * 4 * 4 * 3 * 5


@pytest.mark.parametrize(("kernel", "scale"), KINDS)
def test_contenders_compute_the_same(kernel, scale):
    case = Case(2, 6, 3, 4, kernel, scale)
    ours, xla = of_jax(native=False), of_jax(native=True)
    for operation in ("forward", "input gradient", "kernel gradient"):
        values = [np.asarray(made[0](case, operation, "float32")()) for made in (ours, xla)]
        np.testing.assert_allclose(*values, atol=1e-4)


@pytest.mark.parametrize(("kernel", "scale"), KINDS)
def test_torch_computes_the_same(kernel, scale):
    pytest.importorskip("torch")
    from benchmarks.contenders.convolutions import of_torch

    case = Case(2, 6, 3, 4, kernel, scale)
    forward = of_torch()[0](case, "forward", "float32")()
    gradient = of_torch()[0](case, "kernel gradient", "float32")()[0]
    ours = of_jax(native=False)[0]
    expected = ours(case, "forward", "float32")()
    np.testing.assert_allclose(forward.permute(0, 2, 3, 1), expected, atol=1e-4)
    expected = ours(case, "kernel gradient", "float32")()
    if scale == "up":
        gradient = gradient.flip(2, 3).transpose(0, 1)
    np.testing.assert_allclose(gradient.permute(2, 3, 1, 0), expected, atol=1e-4)


def made(case, operation, ours, theirs, dtype="float32"):
    return entry(case, operation, dtype, {OURS: ours, "torch": theirs}, peak=1e12)


def test_an_entry_has_rates_shares_and_ratios():
    case = Case(1, 10, 10, 10)
    each = made(case, "forward", ours=1e-6, theirs=2e-6)
    assert case.flops == 180_000
    assert each["gflops"] == {OURS: pytest.approx(180), "torch": pytest.approx(90)}
    assert each["share"][OURS] == pytest.approx(0.18)
    assert each["ratios"] == {"torch": pytest.approx(2)}


def test_means_are_geometric_and_the_worst_are_of_wide_convolutions():
    wide, narrow = Case(1, 8, 16, 16), Case(1, 8, 3, 16)
    entries = [
        made(wide, "forward", 1, 4),
        made(wide, "input gradient", 1, 1),
        made(wide, "kernel gradient", 2, 1),
        made(narrow, "forward", 4, 1),
        made(narrow, "input gradient", 1, 1),
        made(narrow, "kernel gradient", 1, 1),
    ]
    ((dtype, values),) = means(entries, "torch")
    assert dtype == "float32"
    assert values == pytest.approx([1, 1, 0.5**0.5, 0.5 ** (1 / 6)])
    assert [each["ratios"]["torch"] for each in worst(entries, "torch")] == [0.5, 1, 4]


def test_the_picture_has_a_cell_for_each_entry():
    entries = [made(Case(1, 8, 16, 16), operation, 1, 4) for operation in ("forward", "input gradient")]
    drawn = picture(entries, "torch")
    assert drawn.count("(4.00x)") == len(entries)
    assert "3x3, 1x8x8, 16-16" in drawn
