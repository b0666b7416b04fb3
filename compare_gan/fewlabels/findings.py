"""Findings and caveats of a study, as sentences.

A sentence claims a difference only if the 95% interval of the ratio excludes 1, and that a method is as good
as all labels only if the whole interval lies below 1 + MARGIN.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compare_gan.core.label_methods import ALL_LABELS, LABELLED_ONLY, Method, method
from compare_gan.core.statistics import MARGIN, decimals
from compare_gan.core.words import listed
from compare_gan.fewlabels.lines import BASELINES

MAX_LISTED = 10  # class names in a note
COPYING = 0.1  # authenticity that is lower than that of held-out images by more than this is noted
SATURATED = 0.01  # a class agreement within this margin of that of real images is saturated

VERDICTS = {
    "as good": f"as good, within {MARGIN:.0%}",
    "worse": f"worse, by more than {MARGIN:.0%}",
    "open": f"not shown to be as good within {MARGIN:.0%}",
}

Record = Mapping[str, Any]


def findings(summary: Record) -> list[str]:
    """The main results: one paragraph per number of labels, or a single one if every method has one run.

    They describe the first method that learns from few labels (S3GAN by default); without one, the first
    method that is not a baseline.
    """
    lines = scored_lines(summary["lines"])
    few = [line for line in lines if is_ours(method(line["method"]))]
    candidates = few or [line for line in lines if line["method"] not in BASELINES] or lines
    ours = [line for line in candidates if line["method"] == candidates[0]["method"]]
    others = [line for line in lines if line["method"] in BASELINES and line not in ours]
    if not ours:
        return []
    scores = [line["scores"]["frechet_distance"] for line in [*ours, *others]]
    places = decimals([score["mean"] for score in scores])
    if all(len(score["values"]) == 1 for score in scores):
        means = [
            f"{line_name(line)} {score['mean']:.{places}f}"
            for line, score in zip([*ours, *others], scores, strict=True)
        ]
        return [
            f"Fréchet distance: {', '.join(means)}. Small differences between single runs are not meaningful."
        ]
    return [*(finding(line, places) for line in ours), *matching(ours)]


def is_ours(found: Method) -> bool:
    """Whether a method learns from few labels and is neither a control nor a baseline."""
    return found.from_few and not found.needs_every_label and found.base != LABELLED_ONLY


def finding(line: Record, places: int) -> str:
    """The score of a method and its ratios to the baselines."""
    sentences = [
        f"{line_name(line)}: Fréchet distance {format_mean(line['scores']['frechet_distance'], places)}."
    ]
    sentences += [
        ratio_sentence(line, other) for other in (*BASELINES, LABELLED_ONLY) if line["ratios"].get(other)
    ]
    return " ".join(sentences)


def format_mean(score: Record, places: int) -> str:
    """A mean with its interval and the number of runs."""
    runs = f"{len(score['values'])} run{'s' * (len(score['values']) > 1)}"
    if score["interval"] is None:
        return f"{score['mean']:.{places}f} ({runs})"
    return f"{score['mean']:.{places}f} ({format_interval(score['interval'], places)}, {runs})"


def format_interval(bounds: Sequence[float], places: int) -> str:
    """`"95% interval 0.3 to 0.5"`."""
    return f"95% interval {bounds[0]:.{places}f} to {bounds[1]:.{places}f}"


def ratio_sentence(line: Record, other: str) -> str:
    """A sentence about the ratio of this method's distance to that of `other`."""
    found = line["ratios"][other]
    size, bounds, title = found["ratio"], found["interval"], method(other).title
    title = title[0].lower() + title[1:]
    if bounds is None:
        return f"That is {size:.2f} times the distance of {title}; these runs give no interval."
    start = f"That is {size:.2f} times the distance of {title} ({format_interval(bounds, 2)})"
    if other == ALL_LABELS:
        return f"{start}: {VERDICTS[line['verdict']]}."
    if bounds[0] <= 1 <= bounds[1]:
        return f"{start}, not significantly different."
    return f"{start}."


