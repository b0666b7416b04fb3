"""What the names of image files say about splits and classes, be they in a folder or in an archive.

These are understood, images at any depth below their class:

  <class>/<image>
  train/<class>/<image>, and maybe the same under test/ (or validation/, valid/, val/)
  <image>, or train/<image> and maybe test/<image>: unlabelled

Names are relative, with slashes. A folder is a name that ends in one.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.data.base import UNLABELLED
from compare_gan.data.records import Contents, Part, Records
from compare_gan.data.splits import TEST_NAMES

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
WANTED = f"wanted files that end in {', '.join(SUFFIXES)}"


@dataclasses.dataclass(frozen=True)
class Shelf:
    """Images below one folder: of a split, or of all."""

    root: str  # empty, or ends in a slash
    names: list[str]  # below `root`, in the order of their folders


def is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over: what starts with a dot, and what macOS adds."""
    return name.startswith(".") or name == "__MACOSX"


def arrange(
    path: str, name: str, names: Iterable[str], packed: bool, records: Callable[[Shelf], Records]
) -> Contents:
    """What a folder or archive holds. Classes are numbered in the order of their names.

    Where all lies in one folder, that folder says nothing, and is passed over. In an archive this is so
    even if it holds the images themselves: one often packs a flat folder together with its own name.

    Args:
      path: what to call it in an error.
      names: of images and of folders; others must not be among them.
      packed: whether it is an archive.
      records: makes the images of a shelf.

    Raises:
      UserError: there are no images, a class has none, or test images have classes of their own.
    """
    top = _unwrapped(Shelf("", sorted(names, key=lambda name: name.split("/"))), packed)
    if not any(map(is_image, top.names)):
        raise UserError(f"{path}: holds no images; {WANTED}")
    train, test = _splits(top)
    class_names = _class_names(path, train)
    parts = [_part(path, shelf, class_names, records) for shelf in (train, test) if shelf is not None]
    return Contents(path, name, parts[0], parts[1] if test is not None else None, tuple(class_names))


def _images(shelf: Shelf) -> list[str]:
    """Those that are in no folder."""
    return [name for name in shelf.names if "/" not in name]


def _folders(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.partition("/")[0] for name in names if "/" in name))


def _below(shelf: Shelf, folder: str) -> Shelf:
    root = f"{folder}/"
    names = [name.removeprefix(root) for name in shelf.names if name.startswith(root)]
    return Shelf(shelf.root + root, [name for name in names if name])


def _unwrapped(top: Shelf, packed: bool) -> Shelf:
    folders = _folders(top.names)
    while not _images(top) and len(folders) == 1 and folders[0] != "train":
        inner = _below(top, folders[0])
        if _images(inner) and not packed:
            break
        top, folders, packed = inner, _folders(inner.names), False
    return top


def _splits(top: Shelf) -> tuple[Shelf, Shelf | None]:
    """The folders of the splits, unless they are classes of which one happens to be called train."""
    folders = _folders(top.names)
    if "train" not in folders:
        return top, None
    train = _below(top, "train")
    if not (set(folders) <= {"train", *TEST_NAMES} or _folders(train.names)):
        return top, None
    return train, next((_below(top, name) for name in TEST_NAMES if name in folders), None)


def _class_names(path: str, train: Shelf) -> list[str]:
    flat = _images(train)
    if not flat:
        return _folders(train.names)
    sorted_ones = [name for name in train.names if "/" in name and is_image(name)]
    if sorted_ones:
        raise UserError(
            f"{path}/{train.root}{flat[0]}: lies beside folders of images, as {sorted_ones[0]}; "
            f"put every image into the folder of its class, or all into one folder"
        )
    return []


def _part(path: str, shelf: Shelf, class_names: list[str], records: Callable[[Shelf], Records]) -> Part:
    here = f"{path}/{shelf.root}".rstrip("/")
    found = list(filter(is_image, shelf.names))
    if not found:
        raise UserError(f"{here}: holds no images; {WANTED}")
    classes = _folders(shelf.names if class_names else found)
    if classes and not class_names:
        raise UserError(f"{here}: has classes, but train/ has none; give both a folder for each, or neither")
    if class_names and _images(shelf):
        raise UserError(
            f"{here}/{_images(shelf)[0]}: in no class, but train/ has classes; sort these, or move them away"
        )
    numbers = {name: number for number, name in enumerate(class_names)}
    for name in classes:
        if name not in numbers:
            raise UserError(f"{here}/{name}: no class of the training images{did_you_mean(name, numbers)}")
    empty = sorted(set(classes) - set(_folders(found)))
    if empty:
        raise UserError(f"{here}/{empty[0]}: no images in this class; {WANTED}")
    labels = [numbers.get(name.partition("/")[0], UNLABELLED) for name in found]
    return Part(records(Shelf(shelf.root, found)), np.array(labels, np.int32))
