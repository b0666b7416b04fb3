"""R3GAN computes what the code of its authors computed; `record_r3gan` recorded it."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.architectures import r3gan
from compare_gan.config.costs import num_elements
from compare_gan.config.parse import parse
from compare_gan.core.types import Batch, Cond, GANState, ImageSpec, Labeled, NetState, Tree
from compare_gan.gans.gan import GAN
from compare_gan.gans.optimizers import scheduled_adam
from compare_gan.gans.schedules import cosine_annealing
from compare_gan.gans.step import both_losses, train_step
from compare_gan.losses.relativistic import relativistic
from compare_gan.nn.state import merge_module
from compare_gan.penalties.gradient import r1_r2_penalty, zero_centred
from tests.authors.record_r3gan import BATCH, CLASSES, EMBEDDING, EPSILON, RATES, STEPS, WIDTHS, Z

CASE = dict(np.load(Path(__file__).parent / "cases" / "r3gan.npz"))
KEY = jax.random.key(0)


def at(end: float, start: float = 1.0):
    return functools.partial(cosine_annealing, decay_steps=2 * STEPS, start=start, end=end)


@functools.cache
def gan() -> GAN:
    """The recorded GAN. Their images are in [-1, 1], so the weight of the penalty is a quarter of theirs."""
    networks = dict(ch=WIDTHS[0], divisors=(1, 2), blocks=1, group_width=4)
    start = {name: float(values[0]) for name, values in RATES.items()}
    ratio = {name: values[1] / values[0] for name, values in RATES.items() if values[0]}
    return GAN(
        spec=ImageSpec((8, 8, 3), CLASSES),
        make_generator=functools.partial(r3gan.Generator, embed_y_dim=EMBEDDING, **networks),
        make_discriminator=functools.partial(r3gan.Discriminator, project_y=True, **networks),
        conditional=True,
        fit_label_distribution=True,
        experimental_force_graph_unroll=True,
        batch_size=BATCH,
        z_dim=Z,
        prior=lambda key, shape: jnp.asarray(CASE["training/z"]),
        loss=relativistic,
        penalty=r1_r2_penalty,
        penalty_weight=start["gamma"] / 4,
        penalty_schedule=at(ratio["gamma"]),
        g_optimizer_fn=functools.partial(
            scheduled_adam, b2=at(RATES["beta2"][1], RATES["beta2"][0]), eps=EPSILON
        ),
        g_lr=start["lr"],
        lr_schedule=at(ratio["lr"]),
        g_use_ema=True,
        ema_start_step=0,
        ema_decay=0.5 ** (BATCH / RATES["ema"][1]),
        ema_schedule=at(1.0, 0.0),
    )


def theirs(side: str, parts: list[str]) -> str:
    """The authors' name of a parameter of ours, such as trunk, stages, 0, 0, conv1, kernel."""
    last = len(WIDTHS) - 1
    match parts:
        case ["trunk", "stages", stage, block, f, kind]:
            place = int(block) + (side != "D")  # a generator's stage begins with a transition
            layer = f"LinearLayer{f[-1]}.Layer.weight" if kind == "kernel" else f"NonLinearity{f[-1]}.Bias"
            return f"{side}/MainLayers.{stage}.Layers.{place}.{layer}"
        case ["trunk", "transitions", i, _, _]:
            stage, place = (int(i), 1) if side == "D" else (int(i) + 1, 0)
            return f"{side}/MainLayers.{stage}.Layers.{place}.LinearLayer.Layer.weight"
    basis = f"{side}/MainLayers.{last}.Layers.1" if side == "D" else f"{side}/MainLayers.0.Layers.0"
    layers = {
        "basis": f"{basis}.Basis" + (".weight" if side == "D" else ""),
        ("final_fc" if side == "D" else "fc_noise"): f"{basis}.LinearLayer.weight",
        "from_image": f"{side}/ExtractionLayer.Layer.weight",
        "final_conv": f"{side}/AggregationLayer.Layer.weight",
        "embed_y": f"{side}/EmbeddingLayer.weight",
        "embedding_fc": f"{side}/EmbeddingLayer.weight",
    }
    return layers[parts[0]]


def recorded(what: str, side: str, like: Tree) -> Tree:
    """Recorded numbers of all parameters of a network, in our form."""

    def convert(path, x):
        parts = [str(key.key) for key in path if key.key != "backbone"]
        found = CASE[f"{what}/{theirs(side, parts)}"]
        if parts == ["basis"] and found.ndim == 4:
            found = found[:, 0]
        order = {1: (0,), 2: (1, 0), 3: (1, 2, 0), 4: (2, 3, 1, 0)}[found.ndim]
        found = found.transpose(order)
        assert found.shape == x.shape, (path, found.shape, x.shape)
        return jnp.asarray(found)

    return jax.tree.map_with_path(convert, like)


@functools.cache
def start() -> GANState:
    shapes = jax.eval_shape(gan().init, KEY)
    g, d = (recorded("start", side, net.params) for side, net in (("G", shapes.g), ("D", shapes.d)))
    return gan().initial_state(NetState(g, {}), NetState(d, {}))


