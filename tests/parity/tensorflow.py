"""What TensorFlow 1 itself put into compare_gan's numbers, to be put into ours before they are compared.

None of it is meant by compare_gan; each is the reason why a number there differs from the same
formula computed elsewhere.
"""

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator
from unittest.mock import patch

import jax
import jax.numpy as jnp

from compare_gan.core.types import Array, NetState, Tree
from compare_gan.gans import step
from compare_gan.nn.norms import LayerNorm

from .names import at, place
from .reference import uniform


@contextlib.contextmanager
def layer_norm_moments() -> Iterator[None]:
    """`tf.nn.moments` holds the mean constant inside the variance.

    First derivatives are right all the same; second ones, which the gradient of a gradient penalty
    needs, are off by some 1e-4 of their size.
    """

    def as_tensorflow(self: LayerNorm, x: Array) -> Array:
        axes = tuple(range(1, x.ndim))
        mean = x.mean(axes, keepdims=True)
        variance = jnp.mean((x - jax.lax.stop_gradient(mean)) ** 2, axes, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-12) * self.gamma[...] + self.beta[...]

    with patch.object(LayerNorm, "__call__", as_tensorflow):
        yield


@contextlib.contextmanager
def given_coefficients() -> Iterator[None]:
    """The numbers that were put in the place of TensorFlow's random ones."""
    with patch.object(jax.random, "uniform", lambda rng, shape, *_: jnp.asarray(uniform(77, shape))):
        yield


@contextlib.contextmanager
def early_sums(names: Iterable[str], architecture: str, start: Tree) -> Iterator[None]:
    """A block that adds two convolutions with biases, b and c, sees b + c as they were when the call began.

    TensorFlow's graph optimiser rewrites (x + b) + (y + c) as (x + y) + (b + c). The second sum hangs on
    variables alone, so it is made before the discriminator is updated, and serves all passes of the
    call: the losses of later passes are those of the updated discriminator but for these biases. A
    discriminator's blocks without pooling have such a sum; with pooling, it stands between.

    Args:
      names: the variables of the discriminator.
      architecture: theirs.
      start: the discriminator's parameters before the call.
    """
    biases = [name for name in names if re.search("same_conv(2|_shortcut)/bias$", name)]
    blocks = {name.rsplit("/", 2)[0] for name in biases if "shortcut" in name}
    paths = [place(name, architecture) for name in biases if name.rsplit("/", 2)[0] in blocks]
    real = step.both_losses

    def with_early_sums(gan, d, *inputs, **named):
        early = functools.reduce(as_begun, paths, d.params)
        return real(gan, NetState(early, d.extra), *inputs, **named)

    def as_begun(params: Tree, path: tuple) -> Tree:
        now = at(params, path)  # its gradient is that of the bias itself
        return with_leaf(params, path, now + jax.lax.stop_gradient(at(start, path) - now))

    with patch.object(step, "both_losses", with_early_sums):
        yield


def with_leaf(tree: Tree, path: tuple, leaf: Array) -> Tree:
    """The nested dictionary with another leaf at a path."""
    if not path:
        return leaf
    return tree | {path[0]: with_leaf(tree[path[0]], path[1:], leaf)}


@contextlib.contextmanager
def generator_runs_again() -> Iterator[None]:
    """compare_gan's S3GAN makes its images anew for the generator's update, by then with newer spectral
    vectors, which move a second time. The weights are the same, so are the images but for that."""
    generate, update, drawn = step.generate_with_vjp, step.update_generator, []

    def remember(gan, state, inputs):
        drawn.append(inputs)
        return generate(gan, state, inputs)

    def again(gan, state, real, fake, generator_vjp, rng):
        fake, generator_vjp, g_extra = generate(gan, state, drawn.pop())
        state = step.with_g_extra(state, g_extra)
        return update(gan, state, real, fake, generator_vjp, rng)

    with patch.object(step, "generate_with_vjp", remember), patch.object(step, "update_generator", again):
        yield
