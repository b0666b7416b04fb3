"""One training step: `disc_iters` discriminator updates and one generator update. Pure.

Shape letters: S sub-batches, B batch, H W C image, K classes.
"""

import dataclasses
import functools
import itertools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from compare_gan.core.types import (
    Array,
    Batch,
    Cond,
    GANState,
    Labeled,
    Logits,
    LossPair,
    Metrics,
    NetState,
    PenaltyInputs,
    Side,
    SideOutputs,
    Tree,
)
from compare_gan.gans.accumulation import accumulate_microbatches
from compare_gan.gans.gan import GAN
from compare_gan.gans.sampling import random_labels
from compare_gan.nn.state import merge_module, net_state, replace_spectral_vectors

AdaptiveStates = Mapping[str, dict[str, Array]]  # `GANState.adaptive`
NONE: AdaptiveStates = types.MappingProxyType({})
ShardFn = Callable[[Array], Array]  # constrains the sharding of an array [B, ...]


def train_step(
    gan: GAN, state: GANState, batch: Batch, rng: Array, shard: ShardFn = lambda x: x
) -> tuple[GANState, Metrics]:
    """One training step, as a pure function of state, data and key.

    The generator is updated on the images and latent vectors of the last discriminator update; with
    `experimental_force_graph_unroll` every update has its own (`unrolled_step`).

    >>> data = cg.open_dataset("digits")
    >>> gan = cg.presets.small(data.spec)
    >>> step = jax.jit(functools.partial(cg.train_step, gan), donate_argnums=0)
    >>> rows = np.arange(gan.sub_batches * gan.batch_size).reshape(gan.sub_batches, gan.batch_size)
    >>> batch = cg.Batch(data.train.images[rows], data.train.labels[rows])
    >>> state, metrics = step(gan.init(jax.random.key(0)), batch, jax.random.key(1))
    >>> int(state.step), metrics["loss/d"].shape
    (1, ())

    Args:
      gan: the GAN to train.
      state: the current state; `gan.init` creates the first.
      batch: images [S, B, H, W, C] and labels [S, B] or [S, B, K], S = `gan.sub_batches`.
      rng: the key of this step.
      shard: constrains the sharding of random inputs [B, ...].

    Returns:
      The next state, and the metrics of the last discriminator update and the generator update.
    """
    rngs = jax.random.split(rng, gan.sub_batches)
    if gan.experimental_force_graph_unroll:
        return unrolled_step(gan, state, batch, rngs, shard)

    early, last = split_last((batch, rngs))
    if gan.disc_iters > 1:
        state, _ = jax.lax.scan(
            lambda state, x: discriminator_step(gan, state, x[0], x[1], shard), state, early
        )
    drawn = draw(gan, last[0], last[1], shard)
    images, generator_vjp, g_extra = generate_with_vjp(gan, state, drawn)
    fake = Labeled(images, drawn.y)
    state, metrics = update_discriminator(gan, with_g_extra(state, g_extra), drawn.real, fake, drawn.rng)
    state, loss = update_generator(gan, state, drawn.real, fake, generator_vjp, drawn.rng)
    return state, metrics | {"loss/g": loss}


def discriminator_step(
    gan: GAN, state: GANState, batch: Batch, rng: Array, shard: ShardFn = lambda x: x
) -> tuple[GANState, Metrics]:
    """One discriminator update on a batch of real images [B, H, W, C] and newly generated ones."""
    drawn = draw(gan, batch, rng, shard)
    images, g_extra = generate(gan, state.g.params, state.g.extra, drawn.z, drawn.y)
    fake = Labeled(images, drawn.y)
    return update_discriminator(gan, with_g_extra(state, g_extra), drawn.real, fake, drawn.rng)


class Drawn(NamedTuple):
    """The inputs of one update."""

    real: Labeled
    z: Array  # [B, Z]
    y: Array | None  # [B, K], labels of the generated images
    rng: Array  # key of the penalty


