"""The configuration of a module, for every network that the parity cases have, is that which made it."""

import dataclasses
import json
import re

import pytest

from compare_gan.config.parse import parse
from compare_gan.core.errors import UserError
from compare_gan.gans.gan import GAN
from compare_gan.tf1 import infer
from compare_gan.tf1.saved_model import Graph, Signature
from tests.helpers.tiers import slow_unless
from tests.parity import build
from tests.parity.reference import CASES, Case

from . import tiny

EPSILON = 2e-4
FAST = {"dcgan_32_cbn_sn", "infogan_28_gray", "resnet_stl_48_selfmod_gray", "resnet_biggan_32_ch16_cond10"}
DEFAULT_ATTENTION = {"generator": "B4", "discriminator": "B1"}


def is_network(name: str) -> bool:
    return json.loads((CASES / f"{name}.json").read_text()).get("kind") == "architecture"


NAMES = [path.stem for path in sorted(CASES.glob("*.json")) if is_network(path.stem)]


def attention(case: Case, shapes: dict) -> dict[str, list[str]]:
    """The nodes of attention in a graph, from the bindings of a case."""
    bound = dict(line.split(" = ") for line in case.meta["gin_bindings"])
    found = {}
    for scope, default in DEFAULT_ATTENTION.items():
        for owner in (f"{case.meta['architecture']}.{scope.capitalize()}", scope.capitalize()):
            default = bound.get(f"{owner}.blocks_with_attention", default).strip("\"'")
        kwargs = case.meta[f"{scope}_kwargs"].get("blocks_with_attention", default)
        blocks = [name for name in kwargs.split(",") if any(s.startswith(f"{scope}/{name}/") for s in shapes)]
        for i, block in enumerate(blocks):
            node = f"{scope}/non_local_block{f'_{i}' if i else ''}/conv2d_theta/Conv2D"
            found[node] = [f"{scope}/{block}/add", "x"]
    return found


def inferred(case: Case, shapes: dict) -> GAN:
    meta = case.meta
    conditional, side, classes = meta["conditional"], meta["resolution"], meta.get("num_classes") or 10
    inputs = {"z": (-1, meta["z_dim"])} | ({"labels": (-1,)} if conditional else {})
    images = (-1, side, side, meta.get("colors", 3))
    constants = {"generator/B1/bn1/batchnorm/add/y": EPSILON, "discriminator/B1/ln1/batchnorm/add/y": 1e-12}
    constants |= {"one_hot/depth": classes} if conditional else {}
    signature = Signature(inputs, {"generated": images}, {"generated": "generator/add:0"})
    graph = Graph(frozenset(), {"default": signature}, attention(case, shapes), constants)
    lines, spec = infer.configuration(shapes, graph, graph, "normal")
    assert spec == build.spec(case) or not conditional and spec.image_shape == build.spec(case).image_shape
    return parse([], [*lines, "options.batch_size = 8", "options.training_steps = 1"]).gan(spec)


def with_batch_of(gan: GAN) -> GAN:
    """The GAN with settings of batch norm that a module does not tell, or that the cases do not."""
    batch = dataclasses.replace(gan.layers.batch, decay=0.9, epsilon=EPSILON)
    return dataclasses.replace(gan, layers=dataclasses.replace(gan.layers, batch=batch))


@pytest.mark.parametrize("name", slow_unless(lambda name: name in FAST, NAMES))
def test_networks_are_those_of_the_case(name):
    case = Case(name, json.loads((CASES / f"{name}.json").read_text()), {})
    variables = [*case.meta["G_variables"], *case.meta["D_variables"]]
    shapes = {name: tuple(shape) for name, shape, _ in variables}
    expected, found = with_batch_of(build.gan(case)), with_batch_of(inferred(case, shapes))
    assert found.g_def == expected.g_def
    assert found.d_def == expected.d_def


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"vae/kernel": (3, 3)}, "not belong to any generator of compare_gan"),
        ({"generator/g_fc1/kernel": (4, 16)}, r"g_dc1/kernel is \[\], which is impossible in dcgan"),
        ({"generator/g_fc1/kernel": (), "generator/g_dc1/kernel": (5, 5, 3, 9)}, r"\[5, 5, 3, 9\], which"),
        ({"generator/B1/x": (), "generator/fc_noise/kernel": ()}, "has images of 7 pixels"),
    ],
)
def test_what_is_no_generator(shapes, message):
    signature = Signature({"z": (-1, 4)}, {"generated": (-1, 7, 7, 3)}, {"generated": ""})
    graph = Graph(frozenset(), {"default": signature}, {}, {})
    with pytest.raises(UserError, match=message):
        infer.configuration(shapes, graph, None, "normal")


@pytest.mark.parametrize("name", ["one_hot/depth", "generator/g_bn1/batchnorm/add/y"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_impossible_constants(name, value):
    shapes = dict(tiny.variables(conditional=True))
    inputs = {"z": (-1, tiny.Z), "labels": (-1,)}
    signature = Signature(inputs, {"generated": (-1, tiny.SIDE, tiny.SIDE, tiny.COLORS)}, {"generated": ""})
    graph = Graph(frozenset(), {"default": signature}, {}, {name: value})
    with pytest.raises(UserError, match=f"{value}.*, which is impossible"):
        infer.configuration(shapes, graph, None, "normal")


def test_tables_of_the_documentation_have_all_published_modules():
    from compare_gan.tf1.published import PUBLISHED

    page = (CASES.parents[2] / "docs/import.md").read_text()
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*$", page, re.MULTILINE)}
    assert rows.keys() == PUBLISHED.keys()
    for name, module in PUBLISHED.items():
        assert f"| {module.network} | `{module.data}` |" in rows[name]
        assert f" {module.fid:g}" in rows[name] or f" {module.fid:.2f}" in rows[name]
