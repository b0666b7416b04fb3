"""Makes docs/components.md, every part that a configuration can name.

From the root of the repository: `python -m tests.docs.components > docs/components.md`.
"""

import importlib
import inspect
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import compare_gan.metrics
from compare_gan.config.explain import about
from compare_gan.config.parse import parse
from compare_gan.core.registry import (
    ARCHITECTURES,
    AUGMENTATIONS,
    EXPOSED,
    GAN_METHODS,
    LOSSES,
    METRICS,
    PENALTIES,
    REGULARIZERS,
    SCHEDULES,
    TASKS,
    Registry,
)
from compare_gan.core.types import ImageSpec
from compare_gan.gans.schedules import SCHEDULED
from compare_gan.nn.options import OPS, Weights
from compare_gan.tasks.information import InfoGANCodes
from tests.parity import build, runner
from tests.parity.kinds.gin import line as binding
from tests.parity.reference import CASES, Case, load

ROOT = Path(compare_gan.__file__).parents[1]
HEAD = """# Components

Every part that a configuration can name, the paper it comes from, and how many recorded cases of
compare_gan of each kind (see `tests/parity`) hold it to the original. A part without cases is not in
compare_gan, or is held to formulas by the tests of its folder. This page is made by
`python -m tests.docs.components > docs/components.md`.
"""
# The families of parts that the cases of a kind say something about.
SAYS = {
    "architecture": "architecture norm",
    "penalty": "architecture norm penalty",
    "create_loss": "architecture norm penalty loss method task",
    "training": "architecture norm penalty loss method task optimiser",
    "gin": "architecture norm penalty loss method task optimiser prior",
}
INITIALISERS = {
    "normal": "Gaussian of deviation `weights.stddev` | |",
    "truncated": "the same, without what lies further out than two deviations | |",
    "orthogonal": "orthogonal columns | [Saxe et al.](https://arxiv.org/abs/1312.6120) |",
}
OPTIMISERS = ["ModularGAN.g_optimizer_fn", "ModularGAN.d_optimizer_fn"]
SCHEDULE = [f"ModularGAN.{name}" for name in SCHEDULED]
AUGMENT = [f"ModularGAN.{name}" for name in ("augment", "augment_probability", "pseudo_augmentation")]
OPTAX_PAGES = "https://optax.readthedocs.io/en/stable/api"
SOURCE = r"((?:de )?[A-Z][\w'-]+(?: et al\.| and [A-Z][\w'-]+)?)(?: \d{4})?, (https?://[^\s,;]*[^\s,;.:)])"


class Part(NamedTuple):
    """One row. `target` is what carries the docstring; cases know the part by `key`."""

    name: str
    target: Any
    key: Any


def page() -> str:
    cases = Counter((key, case.meta["kind"]) for case in known_cases() for key in covered(case))
    tables = [
        ("Architectures", ["options.architecture"], architectures()),
        ("Normalisation", ["G.batch_norm_fn", "D.batch_norm_fn"], exposed(OPS, inspect.isfunction)),
        ("Losses", ["loss.fn"], registered(LOSSES)),
        (
            "Weights of generated images",
            ["ModularGAN.generator_weights"],
            exposed("compare_gan.losses.top_k"),
        ),
        ("Penalties", ["penalty.fn"], registered(PENALTIES)),
        ("Methods", ["options.gan_class"], registered(GAN_METHODS)),
        ("Auxiliary tasks", ["ModularGAN.tasks"], registered(TASKS)),
        ("Augmentation", AUGMENT, registered(AUGMENTATIONS)),
        ("Regularizers with a state", ["ModularGAN.regularizers"], registered(REGULARIZERS)),
        ("Optimisers", OPTIMISERS, exposed("tf.train", is_optimiser)),
        ("Optimisers of other papers", OPTIMISERS, exposed("compare_gan.gans.optimizers")),
        ("Optimisers of optax", OPTIMISERS, exposed("optax", is_optimiser)),
        ("Schedules", SCHEDULE, exposed("tf.train", is_schedule)),
        ("Schedules of other papers", SCHEDULE, exposed("compare_gan.gans.schedules", is_schedule)),
        ("Schedules of optax", SCHEDULE, exposed("optax", is_schedule)),
        ("Priors", ["z.distribution_fn", "eval_z.distribution_fn"], priors()),
        ("Metrics", [], metrics()),
    ]
    lines = [f'| `"{Weights(name).initializer}"` | {text}' for name, text in INITIALISERS.items()]
    last = [*heading("Initialisers", ["weights.initializer"]), *header("name", "what", "paper"), *lines, ""]
    return "\n".join([HEAD, *(row for table in tables for row in rows(*table, cases)), *last])


def architectures() -> Iterator[Part]:
    for name in ARCHITECTURES:
        generator, _ = ARCHITECTURES[name]
        yield Part(f'"{name}"', inspect.getmodule(generator), generator)


def registered(registry: Registry) -> Iterator[Part]:
    for name in registry:
        yield Part(f"@{name}", registry[name], registry[name])


