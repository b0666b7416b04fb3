"""The training step: what it computes, and that it is compiled once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from compare_gan.core.types import Batch, Cond, Labeled
from compare_gan.gans.inference import sample
from compare_gan.gans.optimizers import adam
from compare_gan.gans.s3gan import s3gan
from compare_gan.gans.sampling import normal
from compare_gan.gans.ssgan import ssgan
from compare_gan.gans.step import (
    apply_to_real_and_fake,
    as_labeled,
    both_losses,
    sample_inputs,
    train_step,
    views,
)
from compare_gan.losses.standard import hinge, wasserstein
from compare_gan.nn import norms
from compare_gan.nn.layers import spectral_normalize
from compare_gan.nn.options import Layers, StandardizeBatch
from compare_gan.nn.state import merge_module, net_state
from compare_gan.penalties.gradient import wgangp_penalty

from .tiny import batch, tiny_gan

KEY = jax.random.key(0)


def close(found, expected, tolerance=1e-6):
    def compare(path, a, b):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=jax.tree_util.keystr(path))

    jax.tree.map_with_path(compare, found, expected)


def test_the_step_is_traced_once():
    base = tiny_gan(conditional=True, g_use_ema=True)
    gan = s3gan(base, rotated_batch_fraction=2, project_y=True, use_predictor=True)
    traces = []

    @jax.jit
    def step(state, batch, rng):
        traces.append(1)
        return train_step(gan, state, batch, rng)

    state = gan.init(KEY)
    for i in range(3):
        new, metrics = step(state, batch(i), jax.random.fold_in(KEY, i))
        assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(
            lambda x: (x.shape, x.dtype), state
        )
        state = new
    assert len(traces) == 1
    assert int(state.step) == 3
    assert {"loss/d", "loss/g", "loss/penalty", "loss/class", "loss/rotation_real"} <= metrics.keys()
    assert all(np.isfinite(value) for value in metrics.values())


class PlainAdam:
    """Adam of TensorFlow 1, in NumPy and float64, one state for each leaf."""

    def __init__(self, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
        self.rate, self.beta1, self.beta2, self.epsilon = rate, beta1, beta2, epsilon
        self.t, self.m, self.v = 0, {}, {}

    def __call__(self, params, gradients):
        self.t += 1
        rate = self.rate * np.sqrt(1 - self.beta2**self.t) / (1 - self.beta1**self.t)

        def update(path, p, g):
            key, g = jax.tree_util.keystr(path), np.asarray(g, np.float64)
            self.m[key] = self.beta1 * self.m.get(key, 0) + (1 - self.beta1) * g
            self.v[key] = self.beta2 * self.v.get(key, 0) + (1 - self.beta2) * g**2
            moved = np.asarray(p, np.float64) - rate * self.m[key] / (np.sqrt(self.v[key]) + self.epsilon)
            return jnp.asarray(moved, jnp.float32)

        return jax.tree.map_with_path(update, params, gradients)


@pytest.mark.parametrize("unroll", [False, True])
def test_a_step_by_hand(unroll):
    """Each update written out, the generator's by one gradient through both networks."""
    drawn = []

    def prior(rng, shape):
        z = normal(rng, shape)
        jax.debug.callback(lambda z: drawn.append(np.asarray(z)), z, ordered=True)
        return z

    gan = tiny_gan(disc_iters=2, loss=hinge, prior=prior, d_lr=0.02, experimental_force_graph_unroll=unroll)
    state, data = gan.init(KEY), batch(1, gan.sub_batches)
    found, metrics = jax.jit(lambda *arguments: train_step(gan, *arguments))(state, data, jax.random.key(7))
    jax.effects_barrier()
    assert len(drawn) == gan.sub_batches == 2 + unroll

    g, g_extra, d, d_extra = state.g.params, state.g.extra, state.d.params, state.d.extra
    g_adam, d_adam = PlainAdam(0.01), PlainAdam(0.02)

    def generate(g, g_extra, z):
        network = merge_module(gan.g_def, g, g_extra)
        return network(Cond(z, None, True)), net_state(network).extra

    def apply_d(d, d_extra, images):
        network = merge_module(gan.d_def, d, d_extra)
        return network(images, None, (), True).logits, net_state(network).extra

    @jax.jit
    def d_gradient(d, d_extra, real_images, images):
        def loss(d):
            real, extra = apply_d(d, d_extra, real_images)
            fake, _ = apply_d(d, d_extra, images)
            return jnp.maximum(1 - real, 0).mean() + jnp.maximum(1 + fake, 0).mean(), extra

        return jax.value_and_grad(loss, has_aux=True)(d)

    @jax.jit
    def g_gradient(g, g_extra, d, d_extra, z):
        def loss(g):
            images, extra = generate(g, g_extra, z)
            fake, d_after = apply_d(d, d_extra, images)
            return -fake.mean(), (extra, d_after)

        return jax.value_and_grad(loss, has_aux=True)(g)

    begin = g_extra
    if unroll:  # the generator's own pass comes first; else the last update's serves both players
        own, *drawn = drawn
        _, g_extra = jax.jit(generate)(g, begin, own)
    for i in range(2):
        before = g_extra
        images, g_extra = jax.jit(generate)(g, before, drawn[i])
        (last_d_loss, d_extra), gradient = d_gradient(d, d_extra, data.images[i], images)
        d = d_adam(d, gradient)
    z, start = (own, begin) if unroll else (drawn[-1], before)
    (last_g_loss, (_, d_extra)), gradient = g_gradient(g, start, d, d_extra, z)
    g = g_adam(g, gradient)

    close(found.d.params, d)
    close(found.d.extra, d_extra)
    close(found.g.params, g)
    close(found.g.extra, g_extra)
    assert int(found.step) == 1
    assert float(metrics["loss/d"]) == pytest.approx(float(last_d_loss), abs=1e-6)
    assert float(metrics["loss/g"]) == pytest.approx(float(last_g_loss), abs=1e-6)


