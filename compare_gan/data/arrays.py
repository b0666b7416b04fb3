"""Images in a NumPy file."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import MAGIC_PREFIX, open_memmap

from compare_gan.core.errors import UserError
from compare_gan.core.files import regular
from compare_gan.core.memory import memory_budget
from compare_gan.core.outputs import WRITTEN_BY
from compare_gan.core.words import first_few
from compare_gan.data.base import UNLABELLED
from compare_gan.data.classes import numbered, stored_labels
from compare_gan.data.records import Contents, Pixels, StoredSplit, joined
from compare_gan.data.splits import split_of

CLASS_NAMES = "class_names"
NAMES = ("images", "labels", "test_images", "test_labels")
ROUNDING = 1e-3  # tolerance of the range check of floats
Role = tuple[str, str]  # "images" or "labels", and the split
WORDS = {
    "images": ("images", "image", "imgs", "img", "x", "data", "samples", "pixels"),
    "labels": ("labels", "label", "y", "targets", "target", "classes", "class"),
}


def plain_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file, or the array of an `.npy` file as "images". Nothing is unpickled.

    The array of an `.npy` file is memory-mapped.

    Raises:
      UserError: the file cannot be read, is not a NumPy file of plain arrays, or does not fit into memory.
    """
    try:
        with open(regular(path), "rb") as file:
            if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
                return {"images": open_memmap(path, mode="r")}
            file.seek(0)
            with np.load(file, allow_pickle=False) as found:
                check_fits(path, sum(member.file_size for member in found.zip.infolist()))
                return dict(found)
    except UserError:
        raise
    except Exception as error:  # NumPy, zip and zlib each raise their own errors
        reason = "damaged, or not a NumPy file of plain arrays"
        if isinstance(error, OSError) and error.filename:  # raised by the operating system, not by a reader
            reason = error.strerror or reason
        raise UserError(f"{path}: cannot be read ({reason})") from None


def check_fits(path: Path, size: int) -> None:
    """Checks the size of arrays in memory before they are read. Raises UserError if it is too large."""
    budget = memory_budget()
    if size > budget:
        raise UserError(
            f"{path}: its arrays take {size / 1e9:.1f} GB, more than the memory budget of "
            f"{budget / 1e9:.1f} GB; save only the images, as uint8 in an .npy file, which is read on demand"
        )


def read_arrays(path: Path) -> Contents:
    """An `.npy` file of images, which may be larger than memory, or an `.npz` file with these arrays:

      images: [N, H, W], [N, H, W, C] or [N, C, H, W], C = 1 or 3; uint8, or float in [0, 1]
      labels: see `compare_gan.data.classes.stored_labels`; optional
      test_images, test_labels: the same for the test split; optional
      class_names: [K] strings, the names of the classes; optional

    Other common names such as x, x_train or arr_0 are recognised, and a single array of images may have any
    name. Notes list the arrays read under other names than those above, and the arrays that are ignored.

    Raises:
      UserError: the file does not match this description.
    """
    return contents_of_arrays(plain_arrays(path), path)


def contents_of_arrays(arrays: dict[str, np.ndarray], path: Path = Path("arrays")) -> Contents:
    """The data set of arrays as in the files of `read_arrays`; `path` names them in messages.

    Raises:
      UserError: they do not match the description in `read_arrays`.
    """
    arrays, roles = dict(arrays), _roles(path, arrays)
    notes = [] if set(roles.values()) <= set(NAMES) else [f"reads {_described(roles)}"]
    names = _class_names(path, arrays)
    if ignored := [
        name
        for name in arrays
        if name not in (*roles.values(), WRITTEN_BY) and (name != CLASS_NAMES or not names)
    ]:
        notes.append(f"ignores its arrays {first_few(ignored)}")
    parts, stored = list[StoredSplit](), list[np.ndarray]()
    splits = [split for split in ("train", "test", "unlabelled") if ("images", split) in roles]
    for split in splits:
        name = roles["images", split]
        if _is_channels_first(arrays[name].shape):
            arrays[name] = arrays[name].transpose(0, 2, 3, 1)
            notes.append(f"converts {name} from channels first to channels last")
        images = _pixels(path, name, arrays[name])
        parts.append(StoredSplit(Pixels(images, str(path)), np.full(len(images), UNLABELLED, np.int32)))
        if label := roles.get(("labels", split)):
            stored.append(stored_labels(path, label, arrays[label], len(images)))
        else:
            stored.append(parts[-1].labels)
    labels, class_names = numbered(path, stored, names)
    by_split = {
        split: StoredSplit(part.records, numbers)
        for split, part, numbers in zip(splits, parts, labels, strict=True)
    }
    train = by_split["train"]
    if pool := by_split.get("unlabelled"):
        notes.append(
            f"{len(pool)} images of {roles['images', 'unlabelled']} are added to the training images "
            "without labels"
        )
        train = joined([train, pool])
    return Contents(str(path), path.resolve().name, train, by_split.get("test"), class_names, tuple(notes))


