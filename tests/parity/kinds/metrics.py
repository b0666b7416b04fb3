"""Scores of stored features, logits, histograms, images and points."""

import ast
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from compare_gan.metrics import ms_ssim
from compare_gan.metrics.fractal_dimension import fractal_dimension
from compare_gan.metrics.frechet import frechet_distance, moments
from compare_gan.metrics.inception_score import inception_score
from compare_gan.metrics.jacobian import jacobians, metric_tensors, spectrum
from compare_gan.metrics.kernel import kernel_distance, mean_over_pairs, polynomial_kernel
from compare_gan.metrics.ms_ssim import gaussian
from compare_gan.metrics.prd import Curve, best_f_betas, curve, f_beta, histograms

from .. import rules, tensorflow
from ..reference import Case, Deviation, deviation
from ..runner import handles

EXACT = 1e-12
CLUSTERINGS = 30  # of ours, to know how much they differ
SIGMAS = 5


def compared(case: Case, key: str, ours: Any, relative: float, absolute: float = 0.0) -> Deviation:
    return deviation(key, case.arrays[key], ours, relative, absolute)


def arguments(case: Case) -> dict[str, Any]:
    """What compare_gan's function was called with, as text or not; the type of numbers is ours to choose."""
    options = {name: value for name, value in case.meta.get("arguments", {}).items() if name != "dtype"}
    return {k: ast.literal_eval(value) if isinstance(value, str) else value for k, value in options.items()}


@handles("fid")
def fid(case: Case) -> Iterable[Deviation]:
    """Distances as small as the rounding of the traces are indistinguishable from zero."""
    real, fake = (rules.features(case.meta[side]) for side in ("real", "fake"))
    for side, x in (("real", real), ("fake", fake)):
        if f"checksum_{side}" in case.meta:
            ours = [x.sum(dtype=np.float64), x[0, 0], x[-1, -1]]
            yield deviation(f"checksum_{side}", case.meta[f"checksum_{side}"], ours, 1e-6)
    (m1, c1), (m2, c2) = moments(real), moments(fake)
    v1, v2 = (np.diag(x.astype(np.float64).var(0)) for x in (real, fake))
    nothing = np.zeros_like(v1)
    rounding = EXACT * (np.trace(c1) + np.trace(c2))
    yield compared(case, "fid", frechet_distance(m1, c1, m2, c2), 1e-4, rounding)
    yield compared(case, "mean_only_fid", frechet_distance(m1, nothing, m2, nothing), 1e-4, rounding)
    yield compared(case, "diagonal_only_fid", frechet_distance(m1, v1, m2, v2), 1e-4, rounding)


@handles("kid")
def kid(case: Case) -> Iterable[Deviation]:
    """With unequal numbers of samples compare_gan's block sizes and divisor are wrong: see `faulty_kid`."""
    real, fake = (rules.features(case.meta[side]) for side in ("real", "fake"))
    options = arguments(case)
    size, with_error = options.pop("max_batch_size", 1024), options.pop("return_stderr", False)
    if options:
        raise ValueError(f"unknown arguments: {', '.join(options)}")
    if len(real) == len(fake):
        mean, error = kernel_distance(real, fake, size)
    else:
        mean, error = faulty_kid(real, fake, size)
    ours = [mean, np.nan if error is None else error] if with_error else mean
    reference = case.arrays["kid"]
    unknown = np.isnan(reference)
    yield deviation("kid, where unknown", unknown, np.isnan(ours), 0)
    # In float32 there: the distance is what is left of mean kernels of this size.
    rounding = 1e-6 * mean_over_pairs(real.astype(np.float64))
    yield deviation("kid", np.where(unknown, 0, reference), np.where(unknown, 0, ours), 1e-5, rounding)


@handles("inception_score")
def inception(case: Case) -> Iterable[Deviation]:
    logits = rules.evaluated(case.meta["logits"], case.meta)
    yield compared(case, "inception_score", inception_score(logits), 1e-5)


@handles("ms_ssim")
def similarity(case: Case) -> Iterable[Deviation]:
    """In TensorFlow's arithmetic, whose rounding alone moves the values by up to 4e-5.

    In double precision compare_gan's function agrees with ours to 1e-11: `tests/metrics/test_ms_ssim.py`.
    """
    x, y = rules.pictures(case.meta)
    weights = gaussian(len(case.arrays["gaussian_window"]))
    yield compared(case, "gaussian_window", np.outer(weights, weights)[:, :, None, None], 1e-5)
    with tensorflow.single_precision_similarity():
        first, contrast_structure = ms_ssim.ssim(ms_ssim.scales(x, 1)[0], ms_ssim.scales(y, 1)[0])
        yield compared(case, "ssim_first_scale_per_channel", first, 1e-5)
        yield compared(case, "contrast_structure_first_scale_per_channel", contrast_structure, 1e-5)
        unweighted = ms_ssim.ms_ssim(x, y, (1,) * len(ms_ssim.WEIGHTS))
        yield compared(case, "ms_ssim_pairs", ms_ssim.ms_ssim(x, y), 1e-5)
        yield compared(case, "ms_ssim_unweighted_pairs", unweighted, 1e-5)
        yield compared(case, "mean_score_all_pairs_of_X", ms_ssim.mean_ms_ssim(x), 1e-5)