@pytest.mark.parametrize("joint", [False, True])
def test_unrolled_the_generator_runs_often_and_its_spectral_vectors_move_once(joint):
    gan = tiny_gan(
        disc_iters=2,
        g_spectral_norm=True,
        conditional=True,
        experimental_force_graph_unroll=True,
        experimental_joint_gen_for_disc=joint,
    )
    state = gan.init(KEY)
    new, metrics = jax.jit(lambda *arguments: train_step(gan, *arguments))(state, batch(1, 3), KEY)
    assert all(np.isfinite(value) for value in metrics.values())
    u, kernel = state.g.extra["fc"]["u"], state.g.params["fc"]["kernel"]
    close(new.g.extra["fc"]["u"], spectral_normalize(kernel, u, "left", 1e-12)[1])
    # Runs in one step: the generator's own, and one for all discriminator updates or one for each.
    kept = 0.999 ** (2 if joint else 3)
    mean = new.g.extra["norm"]["standardize"]["moving_variance"]
    assert np.all(mean < 1) and np.all(mean > kept)


def test_joint_generation_standardises_all_images_together():
    arguments = dict(disc_iters=2, experimental_force_graph_unroll=True)
    apart, joint = (tiny_gan(**arguments, experimental_joint_gen_for_disc=joint) for joint in (False, True))
    plain, together = (
        tiny_gan(g_norm=None, **arguments, experimental_joint_gen_for_disc=j) for j in (False, True)
    )

    def stepped(gan):
        return jax.jit(lambda *arguments: train_step(gan, *arguments)[0])(gan.init(KEY), batch(1, 3), KEY)

    close(stepped(plain).d.params, stepped(together).d.params)
    assert np.abs(stepped(apart).d.params["backbone"]["fc"]["bias"]).max() > 0
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(), stepped(apart).d.params, stepped(joint).d.params)
    assert max(jax.tree.leaves(change)) > 1e-5


