"""The losses of both players as `create_loss` makes them, heads, tasks and gradients included.

Run operation by operation rather than under `jax.jit`: the cases share their shapes, so nearly
nothing is compiled twice. Gradients are held to 1e-5 of their size before cancellation plus, as
compare_gan's notes say of a port, ten times what they move by when the inputs do by a millionth.
Both are measured; those of the cases that the tests run stand in `cases/gradient_conditions.json`,
written by `python -m tests.parity.kinds.create_loss`.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
from collections.abc import Iterator
from typing import NamedTuple
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.core.types import Array, DiscriminatorOut, Labeled, LossPair, Metrics, NetState, Tree
from compare_gan.gans import step
from compare_gan.gans.gan import GAN
from compare_gan.gans.step import apply_to_real_and_fake, both_losses, generate
from compare_gan.nn import convolution

from .. import build, tensorflow
from ..names import SCOPES, Path, at, filled, place
from ..reference import CASES, Case, Deviation, deviation, load
from ..runner import handles

CONDITIONS = CASES / "gradient_conditions.json"
REPORTED = {  # compare_gan's names -> ours
    "summary/loss/penalty": "loss/penalty",
    "summary/loss/c_real_loss": "loss/rotation_real",
    "summary/loss/c_fake_loss": "loss/rotation_fake",
    "summary/loss/real_loss": "loss/rotation_real",
    "summary/loss/fake_loss": "loss/rotation_fake",
    "summary/accuracy/d_rotation": "accuracy/rotation",
    "summary/loss/class_loss_real": "loss/class",
    "summary/label_frac": "label_frac",
}
HEADS = {"all_rotation_logits": "rotation", "all_class_logits": "class"}
NO_NUMBER = ("accuracy/real", "accuracy/fake")  # averages that start at 0


@dataclasses.dataclass(frozen=True)
class Setting:
    """A case with what it needs here. `z` where a generator makes the images, else None."""

    case: Case
    gan: GAN
    g: NetState | None
    d: NetState
    real: Labeled
    fake: Labeled
    z: Array | None

    @classmethod
    def of(cls, case: Case) -> "Setting":
        gan = build.gan(case)
        d = filled(gan.abstract_d, used(case, gan), lambda name: where(case, name))
        real = Labeled(jnp.asarray(case.images), case.labels())
        y, g, z = case.labels("sampled_labels"), None, None
        if case.meta["generated"].startswith("made by the generator"):
            g_shapes = jax.eval_shape(gan.init, jax.random.key(0)).g
            g = filled(g_shapes, case.meta["G_variables"], lambda name: where(case, name))
            z = jnp.asarray(case.z)
        return cls(case, gan, g, d, real, Labeled(jnp.asarray(case.generated), y), z)

    def images(self, generator_input: Array) -> Array:
        """Generated images, from latent vectors or passed through unchanged."""
        if self.g is None:
            return generator_input
        return generate(self.gan, self.g.params, self.g.extra, generator_input, self.fake.y)[0]

    @property
    def generator_input(self) -> Array:
        return self.fake.images if self.z is None else self.z


def used(case: Case, gan: GAN) -> list:
    """The discriminator's variables, but not those of a head that compare_gan builds and does not use."""
    tasks = {task.name for task in gan.tasks}

    def in_use(name: str) -> bool:
        path = SCOPES[next(scope for scope in SCOPES if name.startswith(scope))]
        return path[0] != "heads" or path[1] in tasks

    return [variable for variable in case.meta["D_variables"] if in_use(variable[0])]


def where(case: Case, name: str) -> Path:
    return place(name, case.meta["architecture"])


