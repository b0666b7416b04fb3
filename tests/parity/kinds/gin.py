"""Configurations: what they mean, every parameter that took part, and the networks they make."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any

from gin.config_parser import BindingStatement

from compare_gan.config.gin_factories import exposed
from compare_gan.config.parse import Parsed, parse
from compare_gan.config.reader import find, statements
from compare_gan.core.types import ImageSpec
from compare_gan.data.facts import DATASET_INFO
from compare_gan.gans.gan import GAN

from ..reference import Case, Deviation
from ..runner import handles
from .architecture import counts

AVERAGE = "/ExponentialMovingAverage"


@handles("gin")
def gin(case: Case) -> Iterable[Deviation]:
    meta = case.meta
    parsed = parse([], [line(**binding) for binding in meta["bindings"]])
    shape, classes = meta["dataset"]["image_shape"], meta["dataset"]["num_classes"]
    gan = parsed.gan(ImageSpec(tuple(shape), classes or 0))
    ours = parameters(parsed.operative_config)
    yield from same("options", meta["options"], options(parsed))
    yield from same("gan", meta["gan"], numbers(gan))
    yield from same("dataset", splits_as_text(meta["dataset"]), dataset(parsed, ours))
    yield from same("run_config", meta["run_config"], of("run_config", ours))
    yield from same("operative", parameters(meta["operative_config_text"]), ours)
    yield from variables(case, gan)


def variables(case: Case, gan: GAN) -> Iterator[Deviation]:
    """Those of the networks, and the average of each that is trained where the generator is averaged."""
    architecture = case.meta["options"]["architecture"].removesuffix("_arch")
    averages = {name for name, _, _ in case.meta["G_variables"] if name.endswith(AVERAGE)}
    own = [variable for variable in case.meta["G_variables"] if variable[0] not in averages]
    expected = {f"{name}{AVERAGE}" for name, _, trained in own if trained and gan.g_use_ema}
    yield Deviation("averaged variables", float(len(averages ^ expected)), 0.0)
    meta = {**case.meta, "architecture": architecture, "G_variables": own}
    yield from counts(dataclasses.replace(case, meta=meta), gan)


def line(scope: str, configurable: str, parameter: str, value: Any) -> str:
    text = value if isinstance(value, str) and value.startswith(("@", "%")) else repr(value)
    return f"{scope}{'/' if scope else ''}{configurable}.{parameter} = {text}"


def same(what: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[Deviation]:
    """Each value of compare_gan is ours too; the name of a deviation says what it is instead."""
    for name, value in theirs.items():
        if name in ours and ours[name] == value:
            yield Deviation(f"{what} {name}", 0.0, 0.0)
        else:
            yield Deviation(f"{what} {name} is {ours.get(name, 'not there')}, not {value}", 1.0, 0.0)


def options(parsed: Parsed) -> dict[str, Any]:
    chosen = parsed.options
    method = exposed(getattr(chosen.gan_class, "func", chosen.gan_class))
    assert method is not None
    names = ("architecture", "batch_size", "disc_iters", "training_steps", "z_dim")
    same_name = {name: getattr(chosen, name) for name in names}
    return {"gan_class": method.name, "lambda": chosen.lamba, "use_tpu": False} | same_name


def numbers(gan: GAN) -> dict[str, Any]:
    names = ("conditional", "disc_iters", "ema_decay", "ema_start_step", "g_lr", "g_use_ema", "z_dim")
    d_lr = gan.g_lr if gan.d_lr is None else gan.d_lr
    return {"d_lr": d_lr, "lambda_": gan.penalty_weight} | {name: getattr(gan, name) for name in names}


def dataset(parsed: Parsed, operative: dict[str, Any]) -> dict[str, Any]:
    facts = DATASET_INFO[parsed.dataset.name]
    return {
        **of("dataset", operative),
        "image_shape": list(facts.image_shape),
        "num_classes": facts.num_classes or None,
        "train_split": facts.train_split,
        "eval_split": facts.eval_split,
        "eval_test_samples_real": facts.eval_images,
    }


def splits_as_text(theirs: dict[str, Any]) -> dict[str, Any]:
    """The description of a data set, with `NamedSplit('train')(tfds.percent[0:99])` as `train[:99%]`."""
    found = dict(theirs)
    for key in ("train_split", "eval_split"):
        match = re.fullmatch(r"NamedSplit\('(\w+)'\)(?:\(tfds\.percent\[(\d*):(\d*)\]\))?", str(found[key]))
        if match:
            name, low, high = match.groups()
            low, high = low if low not in (None, "0") else "", high if high not in (None, "100") else ""
            part = f"[{low and low + '%'}:{high and high + '%'}]"
            found[key] = name + (part if low or high else "")
    return found


def parameters(text: str) -> dict[str, Any]:
    """The values in an operative configuration, each under the full name that it has here."""
    found = {}
    for statement in statements(text, None):
        assert isinstance(statement, BindingStatement), statement
        item = find(statement.selector)
        found[f"{item.module}.{item.name}.{statement.arg_name}"] = plain(statement.value)
    return found


def of(name: str, operative: dict[str, Any]) -> dict[str, Any]:
    """The parameters of one configurable."""
    item = find(name)
    prefix = f"{item.module}.{item.name}."
    return {key.removeprefix(prefix): value for key, value in operative.items() if key.startswith(prefix)}


def plain(value: Any) -> Any:
    """A value that can be compared: of a reference, what it names."""
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    selector = getattr(value, "selector", None)
    return f"@{find(selector).name}" if selector else value