def test_without_batch_statistics_two_passes_say_what_one_does():
    gan = s3gan(tiny_gan(conditional=True), rotated_batch_fraction=1, project_y=True, use_predictor=True)
    assert not gan.d_has_batch_statistics
    state = gan.init(KEY)
    real, fake = (as_labeled(gan, Batch(*(x[0] for x in batch(seed)))) for seed in (1, 2))

    def losses_of(together):
        return jax.jit(
            lambda d: (
                apply_to_real_and_fake(
                    gan, d, views(gan, real, "real", None), views(gan, fake, "fake", None), together
                ),
                both_losses(gan, d, real, fake, KEY, together),
            )
        )(state.d)

    close(losses_of(True), losses_of(False), 2e-6)


def test_batch_statistics_are_those_of_both_sides():
    gan = tiny_gan(d_norm=norms.batch_norm, spectral_norm=False)
    assert gan.d_has_batch_statistics
    state = gan.init(KEY)
    real, fake = (Labeled(batch(seed).images[0], None) for seed in (1, 2))
    network = merge_module(gan.d_def, state.d.params, state.d.extra)
    logits = network(jnp.concatenate([real.images, fake.images]), None, (), True).logits
    (real_out,), (fake_out,), extra = apply_to_real_and_fake(gan, state.d, [real], [fake])
    close(jnp.concatenate([real_out.logits, fake_out.logits]), logits)
    close(extra, net_state(network).extra)
    alone = merge_module(gan.d_def, state.d.params, state.d.extra)(real.images, None, (), True).logits
    assert np.abs(alone - real_out.logits).max() > 1e-4
    split = dataclasses.replace(gan, deprecated_split_disc_calls=True)
    (real_out,), _, extra = apply_to_real_and_fake(split, state.d, [real], [fake])
    close(alone, real_out.logits)
    network = merge_module(gan.d_def, state.d.params, state.d.extra)
    for images in (real.images, fake.images):
        network(images, None, (), True)
    close(extra, net_state(network).extra)


def test_groups_of_devices_see_their_share_of_every_part():
    """With statistics of one of two devices alone: what two GANs say, each with half of every part."""
    gan = tiny_gan(
        d_norm=norms.batch_norm, layers=Layers(batch=StandardizeBatch(use_cross_replica_mean=False))
    )
    gan = ssgan(gan, rotated_batch_size=16)
    state = gan.init(KEY)
    real, fake = (views(gan, Labeled(batch(seed).images[0], None), "real", None) for seed in (1, 2))
    real_outs, fake_outs, _ = apply_to_real_and_fake(gan.with_replicas(2), state.d, real, fake)
    for half in (0, 1):

        def share(parts, half=half):
            return [jax.tree.map(lambda x: jnp.split(x, 2)[half], part) for part in parts]

        alone = apply_to_real_and_fake(gan, state.d, share(real), share(fake))
        for whole, part in ((real_outs, alone[0]), (fake_outs, alone[1])):
            close([out.logits for out in share(whole)], [out.logits for out in part])


def test_the_average_is_a_copy_first_and_decays_then():
    gan = tiny_gan(g_use_ema=True, ema_decay=0.75, ema_start_step=2)
    step = jax.jit(lambda *arguments: train_step(gan, *arguments)[0])
    states = [gan.init(KEY)]
    for i in range(4):
        states.append(step(states[-1], batch(i), jax.random.fold_in(KEY, i)))
    for state in states[:3]:
        close(state.g_ema, state.g.params, 0)
    for old, new in zip(states[2:], states[3:], strict=False):
        expected = jax.tree.map(lambda a, p: 0.75 * a + 0.25 * p, old.g_ema, new.g.params)
        close(new.g_ema, expected)
    last, z = states[-1], normal(KEY, (3, 5))
    averaged = dataclasses.replace(last, g=dataclasses.replace(last.g, params=last.g_ema), g_ema=None)
    close(sample(gan, last, z), sample(gan, averaged, z), 0)
    assert np.abs(sample(gan, last, z) - sample(gan, dataclasses.replace(last, g_ema=None), z)).max() > 1e-4


