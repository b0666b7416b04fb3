"""One training step: `disc_iters` discriminator updates and one generator update. Pure.

Shape letters: S sub-batches, B batch, H W C image, K classes.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from compare_gan.core.types import (
    Array,
    Batch,
    Cond,
    DiscriminatorOut,
    GANState,
    Labeled,
    LossPair,
    Metrics,
    NetState,
    PenaltyInputs,
    Seen,
    Tree,
)
from compare_gan.gans.modular import GAN
from compare_gan.gans.sampling import random_labels
from compare_gan.nn.state import bind, net_state

Spread = Callable[[Array], Array]  # says how an array [B, ...] lies over the devices


def train_step(
    gan: GAN, state: GANState, batch: Batch, rng: Array, spread: Spread = lambda x: x
) -> tuple[GANState, Metrics]:
    """The whole of training, as a function of state, data and key.

    Args:
      gan: what is trained.
      state: as `gan.init` makes it.
      batch: images [S, B, H, W, C] and labels [S, B] or [S, B, K], S = `gan.sub_batches`.
      rng: the key of this step.
      spread: applied to what is drawn at random here, so that several devices share it.

    Returns:
      The next state, and what there is to report of the last updates.
    """
    rngs = jax.random.split(rng, gan.sub_batches)

    def discriminator_only(state, xs):
        batch, rng = xs
        real, sample_rng, loss_rng = as_labeled(gan, batch), *jax.random.split(rng)
        z, y = sample_inputs(gan, real, sample_rng, spread)
        images, g_extra = generate(gan, state.g.params, state.g.extra, z, y)
        state = dataclasses.replace(state, g=dataclasses.replace(state.g, extra=g_extra))
        return update_discriminator(gan, state, real, Labeled(images, y), loss_rng)

    early = jax.tree.map(lambda x: x[:-1], (batch, rngs))
    metrics: Metrics = {}
    if gan.sub_batches > 1:
        state, stacked = jax.lax.scan(discriminator_only, state, early)
        metrics = jax.tree.map(lambda x: x[-1], stacked)

    batch, rng = jax.tree.map(lambda x: x[-1], (batch, rngs))
    real, sample_rng, loss_rng = as_labeled(gan, batch), *jax.random.split(rng)
    z, y = sample_inputs(gan, real, sample_rng, spread)
    images, pull_back, g_extra = jax.vjp(
        lambda params: generate(gan, params, state.g.extra, z, y), state.g.params, has_aux=True
    )
    state = dataclasses.replace(state, g=dataclasses.replace(state.g, extra=g_extra))
    fake = Labeled(images, y)
    if not gan.experimental_force_graph_unroll:
        state, metrics = update_discriminator(gan, state, real, fake, loss_rng)
    state, loss = update_generator(gan, state, real, fake, pull_back, loss_rng)
    return state, metrics | {"loss/g": loss}


def update_discriminator(
    gan: GAN, state: GANState, real: Labeled, fake: Labeled, rng: Array
) -> tuple[GANState, Metrics]:
    def loss_fn(params):
        pair, extra, metrics = both_losses(
            gan, NetState(params, state.d.extra), real, fake, rng, together=True
        )
        return pair.d, (extra, metrics)

    (loss, (extra, metrics)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(state.d.params)
    updates, opt = gan.d_tx.update(gradients, state.d_opt, state.d.params)
    params = optax.apply_updates(state.d.params, updates)
    return dataclasses.replace(state, d=NetState(params, extra), d_opt=opt), {"loss/d": loss} | metrics


def update_generator(
    gan: GAN, state: GANState, real: Labeled, fake: Labeled, pull_back: Callable[[Array], tuple], rng: Array
) -> tuple[GANState, Array]:
    """`pull_back` maps a gradient in the fake images to one in the generator's parameters."""

    def loss_fn(images):
        pair, extra, _ = both_losses(gan, state.d, real, fake._replace(images=images), rng)
        return pair.g, extra

    (loss, d_extra), gradient = jax.value_and_grad(loss_fn, has_aux=True)(fake.images)
    updates, opt = gan.g_tx.update(*pull_back(gradient), state.g_opt, state.g.params)
    params = optax.apply_updates(state.g.params, updates)
    ema = state.g_ema
    if gan.g_use_ema:  # before the start the average is a copy, as in compare_gan
        decay = jnp.where(state.step >= gan.ema_start_step, gan.ema_decay, 0.0)
        ema = optax.incremental_update(params, ema, 1 - decay)
    g, d = dataclasses.replace(state.g, params=params), dataclasses.replace(state.d, extra=d_extra)
    return dataclasses.replace(state, step=state.step + 1, g=g, d=d, g_opt=opt, g_ema=ema), loss


