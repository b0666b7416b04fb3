"""Tables and a figure from the results of `benchmarks.scarce`.

  python -m benchmarks.scarce_page runs/digits runs/photos --json scarce.json --figure scarce.svg

A table for each folder, in Markdown: mean and range over seeds of a distance after the last step; for
the Fréchet distance also the ratio to the plain GAN on the same images. GANs of before authenticity was
measured are missing in its table.
"""

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.models import PARTS
from benchmarks.scarce import PLAIN
from compare_gan.report.markup import Markup, tag

Result = Mapping[str, Any]  # what `benchmarks.scarce` writes for a GAN
NAMES = {
    "frechet": "Fréchet distance",
    "kernel": "kernel distance",
    "authentic": "authenticity",
    "authentic_held_out": "authenticity of held-out images",
}
DIGITS = {"kernel": 4}  # after the point; others have two
COLOURS = ("#555", "#3b6ea5", "#3a9a8c", "#c0564a", "#b8862b", "#8a5a9e", "#d98cb3")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 250, 46, 14, 30, 36


def read_results(folder: Path) -> list[Result]:
    """The finished GANs of a folder."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/result.json"))]


def parts_of(results: Iterable[Result]) -> list[str]:
    """The parts in the order of `PARTS`, then combinations."""
    found = {each["part"] for each in results}
    known = [part for part in (PLAIN, *PARTS) if part in found]
    return [*known, *sorted(found - {*known})]


def select(results: Iterable[Result], part: str, share: float) -> list[Result]:
    """The seeds of a part and a share of the images."""
    return [each for each in results if each["part"] == part and each["share"] == share]


def shares(results: Iterable[Result]) -> list[float]:
    """From all images to the fewest."""
    return sorted({each["share"] for each in results}, reverse=True)


def final(result: Result, name: str = "frechet") -> float:
    """A distance after the last step."""
    return result["scores"][-1][name]


def table(results: Sequence[Result], name: str) -> str:
    """The distances of parts (rows) on shares of the images (columns), in Markdown."""
    columns = shares(results)
    counts = {share: next(each["images"] for each in results if each["share"] == share) for share in columns}
    head = ["", *(f"{share:.0%}: {counts[share]:,} images" for share in columns)]
    rows = [head, ["---"] * len(head)]
    for part in parts_of(results):
        rows.append([part, *(cell(results, part, share, name) for share in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(results: Sequence[Result], part: str, share: float, name: str) -> str:
    """Mean, range and ratio to the plain GAN, over the seeds that both have."""
    ours = {each["seed"]: final(each, name) for each in select(results, part, share)}
    if not ours:
        return ""
    values, digits = list(ours.values()), DIGITS.get(name, 2)
    text = f"{statistics.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f}–{max(values):.{digits}f})"
    plain = {each["seed"]: final(each, name) for each in select(results, PLAIN, share)}
    both = [seed for seed in ours if seed in plain]
    if part == PLAIN or not both or name != "frechet":  # the kernel distance may be 0 or negative
        return text
    ratio = sum(ours[seed] for seed in both) / sum(plain[seed] for seed in both)
    return f"{text}, **{ratio:.2f}x**"


Line = tuple[str, list[tuple[float, float]], list[tuple[float, float, float]]]  # part, means, ranges


def against_share(results: Sequence[Result]) -> list[Line]:
    """Mean final distances against the number of images, with ranges over seeds."""
    lines = []
    for part in parts_of(results):
        means, ranges = [], []
        for share in shares(results):
            if found := select(results, part, share):
                x, values = found[0]["images"], [final(each) for each in found]
                means.append((x, statistics.mean(values)))
                ranges.append((x, min(values), max(values)))
        lines.append((part, means, ranges))
    return lines


def against_steps(results: Sequence[Result], share: float) -> list[Line]:
    """Mean distances during training."""
    lines: list[Line] = []
    for part in parts_of(results):
        found = select(results, part, share)
        scores = zip(*(each["scores"] for each in found), strict=True)
        means = [(s[0]["step"], statistics.mean(x["frechet"] for x in s)) for s in scores]
        lines.append((part, means, []))
    return lines


def panel(
    lines: Sequence[Line], title: str, x_name: str, ticks: Sequence[float], colours: Mapping[str, str]
) -> Markup:
    """A chart with logarithmic axes."""
    points = [point for _, means, _ in lines for point in means]
    ys = [y for _, y in points] + [y for _, _, ranges in lines for _, *ends in ranges for y in ends]
    low, high = math.log(min(ys) * 0.95), math.log(max(ys) * 1.05)
    first, last = (math.log(end(x for x, _ in points)) for end in (min, max))

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log(x) - first) / (last - first) if last > first else 0.5
        up = (math.log(y) - low) / (high - low)
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
        )

    parts = [tag("text", title, x=LEFT, y=16, font_size=13)]
    for y in round_numbers(math.exp(low), math.exp(high)):
        _, height = at(points[0][0], y)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=height, y2=height, stroke="#ddd"))
        parts.append(tag("text", f"{y:g}", x=LEFT - 6, y=height + 4, text_anchor="end", font_size=11))
    for x in ticks:
        across, _ = at(x, ys[0])
        end = "end" if x == max(ticks) > min(ticks) else "middle"
        parts.append(tag("text", f"{x:,}", x=across, y=HEIGHT - 18, text_anchor=end, font_size=11))
    parts.append(tag("text", x_name, x=WIDTH - RIGHT, y=HEIGHT - 3, text_anchor="end", font_size=11))
    for part, means, ranges in lines:
        colour = colours[part]
        for x, *ends in ranges:
            (x1, y1), (x2, y2) = (at(x, y) for y in ends)
            parts.append(tag("line", x1=x1, x2=x2, y1=y1, y2=y2, stroke=colour, stroke_opacity=0.5))
        path = " ".join(f"{x},{y}" for x, y in (at(*point) for point in means))
        parts.append(tag("polyline", points=path, fill="none", stroke=colour, stroke_width=2))
        for across, height in (at(*point) for point in means):
            parts.append(tag("circle", cx=across, cy=height, r=3, fill=colour))
    return tag("g", *parts)


def round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten in a range."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [y for power in powers for y in (10.0**power * m for m in (1, 2, 5)) if low <= y <= high]


def figure(studies: Mapping[str, Sequence[Result]]) -> Markup:
    """An SVG document: a row for each study, distances against images and against steps."""
    every = [each for results in studies.values() for each in results]
    rows, colours = list[Markup](), dict(zip(parts_of(every), COLOURS, strict=False))
    for i, (name, results) in enumerate(studies.items()):
        few = 0.1 if 0.1 in shares(results) else shares(results)[-1]
        steps = against_steps(results, few)
        last = max(x for _, means, _ in steps for x, _ in means)
        images = sorted({each["images"] for each in results})
        left = panel(against_share(results), f"{name}: Fréchet distance", "training images", images, colours)
        right = panel(
            steps, f"{name}, {few:.0%} of the images", "steps", [last // 4, last // 2, last], colours
        )
        rows.append(tag("g", left, transform=f"translate(0 {HEIGHT * i})"))
        rows.append(tag("g", right, transform=f"translate({WIDTH} {HEIGHT * i})"))
    height = HEIGHT * len(studies)
    for i, (part, colour) in enumerate(colours.items()):
        x = LEFT + (2 * WIDTH - LEFT - 130) // max(1, len(colours) - 1) * i
        rows.append(
            tag("line", x1=x, x2=x + 18, y1=height + 14, y2=height + 14, stroke=colour, stroke_width=2)
        )
        rows.append(tag("text", part, x=x + 24, y=height + 18, font_size=12))
    return tag(
        "svg",
        tag("rect", width=2 * WIDTH, height=height + 28, fill="#fff"),
        *rows,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {2 * WIDTH} {height + 28}",
        font_family="sans-serif",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of benchmarks.scarce")
    parser.add_argument("--json", type=Path, help="where to write all results")
    parser.add_argument("--figure", type=Path, help="where to write the figure (.svg)")
    arguments = parser.parse_args()
    studies = {folder.name: read_results(folder) for folder in arguments.folders}
    for name, results in studies.items():
        for metric, title in NAMES.items():
            measured = [each for each in results if metric in each["scores"][-1]]
            if measured:
                print(f"\n{name}: {title}, {len(measured)} GANs\n\n{table(measured, metric)}")
    if arguments.json:
        lines = {name: [json.dumps(each) for each in results] for name, results in studies.items()}
        body = ",\n".join(f'"{name}": [\n' + ",\n".join(each) + "\n]" for name, each in lines.items())
        arguments.json.write_text("{" + body + "}\n")  # a line for each GAN
    if arguments.figure:
        arguments.figure.write_text(figure(studies))


if __name__ == "__main__":
    main()