def test_each_player_pays_for_its_own_half():
    """Neither the penalty nor the real images reach the generator; the penalty leaves no trace."""
    gan = tiny_gan(penalty=wgangp_penalty, loss=wasserstein)
    state, rng = gan.init(KEY), jax.random.key(3)
    real, fake, other = (Labeled(batch(seed).images[0], None) for seed in (1, 2, 3))
    losses = jax.jit(
        lambda real, weight: both_losses(
            dataclasses.replace(gan, penalty_weight=weight), state.d, real, fake, rng
        )
    )
    pair, extra, metrics, _ = losses(real, 10.0)
    unpenalised, free_extra, *_ = losses(real, 0.0)
    assert float(pair.d - unpenalised.d) == pytest.approx(10 * float(metrics["loss/penalty"]), rel=1e-4)
    assert float(metrics["loss/penalty"]) > 0.1
    assert float(pair.g) == float(unpenalised.g) == pytest.approx(float(losses(other, 10.0)[0].g), abs=1e-6)
    close(extra, free_extra, 0)


def test_labels_and_images_as_the_networks_see_them():
    gan = tiny_gan(conditional=True)
    pixels = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1)
    seen = as_labeled(gan, Batch(jnp.asarray(pixels), jnp.array([2, -1, 0])))
    np.testing.assert_allclose(seen.images[:, 0, 0, 0], [0, 0.2, 1], rtol=1e-6)
    np.testing.assert_array_equal(seen.y, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    soft = jnp.array([[0.2, 0.3, 0.5]])
    np.testing.assert_array_equal(as_labeled(gan, Batch(jnp.ones((1, 1, 1, 1)), soft)).y, soft)
    assert as_labeled(tiny_gan(), Batch(jnp.asarray(pixels), soft)).y is None


def test_generated_labels_are_uniform_or_those_of_the_batch():
    real = Labeled(jnp.zeros((3000, 1, 1, 1)), jax.nn.one_hot(jnp.zeros(3000, jnp.int32), 3))
    gan = tiny_gan(conditional=True)
    _, y = sample_inputs(gan, real, KEY, lambda x: x)
    assert np.all(np.sum(y, 1) == 1)
    assert np.abs(np.sum(y, 0) - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)
    _, y = sample_inputs(dataclasses.replace(gan, fit_label_distribution=True), real, KEY, lambda x: x)
    np.testing.assert_array_equal(y, real.y)


def test_adam_is_that_of_tensorflow():
    rng, rate, epsilon = np.random.RandomState(0), 0.1, 0.5
    params = {"a": jnp.asarray(rng.standard_normal(4), jnp.float32), "b": jnp.asarray(2.0)}
    ours, plain = adam(rate, 0.5, 0.9, epsilon), PlainAdam(rate, 0.5, 0.9, epsilon)
    theirs = optax.adam(rate, 0.5, 0.9, epsilon)
    # With epsilon divided by the root of the bias correction, optax computes the same.
    shifted = {t: optax.adam(rate, 0.5, 0.9, epsilon / np.sqrt(1 - 0.9**t)) for t in range(1, 6)}
    state, other, expected = ours.init(params), theirs.init(params), params
    for t in range(1, 6):
        gradients = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), jnp.float32), params)
        from_optax, _ = shifted[t].update(gradients, other)
        unlike, other = theirs.update(gradients, other)
        updates, state = ours.update(gradients, state)
        close(updates, from_optax, 1e-5)
        assert np.abs(updates["a"] - unlike["a"]).max() > 1e-3
        params, expected = optax.apply_updates(params, updates), plain(expected, gradients)
        close(params, expected)


def test_the_state_is_a_function_of_the_key():
    gan = tiny_gan()
    close(gan.init(jax.random.key(3)), gan.init(jax.random.key(3)), 0)
    one, two = (gan.init(jax.random.key(seed)).g.params["conv"]["kernel"] for seed in (3, 4))
    assert np.abs(one - two).max() > 1e-3
    assert nnx.graphdef(gan.generator(nnx.Rngs(0))) == gan.g_def
