"""Whole networks: one pass in training, one in evaluation, and filling accumulated statistics.

Allowed is ten times what compare_gan's own output moves by when its input does by a millionth.
"""

from collections.abc import Iterable, Iterator
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond, NetState, Tree
from compare_gan.gans.gan import GAN
from compare_gan.nn.layers import spectral_normalize
from compare_gan.nn.state import merge_module, net_state

from .. import build
from ..names import LEARNED, SWITCH, Path, Variable, at, filled, place
from ..reference import Case, Deviation, deviation
from ..runner import handles

NONLINEARITIES = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": lambda x: 0.5 * np.tanh(x) + 0.5}
CLOSE = 2e-6
UNTOLD = 1e-5  # where compare_gan's own sensitivity was not recorded


@handles("architecture")
def architecture(case: Case) -> Iterable[Deviation]:
    gan = build.gan(case)
    yield from counts(case, gan)
    if case.arrays:
        yield from generator(case, gan)
        yield from discriminator(case, gan)


@handles("architecture_failure", "create_loss_failure")
def failure(case: Case) -> Iterable[Deviation]:
    """What raises in compare_gan is refused here in one line, or works: then all values are finite."""
    try:
        gan = build.gan(case)
    except UserError as refused:
        assert "\n" not in str(refused)
        return [Deviation(f"refused: {refused}", 0.0, 0.0)]
    state = jax.jit(gan.init)(jax.random.key(0))
    batch = case.meta.get("batch", 4)
    y = jax.nn.one_hot(jnp.arange(batch) % gan.y_dim, gan.y_dim) if gan.conditional else None
    z = jax.random.normal(jax.random.key(1), (batch, gan.z_dim))

    @jax.jit
    def values(state: Any) -> tuple[Array, Array]:
        images = merge_module(gan.g_def, state.g.params, state.g.extra)(Cond(z, y, True))
        return images, merge_module(gan.d_def, state.d.params, state.d.extra)(
            images, y, gan.tasks, True
        ).logits

    finite = all(bool(jnp.isfinite(x).all()) for x in values(state))
    return [Deviation("works here, finite values", 0.0 if finite else np.inf, 0.0)]


def counts(case: Case, gan: GAN) -> Iterator[Deviation]:
    """The variables, by name, shape and whether they are trained (`filled` asserts that), and how many."""
    for side, module in networks(gan).items():
        state = net_state(module)
        for of, values in (("trainable", state.params), ("nontrainable", state.extra)):
            theirs = case.meta.get(f"{side}_{of}_params")
            if theirs is not None:
                ours = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(values))
                theirs += differently_counted(case.meta[f"{side}_variables"], of == "trainable")
                yield deviation(f"{side}_{of}_params", theirs, ours, 0)
        shapes_agree(case, side, state)


def differently_counted(variables: list[Variable], trainable: bool) -> int:
    """What has to be added to compare_gan's number of trainable or other values."""
    fixed = [(name, int(np.prod(shape))) for name, shape, trained in variables if not trained]
    learned_here = sum(size for name, size in fixed if name.endswith(LEARNED))
    unknown_here = sum(size for name, size in fixed if name.endswith(SWITCH))
    return learned_here if trainable else -learned_here - unknown_here


def networks(gan: GAN) -> dict[str, nnx.Module]:
    return {"G": nnx.eval_shape(lambda: gan.generator(nnx.Rngs(0))), "D": gan.abstract_d}


def shapes_agree(case: Case, side: str, state: NetState) -> None:
    filled(state, case.meta[f"{side}_variables"], lambda name: where(case, name), values=False)


def compared(case: Case, key: str, ours: Any) -> Deviation:
    reference, ours = case.part(key, ours)
    known = case.meta.get("sensitivity_rel_input_1e-6", {})
    nearest = known.get(key) or known.get("G_train_images")  # accumulation goes by batches too
    absolute = 10 * nearest["max_abs_change"] if nearest else UNTOLD
    return deviation(key, reference, np.reshape(ours, reference.shape), CLOSE, absolute)


def where(case: Case, name: str) -> Path:
    return place(name, case.meta["architecture"])


def network(case: Case, side: str, module: nnx.Module) -> tuple[nnx.GraphDef, NetState]:
    state = filled(module, case.meta[f"{side}_variables"], lambda name: where(case, name))
    return nnx.graphdef(module), state


def generator(case: Case, gan: GAN) -> Iterator[Deviation]:
    definition, state = network(case, "G", networks(gan)["G"])
    for mode in ("train", "eval"):
        images, preactivation, nonlinearity, extra = generated(
            definition, state, Cond(case.z, case.labels(), mode == "train")
        )
        yield compared(case, f"G_{mode}_images", images)
        if has(case, f"G_{mode}_preactivation"):
            yield compared(case, f"G_{mode}_preactivation", preactivation)
        expected = NONLINEARITIES[nonlinearity](np.asarray(preactivation, np.float64))
        yield deviation(f"G_{mode}_images from their preactivation", expected, images, 1e-6)
        # Statistics of activations may be off by as much as the last of these, in the share that is new.
        moved = sensitivity(case, f"G_{mode}_preactivation") * (1 - gan.layers.batch.decay)
        yield from left_behind(case, mode, extra, state, "generator/", moved)
    if case.meta.get("accumulate"):
        yield from accumulated(case, definition, state)


