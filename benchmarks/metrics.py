"""FID, KID, precision and recall, compared with torch-fidelity, prdc and SciPy's matrix square root.

    python -m benchmarks.metrics --json out.json

Features are synthetic, with a power-law spectrum. Times are measured in one process, with contenders in
turns. Memory is the growth of a separate process after its imports, as reported by Linux, for a quarter of
the images and for all; it gets the features in batches, as from an extractor. Libraries that are not
installed are left out. torch-fidelity's KID is the mean over 100 random subsets of 1000 and ours over all
blocks of at most 1024, so the values differ within their error; all others are equal.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.timing import interleaved
from compare_gan.metrics.frechet import frechet_distance
from compare_gan.metrics.kernel import kernel_distance
from compare_gan.metrics.prdc import manifolds
from compare_gan.metrics.summaries import Moments

BATCH = 1000
OURS = "compare_gan"
Batches = Iterator[np.ndarray]  # [BATCH, F] float32
Contender = Callable[[Batches, Batches], float]


def batches(seed: int, images: int, features: int) -> Batches:
    """Random features of `images` images, in batches."""
    scale = np.arange(1, features + 1) ** -0.6
    mirrors = np.random.default_rng(99).normal(size=(2, features))
    mirrors /= np.linalg.norm(mirrors, axis=1, keepdims=True)
    for start in range(0, images, BATCH):
        rng = np.random.default_rng((seed, start))
        x = rng.normal(0.02 * seed, 1, (min(BATCH, images - start), features)) * scale
        for mirror in mirrors:  # turns the axes, so that all features are correlated
            x -= 2 * np.outer(x @ mirror, mirror)
        yield x.astype(np.float32)


def concatenate(parts: Batches) -> np.ndarray:
    return np.concatenate(list(parts))


def our_fid(real: Batches, fake: Batches) -> float:
    sides = []
    for parts in (real, fake):
        total = Moments()
        for part in parts:
            total.add(part)
        sides += [total.mean, total.covariance]
    return frechet_distance(*sides)


def scipy_fid(real: Batches, fake: Batches) -> float:
    """As in most implementations, pytorch-fid's for one."""
    (mean1, cov1), (mean2, cov2) = (
        (x.mean(0), np.cov(x, rowvar=False)) for x in map(concatenate, (real, fake))
    )
    gap = mean1 - mean2
    root = scipy.linalg.sqrtm(cov1 @ cov2)
    return float(gap @ gap + np.trace(cov1) + np.trace(cov2) - 2 * np.trace(root).real)


def our_kid(real: Batches, fake: Batches) -> float:
    return kernel_distance(concatenate(real), concatenate(fake)).mean


def our_precision(real: Batches, fake: Batches) -> float:
    return manifolds(concatenate(real), concatenate(fake), radius_k=3).precision


def of_torch_fidelity() -> dict[str, dict[str, Contender]]:
    from tests.metrics.references import torch_fidelity

    library = torch_fidelity()
    import torch

    def fid(real: Batches, fake: Batches) -> float:
        statistics = [
            library.metric_fid.fid_features_to_statistics(torch.from_numpy(concatenate(x)))
            for x in (real, fake)
        ]
        return library.metric_fid.fid_statistics_to_metric(*statistics, verbose=False)[
            "frechet_inception_distance"
        ]

    def kid(real: Batches, fake: Batches) -> float:
        x, y = (torch.from_numpy(concatenate(parts)) for parts in (real, fake))
        size = min(1000, len(x))
        found = library.metric_kid.kid_features_to_metric(x, y, kid_subset_size=size, verbose=False)
        return found["kernel_inception_distance_mean"]

    def precision(real: Batches, fake: Batches) -> float:
        x, y = (torch.from_numpy(concatenate(parts)) for parts in (fake, real))
        return library.metric_prc.prc_features_to_metric(x, y, verbose=False)["precision"]

    return {name: {"torch-fidelity": f} for name, f in (("fid", fid), ("kid", kid), ("precision", precision))}


