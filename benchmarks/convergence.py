"""At how many images FID, KID, CMMD and MIND put sets of images in their known order.

    python -m benchmarks.convergence --json docs/convergence.json --figure docs/convergence.svg

Sets of Fashion-MNIST are made worse in steps: noise of growing strength, growing blur, and classes 0 to 4
growing more frequent than the others. A trial draws N images of each step and N undistorted others as
reference, and is right if a distance puts all steps in their order. Features are those of the packaged
classifier, which was trained on images that the package does not contain. Takes some minutes of one CPU core,
without network.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage

from compare_gan import __version__
from compare_gan.data import open_dataset
from compare_gan.features import open_extractor
from compare_gan.metrics.cmmd import gaussian_discrepancy
from compare_gan.metrics.frechet import distance_of_features
from compare_gan.metrics.kernel import kernel_distance
from compare_gan.metrics.mind import DIRECTIONS, random_directions, sliced_distance
from compare_gan.report.markup import tag

COUNTS = (50, 100, 200, 400, 800, 1600)
TRIALS = 24
NOISE = (0.0, 8.0, 11.0, 14.0, 17.0)  # standard deviations, of 255
BLUR = (0.0, 0.55, 0.6, 0.65, 0.7)  # standard deviations, in pixels
SHARES = (0.5, 0.55, 0.6, 0.65, 0.7)  # of classes 0 to 4 together; the reference has a half
KINDS = ("noise", "blur", "class shares")
DIRECTION_SEED = 0
Distance = Callable[[np.ndarray, np.ndarray], float]


def mind(real: np.ndarray, fake: np.ndarray) -> float:
    directions = random_directions(DIRECTIONS, real.shape[1], np.random.default_rng(DIRECTION_SEED))
    return sliced_distance(real, fake, directions)


DISTANCES: Mapping[str, Distance] = {
    "FID": distance_of_features,
    "KID": lambda real, fake: kernel_distance(real, fake).mean,
    "CMMD": gaussian_discrepancy,
    "MIND": mind,
}


def noisy(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(images + rng.normal(0, strength, images.shape)), 0, 255).astype(np.uint8)


def blurred(images: np.ndarray, width: float) -> np.ndarray:
    smooth = scipy.ndimage.gaussian_filter(images.astype(np.float32), (0, width, width, 0))
    return np.rint(smooth).astype(np.uint8)


def draw_shares(labels: np.ndarray, share: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices [count] without repetition in random order, of which a share is of classes 0 to 4."""
    first = rng.binomial(count, share)
    parts = (np.flatnonzero(labels < 5), first), (np.flatnonzero(labels >= 5), count - first)
    drawn = np.concatenate([rng.choice(part, size, replace=False) for part, size in parts])
    return rng.permutation(drawn)


def in_order(values: Sequence[float]) -> bool:
    return bool((np.diff(values) > 0).all())


