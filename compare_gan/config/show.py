"""Formats an explanation as text for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from compare_gan.config.costs import Costs, ParameterCount
from compare_gan.config.explain import Explanation, Group
from compare_gan.core import tables
from compare_gan.core.tables import FIRST, NBSP, WIDTH, Cell, Table, wrapped
from compare_gan.core.words import amount, counted


def text(explanation: Explanation) -> str:
    """Bindings by reader, then networks, memory and FLOPs, then errors and warnings."""
    parts: list[str | Table] = []
    for group in explanation.groups:
        parts += [*group_lines(group), ""]
    if explanation.costs is not None:
        parts += [*cost_parts(explanation), ""]
    for kind, found in (("error", explanation.errors), ("warning", explanation.warnings)):
        for message in found:
            parts += wrapped(message, f"{kind + ':':<9}")
    errors, warnings = len(explanation.errors), len(explanation.warnings)
    return tables.text([*parts, f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"])


def group_lines(group: Group) -> Iterator[str]:
    lead = f"{group.name + '  ':<{FIRST}}"
    yield lead + textwrap.shorten(group.about, WIDTH - len(lead), placeholder=" ...")
    for line in group.lines:
        if line.place:
            left = f"    {line.parameter} = {line.value}"
            yield f"{left}{line.place:>{max(WIDTH - len(left), len(line.place) + 2)}}"
    defaults = [f"{line.parameter} = {line.value}" for line in group.lines if not line.place]
    if defaults:
        yield from wrapped(", ".join(text.replace(" ", NBSP) for text in defaults), "    default: ")


def cost_parts(explanation: Explanation) -> Iterator[str | Table]:
    parsed, gan, costs = explanation.parsed, explanation.gan, explanation.costs
    assert parsed is not None and gan is not None and costs is not None
    h, w, c = gan.spec.image_shape
    classes = f"{gan.spec.num_classes:,} classes" if gan.spec.num_classes else "no labels"
    yield f"{parsed.dataset.name or 'images'}: {h}x{w}x{c}, {classes}"
    yield ""
    rows: list[tuple[Cell, ...]] = [("parameters", "trained", "untrained")]
    for name, network in (("generator", costs.generator), ("discriminator", costs.discriminator)):
        rows.append((name, total(network, "trained"), total(network, "untrained")))
        rows += [(f"  {part.name}", part.trained, part.untrained) for part in network]
    yield Table(rows, fixed=True)
    yield ""
    yield memory_table(costs)
    yield ""
    steps, batches = parsed.options.training_steps, gan.sub_batches * gan.batch_size
    rows = [
        ("compute", "FLOP", "real images"),
        ("one step", amount(costs.flops), batches),
        ("training", amount(costs.flops * steps), batches * steps),
    ]
    yield Table(rows, fixed=True)
    updates = f"{counted(gan.disc_iters, 'discriminator update')} and 1 generator update"
    yield f"  {counted(steps, 'step')} of {updates}, each on {counted(gan.batch_size, 'image')}"


def memory_table(costs: Costs) -> Table:
    state = costs.parameters + costs.statistics + costs.optimisers + costs.average
    rows = [("memory", "bytes"), ("state", amount(state))]
    for name in ("parameters", "statistics", "optimisers", "average"):
        if getattr(costs, name):
            rows.append((f"  {name}", amount(getattr(costs, name))))
    rows.append(("images of a step", amount(costs.images)))
    temporaries = "see --compile" if costs.temporaries is None else amount(costs.temporaries)
    return Table([*rows, ("temporaries of a step", temporaries)], fixed=True)


def total(parts: Sequence[ParameterCount], field: str) -> int:
    return sum(getattr(part, field) for part in parts)
