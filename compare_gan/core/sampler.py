"""Draws images of a generator by seed and index.

Everything that draws images uses `Sampler`: image i of a seed is the same in samples, in scores and from an
export. Shape letters: B batch, H W C image, Z latent, K classes.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr, ndtri

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.pictures import to_uint8

BATCH, BATCH_PIXELS = 500, 500 * 64**2  # maximum number of images and of pixels per batch
NUM_SEEDS = 2**32


class NotFinite(UserError):
    """Generated images contain NaN or Inf."""


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A generator and the distribution of its latent vectors."""

    latents: Callable[..., Any]  # seed, image indices [B] -> z [B, Z]
    generator: Callable[..., Any]  # z [B, Z], and y [B, K] if there are classes -> images [B, H, W, C]
    class_names: tuple[str, ...]  # empty if unconditional
    image_shape: tuple[int, int, int]  # H, W, C
    prior: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # see `check_truncation`

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def batches(
        self,
        count: int,
        seed: int,
        classes: Sequence[int] | None = None,
        truncation: float | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Batches of images [b, H, W, C] uint8, cycling through the classes, and of labels [b] or None.

        The latent vector of an image depends only on the seed and its index.

        Args:
          count: total number of images.
          seed: of the latent vectors.
          classes: indices of the classes to generate; None: all.
          truncation: the threshold of `truncate`; None: the latent vectors are not truncated.

        Raises:
          UserError: the seed is out of range, or the latent vectors cannot be truncated.
          NotFinite: pixels are NaN or infinite.
        """
        self.check(seed, truncation)
        chosen = np.arange(self.num_classes) if classes is None else np.asarray(classes)
        h, w, _ = self.image_shape
        size = min(count, BATCH, max(1, BATCH_PIXELS // (h * w)))
        for start in range(0, count, size):
            indices = np.arange(start, start + size, dtype=np.int32)
            z = self.vectors(seed, indices, truncation)
            labels = chosen[indices % len(chosen)] if len(chosen) else None
            images = self.draw(z, None if labels is None else one_hot(labels, self.num_classes))
            kept = min(size, count - start)
            yield images[:kept], None if labels is None else labels[:kept]

    def check(self, seed: int, truncation: float | None) -> None:
        """Checks a seed and a truncation.

        Raises:
          UserError: the seed is out of range, or the latent vectors cannot be truncated.
        """
        if not 0 <= seed < NUM_SEEDS:
            raise UserError(f"seed {seed} is not in 0..{NUM_SEEDS - 1}")
        check_truncation(self.prior, truncation)

    def vectors(self, seed: int, indices: np.ndarray, truncation: float | None = None) -> Any:
        """The latent vectors [B, Z] of images with indices [B] int32, see `batches`."""
        z = self.latents(np.uint32(seed), indices)
        return z if truncation is None else truncate(z, self.prior, truncation)

    def draw(self, z: Any, y: np.ndarray | None) -> np.ndarray:
        """Images [B, H, W, C] uint8 of latent vectors z [B, Z] and class weights y [B, K], or None.

        Raises:
          NotFinite: pixels are NaN or infinite.
        """
        images = np.asarray(self.generator(z, *(() if y is None else (y,))))
        if not np.isfinite(images).all():
            raise NotFinite("generated images contain NaN or Inf; training has diverged")
        return to_uint8(images)

    def images(
        self,
        count: int,
        seed: int,
        classes: Sequence[int] | None = None,
        truncation: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The concatenated `batches`: images [count, H, W, C] uint8, and labels [count] or None."""
        images, labels = zip(*self.batches(count, seed, classes, truncation), strict=True)
        return np.concatenate(images), np.concatenate(labels) if self.class_names else None

    def grid(self, rows: int, columns: int, seed: int) -> np.ndarray:
        """[rows * columns, H, W, C] uint8, row by row; if conditional, row i shows class i."""
        classes = range(rows) if self.class_names else None
        images, _ = self.images(rows * columns, seed, classes)
        return row_by_row(images, rows)

    def class_index(self, label: int | str, option: str = "label") -> int:
        """The index of a class.

        Args:
          label: an index; or the name of a class or, unless all names are numbers themselves, its number.
          option: what the user gave the label to, for the error message.

        Raises:
          UserError: there is no such class.
        """
        names = self.class_names
        if label in names:
            return names.index(str(label))
        decimal = isinstance(label, str) and label.isdecimal() and not all(map(str.isdecimal, names))
        if (decimal or not isinstance(label, str)) and 0 <= int(label) < len(names):
            return int(label)
        known = did_you_mean(str(label), names)
        if decimal or not isinstance(label, str):
            known = f"; there are {len(names)} classes, from 0" if len(names) > 1 else "; there is one, 0"
        raise UserError(f"{option} {label}: no such class{known}")


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class indices [B] -> float32 [B, K]."""
    y = np.zeros((len(labels), num_classes), np.float32)
    y[np.arange(len(labels)), labels] = 1
    return y


def spherical(a: Array, b: Array, t: Array) -> Array:
    """Spherical interpolation between a and b [N, Z] at t [T], with linearly interpolated length: [N, T, Z].

    Shoemake, https://dl.acm.org/doi/10.1145/325165.325242. Unlike with linear interpolation, points between
    Gaussian vectors are about as likely as the vectors themselves.
    """
    length_a, length_b = (jnp.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    angle = jnp.arccos(jnp.clip(jnp.sum(a * b, -1, keepdims=True) / (length_a * length_b), -0.9999, 0.9999))
    angle, t = angle[:, None], t[None, :, None]
    direction = (
        jnp.sin((1 - t) * angle) * (a / length_a)[:, None] + jnp.sin(t * angle) * (b / length_b)[:, None]
    )
    return direction / jnp.sin(angle) * ((1 - t) * length_a[:, None] + t * length_b[:, None])


def row_by_row(images: np.ndarray, rows: int) -> np.ndarray:
    """Reorders images [N, H, W, C] that cycle through `rows` rows into grid order; pads with white images."""
    missing = -len(images) % rows
    images = np.concatenate([images, np.full((missing, *images.shape[1:]), 255, np.uint8)])
    return images.reshape(-1, rows, *images.shape[1:]).swapaxes(0, 1).reshape(images.shape)


def check_truncation(prior: Mapping[str, Any], threshold: float | None) -> None:
    """Checks that latent vectors can be truncated, see `truncate`; `threshold` None is always valid.

    Args:
      prior: name and parameters of the distribution of latent vectors; empty: unknown.
      threshold: the threshold.

    Raises:
      UserError: the threshold is not positive, or the prior is not Gaussian or unknown.
    """
    if threshold is None:
        return
    if not 0 < threshold < float("inf"):
        raise UserError(f"--truncation is {threshold}; it must be more than 0")
    name = prior.get("name", "normal")
    if name != "normal":
        raise UserError(
            f"--truncation needs a Gaussian prior, but latent vectors are from {name}; leave it out"
        )
    if not {"name", "mean", "stddev"} <= prior.keys():
        raise UserError("--truncation: this export does not describe its prior; export the run again")


def truncate(z: Array, prior: Mapping[str, Any], threshold: float) -> Array:
    """Truncates Gaussian latent vectors: the truncation trick of BigGAN.

    Values with more than `threshold` standard deviations are distributed as if they were drawn again until
    none is left: the result is from a truncated Gaussian. It is a monotonic function of each value, so equal
    seeds give similar images at all thresholds. Brock et al., https://arxiv.org/abs/1809.11096, section 3.1.

    Args:
      z: latent vectors [B, Z], each value from the Gaussian `prior`.
      prior: `mean` and `stddev`.
      threshold: in standard deviations, more than 0.
    """
    mean, stddev = prior["mean"], prior["stddev"]
    standard = (z - mean) / stddev
    tail = ndtr(jnp.float32(-threshold))
    # The cumulative probability for -|z|, where float32 is accurate; the other half is symmetric.
    probability = tail + ndtr(-jnp.abs(standard)) * (1 - 2 * tail)
    magnitude = jnp.clip(-ndtri(probability), 0, threshold)
    return mean + stddev * jnp.sign(standard) * magnitude