def draw(gan: GAN, batch: Batch, rng: Array, shard: ShardFn) -> Drawn:
    """The real images and labels of one update, and random latent vectors and labels for generated images."""
    sample_rng, loss_rng = jax.random.split(rng)
    real = as_labeled(gan, batch)
    z, y = sample_inputs(gan, real, sample_rng, shard)
    return Drawn(real, z, y, loss_rng)


def unrolled_step(
    gan: GAN, state: GANState, batch: Batch, rngs: Array, shard: ShardFn
) -> tuple[GANState, Metrics]:
    """A training step in which every update has its own images and latent vectors; see `train_step`.

    The generator's forward pass for its own update comes first, so that its batch statistics are updated in
    compare_gan's order. All its forward passes of a step use the same spectral vectors.
    """
    early, last = split_last((batch, rngs))
    own = draw(gan, last[0], last[1], shard)
    vectors = state.g.extra
    images, generator_vjp, g_extra = generate_with_vjp(gan, state, own)
    state = with_g_extra(state, g_extra)
    drawn = jax.lax.map(lambda inputs: draw(gan, inputs[0], inputs[1], shard), early)

    def run_generator(state: GANState, z: Array, y: Array | None) -> tuple[Array, GANState]:
        extra = replace_spectral_vectors(vectors, state.g.extra)
        images, extra = generate(gan, state.g.params, extra, z, y)
        return images, with_g_extra(state, extra)

    if gan.experimental_joint_gen_for_disc:
        z, y = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (drawn.z, drawn.y))
        joint, state = run_generator(state, z, y)
        generated = joint.reshape(gan.disc_iters, -1, *joint.shape[1:])
    else:
        generated = None

    def update_discriminator_only(
        state: GANState, inputs: tuple[Drawn, Array | None]
    ) -> tuple[GANState, Metrics]:
        drawn, images = inputs
        if images is None:
            images, state = run_generator(state, drawn.z, drawn.y)
        return update_discriminator(gan, state, drawn.real, Labeled(images, drawn.y), drawn.rng)

    state, metrics = jax.lax.scan(update_discriminator_only, state, (drawn, generated))
    state, loss = update_generator(gan, state, own.real, Labeled(images, own.y), generator_vjp, own.rng)
    return state, jax.tree.map(lambda x: x[-1], metrics) | {"loss/g": loss}


def split_last(tree: Tree) -> tuple[Tree, Tree]:
    """Splits arrays along the leading axis into all entries but the last, and the last."""
    return jax.tree.map(lambda x: x[:-1], tree), jax.tree.map(lambda x: x[-1], tree)


def with_g_extra(state: GANState, extra: Tree) -> GANState:
    """The state with new non-trainable state of the generator."""
    return dataclasses.replace(state, g=dataclasses.replace(state.g, extra=extra))


def generate_with_vjp(
    gan: GAN, state: GANState, drawn: Drawn
) -> tuple[Array, Callable[[Array], tuple], Tree]:
    """Generates images for training.

    Returns:
      The images, the function that maps their gradients to gradients of the generator's parameters, and the
      generator's new non-trainable state.
    """
    return jax.vjp(
        lambda params: generate(gan, params, state.g.extra, drawn.z, drawn.y), state.g.params, has_aux=True
    )


def update_discriminator(
    gan: GAN, state: GANState, real: Labeled, fake: Labeled, rng: Array
) -> tuple[GANState, Metrics]:
    """One discriminator update on a batch of real and one of generated images.

    `rng` is for the penalty and the augmentation.
    """

    def microbatch_fn(sides: tuple[Labeled, Labeled, ImageKeys | None], part: Array | int):
        real, fake, keys = sides

        def loss_fn(params):
            d = NetState(params, state.d.extra)
            losses = both_losses(gan, d, real, fake, rng, True, part, keys, state.adaptive, state.step)
            return losses.pair.d, losses

        return (), jax.value_and_grad(loss_fn, has_aux=True)(state.d.params)

    sides = (real, fake, image_keys(gan, rng, "d"))
    _, means = accumulate_microbatches(microbatch_fn, sides, gan.gradient_accumulation)
    (loss, losses), gradient = means
    updates, opt = gan.d_tx(state.step).update(gradient, state.d_opt, state.d.params)
    d = NetState(optax.apply_updates(state.d.params, updates), losses.extra)
    adaptive, metrics = dict[str, dict[str, Array]](), {"loss/d": loss} | losses.metrics
    for name, part in gan.adaptive.items():
        adaptive[name] = part.finish(losses.adaptive[name], gan.batch_size)
        metrics |= part.metrics(adaptive[name])
    return dataclasses.replace(state, d=d, d_opt=opt, adaptive=adaptive), metrics


