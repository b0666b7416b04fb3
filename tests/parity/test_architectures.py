"""Whole networks at full width: one pass in training, one in evaluation."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.core.types import Cond, NetState, Tree
from compare_gan.nn.layers import spectral_normalize
from compare_gan.nn.state import bind, net_state

from . import build
from .names import Path, at, filled, place
from .reference import Case, Deviation, check, deviation, fill, load

CASES = (
    "resnet_cifar_32_defaults_nobn_nosn",
    "resnet_cifar_32_cifar10_gin",
    "resnet_cifar_32_hierz_plain_bn_uncond",
    "resnet_cifar_32_selfmod_hierz",
    "resnet_cifar_32_cbn_projection_sn",
    "resnet_cifar_32_dbn",
    "resnet_cifar_32_layernorm",
    "dcgan_28_gray_bn",
    "dcgan_32_cbn_sn",
    "dcgan_128_sn_nobn",
)
TWIN = "resnet_cifar_32_layernorm"  # has the generator of resnet_cifar_32_dbn
NONLINEARITIES = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": lambda x: 0.5 * np.tanh(x) + 0.5}


def compared(case: Case, key: str, ours: Any) -> Deviation:
    """Allowed: ten times what compare_gan's own output moves by when its input does by a millionth."""
    reference, ours = case.part(key, ours)
    sensitivity = case.meta["sensitivity_rel_input_1e-6"][key]["max_abs_change"]
    return deviation(f"{case.name} {key}", reference, ours.reshape(reference.shape), 2e-6, 10 * sensitivity)


def left_behind(case: Case, extra: Tree, scope: str) -> list[Deviation]:
    """Spectral vectors and moving statistics after a pass in training."""
    prefix = f"after_train_pass/{scope}"
    return [
        deviation(f"{case.name} {prefix}{name}", value, at(extra, where(case, scope + name)), 2e-6)
        for name, value in case.named(prefix)
    ]


def where(case: Case, name: str) -> Path:
    return place(name, case.meta["architecture"])


def network(case: Case, key: str, module: nnx.Module) -> tuple[nnx.GraphDef, NetState]:
    return nnx.graphdef(module), filled(module, case.meta[key], lambda name: where(case, name))


@pytest.fixture
def last_input(monkeypatch):
    """What went into the last nonlinearity, by its name."""
    seen: dict[str, Any] = {}

    def listening(name, real):
        def listen(x):
            seen[name] = x
            return real(x)

        return listen

    for name in NONLINEARITIES:
        monkeypatch.setattr(nnx, name, listening(name, getattr(nnx, name)))
    return seen


@pytest.mark.parametrize("name", [name for name in CASES if name != TWIN])
def test_generator(name, last_input):
    check(generator_deviations(load(name), last_input))


def generator_deviations(case: Case, last_input: dict[str, Any]) -> list[Deviation]:
    gan, found = build.gan(case), []
    definition, state = network(case, "G_variables", nnx.eval_shape(lambda: gan.generator(nnx.Rngs(0))))
    for mode in ("train", "eval"):
        generator = bind(definition, state.params, state.extra)
        images = generator(Cond(jnp.asarray(case.z), case.labels(), mode == "train"))
        ((nonlinearity, preactivation),) = last_input.items()
        found.append(compared(case, f"G_{mode}_preactivation", preactivation))
        expected = NONLINEARITIES[nonlinearity](np.asarray(preactivation, np.float64))
        found.append(deviation(f"{case.name} {mode} {nonlinearity}", expected, images, 1e-6))
        extra = net_state(generator).extra
        if mode == "train":
            found += left_behind(case, extra, "generator/")
        else:
            found += still(case, extra, state.extra, "generator/")
    return found


@pytest.mark.parametrize("name", CASES)
def test_discriminator(name):
    check(discriminator_deviations(load(name)))


def discriminator_deviations(case: Case) -> list[Deviation]:
    gan, found = build.gan(case), []
    definition, state = network(case, "D_variables", gan.abstract_d)
    for mode in ("train", "eval"):
        discriminator = bind(definition, state.params, state.extra)
        out = discriminator(jnp.asarray(case.images), case.labels(), (), train=mode == "train")
        found.append(compared(case, f"D_{mode}_logits", out.logits))
        found.append(compared(case, f"D_{mode}_prob", nnx.sigmoid(out.logits)))
        found.append(compared(case, f"D_{mode}_features", out.features))
        extra = net_state(discriminator).extra
        if mode == "train":
            found += left_behind(case, extra, "discriminator/")
        else:
            found += still(case, extra, state.extra, "discriminator/")
    return found


def still(case: Case, after: Tree, before: Tree, scope: str) -> list[Deviation]:
    """An evaluation pass changes nothing here; in compare_gan it moves the spectral vectors on.

    compare_gan's number is one power iteration away from ours.
    """
    found = []
    for name, value in case.named(f"after_eval_pass/{scope}"):
        path = where(case, scope + name)
        found.append(deviation(f"{case.name} still {name}", at(before, path), at(after, path), 0))
        kernel_name = f"{scope}{name}".removesuffix("/u_var")
        variables = {n: shape for n, shape, _ in case.meta[f"{'GD'[scope[0] == 'd']}_variables"]}
        kernel = jnp.asarray(fill(kernel_name, variables[kernel_name]))
        moved = spectral_normalize(kernel, at(after, path), "left", 1e-12)[1]
        found.append(deviation(f"{case.name} one iteration on {name}", value, moved, 2e-6))
        assert np.abs(at(after, path) - value).max() > 1e-2
    return found