@handles("prd_from_histogram")
def prd_from_histogram(case: Case) -> Iterable[Deviation]:
    """The histograms are inputs; all that can be said of them is that they sum to one."""
    fake, real = case.arrays["eval_dist"], case.arrays["ref_dist"]
    yield deviation("eval_dist, sum", 1, fake.sum(), EXACT)
    yield deviation("ref_dist, sum", 1, real.sum(), EXACT)
    points = curve(fake, real, case.meta["num_angles"], case.meta["epsilon"])
    yield from curve_and_scores(case, points)
    yield compared(case, "fbeta_curve_beta1", f_beta(points, 1), 0, EXACT)
    yield compared(case, "f1_pair", best_f_betas(points, 1), 0, EXACT)
    statistics = [[x.mean(), x.std(), x.min(), x.max()] for x in points]
    yield deviation("min_max", case.meta["min_max"], statistics, 0, EXACT)


@handles("prd_from_embedding")
def prd_from_embedding(case: Case) -> Iterable[Deviation]:
    """From the recorded histograms on it is exact.

    Clusterings are random. What is compared of them does not hang on the order of the clusters: the
    sizes of a histogram's bins from the greatest to the least, and the two F scores, each in the mean
    over runs. Allowed are `SIGMAS` standard errors of the difference of compare_gan's mean and ours.
    """
    theirs = list(zip(case.arrays["eval_histograms"], case.arrays["ref_histograms"], strict=True))
    yield from curve_and_scores(case, mean_curve(theirs))
    fake, real = (rules.features(case.meta[side]) for side in ("eval", "ref"))
    runs = [histograms(fake, real, case.meta["num_clusters"], seed) for seed in range(CLUSTERINGS)]
    for key, side in (("eval_histograms", 0), ("ref_histograms", 1)):
        yield from compare_means(
            key, *([np.sort(run[side])[::-1] for run in some] for some in (theirs, runs))
        )
    yield from compare_means(
        "f8_and_f_one_eighth of clusterings",
        *([best_f_betas(mean_curve([run])) for run in some] for some in (theirs, runs)),
    )


def curve_and_scores(case: Case, points: Curve) -> Iterator[Deviation]:
    yield compared(case, "precision", points.precision, 0, EXACT)
    yield compared(case, "recall", points.recall, 0, EXACT)
    yield compared(case, "f8_and_f_one_eighth", best_f_betas(points), 0, EXACT)


def mean_curve(runs: list[tuple[np.ndarray, np.ndarray]]) -> Curve:
    return Curve(*np.mean([curve(*run) for run in runs], axis=0))


def compare_means(what: str, theirs: list, ours: list) -> Iterator[Deviation]:
    """One deviation for each number of which the lists hold samples."""
    errors = SIGMAS * np.std(ours, axis=0) * math.sqrt(1 / len(ours) + 1 / len(theirs))
    for reference, value, allowed in zip(np.mean(theirs, 0), np.mean(ours, 0), errors, strict=True):
        yield deviation(what, reference, value, 0, allowed)


@handles("fractal_dimension")
def dimension(case: Case) -> Iterable[Deviation]:
    points, options = rules.evaluated(case.meta["points"], case.meta), arguments(case)
    count = options.pop("num_fd_seeds", 100)
    centers = np.random.RandomState(case.meta["numpy_global_seed"]).randint(len(points), size=count)
    yield compared(case, "center_indices", centers, 0)
    ours = fractal_dimension(
        points, centers, **{{"n_bins": "bins", "scale": "scale"}[k]: v for k, v in options.items()}
    )
    yield compared(case, "fractal_dimension", ours, 1e-9)


@handles("jacobian_conditioning")
def conditioning(case: Case) -> Iterable[Deviation]:
    inputs = {key: value for key, value in case.arrays.items() if key[0] == "W"}
    found = jacobians(rules.function(case.meta["function"], inputs), case.arrays["z"])
    yield compared(case, "jacobian", found, 2e-6)
    tensors = metric_tensors(found)
    spectra = {
        "metric_tensor": spectrum(tensors),
        "mean_metric_tensor": spectrum(tensors.mean(0, keepdims=True)),
    }
    for name, ours in spectra.items():
        yield compared(case, f"{name}/eigenvalues_sorted_real", ours.eigenvalues, 1e-5)
        yield compared(case, f"{name}/logdet", ours.log_determinant, 1e-3)
        yield compared(case, f"{name}/log_condition_number", ours.log_condition_number, 1e-3)
    logs = spectra["metric_tensor"].log_condition_number
    task = case.meta["task_values"]
    yield deviation("log_condition_number_count", task["log_condition_number_count"], len(logs), 0)
    yield deviation("log_condition_number_mean", task["log_condition_number_mean"], logs.mean(), 1e-3)
    yield deviation("log_condition_number_std", task["log_condition_number_std"], logs.std(), 1e-3)


def faulty_kid(real: np.ndarray, fake: np.ndarray, size: int) -> tuple[float, float | None]:
    """compare_gan's number, from our parts.

    Two of its lines take the real samples for the generated ones: how many of the first blocks are one
    sample shorter, and by how many pairs the sum over pairs of generated samples is divided.
    """
    count = math.ceil(max(len(real), len(fake)) / size)
    each_real, each_fake = (math.ceil(len(x) / count) for x in (real, fake))
    of_real, of_fake = np.full(count, each_real), np.full(count, each_fake)
    of_real[: count * each_real - len(real)] -= 1
    of_fake[: count * each_real - len(fake)] -= 1
    estimates = []
    for i in range(count):
        x, y = (
            values[sizes[:i].sum() : sizes[: i + 1].sum()].astype(np.float64)
            for values, sizes in ((real, of_real), (fake, of_fake))
        )
        pairs_of_fake, pairs_of_real = len(y) * (len(y) - 1), len(x) * (len(x) - 1)
        within = mean_over_pairs(x) + mean_over_pairs(y) * pairs_of_fake / pairs_of_real
        estimates.append(within - 2 * polynomial_kernel(x, y).mean())
    return float(np.mean(estimates)), float(np.std(estimates) / math.sqrt(count)) if count >= 5 else None
