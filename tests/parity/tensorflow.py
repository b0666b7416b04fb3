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
import numpy as np

from compare_gan.core.types import Array, NetState, Tree
from compare_gan.gans import step
from compare_gan.metrics import ms_ssim
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


@contextlib.contextmanager
def single_precision_similarity() -> Iterator[None]:
    """SSIM in float32, in the order in which TensorFlow computes it on a CPU.

    A variance is a small difference of two means under a window, so rounding counts. The means are added up
    from one place of the window to the next, and that of x^2 + y^2 is taken at once. The graph optimiser
    moves the constant c of the denominator d - (a + b) + c inwards: to d + ((c - b) - a), or to
    d + (c - (a + b)) where the luminance needs a + b, too.
    """

    def scales(images: np.ndarray, count: int) -> list[ms_ssim.Scale]:
        found = [images.astype(np.float32)]
        while len(found) < count:
            found.append(ms_ssim.downsample(found[-1]))
        return [ms_ssim.Scale(each, window_mean(each), each * each) for each in found]

    def ssim(x: ms_ssim.Scale, y: ms_ssim.Scale) -> tuple[np.ndarray, np.ndarray]:
        c1, c2 = np.float32(ms_ssim.C1), np.float32(ms_ssim.C2)
        a, b, product = x.mean * x.mean, y.mean * y.mean, 2 * (x.mean * y.mean)
        numerator = 2 * window_mean(x.images * y.images) + (c2 - product)
        mean_of_squares = window_mean(x.square + y.square)
        luminance = (product + c1) / ((a + b) + c1)
        similarity = luminance * (numerator / (mean_of_squares + (c2 - (a + b))))
        contrast_structure = numerator / (mean_of_squares + ((c2 - b) - a))
        return similarity.mean((1, 2)), contrast_structure.mean((1, 2))

    with patch.object(ms_ssim, "scales", scales), patch.object(ms_ssim, "ssim", ssim):
        yield


def window_mean(images: np.ndarray) -> np.ndarray:
    size = min(ms_ssim.WINDOW, *images.shape[1:3])
    places = np.lib.stride_tricks.sliding_window_view(images, (size, size), (1, 2))
    total = np.zeros(places.shape[:4], np.float32)
    for at_window, weight in np.ndenumerate(window(size)):
        total += places[..., *at_window] * weight
    return total


@functools.cache
def window(size: int) -> np.ndarray:
    """Gaussian weights by a softmax, whose terms are computed and added up eight at a time, then the rest."""
    line = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    line = line**2 * (np.float32(-0.5) / np.float32(ms_ssim.SIGMA**2))
    logits = (line[:, None] + line).ravel()
    eights, rest = np.split(logits - logits.max(), [len(logits) // 8 * 8])
    eights, rest = exp_of_eights(eights), np.exp(rest, dtype=np.float64).astype(np.float32)
    parts = sum(eights.reshape(-1, 8), np.zeros(8, np.float32))
    four = parts[:4] + parts[4:]
    total = ((four[0] + four[2]) + (four[1] + four[3])) + sum(rest, np.float32(0))
    return (np.concatenate((eights, rest)) * (1 / total)).reshape(size, size)


def exp_of_eights(x: np.ndarray) -> np.ndarray:
    """exp in float32 by the polynomial of the Cephes library, which may be off by a unit."""
    coefficients = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
    power = np.floor(x * np.float32(1 / np.log(2)) + np.float32(0.5))
    r = (x - power * np.float32(0.693359375)) - power * np.float32(-2.12194440e-4)  # less power * log(2)
    y = functools.reduce(lambda y, c: y * r + np.float32(c), coefficients, np.float32(0))
    return ((y * (r * r) + r) + 1) * np.exp2(power)
