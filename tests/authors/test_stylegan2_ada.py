"""ADA's augmentation pipeline and controller against its authors' code, for the same random numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.augmentations.adaptive import ADA
from compare_gan.augmentations.augment_pipe import Change, cut_out, inverse_transform, recolored, warped
from compare_gan.core.types import Logits
from tests.authors.recording import CASES

CASE = np.load(CASES / "stylegan2_ada.npz")
OPERATIONS = Change._fields
EVERYTHING = (*OPERATIONS, "grey", "all")
P = 0.7  # of the cases "grey" and "all"


def change(numbers: np.ndarray, operations, p: float) -> Change:
    """The changes that the authors' formulas make of uniform and normal numbers, for one image."""
    remaining = list(map(float, numbers))

    def take(count):
        return np.array([remaining.pop(0) for _ in range(count)])

    def perhaps(value, unchanged, chance=p):
        return np.where(take(1)[0] < chance, value, unchanged)

    found, turns = {}, []
    for name in operations:
        if name == "rotate after":
            name = "rotate"
        if name in ("xflip", "lumaflip"):
            value = perhaps(np.floor(2 * take(1)[0]), 0)
        elif name == "rotate90":
            value = perhaps(np.floor(4 * take(1)[0]), 0)
        elif name == "xint":
            value = perhaps((2 * take(2) - 1) * 0.125, 0)
        elif name in ("scale", "aniso", "contrast", "saturation"):
            deviation = {"contrast": 0.5, "saturation": 1}.get(name, 0.2)
            value = perhaps(2 ** (take(1)[0] * deviation), 1)
        elif name == "rotate":
            turns.append(perhaps((2 * take(1)[0] - 1) * np.pi, 0, 1 - np.sqrt(1 - p)))
            value = np.array([*turns, 0][:2])
        elif name == "xfrac":
            value = perhaps(take(2) * 0.125, 0)
        elif name == "brightness":
            value = perhaps(take(1)[0] * 0.2, 0)
        elif name == "cutout":
            side = perhaps(0.5, 0)
            value = np.array([*take(2), side])
        else:
            value = perhaps((2 * take(1)[0] - 1) * np.pi, 0)
        found[name] = value
    assert not remaining
    return Change(**found)


def operations_of(case):
    """In the order in which the authors draw; a grey image has neither hue nor saturation."""
    if case not in ("all", "grey"):
        return [case, "rotate after"] if case == "rotate" else [case]
    order = [*OPERATIONS[:6], "rotate after", *OPERATIONS[6:]]
    return order if case == "all" else [name for name in order if name not in ("hue", "saturation")]


def augmented(image, change):
    colored = recolored(warped(image, inverse_transform(change, image.shape)), change)
    return cut_out(colored, change.cutout)


@pytest.mark.parametrize("case", EVERYTHING)
def test_images_and_gradients(case):
    images = jnp.asarray(CASE["images"][..., : CASE[case].shape[-1]])
    p = P if case in ("all", "grey") else 1.0
    changes = [change(numbers, operations_of(case), p) for numbers in CASE[f"{case} drawn"]]
    stacked = jax.tree.map(lambda *values: jnp.asarray(np.stack(values), jnp.float32), *changes)
    weights = CASE["weights"][..., : images.shape[-1]]

    def weighted(images):
        found = jax.vmap(augmented)(images, stacked)
        return jnp.sum(found * weights), found

    gradient, found = jax.jit(jax.grad(weighted, has_aux=True))(images)
    assert np.abs(CASE[case] - images).max() > 0.1  # the case changes something
    np.testing.assert_allclose(found, CASE[case], atol=2e-5)
    if f"{case} gradient" in CASE:
        np.testing.assert_allclose(gradient, CASE[f"{case} gradient"], atol=2e-5)


def follow(part, case) -> tuple[np.ndarray, np.ndarray]:
    """The probability after each recorded interval of four updates of 10 images, and the authors'."""
    state, history = part.init(), []
    update = jax.jit(functools.partial(part.finish, batch_size=10))
    for positive in case["positive"]:
        real = jnp.where(jnp.arange(10) < positive, 1.5, -0.5)
        for _ in range(4):
            state = update(part.observe(state, Logits(real, real, 0)))
        history.append(float(state["p"]))
    return np.array(history), case["p"]


def test_the_probability_follows_their_rule_up_to_its_limit():
    found, expected = follow(ADA(kimg=5.0), CASE)
    assert 0.2 < expected.max() < 0.8 and 0 in expected
    np.testing.assert_allclose(found, expected, atol=1e-6)