def measure(pool: int, trials: int, counts: Sequence[int]) -> dict[str, Any]:
    """Fraction of trials with all steps in order, and seconds of a distance, by kind, distance and N."""
    data, extractor = open_dataset("fashion"), open_extractor("fashion")
    rng = np.random.default_rng(0)
    order = rng.permutation(len(data.train))
    ours, others = (data.train.images[rows] for rows in (order[:pool], order[pool : 2 * pool]))
    labels = data.train.labels[order[:pool]]

    def features(images: np.ndarray) -> np.ndarray:
        return np.asarray(extractor(images).features, np.float64)

    reference = features(others)
    steps = {
        "noise": [features(noisy(ours, strength, rng)) for strength in NOISE],
        "blur": [features(blurred(ours, width)) for width in BLUR],
    }
    everything = steps | {
        "class shares": [steps["noise"][0][draw_shares(labels, s, pool // 2, rng)] for s in SHARES]
    }
    whole = {
        kind: {
            name: [distance(reference[: len(x)], x) for x in everything[kind]]
            for name, distance in DISTANCES.items()
        }
        for kind in KINDS
    }
    right: dict[str, Any] = {kind: {name: {} for name in DISTANCES} for kind in KINDS}
    seconds: dict[str, dict[int, float]] = {name: {} for name in DISTANCES}
    for count in counts:
        found = {kind: {name: 0 for name in DISTANCES} for kind in KINDS}
        spent = dict.fromkeys(DISTANCES, 0.0)
        for _ in range(trials):
            real = reference[rng.choice(pool, count, replace=False)]
            sets = {
                kind: [x[rng.choice(pool, count, replace=False)] for x in steps[kind]] for kind in steps
            } | {"class shares": [steps["noise"][0][draw_shares(labels, s, count, rng)] for s in SHARES]}
            for name, distance in DISTANCES.items():
                start = time.process_time()
                for kind in KINDS:
                    found[kind][name] += in_order([distance(real, fake) for fake in sets[kind]])
                spent[name] += time.process_time() - start
        for name in DISTANCES:
            seconds[name][count] = spent[name] / (trials * len(KINDS) * len(NOISE))
            for kind in KINDS:
                right[kind][name][count] = found[kind][name] / trials
        print(count, json.dumps({kind: found[kind] for kind in KINDS}), flush=True)
    return {
        "compare_gan": __version__,
        "extractor": extractor.name,
        "features": reference.shape[1],
        "trials": trials,
        "steps": {"noise": NOISE, "blur": BLUR, "class shares": SHARES},
        "pool": pool,
        "distances_of_all": whole,
        "right": right,
        "cpu_seconds": seconds,
    }


PANEL, GAP, TOP, BOTTOM = 230, 40, 30, 60
COLOURS = ("#3b6ea5", "#c0564a", "#5a9367", "#8a6bb0")


def figure(result: Mapping[str, Any]) -> str:
    """An SVG document: the fraction of trials in order over N, a panel per kind."""
    parts = []
    counts = [int(count) for count in next(iter(result["right"][KINDS[0]].values()))]
    low, high = np.log(counts[0]), np.log(counts[-1])
    for i, kind in enumerate(KINDS):
        left = GAP + i * (PANEL + GAP)

        def at(count: float, value: float, left: int = left) -> tuple[float, float]:
            across = (np.log(count) - low) / (high - low)
            return round(left + across * PANEL, 1), round(TOP + (1 - value) * PANEL * 0.7, 1)

        parts.append(tag("text", kind, x=left, y=TOP - 12, font_size=14))
        for value in (0, 0.5, 1):
            y = at(counts[0], value)[1]
            parts.append(tag("line", x1=left, x2=left + PANEL, y1=y, y2=y, stroke="#ddd"))
            parts.append(tag("text", f"{value:g}", x=left - 6, y=y + 4, text_anchor="end", font_size=11))
        for count in counts:
            x, y = at(count, 0)
            parts.append(tag("text", str(count), x=x, y=y + 16, text_anchor="middle", font_size=11))
        for colour, (name, shares) in zip(COLOURS, result["right"][kind].items(), strict=True):
            points = " ".join(f"{x},{y}" for x, y in (at(int(n), share) for n, share in shares.items()))
            parts.append(
                tag("polyline", tag("title", name), points=points, fill="none", stroke=colour, stroke_width=2)
            )
    bottom = TOP + PANEL * 0.7 + 40
    for i, (name, colour) in enumerate(zip(DISTANCES, COLOURS, strict=True)):
        parts.append(
            tag("text", name, x=GAP + 70 * i, y=bottom + 8, fill=colour, font_size=13, font_weight="bold")
        )
    note = "fraction of trials with all steps in order, over the number of images of each set"
    parts.append(tag("text", note, x=GAP + 70 * len(COLOURS), y=bottom + 8, font_size=12))
    width, height = GAP + len(KINDS) * (PANEL + GAP), bottom + 20
    return tag(
        "svg",
        tag("rect", width=width, height=height, fill="#fff"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height:g}",
        font_family="sans-serif",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--pool", type=int, default=4000, help="images to draw from, on each side")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    arguments = parser.parse_args()
    result = measure(arguments.pool, arguments.trials, arguments.counts)
    arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.figure:
        arguments.figure.write_text(figure(json.loads(arguments.json.read_text())) + "\n")


if __name__ == "__main__":
    main()