def has(case: Case, key: str) -> bool:
    return any(name == key or name.startswith(f"{key}__") for name in case.arrays)


def generated(definition: nnx.GraphDef, state: NetState, cond: Cond) -> tuple[Array, Array, str, Tree]:
    """Images, what went into the last nonlinearity, its name, and the statistics left behind."""
    seen: dict[str, Any] = {}

    def listening(name: str) -> Any:
        real = getattr(nnx, name)

        def listen(x):
            if x.ndim == 4:
                seen["x"] = x, name
            return real(x)

        return patch.object(nnx, name, listen)

    @jax.jit
    def run(params, extra, z, y):
        network = merge_module(definition, params, extra)
        with listening("sigmoid"), listening("tanh"):
            images = network(Cond(z, y, *cond[2:]))
        x, run.name = seen["x"]
        return images, x, net_state(network).extra

    images, x, extra = run(state.params, state.extra, *cond[:2])
    return images, x, run.name, extra


def discriminator(case: Case, gan: GAN) -> Iterator[Deviation]:
    definition, state = network(case, "D", gan.abstract_d)
    for mode in ("train", "eval"):

        @jax.jit
        def run(params, extra, images, y, train=mode == "train"):
            network = merge_module(definition, params, extra)
            return network(images, y, (), train=train), net_state(network).extra

        out, extra = run(state.params, state.extra, case.images, case.labels())
        logits = compared(case, f"D_{mode}_logits", out.logits)
        prob = compared(case, f"D_{mode}_prob", nnx.sigmoid(out.logits))
        yield logits
        yield prob._replace(allowed=max(prob.allowed, logits.allowed / 4))  # a sigmoid's steepest slope
        yield compared(case, f"D_{mode}_features", out.features)
        yield from left_behind(case, mode, extra, state, "discriminator/")


def sensitivity(case: Case, key: str) -> float:
    """Ten times the change of compare_gan's output; 0 where that was not recorded."""
    known = case.meta.get("sensitivity_rel_input_1e-6", {})
    return 10 * known[key]["max_abs_change"] if key in known else 0.0


def left_behind(
    case: Case, mode: str, after: Tree, before: NetState, scope: str, moved_by: float = 0.0
) -> Iterator[Deviation]:
    """Spectral vectors and statistics after a pass.

    An evaluation pass changes nothing here; in compare_gan it moves the spectral vectors on, so
    that its number is one power iteration away from ours.
    """
    moved = next_vectors(before) if mode == "eval" else after
    for name, value in case.named(f"after_{mode}_pass/{scope}"):
        path = where(case, scope + name)
        what = f"after_{mode}_pass/{scope}{name}"
        yield deviation(what, value, at(moved, path), CLOSE, 1e-7 + ("moving" in name) * moved_by)
        if mode == "eval":
            yield deviation(f"{what}, unchanged here", at(before.extra, path), at(after, path), 0)


def next_vectors(state: NetState) -> Tree:
    """The statistics with each spectral vector moved by one iteration, as compare_gan's evaluation does."""

    def moved(path: tuple, value: Array) -> Array:
        if path[-1].key != "u":
            return value
        kernel = at(state.params, (*(key.key for key in path[:-1]), "kernel"))
        rows = kernel.size // kernel.shape[-1]
        return spectral_normalize(kernel, value, "left" if value.shape == (rows, 1) else "right", 1e-12)[1]

    return jax.tree.map_with_path(moved, state.extra)


def accumulated(case: Case, definition: nnx.GraphDef, state: NetState) -> Iterator[Deviation]:
    """Three passes that fill the statistics, from their beginning, then one that uses them."""
    fresh = {"accu_mean": 0.0, "accu_variance": 0.0, "accu_counter": 1e-12}

    def reset(path: tuple, value: Array) -> Array:
        return jnp.full_like(value, fresh[path[-1].key]) if path[-1].key in fresh else value

    state = NetState(state.params, jax.tree.map_with_path(reset, state.extra))
    moved = sensitivity(case, "G_train_preactivation")
    for i in range(3):
        z = np.random.RandomState(10 + i).standard_normal(case.z.shape).astype(np.float32)
        images, _, _, extra = generated(definition, state, Cond(z, case.labels(), False, True))
        yield compared(case, f"G_accumulate_pass{i}_images", images)
        for name, value in case.named(f"after_accumulate_pass{i}/generator/"):
            ours = at(extra, where(case, f"generator/{name}"))
            yield deviation(f"after_accumulate_pass{i}/{name}", value, ours, 1e-5, 1e-6 + moved)
        state = NetState(state.params, next_vectors(NetState(state.params, extra)))
    images, *_ = generated(definition, state, Cond(case.z, case.labels(), False))
    yield compared(case, "G_after_accumulate_images", images)