def update_generator(
    gan: GAN,
    state: GANState,
    real: Labeled,
    fake: Labeled,
    generator_vjp: Callable[[Array], tuple],
    rng: Array,
) -> tuple[GANState, Array]:
    """One generator update, which also increments the step. See `generate_with_vjp` for `generator_vjp`."""

    def microbatch_fn(sides: tuple[Labeled, Labeled, ImageKeys | None], part: Array | int):
        real, fake, keys = sides

        def loss_fn(images):
            other = fake._replace(images=images)
            losses = both_losses(
                gan, state.d, real, other, rng, False, part, keys, state.adaptive, state.step
            )
            return losses.pair.g, losses.extra

        means, gradient = jax.value_and_grad(loss_fn, has_aux=True)(fake.images)
        return gradient, means

    sides = (real, fake, image_keys(gan, rng, "g"))
    gradient, (loss, d_extra) = accumulate_microbatches(microbatch_fn, sides, gan.gradient_accumulation)
    gradient = gradient / gan.gradient_accumulation  # of the mean over microbatches
    updates, opt = gan.g_tx(state.step).update(*generator_vjp(gradient), state.g_opt, state.g.params)
    params = optax.apply_updates(state.g.params, updates)
    ema = state.g_ema
    if gan.g_use_ema:
        ema = optax.incremental_update(params, ema, 1 - gan.ema_decay_at(state.step))
    g, d = dataclasses.replace(state.g, params=params), dataclasses.replace(state.d, extra=d_extra)
    return dataclasses.replace(state, step=state.step + 1, g=g, d=d, g_opt=opt, g_ema=ema), loss


class ImageKeys(NamedTuple):
    """A key for each image of an update, for its augmentation and for random views of tasks."""

    real: Array  # [B]
    fake: Array  # [B]


def image_keys(gan: GAN, rng: Array, player: Literal["d", "g"]) -> ImageKeys | None:
    """The keys of an update of one player; None if nothing needs them.

    The players draw apart: otherwise the generator would be updated on the very augmentation that the
    discriminator has just seen.
    """
    random = any(task.random for task in gan.tasks)
    if gan.augment is None and gan.pseudo_augmentation is None and not random:
        return None
    keys = jax.random.split(jax.random.fold_in(rng, {"d": 1, "g": 2}[player]), (2, gan.batch_size))
    return ImageKeys(keys[0], keys[1])


def augmented(
    gan: GAN, adaptive: AdaptiveStates, real: Labeled, fake: Labeled, keys: ImageKeys
) -> tuple[Labeled, Labeled]:
    """Both sides as the discriminator sees them; the augmentation never differs between the sides."""
    if (pseudo := gan.pseudo_augmentation) is not None:
        share = pseudo.probability(adaptive[pseudo.name])
        replaced = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, 1), share))(keys.real)
        images = jnp.where(replaced[:, None, None, None], jax.lax.stop_gradient(fake.images), real.images)
        y = real.y if fake.y is None else jnp.where(replaced[:, None], fake.y, jnp.asarray(real.y))
        real = Labeled(images, y)
    if gan.augment is not None:
        control = gan.augment_probability
        p = 1.0 if control is None else control.probability(adaptive[control.name])
        augment = jax.vmap(functools.partial(gan.augment, p=p))  # draws from keys as they are; others fold in
        real = real._replace(images=augment(keys.real, real.images))
        fake = fake._replace(images=augment(keys.fake, fake.images))
    return real, fake


