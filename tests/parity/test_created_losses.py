"""The losses of both players as `create_loss` makes them, heads, tasks and gradients included.

Run operation by operation rather than under `jax.jit`: the cases share their shapes, so nearly
nothing is compiled twice. Gradients are held to 1e-5 of their size before cancellation plus, as
compare_gan's notes say of a port, ten times what they move by when the images do by a millionth.
Both stand in `cases/gradient_conditions.json`, written by
`python -m tests.parity.test_created_losses`.
"""

import dataclasses
import functools
import itertools
import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.types import Array, DiscriminatorOut, Labeled, LossPair, Metrics, NetState, Tree
from compare_gan.gans import step
from compare_gan.gans.modular import GAN
from compare_gan.gans.ssgan import ssgan
from compare_gan.gans.step import both_losses, two_sided, with_views
from compare_gan.nn import convolution
from compare_gan.penalties.weights import l2_penalty

from . import build
from .names import Path, at, filled, place
from .reference import CASES as CASES_FOLDER
from .reference import Case, Deviation, check, deviation, fill, load
from .test_losses import given_coefficients

CASES = (
    "modular_nonsat_cifar_uncond",
    "modular_hinge_cifar_cond_projection",
    "modular_wasserstein_wgangp_lambda10",
    "ssgan_uncond_sn_resnet_cifar",
    "ssgan_cond_projection_sn",
    "ssgan_hinge_wgangp_lambda2",
    "ssgan_rotation_only",
    "s3gan_no_projection_rotation",
    "s3gan_projection_rotation",
    "s3gan_predictor_all_missing",
    "s3gan_predictor_hard_missing",
    "s3gan_predictor_soft_missing",
    "s3gan_soft_labels",
)
REPORTED = {  # compare_gan's names -> ours; S3GAN's accuracies there are averages that start at 0
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


@dataclasses.dataclass(frozen=True)
class Setting:
    """A case with what it needs here."""

    case: Case
    gan: GAN
    d: NetState
    real: Labeled
    fake: Labeled

    @classmethod
    def of(cls, name: str) -> "Setting":
        case = load(name)
        gan = build.gan(case)
        unused = () if gan.tasks else ("discriminator_rotation/",)  # built there in any case
        variables = [v for v in case.meta["D_variables"] if not v[0].startswith(unused)]
        d = filled(gan.abstract_d, variables, lambda name: where(case, name))
        real = Labeled(jnp.asarray(case.images), case.labels())
        return cls(case, gan, d, real, Labeled(jnp.asarray(case.generated), case.labels("sampled_labels")))


def where(case: Case, name: str) -> Path:
    return place(name, case.meta["architecture"])


@pytest.fixture(autouse=True)
def once_compiled(monkeypatch):
    """Outside `jax.jit` the choice by platform would be compiled at each call."""
    jitted = jax.jit(convolution.kernel_gradient, static_argnums=(2, 3))
    monkeypatch.setattr(convolution, "kernel_gradient", jitted)
    monkeypatch.setattr(jax.random, "uniform", given_coefficients)


@pytest.mark.parametrize("name", CASES)
def test_both_losses(name):
    check(loss_deviations(Setting.of(name)))


class Answers(NamedTuple):
    pair: LossPair
    metrics: Metrics
    extra: Tree
    out: DiscriminatorOut  # real, its views, fake, its views
    d_gradient: Tree
    g_gradient: Array  # of the generated images


def answers(s: Setting, real: Labeled, fake: Labeled, real_only: bool = False) -> Answers:
    said = []

    def losses(params, images):
        def listen(*given):
            real_out, fake_out, extra = two_sided(*given)
            said.append((real_out, fake_out))
            return real_out, jax.lax.stop_gradient(fake_out) if real_only else fake_out, extra

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(step, "two_sided", listen)
            d, changed = NetState(params, s.d.extra), fake._replace(images=images)
            pair, extra, metrics = both_losses(s.gan, d, real, changed, jax.random.key(0))
        return pair, (extra, metrics, said[-1])

    pair, pull_back, (extra, metrics, sides) = jax.vjp(losses, s.d.params, fake.images, has_aux=True)
    one, zero = jnp.ones_like(pair.d), jnp.zeros_like(pair.d)
    d_gradient, _ = pull_back(LossPair(one, zero))
    _, g_gradient = pull_back(LossPair(zero, one))
    out = jax.tree.map(lambda *xs: jnp.concatenate(xs), *sides)
    return Answers(pair, metrics, extra, out, d_gradient, g_gradient[:, ::8, ::8])


def loss_deviations(s: Setting) -> list[Deviation]:
    case, a = s.case, answers(s, s.real, s.fake)
    found = [
        deviation(f"{case.name} d_loss", case.arrays["d_loss"], a.pair.d, 1e-6),
        deviation(f"{case.name} g_loss", case.arrays["g_loss"], a.pair.g, 1e-6, 1e-7),
    ]
    for theirs, ours in REPORTED.items():
        if theirs in case.arrays and ours in a.metrics:
            found.append(deviation(f"{case.name} {ours}", case.arrays[theirs], a.metrics[ours], 1e-6))
    if "all_logits" in case.arrays:
        rows = comparable_rows(s, len(a.out.logits))
        logits = case.arrays["all_logits"][:, 0]
        found.append(deviation(f"{case.name} logits", logits[rows], a.out.logits[rows], 2e-6, 2e-6))
        for key, task in HEADS.items():
            if task in a.out.aux:
                found.append(deviation(f"{case.name} {key}", case.arrays[key], a.out.aux[task], 2e-6, 2e-6))
    if "all_labels_onehot" in case.arrays:
        y = np.concatenate([with_views(s.gan, side)[0].y for side in (s.real, s.fake)])
        labels = case.arrays["all_labels_onehot"]
        found.append(deviation(f"{case.name} labels", labels[rows], y[rows], 1e-6))
    for name, value in case.named("after/"):
        found.append(deviation(f"{case.name} {name}", value, at(a.extra, where(case, name)), 2e-6))

    stored, rounding = stored_gradients(case), conditions()[case.name]
    for name, value in compared_gradients(s, a).items():
        size, moved = rounding[name]
        found.append(deviation(f"{case.name} {name}", stored[name], value, 0, 1e-5 * size + 10 * moved))
    return found


def stored_gradients(case: Case) -> dict[str, np.ndarray]:
    """Small gradients of d_loss in full, the lengths of all, and the gradient of g_loss."""
    lengths = {f"length {k}": np.asarray(v) for k, v in case.meta["grad_d_loss_l2_norms"].items()}
    small = dict(case.named("grad_d_loss/"))
    return small | lengths | {"generated": case.arrays["grad_g_loss_wrt_generated"]}


def compared_gradients(s: Setting, a: Answers) -> dict[str, np.ndarray]:
    found = {}
    for name in stored_gradients(s.case):
        if name == "generated":
            found[name] = np.asarray(a.g_gradient)
        else:
            value = np.asarray(at(a.d_gradient, where(s.case, name.removeprefix("length "))), np.float64)
            found[name] = np.linalg.norm(value) if name.startswith("length ") else value
    return found


@functools.cache
def conditions() -> dict[str, dict[str, tuple[float, float]]]:
    return json.loads((CASES_FOLDER / "gradient_conditions.json").read_text())


def measured_conditions(s: Setting) -> dict[str, tuple[float, float]]:
    """Size and movement of each gradient.

    Size: the part that comes from real images and the rest, each with its own sign taken away,
    since they nearly cancel in sums over thousands of pixels. Movement: the largest change when
    all images get relative noise of 1e-6, and the opposite noise, so that a unit that is zero
    to rounding does change sides.
    """
    whole = compared_gradients(s, answers(s, s.real, s.fake))
    half = compared_gradients(s, answers(s, s.real, s.fake, real_only=True))
    found = {}
    for name, value in whole.items():
        rest = value if name == "generated" else np.abs(half[name]) + np.abs(value - half[name])
        found[name] = [float(np.abs(rest).max()), 0.0]
    for seed, sign in itertools.product((0, 1), (-1, 1)):
        rng = np.random.RandomState(seed)

        def noisy(x: Labeled, rng=rng, sign=sign) -> Labeled:
            noise = sign * 1e-6 * rng.standard_normal(x.images.shape)
            return x._replace(images=x.images * (1 + noise).astype(np.float32))

        moved = compared_gradients(s, answers(s, noisy(s.real), noisy(s.fake)))
        for name, value in moved.items():
            found[name][1] = max(found[name][1], float(np.abs(value - whole[name]).max()))
    return {name: (size, moved) for name, (size, moved) in found.items()}


def test_without_self_supervision_ssgan_is_the_gan_itself():
    """compare_gan builds the head in any case; its losses are those of the plain GAN too."""
    plain, headed = load("modular_nonsat_cifar_uncond"), load("ssgan_no_selfsupervision_string_none")
    gan = build.gan(plain)
    for word in ("none", None):
        assert ssgan(gan, rotated_batch_size=8, self_supervision=word) is gan
    for key, value in plain.arrays.items():
        np.testing.assert_array_equal(headed.arrays[key], value)


def test_features_that_are_images_are_flattened():
    """DCGAN's features have height and width there; S3GAN refuses them, here it does not."""
    s = Setting.of("ssgan_dcgan_4d_features")
    pair, _, metrics = both_losses(s.gan, s.d, s.real, s.fake, jax.random.key(0))
    found = [
        deviation("d_loss", s.case.arrays["d_loss"], pair.d, 1e-6),
        deviation("g_loss", s.case.arrays["g_loss"], pair.g, 1e-6),
    ]
    for theirs, ours in REPORTED.items():
        if theirs in s.case.arrays and ours in metrics:
            found.append(deviation(ours, s.case.arrays[theirs], metrics[ours], 1e-6))
    check(found)


def comparable_rows(s: Setting, count: int) -> np.ndarray:
    """All rows, but in a conditional SSGAN not the turned generated images; see below."""
    turned = count - (count // 2 - s.case.meta["batch"])
    differs = s.case.meta["gan_class"] == "SSGAN" and s.case.meta["conditional"]
    return np.arange(turned if differs else count)


def test_turned_generated_images_keep_their_own_labels_and_lose_them_in_compare_gan():
    """SSGAN there gives them the labels of the real images; the losses do not depend on it."""
    s = Setting.of("ssgan_cond_projection_sn")
    batch, (real, _), (fake, _) = s.case.meta["batch"], with_views(s.gan, s.real), with_views(s.gan, s.fake)
    stored = s.case.arrays["all_logits"][:, 0][-len(fake.images) + batch :]
    np.testing.assert_array_equal(fake.y[batch:], np.tile(s.fake.y[-4:], (3, 1)))

    def logits(y):
        out = two_sided(s.gan, s.d, real, fake._replace(y=jnp.asarray(y)))[1]
        return np.asarray(out.logits[batch:])

    assert np.abs(logits(fake.y) - stored).max() > 0.01
    check([deviation("with the real labels", stored, logits(real.y), 2e-6, 2e-6)])


def test_s3gan_pays_its_penalty_here_and_not_in_compare_gan():
    s = Setting.of("s3gan_no_projection_rotation")
    penalised = dataclasses.replace(s.gan, penalty=l2_penalty, penalty_weight=3.0)
    pair, _, metrics = both_losses(penalised, s.d, s.real, s.fake, jax.random.key(0))
    kernels = [fill(name, shape) for name, shape, _ in s.case.meta["D_variables"] if name.endswith("kernel")]
    closed_form = np.mean([0.5 * np.sum(kernel.astype(np.float64) ** 2) for kernel in kernels])
    check(
        [
            deviation("penalty", closed_form, metrics["loss/penalty"], 1e-6),
            deviation("d_loss", s.case.arrays["d_loss"] + 3 * closed_form, pair.d, 1e-6),
            deviation("g_loss", s.case.arrays["g_loss"], pair.g, 1e-6),
        ]
    )


if __name__ == "__main__":
    jax.random.uniform = given_coefficients
    convolution.kernel_gradient = jax.jit(convolution.kernel_gradient, static_argnums=(2, 3))
    measured = {name: measured_conditions(Setting.of(name)) for name in CASES}
    rounded = {
        case: {name: [float(f"{x:.2g}") for x in pair] for name, pair in pairs.items()}
        for case, pairs in measured.items()
    }
    (CASES_FOLDER / "gradient_conditions.json").write_text(json.dumps(rounded, indent=0) + "\n")