def of_prdc() -> dict[str, dict[str, Contender]]:
    import contextlib
    import io

    import prdc

    def precision(real: Batches, fake: Batches) -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            return float(prdc.compute_prdc(concatenate(real), concatenate(fake), nearest_k=3)["precision"])

    return {"precision": {"prdc": precision}}


LIBRARIES = {"torch-fidelity": of_torch_fidelity, "prdc": of_prdc}


def contenders(libraries: Collection[str] = tuple(LIBRARIES)) -> dict[str, dict[str, Contender]]:
    """By score and by library; of other libraries, these."""
    found: dict[str, dict[str, Contender]] = {
        "fid": {OURS: our_fid, "scipy": scipy_fid},
        "kid": {OURS: our_kid},
        "precision": {OURS: our_precision},
    }
    for library in libraries:
        try:
            for score, more in LIBRARIES[library]().items():
                found[score] |= more
        except ImportError as error:
            print(f"left out: {error.name or error} is not installed", file=sys.stderr)
    return found


def peak(score: str, library: str, images: int, features: int) -> dict[str, float]:
    """In this process: MiB that it grew by, since all was imported, and the score."""
    contender = contenders({library} & LIBRARIES.keys())[score][library]
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts from here
    value = contender(batches(0, images, features), batches(1, images, features))
    return {"mib": resident("VmHWM") - before, "value": value}


def resident(what: str) -> float:
    """Resident memory in MiB: current (VmRSS) or peak (VmHWM). `getrusage` would include the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def peak_of_child(*words: Any) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.metrics", "--peak", *map(str, words)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])  # earlier lines may be progress


def measure(images: int, features: int, rounds: int) -> dict[str, Any]:
    """By score and library: seconds, peak MiB, and both as ratios to ours."""
    report: dict[str, Any] = {"images": images, "features": features, "rounds": rounds}
    real, fake = (list(batches(seed, images, features)) for seed in (0, 1))
    for score, libraries in contenders().items():
        values: dict[str, float] = {}

        def call(name: str, contender: Contender, values: dict[str, float] = values) -> int:
            values[name] = contender(iter(real), iter(fake))
            return 1

        rates = interleaved(
            {name: lambda n=name, c=contender: call(n, c) for name, contender in libraries.items()}, rounds
        )
        rows = {}
        for name, rate in rates.items():
            fewer, all_of_them = (
                peak_of_child(score, name, count, features)["mib"] for count in (images // 4, images)
            )
            rows[name] = {
                "value": values[name],
                "seconds": 1 / rate.per_second,
                "cpu_seconds": 1 / rate.per_cpu_second,
                "peak_mib": all_of_them,
                "peak_mib_of_a_quarter": fewer,
            }
        for row in rows.values():
            for what in ("seconds", "cpu_seconds", "peak_mib"):
                row[f"{what}_to_ours"] = row[what] / max(rows[OURS][what], 1e-3)
        report[score] = rows
    return report


def show(report: dict[str, Any]) -> None:
    for score in ("fid", "kid", "precision"):
        print(f"{score}, {report['images']} x {report['features']}")
        for name, row in report[score].items():
            print(
                f"  {name:15}{row['value']:12.6g}{row['seconds']:9.2f} s ({row['seconds_to_ours']:5.2f} x)"
                f"{row['cpu_seconds']:9.2f} cpu s ({row['cpu_seconds_to_ours']:5.2f} x)"
                f"{row['peak_mib']:8.0f} MiB ({row['peak_mib_to_ours']:5.2f} x, "
                f"{row['peak_mib_of_a_quarter']:.0f} MiB of a quarter)"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="where to write the numbers")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        score, library, images, features = arguments.peak
        print(json.dumps(peak(score, library, int(images), int(features))))
        return
    report = measure(arguments.images, arguments.features, arguments.rounds)
    show(report)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