@handles("create_loss")
def create_loss(case: Case) -> Iterator[Deviation]:
    with eagerly():
        yield from loss_deviations(Setting.of(case))


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Outside `jax.jit` a choice by platform would be compiled at each call."""
    jitted = jax.jit(convolution.kernel_gradient, static_argnums=(2, 3, 4))
    with patch.object(convolution, "kernel_gradient", jitted), tensorflow.given_coefficients():
        yield


class Answers(NamedTuple):
    pair: LossPair
    metrics: Metrics
    extra: Tree
    out: DiscriminatorOut  # real, its views, fake, its views
    y: Array | None  # of all these
    d_gradient: Tree
    g_gradient: Array  # in the generated images, or in z


def answers(s: Setting, real: Labeled, generator_input: Array, real_only: bool = False) -> Answers:
    recorded = []

    def losses(params: Tree, generator_input: Array):
        def listen(gan, d, real_views, fake_views, *more):
            if s.case.meta["gan_class"] == "SSGAN" and s.gan.conditional:
                # There turned generated images carry the labels of the real ones.
                turned = zip(fake_views[1:], real_views[1:], strict=True)
                fake_views = [fake_views[0], *(mine._replace(y=theirs.y) for mine, theirs in turned)]
            real_outs, fake_outs, extra = apply_to_real_and_fake(gan, d, real_views, fake_views, *more)
            recorded.append((present(real_outs + fake_outs), present(real_views + fake_views)))
            stopped = jax.lax.stop_gradient(fake_outs) if real_only else fake_outs
            return real_outs, stopped, extra

        with patch.object(step, "apply_to_real_and_fake", listen):
            d, fake = NetState(params, s.d.extra), s.fake._replace(images=s.images(generator_input))
            pair, extra, metrics, _ = both_losses(s.gan, d, real, fake, jax.random.key(0))
        return pair, (extra, metrics, *recorded[-1])

    pair, pull_back, (extra, metrics, outs, parts) = jax.vjp(
        losses, s.d.params, generator_input, has_aux=True
    )
    one, zero = jnp.ones_like(pair.d), jnp.zeros_like(pair.d)
    d_gradient, _ = pull_back(LossPair(one, zero))
    _, g_gradient = pull_back(LossPair(zero, one))
    out = jax.tree.map(lambda *xs: jnp.concatenate(xs), *outs)
    y = None if real.y is None else jnp.concatenate([part.y for part in parts])
    return Answers(pair, metrics, extra, out, y, d_gradient, g_gradient)


def present(parts: list) -> list:
    return [part for part in parts if part is not None]


def loss_deviations(s: Setting) -> Iterator[Deviation]:
    case, a = s.case, answers(s, s.real, s.generator_input)
    yield deviation("d_loss", case.arrays["d_loss"], a.pair.d, 1e-6)
    yield deviation("g_loss", case.arrays["g_loss"], a.pair.g, 1e-6, 1e-7)
    unused = {v[0] for v in case.meta["D_variables"]} - {v[0] for v in used(case, s.gan)}
    for theirs, value in case.named("summary/"):
        ours = REPORTED.get(f"summary/{theirs}", theirs)
        if theirs not in NO_NUMBER and (ours in a.metrics or not unused):
            yield deviation(f"summary/{theirs}", value, a.metrics[ours], 1e-6)
    recorded = {"all_logits": a.out.logits, "all_prob": jax.nn.sigmoid(a.out.logits)}
    recorded |= {key: a.out.aux[task] for key, task in HEADS.items() if task in a.out.aux}
    if a.y is not None:
        filled_in = a.out.aux.get("labels", a.y)
        recorded |= {"all_labels_onehot": filled_in, "all_is_label_available": a.y.sum(-1) > 0.5}
    for key, ours in recorded.items():
        if key in case.arrays:
            reference = case.arrays[key]
            yield deviation(key, reference, np.reshape(ours, reference.shape), 2e-6, 2e-6)
    for name, value in case.named("after/"):
        if name not in unused:
            yield deviation(f"after/{name}", value, at(a.extra, where(case, name)), 2e-6)

    stored, rounding = stored_gradients(case, unused), conditions(s)
    longest = max(case.meta["grad_d_loss_l2_norms"].values())  # floats near zero count beside it
    for name, value in compared_gradients(s, a, unused).items():
        size, moved = rounding[name]
        floor = 0 if name.startswith("grad_g") else (1e-6 if name.startswith("length") else 1e-7) * longest
        yield deviation(name, stored[name], value, 0, 1e-5 * size + 10 * moved + floor)


def stored_gradients(case: Case, unused: set[str]) -> dict[str, np.ndarray]:
    """Small gradients of d_loss in full, the lengths of all, and the gradient of g_loss."""
    lengths = {f"length of {k}": np.asarray(v) for k, v in case.meta["grad_d_loss_l2_norms"].items()}
    small = {f"grad_d_loss/{k}": v for k, v in case.named("grad_d_loss/")}
    generated = {f"grad_g_loss_{k}": v for k, v in case.named("grad_g_loss_")}
    return {
        name: value
        for name, value in (small | lengths | generated).items()
        if name.removeprefix("length of ").removeprefix("grad_d_loss/") not in unused
    }


def compared_gradients(s: Setting, a: Answers, unused: set[str] = frozenset()) -> dict[str, np.ndarray]:
    found = {}
    for name, stored in stored_gradients(s.case, unused).items():
        if name.startswith("grad_g_loss_"):
            whole = np.asarray(a.g_gradient)
            found[name] = whole[:, ::8, ::8] if whole.shape != stored.shape else whole
        else:
            variable = name.removeprefix("length of ").removeprefix("grad_d_loss/")
            value = np.asarray(at(a.d_gradient, where(s.case, variable)), np.float64)
            found[name] = np.linalg.norm(value) if name.startswith("length of ") else value
    return found


def conditions(s: Setting) -> dict[str, tuple[float, float]]:
    return known_conditions().get(s.case.name) or measured_conditions(s)


@functools.cache
def known_conditions() -> dict[str, dict[str, tuple[float, float]]]:
    return json.loads(CONDITIONS.read_text()) if CONDITIONS.exists() else {}


def measured_conditions(s: Setting) -> dict[str, tuple[float, float]]:
    """Size and movement of each gradient.

    Size: the part that comes from real images and the rest, each with its own sign taken away,
    since they nearly cancel in sums over thousands of pixels. Movement: the largest change when
    all inputs get relative noise of 1e-6, and the opposite noise, so that a unit that is zero
    to rounding does change sides.
    """
    unused = {v[0] for v in s.case.meta["D_variables"]} - {v[0] for v in used(s.case, s.gan)}
    whole = compared_gradients(s, answers(s, s.real, s.generator_input), unused)
    half = compared_gradients(s, answers(s, s.real, s.generator_input, real_only=True), unused)
    found = {}
    for name, value in whole.items():
        of_g = name.startswith("grad_g_loss_")
        rest = value if of_g else np.abs(half[name]) + np.abs(value - half[name])
        found[name] = [float(np.abs(rest).max()), 0.0]
    for seed, sign in itertools.product((0, 1), (-1, 1)):
        rng = np.random.RandomState(seed)

        def noisy(x: Array, rng=rng, sign=sign) -> Array:
            return x * (1 + sign * 1e-6 * rng.standard_normal(x.shape)).astype(np.float32)

        real = s.real._replace(images=noisy(s.real.images))
        moved = compared_gradients(s, answers(s, real, noisy(s.generator_input)), unused)
        for name, value in moved.items():
            found[name][1] = max(found[name][1], float(np.abs(value - whole[name]).max()))
    return {name: (size, moved) for name, (size, moved) in found.items()}


if __name__ == "__main__":
    with eagerly():
        cases = [load(path.stem) for path in sorted(CASES.glob("*.npz"))]
        measured = {
            case.name: {
                name: [float(f"{x:.2g}") for x in pair]
                for name, pair in measured_conditions(Setting.of(case)).items()
            }
            for case in cases
            if case.meta.get("kind") == "create_loss"
        }
    CONDITIONS.write_text(json.dumps(measured, indent=0) + "\n")