class Losses(NamedTuple):
    """The result of `both_losses`."""

    pair: LossPair
    extra: Tree  # the discriminator's new non-trainable state
    metrics: Metrics
    adaptive: dict[str, dict[str, Array]]  # the states of adaptive parts after this batch


def both_losses(
    gan: GAN,
    d: NetState,
    real: Labeled,
    fake: Labeled,
    rng: Array,
    together: bool = False,
    part: Array | int = 0,
    keys: ImageKeys | None = None,
    adaptive: AdaptiveStates = NONE,
    step: Array | int = 0,
) -> Losses:
    """The losses of both players on a microbatch, which is the batch itself without gradient accumulation.

    This is the one place where augmentation, loss, penalty, regularizers and tasks are combined. Each player
    differentiates its own loss; the compiler removes computations that only the other needs.

    Args:
      gan: the GAN.
      d: the discriminator's arrays.
      real: real images and labels.
      fake: generated images and labels.
      rng: key of the penalty.
      together: run real and fake images in one pass, see `apply_to_real_and_fake`.
      part: index of the microbatch.
      keys: keys of the augmentation, see `image_keys`; None: nothing is augmented.
      adaptive: the states of adaptive parts.
      step: number of generator updates so far.
    """
    if keys is not None:
        real, fake = augmented(gan, adaptive, real, fake, keys)
    real_views, fake_views = views(gan, real, "real", keys), views(gan, fake, "fake", keys)
    real_outs, fake_outs, extra = apply_to_real_and_fake(gan, d, real_views, fake_views, together)
    (real_base, *real_extra), (fake_base, *fake_extra) = real_outs, fake_outs

    def logits_of(images):  # updates of non-trainable state are discarded
        return merge_module(gan.d_def, d.params, d.extra)(
            images, real.y, gan.microbatch_tasks, train=True, remat=gan.remat
        ).logits

    parts = gan.gradient_accumulation
    penalty = gan.penalty(
        PenaltyInputs(logits_of, d.params, real.images, fake.images, rng, part, parts, step)
    )
    pair = gan.loss(real_base.logits, fake_base.logits) + LossPair(
        gan.penalty_weight * penalty, jnp.zeros_like(penalty)
    )
    logits = Logits(real_base.logits, fake_base.logits, step)
    adaptive = {
        name: each.observe(adaptive[name], jax.lax.stop_gradient(logits))
        for name, each in gan.adaptive.items()
    }
    for regularizer in gan.regularizers:
        pair = pair + regularizer.loss(adaptive[regularizer.name], logits)
    pair = pair.scaled(gan.adversarial_weight, gan.adversarial_weight)
    metrics = {
        "loss/penalty": penalty,
        "logits/real": real_base.logits.mean(),
        "logits/fake": fake_base.logits.mean(),
    }
    for task, task_real, task_fake in zip(gan.microbatch_tasks, real_extra, fake_extra, strict=True):
        real_side, fake_side = SideOutputs(real_base, task_real), SideOutputs(fake_base, task_fake)
        task_pair, task_metrics = task.loss(real_side, fake_side, real.y, fake.y)
        pair, metrics = pair + task_pair, metrics | task_metrics
    return Losses(pair, extra, metrics, adaptive)


Views = list[Labeled | None]  # a batch, then the extra views of each task
Outs = list[Any]  # the discriminator's outputs for these: DiscriminatorOut, or None if there are no views


def views(gan: GAN, x: Labeled, side: Side, keys: ImageKeys | None) -> Views:
    """A batch and the extra views of each task."""
    parts: Views = [x]
    for i, task in enumerate(gan.microbatch_tasks):
        own = None
        if task.random:
            assert keys is not None
            own = jax.vmap(lambda key, i=i: jax.random.fold_in(key, 2 + i))(getattr(keys, side))
        parts.append(task.extra_views(x, side, own))
    return parts