def sides(step: int, player: int) -> tuple[Labeled, Labeled]:
    images, labels = (CASE[f"training/{name}"][step, player] for name in ("images", "labels"))
    y = jax.nn.one_hot(labels, CLASSES)
    return Labeled(jnp.asarray(images / 255, jnp.float32), y), Labeled(CASE["training/fake"] / 2 + 0.5, y)


def close(found: Tree, expected: Tree, tolerance: float):
    for (path, a), b in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        scale = max(float(np.abs(b).max()), 1e-6)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path))


def discriminate(params, images, y):
    return merge_module(gan().d_def, params, {})(images, y, (), True).logits


def test_images_and_logits():
    state = start()
    real, fake = sides(0, 0)

    @jax.jit
    def generate(params):
        generator = merge_module(gan().g_def, params, {})
        return [generator(Cond(CASE["training/z"], fake.y, train)) for train in (True, False)]

    images, clipped = generate(state.g.params)
    close(2 * images - 1, CASE["training/fake"], 2e-6)
    close(clipped, np.clip(images, 0, 1), 1e-6)
    assert float(images.min()) < 0  # so that something is clipped
    for side, expected in zip((real, fake), CASE["training/logits"], strict=True):
        close(jax.jit(discriminate)(state.d.params, side.images, side.y), expected, 5e-6)


def test_losses_and_penalties_and_their_gradients():
    state, (real, fake) = start(), sides(0, 0)
    loss, logits, r1, r2 = (CASE[f"step0/D{i}"] for i in range(4))
    real_logits, fake_logits = CASE["training/logits"]
    assert float(relativistic(real_logits, fake_logits).d) == pytest.approx(loss.mean(), rel=1e-6)
    np.testing.assert_allclose(real_logits - fake_logits, logits, rtol=1e-6)
    for side, expected in ((real, r1), (fake, r2)):  # without their gamma / 2; images in [0, 1]
        logits_of = functools.partial(discriminate, state.d.params, y=side.y)
        found = jax.jit(functools.partial(zero_centred, logits_of))(side.images)
        assert 2 * float(found) / 4 == pytest.approx(expected.mean(), rel=1e-5)

    def total(params):
        return both_losses(gan(), NetState(params, {}), real, fake, KEY).pair.d

    gradient = jax.jit(jax.grad(total))(state.d.params)
    close(gradient, recorded("gradient", "D", gradient), 2e-5)


@pytest.mark.slow
def test_training_steps_with_all_schedules():
    state, step = start(), jax.jit(functools.partial(train_step, gan()))
    for i in range(STEPS):
        batch = Batch(*(jnp.asarray(CASE[f"training/{name}"][i]) for name in ("images", "labels")))
        state, metrics = step(state, batch, KEY)
        assert float(metrics["loss/g"]) == pytest.approx(CASE[f"step{i}/G0"].mean(), rel=2e-4)
    begun = start()
    for side, before, found in (
        ("G", begun.g.params, state.g.params),
        ("D", begun.d.params, state.d.params),
        ("average", begun.g.params, state.g_ema),
    ):
        expected = recorded("end", side, found)
        moved = jax.tree.map(lambda a, b: a - b, expected, before)
        close(jax.tree.map(lambda a, b: a - b, found, before), moved, 2e-3)


def test_the_schedule():
    steps, values = CASE["schedule/steps"], CASE["schedule/values"]
    found = [cosine_annealing(step, decay_steps=100, start=2.0, end=0.2) for step in steps]
    np.testing.assert_allclose(found, values, rtol=1e-6)


# Our bindings for each of the authors' presets, and the shape of the images.
PRESETS = {
    "CIFAR10": ("r3gan_cifar10", ImageSpec((32, 32, 3), 10)),
    "FFHQ-64": ("r3gan_celeba64", ImageSpec((64, 64, 3))),
    "ImageNet-64": ("r3gan_imagenet64", ImageSpec((64, 64, 3), 1000)),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_packaged_configuration_is_the_preset_of_the_authors(preset):
    name, spec = PRESETS[preset]
    found = parse([name]).gan(spec)
    state = jax.eval_shape(found.init, KEY)
    counts = [num_elements(net.params) for net in (state.g, state.d)]
    assert counts == [int(CASE[f"preset/{preset}/{side}"]) for side in ("G", "D")]
    assert found.z_dim == int(CASE[f"preset/{preset}/z"])
    expected = {kind: CASE[f"preset/{preset}/{kind}"] for kind in ("ema", "lr", "gamma", "beta2")}
    end = round(expected["lr"][2] / found.batch_size)
    values = {
        "lr": lambda step: float(found.lr_factor(step)) * found.g_lr,
        "gamma": lambda step: 4 * float(found.penalty_weight_at(step)),
        "beta2": lambda step: float(found.g_optimizer_fn.keywords["b2"](step)),
    }
    for kind, value in values.items():
        first, last, _ = expected[kind]
        got = [value(step) for step in (0, end // 2, end)]
        np.testing.assert_allclose(got, [first, (first + last) / 2, last], rtol=1e-4)
    half_life = np.log(0.5) / np.log(found.ema_decay) * found.batch_size
    assert half_life == pytest.approx(expected["ema"][1], rel=1e-4)
    np.testing.assert_allclose([found.ema_schedule(step) for step in (0, end)], [0, 1], atol=1e-7)
