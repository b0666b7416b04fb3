"""What the page shows: samples, images between two of them, and the nearest training images.

Each view is a function of an `Explorer` and of the parameters of a request, and returns a JSON value.
Shape letters: R rows, C columns, H height, W width, Z latent, K classes.
"""

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.pictures import encoded, grid
from compare_gan.core.sampler import Sampler, check_truncation, one_hot, row_by_row, spherical
from compare_gan.data.base import hard_labels
from compare_gan.evaluation.neighbours import TrainingImages
from compare_gan.report.figures import uri

Parameters = Mapping[str, str]
MAX_IMAGES, MAX_PIXELS = 200, 200 * 64**2  # in a request, except that a few large images are always allowed
FEW = 12
ROWS = 10  # of unconditional samples
MAX_INDEX = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Explorer:
    """A generator, and where its images come from.

    `command` are the words of the command line that samples from it. `training` opens the training images;
    it is a sentence instead if there are none.
    """

    sampler: Sampler
    title: str
    facts: Sequence[str]
    command: Sequence[str]
    training: Callable[[], TrainingImages] | str
    class_names: Sequence[str] = ()  # of the training images

    @property
    def most(self) -> int:
        """The maximum number of images in a request."""
        h, w, _ = self.sampler.image_shape
        return max(FEW, min(MAX_IMAGES, MAX_PIXELS // (h * w)))


@dataclasses.dataclass(frozen=True)
class Point:
    """An image: its latent vector by seed and index, and its class; None: there are no classes."""

    seed: int
    index: int
    label: int | None


def about(explorer: Explorer, parameters: Parameters) -> dict[str, Any]:
    """What the page needs to know of the generator."""
    sampler = explorer.sampler
    try:
        check_truncation(sampler.prior, 1.0)
        truncation = True
    except UserError:
        truncation = False
    return {
        "title": explorer.title,
        "facts": list(explorer.facts),
        "classes": list(sampler.class_names),
        "shape": list(sampler.image_shape),
        "rows": ROWS,
        "most": explorer.most,
        "truncation": truncation,
        "training": explorer.training if isinstance(explorer.training, str) else None,
    }


def samples(explorer: Explorer, parameters: Parameters) -> dict[str, Any]:
    """The picture that `compare-gan sample` writes: a row for each class, or `ROWS` rows without classes.

    Args:
      explorer: the generator.
      parameters: `seed`, `columns`, `truncation`, and `classes` by index with commas in between.

    Raises:
      UserError: a parameter is invalid, or there are too many images.
    """
    sampler = explorer.sampler
    seed, threshold = integer(parameters, "seed"), truncation(parameters)
    columns, classes = integer(parameters, "columns", 1), None
    rows, words = ROWS, ["--count", str(columns * ROWS)]
    if sampler.class_names:
        classes = class_indices(parameters, sampler)
        rows, words = len(classes), ["--classes", *(class_word(sampler, k) for k in classes)]
    check_count(explorer, rows * columns)
    images, _ = sampler.images(rows * columns, seed, classes, threshold)
    words = [*explorer.command, *words, "--columns", str(columns), "--seed", str(seed)]
    words += [] if threshold is None else ["--truncation", f"{threshold:g}"]
    picture = encoded(grid(row_by_row(images, rows), rows, columns), ".png")
    return {
        "picture": uri(picture, "png"),
        "rows": rows,
        "columns": columns,
        "command": shlex.join([*words, "--out", "samples.png"]),
    }


def between(explorer: Explorer, parameters: Parameters) -> dict[str, Any]:
    """Images between two: a column for each position of the latent vector, a row for each of the class.

    Args:
      explorer: the generator.
      parameters: `a` and `b`, each SEED.INDEX or SEED.INDEX.CLASS; `z` and `y`, positions from 0 (a) to 1
        (b) with commas in between; `truncation`.

    Raises:
      UserError: a parameter is invalid, or there are too many images.
    """
    images, rows, columns = images_between(explorer, parameters)
    return {
        "picture": uri(encoded(grid(images, rows, columns), ".png"), "png"),
        "rows": rows,
        "columns": columns,
    }


def nearest(explorer: Explorer, parameters: Parameters) -> dict[str, Any]:
    """The training images nearest to one image between two, see `between`.

    Raises:
      UserError: a parameter is invalid, or the training images cannot be opened.
    """
    if isinstance(explorer.training, str):
        raise UserError(explorer.training)
    images, rows, columns = images_between(explorer, parameters)
    if rows * columns != 1:
        raise UserError(f"the nearest training images of {rows * columns} images; ask for those of one")
    training = explorer.training()
    found = training.nearest(images)
    labels = hard_labels(training.split)
    neighbours = [
        {
            "picture": uri(encoded(training.split.images[np.array([row])][0], ".png"), "png"),
            "distance": float(distance),
            "class": class_name(explorer, int(labels[row])),
            "index": int(row),
        }
        for row, distance in zip(found.rows[0], found.distances[0], strict=True)
    ]
    held_out = len(training.test)
    share = float(training.share_nearer(found.distances[0, :1])[0]) if held_out else None
    return {"neighbours": neighbours, "extractor": training.extractor.name, "share_nearer": share}


VIEWS = {"about": about, "samples": samples, "between": between, "nearest": nearest}


def images_between(explorer: Explorer, parameters: Parameters) -> tuple[np.ndarray, int, int]:
    """The images [R * C, H, W, C] of `between`, row by row, and the numbers of rows and columns."""
    sampler, threshold = explorer.sampler, truncation(parameters)
    a, b = point(parameters, "a", sampler), point(parameters, "b", sampler)
    across, down = positions(parameters, "z"), positions(parameters, "y")
    check_count(explorer, len(across) * len(down))
    for each in (a, b):
        sampler.check(each.seed, threshold)
    ends = [
        np.asarray(sampler.vectors(each.seed, np.array([each.index], np.int32), threshold)) for each in (a, b)
    ]
    z = np.tile(path(ends[0], ends[1], across, sampler.prior), (len(down), 1))
    y = None
    if a.label is not None and b.label is not None:
        first, last = one_hot(np.array([a.label, b.label]), sampler.num_classes)
        y = np.repeat((1 - down)[:, None] * first + down[:, None] * last, len(across), 0)
    return sampler.draw(z, y), len(down), len(across)


compiled_spherical = jax.jit(spherical)


def path(a: np.ndarray, b: np.ndarray, t: np.ndarray, prior: Mapping[str, Any]) -> np.ndarray:
    """Latent vectors [T, Z] from a to b [1, Z] at t [T], exactly a at 0 and b at 1.

    Gaussian vectors are interpolated spherically; others linearly, which stays within a box.
    """
    gaussian = prior.get("name", "normal").endswith("normal")
    straight = (1 - t)[:, None] * a + t[:, None] * b
    points = np.asarray(compiled_spherical(a, b, t))[0] if gaussian else straight
    inner = (t > 0) & (t < 1)
    return np.where(inner[:, None], points, straight)


def check_count(explorer: Explorer, count: int) -> None:
    """Raises a `UserError` if there are too many images."""
    if not 0 < count <= explorer.most:
        raise UserError(f"{count} images; ask for 1 to {explorer.most}")


def integer(parameters: Parameters, name: str, low: int = 0, high: int = 2**32 - 1) -> int:
    """A parameter as a number."""
    text = parameters.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and low <= int(text) <= high):
        raise UserError(f"{name} is {text[:40]!r}; it must be a whole number from {low} to {high}")
    return int(text)


def truncation(parameters: Parameters) -> float | None:
    """The truncation, which `Sampler.check` checks; None if it is absent or empty."""
    text = parameters.get("truncation", "")
    try:
        return float(text) if text else None
    except ValueError:
        raise UserError(f"truncation is {text[:40]!r}; it must be a number") from None


def class_indices(parameters: Parameters, sampler: Sampler) -> list[int]:
    """The parameter `classes`."""
    chosen = [
        integer({"class": word}, "class", 0, sampler.num_classes - 1)
        for word in parameters.get("classes", "").split(",")
    ]
    return list(dict.fromkeys(chosen))


def class_word(sampler: Sampler, index: int) -> str:
    """How `--classes` names a class."""
    name = sampler.class_names[index]
    return str(index) if name.startswith("-") else name


def class_name(explorer: Explorer, label: int) -> str | None:
    """The class of a training image; None if it is unknown."""
    return explorer.class_names[label] if 0 <= label < len(explorer.class_names) else None


def point(parameters: Parameters, name: str, sampler: Sampler) -> Point:
    """A parameter as a point: SEED.INDEX, followed by .CLASS if there are classes."""
    words = parameters.get(name, "").split(".")
    if len(words) != (3 if sampler.class_names else 2):
        raise UserError(
            f"{name} is {parameters.get(name, '')[:40]!r}; it must be SEED.INDEX or SEED.INDEX.CLASS"
        )
    values = dict(zip(("seed", "index", "class"), words, strict=False))
    label = integer(values, "class", 0, sampler.num_classes - 1) if sampler.class_names else None
    return Point(integer(values, "seed"), integer(values, "index", 0, MAX_INDEX), label)


def positions(parameters: Parameters, name: str) -> np.ndarray:
    """A parameter as positions [N] from 0 to 1; 0 if it is absent."""
    try:
        values = np.array([float(word) for word in parameters.get(name, "0").split(",")], np.float32)
    except ValueError:
        values = np.array([np.nan])
    if not ((values >= 0) & (values <= 1)).all():
        raise UserError(f"{name} is {parameters.get(name, '')[:40]!r}; it must be numbers from 0 to 1")
    return values