def apply_to_real_and_fake(
    gan: GAN, d: NetState, real: Views, fake: Views, together: bool = False
) -> tuple[Outs, Outs, Tree]:
    """The discriminator's outputs for both sides, and its new non-trainable state.

    Batch statistics are computed over real and fake images together, unless `deprecated_split_disc_calls`.
    Without batch statistics an image's output does not depend on the rest of the batch, so two passes from
    the same state give the same result as one. One pass (`together`) is the smaller program if both sides are
    needed; with two passes the compiler can remove the side that is not needed.
    """
    if gan.d_has_batch_statistics and gan.deprecated_split_disc_calls:
        real_outs, extra = apply_discriminator(gan, d, real)
        fake_outs, extra = apply_discriminator(
            gan, NetState(d.params, replace_spectral_vectors(d.extra, extra)), fake
        )
    elif gan.d_has_batch_statistics or together:
        outs, extra = apply_discriminator(gan, d, [*real, *fake])
        real_outs, fake_outs = outs[: len(real)], outs[len(real) :]
    else:
        (real_outs, extra), (fake_outs, _) = (
            apply_discriminator(gan, d, real),
            apply_discriminator(gan, d, fake),
        )
    return real_outs, fake_outs, extra


def apply_discriminator(gan: GAN, d: NetState, parts: Views) -> tuple[Outs, Tree]:
    """One pass of the discriminator over the concatenated views, and its new non-trainable state."""
    joined = jax.tree.map(lambda *xs: jnp.concatenate(xs), *(part for part in parts if part is not None))
    sizes = [0 if part is None else len(part.images) for part in parts]
    order = by_group(sizes, gan.layers.moment_groups if gan.d_has_batch_statistics else 1)
    if order is not None:
        joined = jax.tree.map(lambda x: x[order], joined)
    discriminator = merge_module(gan.d_def, d.params, d.extra)
    out = discriminator(joined.images, joined.y, gan.microbatch_tasks, train=True, remat=gan.remat)
    if order is not None:
        out = jax.tree.map(lambda x: x[np.argsort(order)], out)
    ends = np.cumsum(sizes)
    cut = [
        jax.tree.map(lambda x, a=end - size, b=end: x[a:b], out)
        for end, size in zip(ends, sizes, strict=True)
    ]
    outs = [None if part is None else out for part, out in zip(parts, cut, strict=True)]
    return outs, net_state(discriminator).extra


def by_group(sizes: Sequence[int], groups: int) -> np.ndarray | None:
    """The row order that gives each device group an equal share of every part; None for one group."""
    if groups == 1:
        return None
    starts = np.cumsum([0, *sizes])
    rows = [np.arange(a, b).reshape(groups, -1) for a, b in itertools.pairwise(starts)]
    return np.concatenate(rows, axis=1).ravel()


def as_labeled(gan: GAN, batch: Batch) -> Labeled:
    """Converts a batch to images in [0, 1] and one-hot or soft labels; a label of -1 becomes a zero row."""
    images = batch.images
    if images.dtype == jnp.uint8:
        images = images.astype(jnp.float32) / 255
    if not gan.conditional:
        return Labeled(images, None)
    soft = batch.labels.ndim == 2
    return Labeled(images, batch.labels if soft else jax.nn.one_hot(batch.labels, gan.spec.num_classes))


def sample_inputs(gan: GAN, real: Labeled, rng: Array, shard: ShardFn) -> tuple[Array, Array | None]:
    """The generator's inputs: latent vectors [B, Z], and labels [B, K] or None."""
    z_rng, y_rng = jax.random.split(rng)
    count = len(real.images)
    z = shard(gan.prior(z_rng, (count, gan.z_dim)))
    if not gan.conditional:
        return z, None
    return z, real.y if gan.fit_label_distribution else shard(random_labels(y_rng, count, gan.y_dim))


def generate(gan: GAN, params: Tree, extra: Tree, z: Array, y: Array | None) -> tuple[Array, Tree]:
    """Images in training mode, and the generator's new non-trainable state."""

    def microbatch_fn(inputs: tuple[Array, Array | None], part: Array | int):
        del part
        generator = merge_module(gan.g_def, params, extra)
        images = generator(Cond(*inputs, train=True, remat=gan.remat))
        return images, net_state(generator).extra

    return accumulate_microbatches(microbatch_fn, (z, y), gan.gradient_accumulation)
