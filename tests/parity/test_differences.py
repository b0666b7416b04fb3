"""Where this library differs from compare_gan on purpose: both behaviours, side by side."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.core.types import Cond
from compare_gan.gans.ssgan import ssgan
from compare_gan.gans.step import apply_to_real_and_fake, both_losses, views
from compare_gan.nn import norms
from compare_gan.nn.kernels import plain
from compare_gan.nn.layers import LayerFactory, spectral_normalize
from compare_gan.nn.options import CondDims, CrossReplicaMoments, Layers, StandardizeBatch
from compare_gan.nn.state import merge_module
from compare_gan.penalties.weights import l2_penalty

from . import build, tensorflow
from .kinds import training
from .kinds.architecture import network
from .kinds.create_loss import Setting, eagerly
from .kinds.penalty import penalty
from .reference import fill, load, one_hot

KEY = jax.random.key(0)


def test_rotated_generated_images_keep_their_own_labels():
    s = Setting.of(load("ssgan_cond_projection_sn"))
    batch = s.case.meta["batch"]
    real, fake = views(s.gan, s.real, "real", None), views(s.gan, s.fake, "fake", None)
    turned = s.gan.tasks[0].num_images
    np.testing.assert_array_equal(fake[1].y, np.tile(s.fake.y[-turned:], (3, 1)))
    stored = s.case.arrays["all_logits"][:, 0][-len(fake[1].images) :]
    assert len(s.case.arrays["all_logits"]) == 2 * (batch + len(fake[1].images))

    def logits(y):
        changed = [fake[0], fake[1]._replace(y=jnp.asarray(y))]
        return apply_to_real_and_fake(s.gan, s.d, real, changed)[1][1].logits

    with eagerly():
        assert np.abs(logits(fake[1].y) - stored).max() > 0.01
        np.testing.assert_allclose(logits(real[1].y), stored, rtol=1e-5, atol=2e-6)


def test_s3gan_applies_its_penalty():
    s = Setting.of(load("s3gan_projection_rotation"))
    penalised = dataclasses.replace(s.gan, penalty=l2_penalty, penalty_weight=3.0)
    with eagerly():
        pair, _, metrics, _ = both_losses(penalised, s.d, s.real, s.fake, KEY)
    kernels = [fill(name, shape) for name, shape, _ in s.case.meta["D_variables"] if name.endswith("kernel")]
    closed_form = np.mean([0.5 * np.sum(kernel.astype(np.float64) ** 2) for kernel in kernels])
    assert float(metrics["loss/penalty"]) == pytest.approx(closed_form, rel=1e-6)
    assert float(pair.d) == pytest.approx(float(s.case.arrays["d_loss"]) + 3 * closed_form, rel=1e-6)
    assert float(pair.g) == pytest.approx(float(s.case.arrays["g_loss"]), rel=1e-6)


def test_without_self_supervision_ssgan_is_the_base_gan():
    plain, headed = load("modular_nonsat_cifar_uncond"), load("ssgan_no_selfsupervision_string_none")
    gan = build.gan(plain)
    for word in ("none", None):  # None raises there
        assert ssgan(gan, rotated_batch_size=8, self_supervision=word) is gan
    for key, value in plain.arrays.items():
        np.testing.assert_array_equal(headed.arrays[key], value)


def test_spectral_vectors_are_constant_in_evaluation():
    case = load("resnet_cifar_32_cbn_projection_sn")
    gan = build.gan(case)
    definition, state = network(case, "D", gan.abstract_d)
    discriminator = merge_module(definition, state.params, state.extra)
    discriminator(jnp.asarray(case.images), case.labels(), (), train=False)
    name = "discriminator/B1/down_conv_shortcut/kernel"
    kernel, before = fill(name, (3, 3, 3, 128)), fill(f"{name}/u_var", (27, 1))
    np.testing.assert_array_equal(discriminator.backbone.blocks[0].shortcut.u[...], before)
    theirs = case.arrays[f"after_eval_pass/{name}/u_var"]
    np.testing.assert_allclose(theirs, spectral_normalize(kernel, before, "left", 1e-12)[1], atol=1e-6)
    assert np.abs(theirs - before).max() > 1e-2


def test_variance_is_accurate_for_a_large_mean():
    """There it is E[x^2] - E[x]^2 in float32, a small multiple of the spacing of numbers at E[x^2]."""
    case, channel = load("op_norms_train"), 3
    x4 = case.arrays["input/x4"]
    x = x4[..., channel].astype(np.float64)
    norm = norms.BatchNorm(4, Layers())
    exact = (x - x.mean()) / np.sqrt(x.var() + 1e-3)
    assert np.abs(norm(x4, Cond(train=True))[..., channel] - exact).max() < 2e-3
    gamma, beta = (case.arrays[f"variable/generator/bn4/{name}"][channel] for name in ("gamma", "beta"))
    theirs = (case.arrays["output_pass1/bn4"][..., channel] - beta) / gamma
    assert np.abs(theirs - exact).max() > 0.02
    implied = 1 / np.polyfit(x.ravel(), theirs.ravel(), 1)[0] ** 2 - 1e-3
    spacing = float(np.spacing(np.float32((x**2).mean())))
    assert implied / spacing == pytest.approx(round(implied / spacing), abs=0.1)
    assert abs(implied - x.var()) > 0.2 * spacing


def test_a_group_of_devices_has_its_own_mean_and_variance():
    """There the mean is that of all devices, the mean of squares that of the group."""
    x = np.random.RandomState(0).standard_normal((8, 3)).astype(np.float32)
    x[:4] += 2
    layers = Layers(
        batch=StandardizeBatch(epsilon=0.0), moments=CrossReplicaMoments(group_size=2), replicas=4
    )
    ours = norms.Standardize(3, layers)(x, Cond(train=True))
    for group in (slice(4), slice(4, 8)):
        np.testing.assert_allclose(
            ours[group], (x[group] - x[group].mean(0)) / x[group].std(0), rtol=2e-5, atol=1e-5
        )
    their_variance = (x[:4] ** 2).mean(0) - x.mean(0) ** 2
    assert np.all(their_variance > 2 * x[:4].var(0))


def test_conditional_batch_norm_adds_nothing_to_its_scale_by_default():
    x, y = np.random.RandomState(0).standard_normal((6, 2, 2, 3)).astype(np.float32), one_hot([-1] * 6, 4)
    make = LayerFactory(Layers(), nnx.Rngs(0), dims=CondDims(0, 4))
    there = norms.conditional_batch_norm(make, 3)
    np.testing.assert_array_equal(there(x, Cond(y=y, train=True)), 0)
    usual = norms.conditional_batch_norm(make, 3, gamma_offset=1.0)
    expected = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-3)
    np.testing.assert_allclose(usual(x, Cond(y=y, train=True)), expected, rtol=1e-4, atol=1e-5)


def test_s3gan_flattens_image_shaped_features():
    case = load("s3gan_dcgan_4d_features")
    assert "AssertionError" in case.meta["error"]
    gan = build.gan(case)
    state = jax.eval_shape(gan.init, KEY)
    assert state.d.params["heads"]["rotation"]["kernel"].shape == (2 * 2 * 512, 4)


@pytest.mark.slow
def test_second_derivatives_of_layer_norm_are_exact(monkeypatch):
    """Without the C++ kernels, whose rounding moves the penalty by 2.4e-5 itself."""
    case = load("penalty_wgangp_resnet_cifar_layernorm")
    with plain(True):
        assert all(d.found <= d.allowed for d in penalty(case))
        monkeypatch.setattr(tensorflow, "layer_norm_moments", contextlib.nullcontext)
        off = {d.what for d in penalty(case) if d.found > d.allowed}
    assert off and "penalty" not in off


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, quirk, min_difference",
    [
        ("train_resnet_cifar_disc1", "early_sums", 1e-4),
        ("train_s3gan_biggan32", "generator_runs_again", 4e-5),
    ],
)
def test_the_generator_update_uses_one_state_of_both_networks(name, quirk, min_difference, monkeypatch):
    """What TensorFlow's graph and a second generator run put into the first call's loss there."""
    case = load(name)
    case = dataclasses.replace(case, meta=case.meta | {"steps": 1})
    gan = build.gan(case)
    names = [n for n in case.meta["variables_mean_std_min_max_after_first_call"] if training.is_network(n)]
    monkeypatch.setattr(tensorflow, quirk, lambda *_: contextlib.nullcontext())
    trace = training.run(case, gan, training.started(case, gan, names), names)
    stored = {key: float(case.arrays[f"losses/{key}"][0]) for key in ("loss/d_0", "loss/g")}
    assert trace.losses[0]["loss/d_0"] == pytest.approx(stored["loss/d_0"], rel=2e-6)
    assert abs(trace.losses[0]["loss/g"] - stored["loss/g"]) > min_difference