def matching(ours: Sequence[Record]) -> list[str]:
    """With how many labels a method is as good as all labels; empty without two known numbers of labels.

    Args:
      ours: the lines of the method.
    """
    known = (line for line in ours if line.get("verdict") and line["labels"])
    judged = sorted(known, key=lambda line: line["labels"])
    if len(judged) < 2:
        return []
    title, good = method(judged[0]["method"]).title, list[Record]()
    for line in reversed(judged):
        if line["verdict"] != "as good":
            break
        good.append(line)
    if not good:
        most = f"even with {judged[-1]['labels']:,} labels"
        return [f"{title} is not shown to be as good as all labels, within {MARGIN:.0%}, {most}."]
    sentence = f"{title} is as good as all labels, within {MARGIN:.0%}, with {good[-1]['labels']:,} labels"
    if len(good) == len(judged):
        return [f"{sentence} or more, the smallest number tried."]
    below = judged[len(judged) - len(good) - 1]
    return [f"{sentence} or more; with {below['labels']:,} it is {VERDICTS[below['verdict']]}."]


def line_name(line: Record) -> str:
    """`"S3GAN with 135 labels"`; `"S2GAN"` if the number of labels is unknown or irrelevant."""
    few = method(line["method"]).from_few and line["labels"]
    return method(line["method"]).title + (f" with {line['labels']:,} labels" if few else "")


def notes(summary: Record) -> list[str]:
    """Caveats on the scores, one or two sentences each."""
    lines = scored_lines(summary["lines"])
    if not lines:
        return not_finite_notes(summary["lines"])
    caveats = [
        noise_note(lines),
        label_sets_note(lines),
        noise_matched_note(lines),
        missing_classes_note(summary),
        class_shares_note(lines),
        copies_note(lines),
    ]
    caveats += [real_images_note(summary), saturation_note(lines, summary)]
    extractor = summary["extractor"]
    if extractor.get("infers_labels"):
        caveats.append(
            f"Scores use the features of the encoder that also infers the labels (seed {extractor['seed']}); "
            "pass --extractor for an independent evaluation."
        )
    return [note for note in caveats if note] + not_finite_notes(summary["lines"])


def noise_note(lines: Sequence[Record]) -> str:
    if max(len(line["scores"]["frechet_distance"]["values"]) for line in lines) == 1:
        return (
            "Each score comes from one run. Scores vary between seeds, so small differences are not "
            "meaningful; intervals need several seeds."
        )
    return (
        "Scores are means with 95% t intervals, over label sets where labels are chosen, else over runs. "
        "They cover training noise and the choice of labels, not the choice of held-out images, and are not "
        "corrected for multiple comparisons. An interval of a ratio that contains 1 does not show that two "
        "methods are equal."
    )


def label_sets_note(lines: Sequence[Record]) -> str:
    """Whether seeds also vary the label set, besides the random numbers of the GAN."""
    several = [line for line in lines if method(line["method"]).from_few and line["seeds"] > 1]
    counts = {line["label_sets"] for line in several if line["label_sets"]}
    if not counts:
        return ""
    if counts == {1}:
        return (
            "All seeds have the same label set, so methods with few labels have no interval: that needs "
            "several label sets."
        )
    if all(line["label_sets"] == line["seeds"] for line in several):
        return "Each run has its own label set and its own random numbers."
    return (
        f"There are {listed([str(n) for n in sorted(counts)])} label sets, fewer than runs; runs on the same "
        "label set are averaged first, and intervals are over label sets."
    )


def noise_matched_note(lines: Sequence[Record]) -> str:
    """What the control is."""
    if not any(method(line["method"]).labels == "noisy" for line in lines):
        return ""
    return (
        "Noise-matched labels are the true labels of all images, with the errors of the labels that were "
        "inferred from the given number, but at random images of the same class."
    )