def _class_names(path: Path, arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The names of the classes; empty if the file has no strings for them."""
    names = arrays.get(CLASS_NAMES)
    return () if names is None or names.ndim != 1 or names.dtype.kind != "U" else tuple(map(str, names))


def _roles(path: Path, arrays: dict[str, np.ndarray]) -> dict[Role, str]:
    """Maps each kind and split to the name of its array."""
    roles = dict[Role, str]()
    for role, name in [*((_role(name), name) for name in arrays), *_roles_by_number(arrays)]:
        if role is not None and roles.setdefault(role, name) != name:
            raise UserError(
                f"{path}: {roles[role]} and {name} are both candidates for {role[0]}; keep one of them"
            )
    if ("images", "train") not in roles:
        roles["images", "train"] = _only_images(path, arrays, list(roles.values()))
    if ("images", "test") not in roles:  # use the validation split as the test split
        for kind in WORDS:
            if (kind, "validation") in roles:
                roles[kind, "test"] = roles[kind, "validation"]
    roles = {role: name for role, name in roles.items() if role[1] != "validation"}
    roles.pop(("labels", "unlabelled"), None)
    for (_, split), name in roles.items():
        if ("images", split) not in roles:
            raise UserError(f"{path}: has {name} but no matching images")
    return roles


def _role(name: str) -> Role | None:
    """The role of an array by its name: a word for images or labels, optionally with a split around it."""
    for kind, words in WORDS.items():
        for word in words:
            match = re.fullmatch(rf"(.*?)_?{word}|{word}_?(.*?)", name.lower())
            if match is not None:
                around = match[1] or match[2] or ""
                split = split_of(around) if around else "train"
                if split is not None:
                    return kind, split
    return None


def _roles_by_number(arrays: dict[str, np.ndarray]) -> list[tuple[Role, str]]:
    """Roles of arr_0, arr_1, ..., as `np.savez` names positional arrays: train, then test, images first."""
    roles, splits = list[tuple[Role, str]](), iter(("train", "test"))
    names = [name for name in arrays if re.fullmatch(r"arr_\d", name)]
    for name in sorted(names):
        if arrays[name].ndim in (3, 4):
            split = next(splits, "")
            roles += [(("images", split), name)] if split else []
        elif roles and roles[-1][0][0] == "images":
            roles.append((("labels", roles[-1][0][1]), name))
    return roles


def _only_images(path: Path, arrays: dict[str, np.ndarray], taken: Sequence[str]) -> str:
    unused = {name: array for name, array in arrays.items() if name not in taken}
    candidates = [name for name, array in unused.items() if array.ndim == 4] or [
        name for name, array in unused.items() if array.ndim == 3 and array.dtype == np.uint8
    ]
    if len(candidates) != 1:
        listed = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise UserError(f"{path}: has no array 'images'; it has: {listed or 'nothing'}")
    return candidates[0]


def _described(roles: dict[Role, str]) -> str:
    described = [
        f"{name} as {'' if split == 'train' else f'{split} '}{kind}" for (kind, split), name in roles.items()
    ]
    return ", ".join(described)


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)


def _pixels(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Converts stored values to [N, H, W, C] uint8."""
    images = values[..., None] if values.ndim == 3 else values
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise UserError(
            f"{path}: {name} has the shape {list(values.shape)}; expected [N, H, W] or [N, H, W, C], "
            f"C = 1 or 3{_hint(name, values.shape)}"
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        hint = f"; save {name}.astype(np.uint8) if its range is 0 to 255" if images.dtype.kind in "iu" else ""
        raise UserError(f"{path}: {name} is {values.dtype}; expected uint8, or float in [0, 1]{hint}")
    check_fits(path, images.size)
    low, high = float(images.min()), float(images.max())
    if not -ROUNDING <= low <= high <= 1 + ROUNDING:  # false for NaN, too
        hint = _rescaled(name, low, high)
        raise UserError(f"{path}: {name} ranges from {low:.9g} to {high:.9g}; floats must be in [0, 1]{hint}")
    pixels = np.empty(images.shape, np.uint8)
    for i, image in enumerate(images):
        pixels[i] = np.rint(image.astype(np.float32).clip(0, 1) * 255)
    return pixels


def _rescaled(name: str, low: float, high: float) -> str:
    """A hint for floats in another common range."""
    if low < 0 and -1 - ROUNDING <= low and high <= 1 + ROUNDING:
        return f"; save ({name} + 1) / 2 if the range is -1 to 1"
    return f"; save {name}.astype(np.uint8) if the range is 0 to 255" if 0 <= low and high <= 255 else ""


def _hint(name: str, shape: tuple[int, ...]) -> str:
    if len(shape) == 4 and shape[3] == 4:
        return f"; drop the alpha channel: {name}[..., :3]"
    return f"; flattened pixels must be reshaped: {name}.reshape(N, H, W, C)" if len(shape) == 2 else ""
