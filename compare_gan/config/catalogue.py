"""The list of packaged configurations as text for a terminal."""

from compare_gan.config.recipes import NO_SCORE, Configuration, configurations, methods, parts
from compare_gan.core.tables import Table, text, wrapped
from compare_gan.core.words import listed

COLUMNS = ("configuration", "images", "memory", "time", "score")
BASIS = (
    "memory: estimate for a training step in float32, over all devices. time: estimate for one GPU at "
    "4 TFLOP/s, about a V100 in float32; small networks do not reach it. score: as published by the source "
    "below, not measured with this library."
)


def listing() -> str:
    """What each configuration needs and the published score, then the sources, then the files of methods."""
    found = sorted(configurations().values(), key=lambda each: (each.side or 0, each.name))
    complete = [each for each in found if each.combine_with is None]
    sources = list(dict.fromkeys(each.score_from for each in complete if each.score_from is not None))
    lines: list[str | Table] = [Table([COLUMNS, *(row(each, sources) for each in complete)])]
    lines += ["", *wrapped(BASIS)]
    for number, source in enumerate(sources, 1):
        lines += wrapped(source, f"{f'[{number}]':<5}")
    lines += ["", "Some need more:", ""]
    for needs, names in further_needs().items():
        lines += wrapped(f"{listed(names)}: {needs}")
    lines += ["", "Networks and training, to be combined with a file of methods:", ""]
    halves = (row(each, sources)[:-1] for each in found if each not in complete)
    lines += [Table([COLUMNS[:-1], *halves])]
    lines += ["", "Methods, which say what labels are used:", ""]
    for name, title in methods().items():
        lines += wrapped(title, f"{name:<15}")
    lines += [
        "",
        "Parts, added to a method as in `s3gan+diffaugment` (`oversampled` only to co-training):",
        "",
    ]
    for name, title in parts().items():
        lines += wrapped(title, f"{name:<15}")
    lines += ["", "`compare-gan configs NAME` prints a file; `compare-gan explain NAME` says what it does."]
    return text(lines)


def further_needs() -> dict[str, list[str]]:
    """What some configurations need besides memory and time -> the names of those."""
    found: dict[str, list[str]] = {}
    for name, configuration in configurations().items():
        if configuration.needs is not None:
            found.setdefault(configuration.needs, []).append(name)
    return found


def row(configuration: Configuration, sources: list[str]) -> tuple[str, ...]:
    """The cells of a configuration under `COLUMNS`; the score with the number of its source."""
    score = "none" if configuration.score == NO_SCORE else configuration.score
    if configuration.score_from is not None:
        score += f" [{sources.index(configuration.score_from) + 1}]"
    return (configuration.name, configuration.images, configuration.memory, configuration.duration, score)
