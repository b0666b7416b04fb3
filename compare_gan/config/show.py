"""An explanation as text for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from compare_gan.config.costs import Costs, Part
from compare_gan.config.explain import Explanation, Group
from compare_gan.core.words import counted

WIDTH = 100
NBSP = "\N{NO-BREAK SPACE}"  # `textwrap` does not break a line here


def text(explanation: Explanation) -> str:
    """Bindings by reader, then networks, memory and arithmetic, then what is wrong with it all."""
    lines: list[str] = []
    for group in explanation.groups:
        lines += [*group_lines(group), ""]
    if explanation.costs is not None:
        lines += [*cost_lines(explanation), ""]
    for kind, found in (("error", explanation.errors), ("warning", explanation.warnings)):
        for message in found:
            lines += wrapped(message, f"{kind + ':':<9}")
    errors, warnings = len(explanation.errors), len(explanation.warnings)
    return "\n".join([*lines, f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"])


def group_lines(group: Group) -> Iterator[str]:
    lead = f"{group.name + '  ':<28}"
    yield lead + textwrap.shorten(group.about, WIDTH - len(lead), placeholder=" ...")
    for line in group.lines:
        if line.place:
            left = f"    {line.parameter} = {line.value}"
            yield f"{left}{line.place:>{max(WIDTH - len(left), len(line.place) + 2)}}"
    defaults = [f"{line.parameter} = {line.value}" for line in group.lines if not line.place]
    if defaults:
        yield from wrapped(", ".join(text.replace(" ", NBSP) for text in defaults), "    default: ")


def cost_lines(explanation: Explanation) -> Iterator[str]:
    parsed, gan, costs = explanation.parsed, explanation.gan, explanation.costs
    assert parsed is not None and gan is not None and costs is not None
    h, w, c = gan.spec.image_shape
    classes = f"{gan.spec.num_classes:,} classes" if gan.spec.num_classes else "no labels"
    yield f"{parsed.dataset.name}: {h}x{w}x{c}, {classes}"
    yield ""
    yield row("parameters", "trained", "kept beside")
    for name, network in (("generator", costs.generator), ("discriminator", costs.discriminator)):
        yield row(name, total(network, "trained"), total(network, "kept"))
        for part in network:
            yield row(f"  {part.name}", part.trained, part.kept)
    yield ""
    yield from memory_lines(costs)
    yield ""
    steps, batches = parsed.options.training_steps, gan.sub_batches * gan.batch_size
    yield row("arithmetic", "FLOP", "real images")
    yield row("a step", amount(costs.flops), batches)
    yield row("training", amount(costs.flops * steps), batches * steps)
    updates = f"{counted(gan.disc_iters, 'discriminator update')} and 1 generator update"
    yield f"  {counted(steps, 'step')} of {updates}, each on {counted(gan.batch_size, 'image')}"


def memory_lines(costs: Costs) -> Iterator[str]:
    state = costs.parameters + costs.statistics + costs.optimisers + costs.average
    yield row("memory", "bytes")
    yield row("state", amount(state))
    for name in ("parameters", "statistics", "optimisers", "average"):
        if getattr(costs, name):
            yield row(f"  {name}", amount(getattr(costs, name)))
    yield row("images of a step", amount(costs.images))
    temporaries = "see --compile" if costs.temporaries is None else amount(costs.temporaries)
    yield row("temporaries of a step", temporaries)


def total(parts: Sequence[Part], field: str) -> int:
    return sum(getattr(part, field) for part in parts)


def row(name: str, *cells: int | str) -> str:
    return f"{name:<28}" + "".join(
        f"{cell:>16,}" if isinstance(cell, int) else f"{cell:>16}" for cell in cells
    )


def amount(value: float) -> str:
    """Three digits and a prefix: 29.3 M."""
    for prefix in (" ", "k", "M", "G", "T", "P"):
        if value < 999.5:
            return f"{value:.3g} {prefix}"
        value /= 1000
    return f"{value:.3g} E"


def wrapped(message: str, lead: str) -> list[str]:
    lines = textwrap.wrap(message, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
    return [line.replace(NBSP, " ") for line in lines]
