"""What the scores of a study show, and what they do not, in sentences.

The sentences claim a difference only where its 95% interval lies on one side of zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compare_gan.core.label_methods import LABEL_METHODS, Method
from compare_gan.core.statistics import decimals
from compare_gan.core.words import listed

BASELINES = ("all_labels", "no_labels")  # whose scores others are compared with
LISTED = 10  # class names
SATURATED = 0.01  # class agreement as near as this to that of real images is as good as theirs

Record = Mapping[str, Any]


def findings(summary: Record) -> list[str]:
    """The result in a few sentences: one item for each number of labels, or one for single runs.

    It is about the first of the methods that learn from few labels, S3GAN by default; without any, about the
    first that is not itself a baseline.
    """
    lines = scored(summary["lines"])
    few = [line for line in lines if LABEL_METHODS[line["method"]].from_few]
    candidates = few or [line for line in lines if line["method"] not in BASELINES] or lines
    ours = [line for line in candidates if line["method"] == candidates[0]["method"]]
    others = [line for line in lines if line["method"] in BASELINES and line not in ours]
    if not ours:
        return []
    scores = [line["scores"]["frechet_distance"] for line in [*ours, *others]]
    places = decimals([score["mean"] for score in scores])
    if all(len(score["values"]) == 1 for score in scores):
        told = [f"{name(x)} {s['mean']:.{places}f}" for x, s in zip([*ours, *others], scores, strict=True)]
        return [f"Fréchet distance: {', '.join(told)}. One run shows nothing about small differences."]
    return [finding(line, others, places) for line in ours]


def finding(line: Record, others: Sequence[Record], places: int) -> str:
    """The score of a method and how it differs from others."""
    told = [f"{name(line)}: Fréchet distance {number(line['scores']['frechet_distance'], places)}."]
    told += [contrast(line["differences"][other["method"]], title(other), places) for other in others]
    return " ".join(told)


def number(score: Record, places: int) -> str:
    """A mean with its interval and the number of runs."""
    runs = f"{len(score['values'])} run{'s' * (len(score['values']) > 1)}"
    if score["interval"] is None:
        return f"{score['mean']:.{places}f} ({runs})"
    return f"{score['mean']:.{places}f} ({interval(score['interval'], places)}, {runs})"


def interval(bounds: Sequence[float], places: int) -> str:
    return f"95% interval {bounds[0]:.{places}f} to {bounds[1]:.{places}f}"


def contrast(difference: Record, other: str, places: int) -> str:
    """A sentence about a difference of distances, this method's minus the other's."""
    size, bounds = difference["difference"], difference["interval"]
    if bounds is None:
        return f"Its difference from {other} is {size:+.{places}f}; the runs give no interval."
    told = f"{size:+.{places}f}, {interval(bounds, places)}"
    if bounds[0] <= 0 <= bounds[1]:
        return f"No difference from {other} is shown ({told})."
    way = "lower" if size < 0 else "higher"
    return f"On these held-out images it is {way} than with {other} ({told})."


def name(line: Record) -> str:
    """`"S3GAN with 135 labels"`; `"S2GAN"` where the number of labels is not known or does not matter."""
    few = LABEL_METHODS[line["method"]].from_few and line["labels"]
    return LABEL_METHODS[line["method"]].title + (f" with {line['labels']:,} labels" if few else "")


def title(line: Record) -> str:
    """The title of a method within a sentence."""
    words = LABEL_METHODS[line["method"]].title
    return words[0].lower() + words[1:] if line["method"] in BASELINES else words


def notes(summary: Record) -> list[str]:
    """What to know before the scores are believed, one sentence or two a note."""
    lines = scored(summary["lines"])
    if not lines:
        return failed(summary["lines"])
    found = [noise(lines), label_sets(lines), never_inferred(summary), class_shares(lines)]
    found += [floor(summary), saturation(lines, summary)]
    extractor = summary["extractor"]
    if extractor.get("infers_labels"):
        found.append(
            f"Scores are measured with the encoder that also infers labels (seed {extractor['seed']}); "
            "give --extractor for an independent measure."
        )
    return [note for note in found if note] + failed(summary["lines"])


def noise(lines: Sequence[Record]) -> str:
    if max(len(line["scores"]["frechet_distance"]["values"]) for line in lines) == 1:
        return (
            "Each score comes from one run. Another seed moves it, so small differences show nothing; "
            "intervals need several seeds."
        )
    return (
        "Scores are means over runs with 95% t intervals. The intervals cover the noise of training, not the "
        "choice of held-out images, and are not corrected for the number of comparisons. An interval that "
        "contains 0 does not show that two methods are equal."
    )


def label_sets(lines: Sequence[Record]) -> str:
    """What seeds vary beside the random numbers of a GAN."""
    several = [line for line in lines if LABEL_METHODS[line["method"]].from_few and line["seeds"] > 1]
    counts = {line["label_sets"] for line in several if line["label_sets"]}
    if not counts:
        return ""
    if counts == {1}:
        return "All seeds have the same label set, so the intervals do not cover which images are labelled."
    if all(line["label_sets"] == line["seeds"] for line in several):
        return "A seed decides both the label set and the GAN's random numbers."
    return f"There are {listed([str(n) for n in sorted(counts)])} label sets, fewer than seeds."


def never_inferred(summary: Record) -> str:
    """Which classes conditional GANs draw without having seen an image of them."""
    sets = [each for each in summary["labels"] if each.get("never_inferred")]
    if not sets:
        return ""
    names = list(dict.fromkeys(name for each in sets for name in each["never_inferred"]))
    some = listed(names[:LISTED]) if len(names) <= LISTED else f"{', '.join(names[:LISTED])}, ..."
    where = f" in {len(sets)} of {len(summary['labels'])} sets of labels" if summary["labels"][1:] else ""
    return (
        f"No image is inferred to be of {some}{where}. GANs that learn from these labels draw such classes "
        "without having been trained on them, which makes their scores worse."
    )


def class_shares(lines: Sequence[Record]) -> str:
    """Which gap is partly due to how often each class is drawn, not to how it looks."""
    methods = [LABEL_METHODS[line["method"]] for line in lines]
    without = titles(method for method in methods if method.labels == "none")
    if not without or all(method.labels == "none" for method in methods):
        return ""
    return (
        f"Methods without labels ({listed(without)}) are scored with the class shares that their "
        "generators happen to produce, conditional ones with equal shares. Part of the gap between them "
        "comes from that."
    )


def floor(summary: Record) -> str:
    if not summary["data"]["held_out"]:
        return (
            "No images are held out. Scores compare with the images that GANs are trained on, so a generator "
            "that copies them scores best."
        )
    real = (summary.get("real") or {}).get("frechet_distance")
    if real is None:
        return ""
    return (
        f"Real training images have a Fréchet distance of {real:.{decimals([real])}f} to the held-out ones; "
        "a perfect generator would have about the same."
    )


def saturation(lines: Sequence[Record], summary: Record) -> str:
    """Which methods agree with their classes as well as real images do."""
    real = (summary.get("real") or {}).get("class_agreement")
    if real is None:
        return ""
    agreements = [(line, (line["scores"]["class_agreement"] or {}).get("mean")) for line in lines]
    high = titles(
        LABEL_METHODS[x["method"]] for x, a in agreements if a is not None and a >= real - SATURATED
    )
    if not high:
        return f"The extractor puts {real:.1%} of the real test images in their class."
    return (
        f"The extractor puts {real:.1%} of the real test images in their class. {listed(high)} "
        f"{'reaches' if len(high) == 1 else 'reach'} that within a point: the score is saturated there "
        "and does not rank methods."
    )


def failed(lines: Sequence[Record]) -> list[str]:
    return [
        f"{name(line)}: {line['not_finite']} of {line['seeds']} runs made images that are not finite; "
        "they are not in its scores."
        for line in lines
        if line["not_finite"]
    ]


def scored(lines: Sequence[Record]) -> list[Record]:
    """Those with a Fréchet distance."""
    return [line for line in lines if line["scores"]["frechet_distance"]]


def titles(methods: Iterable[Method]) -> list[str]:
    return list(dict.fromkeys(method.title for method in methods))