def missing_classes_note(summary: Record) -> str:
    """Classes that conditional GANs generate without having been trained on an image of them."""
    sets = [record for record in summary["labels"] if record.get("never_inferred")]
    if not sets:
        return ""
    names = list(dict.fromkeys(name for record in sets for name in record["never_inferred"]))
    names_text = (
        listed(names[:MAX_LISTED]) if len(names) <= MAX_LISTED else f"{', '.join(names[:MAX_LISTED])}, ..."
    )
    where = f" in {len(sets)} of {len(summary['labels'])} label sets" if summary["labels"][1:] else ""
    return (
        f"No image has the inferred label {names_text}{where}. GANs trained on these labels still generate "
        "such classes, untrained, which makes their scores worse."
    )


def class_shares_note(lines: Sequence[Record]) -> str:
    """Warns that gaps to methods without labels are partly due to class proportions, not image quality."""
    methods = [method(line["method"]) for line in lines]
    without = unique_titles(each for each in methods if each.labels == "none")
    if not without or all(each.labels == "none" for each in methods):
        return ""
    matched = [
        f"{line_name(line)} {score['mean']:.3g}"
        for line in lines
        if line["method"] == ALL_LABELS or method(line["method"]).labels == "none"
        if (score := line["scores"].get("class_matched_distance"))
    ]
    return (
        f"Methods without labels ({listed(without)}) are scored with the class proportions that their "
        "generators happen to produce, conditional ones with equal proportions. This explains part of the "
        "gap between them."
        + (f" Distances in matched class shares: {', '.join(matched)}." if matched else "")
    )


def copies_note(lines: Sequence[Record]) -> str:
    """Methods whose images are nearer to training images than held-out images are."""
    found = []
    for line in lines:
        own, real = (line["scores"].get(name) for name in ("authenticity", "authenticity_held_out"))
        if own and real and own["mean"] < real["mean"] - COPYING:
            found.append(f"{line_name(line)} {own['mean']:.0%} (held-out images {real['mean']:.0%})")
    if not found:
        return ""
    return (
        f"Authentic images: {', '.join(found)}. These GANs copy training images, or draw only typical ones; "
        "the pictures of nearest training images show which."
    )


def real_images_note(summary: Record) -> str:
    """The reference score: that of real images."""
    if not summary["data"]["held_out"]:
        return (
            "No images are held out. Scores compare with the training images, so a generator that copies "
            "them scores best."
        )
    real = (summary.get("real") or {}).get("frechet_distance")
    if real is None:
        return ""
    return (
        f"Real training images have a Fréchet distance of {real:.{decimals([real])}f} to the held-out ones; "
        "a perfect generator would have about the same distance."
    )


def saturation_note(lines: Sequence[Record], summary: Record) -> str:
    """Methods whose class agreement is as high as that of real images."""
    real = (summary.get("real") or {}).get("class_agreement")
    if real is None:
        return ""
    agreements = [(line, (line["scores"]["class_agreement"] or {}).get("mean")) for line in lines]
    high = unique_titles(
        method(x["method"]) for x, a in agreements if a is not None and a >= real - SATURATED
    )
    if not high:
        return f"The extractor classifies {real:.1%} of the real test images correctly."
    return (
        f"The extractor classifies {real:.1%} of the real test images correctly. {listed(high)} "
        f"{'is' if len(high) == 1 else 'are'} within one percentage point of that: class agreement is "
        "saturated and does not rank these methods."
    )


def not_finite_notes(lines: Sequence[Record]) -> list[str]:
    return [
        f"{line_name(line)}: {line['not_finite']} of {line['seeds']} runs generated NaN or Inf; "
        "its scores exclude them."
        for line in lines
        if line["not_finite"]
    ]


def scored_lines(lines: Sequence[Record]) -> list[Record]:
    """The lines that have a Fréchet distance."""
    return [line for line in lines if line["scores"]["frechet_distance"]]


def unique_titles(methods: Iterable[Method]) -> list[str]:
    return list(dict.fromkeys(each.title for each in methods))