def both_losses(
    gan: GAN, d: NetState, real: Labeled, fake: Labeled, rng: Array, together: bool = False
) -> tuple[LossPair, Tree, Metrics]:
    """The losses of both players.

    The one place where loss, penalty and tasks meet. Each player differentiates its own half
    and the compiler drops what only the other needs.

    Returns:
      The losses, the discriminator's new statistics, and what there is to report.
    """
    size = len(real.images)
    (real_all, spans), (fake_all, _) = with_views(gan, real), with_views(gan, fake)
    real_out, fake_out, extra = two_sided(gan, d, real_all, fake_all, together)
    real_base, fake_base = cut(real_out, slice(size)), cut(fake_out, slice(size))

    def for_penalty(images):  # starts from the same statistics, and leaves none behind
        return bind(gan.d_def, d.params, d.extra)(images, real.y, gan.tasks, train=True).logits

    penalty = gan.penalty(PenaltyInputs(for_penalty, d.params, real.images, fake.images, rng))
    pair = gan.loss(real_base.logits, fake_base.logits) + LossPair(
        gan.penalty_weight * penalty, jnp.zeros_like(penalty)
    )
    pair = pair.scaled(gan.adversarial_weight, gan.adversarial_weight)
    metrics = {
        "loss/penalty": penalty,
        "logits/real": real_base.logits.mean(),
        "logits/fake": fake_base.logits.mean(),
    }
    for task, span in zip(gan.tasks, spans, strict=True):
        own_real, own_fake = (None if span is None else cut(side, span) for side in (real_out, fake_out))
        more, reported = task.loss(Seen(real_base, own_real), Seen(fake_base, own_fake), real.y)
        pair, metrics = pair + more, metrics | reported
    return pair, extra, metrics


def two_sided(
    gan: GAN, d: NetState, real: Labeled, fake: Labeled, together: bool = False
) -> tuple[DiscriminatorOut, DiscriminatorOut, Tree]:
    """What the discriminator says of both sides, and its new statistics.

    Batch statistics are those of real and fake images together. Where there are none, an
    image's output does not depend on its neighbours, and two passes from the same state say the
    same as one. One is the smaller program for a player who needs both sides; with two, what
    a player does not need is never computed.
    """

    def score(x: Labeled) -> tuple[DiscriminatorOut, Tree]:
        discriminator = bind(gan.d_def, d.params, d.extra)
        return discriminator(x.images, x.y, gan.tasks, train=True), net_state(discriminator).extra

    if not (together or gan.d_has_batch_statistics):
        (real_out, extra), (fake_out, _) = score(real), score(fake)
        return real_out, fake_out, extra
    out, extra = score(jax.tree.map(lambda *xs: jnp.concatenate(xs), real, fake))
    half = len(real.images)
    return cut(out, slice(half)), cut(out, slice(half, None)), extra


def with_views(gan: GAN, x: Labeled) -> tuple[Labeled, list[slice | None]]:
    """The batch followed by each task's extra views, and where those lie."""
    parts, spans, start = [x], [], len(x.images)
    for task in gan.tasks:
        extra = task.extra_views(x)
        spans.append(None if extra is None else slice(start, start + len(extra.images)))
        if extra is not None:
            parts.append(extra)
            start += len(extra.images)
    return jax.tree.map(lambda *xs: jnp.concatenate(xs), *parts), spans


def cut(out: DiscriminatorOut, span: slice) -> DiscriminatorOut:
    return jax.tree.map(lambda x: x[span], out)


def as_labeled(gan: GAN, batch: Batch) -> Labeled:
    """Images in [0, 1] with one-hot or soft labels; a label of -1 gives a row of zeros."""
    images = batch.images
    if images.dtype == jnp.uint8:
        images = images.astype(jnp.float32) / 255
    if not gan.conditional:
        return Labeled(images, None)
    soft = batch.labels.ndim == 2
    return Labeled(images, batch.labels if soft else jax.nn.one_hot(batch.labels, gan.spec.num_classes))


def sample_inputs(gan: GAN, real: Labeled, rng: Array, spread: Spread) -> tuple[Array, Array | None]:
    """What the generator starts from: latent vectors [B, Z], and labels [B, K] or None."""
    z_rng, y_rng = jax.random.split(rng)
    count = len(real.images)
    z = spread(gan.prior(z_rng, (count, gan.z_dim)))
    if not gan.conditional:
        return z, None
    return z, real.y if gan.fit_label_distribution else spread(random_labels(y_rng, count, gan.y_dim))


def generate(gan: GAN, params: Tree, extra: Tree, z: Array, y: Array | None) -> tuple[Array, Tree]:
    """Images in training mode, and the generator's new statistics."""
    generator = bind(gan.g_def, params, extra)
    images = generator(Cond(z, y, train=True))
    return images, net_state(generator).extra


def sample(gan: GAN, state: GANState, z: Array, y: Array | None = None) -> Array:
    """[B, Z] and [B, K] -> images [B, H, W, C] in [0, 1], with averaged weights where there are some."""
    params = state.g.params if state.g_ema is None else state.g_ema
    return bind(gan.g_def, params, state.g.extra)(Cond(z, y, train=False))