def exposed(module: str, wanted: Callable[[Any], bool] = callable) -> Iterator[Part]:
    prefix = f"{module}." if module.startswith(("tf.", "optax")) else ""
    for item in sorted(EXPOSED.values(), key=lambda item: item.name):
        if item.module == module and wanted(item.target):
            yield Part(f"@{prefix}{item.name}", item.target, item.target)


def priors() -> Iterator[Part]:
    yield from exposed("tf.random")
    yield Part("@InfoGANCodes()", InfoGANCodes, InfoGANCodes)


def is_schedule(target: Any) -> bool:
    return any(SCHEDULES[name] is target for name in SCHEDULES)


def is_optimiser(target: Any) -> bool:
    return not is_schedule(target)


def metrics() -> Iterator[Part]:
    for info in pkgutil.iter_modules(compare_gan.metrics.__path__):
        module = importlib.import_module(f"{compare_gan.metrics.__name__}.{info.name}")
        found = [name for name in METRICS if METRICS[name].compute.__module__ == module.__name__]
        if found:
            yield Part(", ".join(found), module, module.__name__)


def rows(title: str, bound: list[str], parts: Iterable[Part], cases: Counter) -> Iterator[str]:
    yield from heading(title, bound)
    yield from header("name", "what", "paper", "file", "cases")
    for part in parts:
        counts = sorted((kind, count) for (key, kind), count in cases.items() if key == part.key)
        cells = (f"`{part.name}`", what(part.target), paper(part.target), where(part.target))
        yield f"| {' | '.join(cells)} | {', '.join(f'{kind} {count}' for kind, count in counts)} |"
    yield ""


def where(target: Any) -> str:
    """A link to its file, or to what its authors say of it."""
    if getattr(target, "__module__", "").startswith("optax."):
        page = "optimizer_schedules" if ".schedules." in target.__module__ else "optimizers"
        return f"[optax]({OPTAX_PAGES}/{page}.html#optax.{target.__name__})"
    path = Path(inspect.getsourcefile(target) or "").relative_to(ROOT)
    return f"[{path.parent.name}/{path.name}](../{path})"


def heading(title: str, bound: list[str]) -> list[str]:
    return [f"## {title}", "", *([", ".join(f"`{name} = ...`" for name in bound), ""] if bound else [])]


def header(*titles: str) -> list[str]:
    return [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]


def what(target: Any) -> str:
    """The first sentence that is written on a part, without its source."""
    place = "(?:, (?:end of )?(?:section|table|appendix) [^,]*)?"
    return (
        re.sub(rf"(?::|,? of|,? after|,)? ?\b{SOURCE}{place}", "", about(target))
        .lstrip(", ")
        .replace("<", "&lt;")
    )


def paper(target: Any) -> str:
    """The first source that is written on a part, on the class that it makes, or on its file."""
    module = inspect.getmodule(target)
    made = getattr(module, getattr(target, "__name__", "").title().replace("_", ""), None)
    for text in map(inspect.getdoc, (target, made, module)):
        found = re.search(SOURCE, " ".join((text or "").split()))
        if found:
            return f"[{found[1]}]({found[2]})"
    return ""


def known_cases() -> Iterator[Case]:
    runner.load_handlers()
    for path in runner.cases(CASES):
        case = load(path.stem)
        if case.meta.get("kind") in runner.HANDLERS and not case.meta["kind"].endswith("failure"):
            yield case


def covered(case: Case) -> set[Any]:
    """The keys of the parts that a case says something about."""
    kind = case.meta["kind"]
    if kind in SAYS:
        families = SAYS[kind].split()
        return {getattr(key, "func", key) for family, key in chosen(case) if family in families}
    if kind == "losses":
        return {LOSSES[name] for name in LOSSES if name in case.meta}
    handler = inspect.unwrap(runner.HANDLERS[kind])
    used = [handler.__globals__.get(name) for name in handler.__code__.co_names]
    return {getattr(inspect.getmodule(thing), "__name__", None) for thing in used}


def chosen(case: Case) -> Iterator[tuple[str, Any]]:
    """The parts that a case's configuration names or leaves at their default."""
    if case.meta["kind"] == "gin":
        parsed = parse([], [binding(**each) for each in case.meta["bindings"]])
        facts = case.meta["dataset"]
        spec = ImageSpec(tuple(facts["image_shape"]), facts["num_classes"] or 0)
    else:
        parsed, spec = build.parsed(case), build.spec(case)
    gan = parsed.base(spec=spec)
    yield "architecture", gan.make_generator
    yield "norm", gan.g_options.batch_norm_fn
    yield "norm", gan.d_options.batch_norm_fn
    yield "loss", gan.loss
    yield "penalty", gan.penalty
    yield "optimiser", gan.g_optimizer_fn
    yield "optimiser", gan.d_optimizer_fn
    yield "prior", gan.prior
    yield "method", parsed.options.gan_class
    yield from (("task", type(task)) for task in (parsed.method(gan) if parsed.method else gan).tasks)


if __name__ == "__main__":
    print(page(), end="")
