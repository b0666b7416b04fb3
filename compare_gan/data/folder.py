"""Image files in folders, one folder a class."""

from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.data.records import Contents, Encoded, Part
from compare_gan.data.splits import TEST_NAMES

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")


class Files(Encoded):
    """Image files under a folder."""

    def __init__(self, root: Path, files: list[Path]):
        self.root, self.files = root, files

    def __len__(self) -> int:
        return len(self.files)

    def data(self, i: int) -> bytes:
        try:
            return self.files[i].read_bytes()
        except OSError as error:
            raise UserError(f"{self.files[i]}: cannot be read ({error.strerror})") from None

    def where(self, i: int) -> str:
        return str(self.files[i])

    def name(self, i: int) -> str:
        return self.files[i].relative_to(self.root).as_posix()


def read_folder(path: Path) -> Contents:
    """`<path>/<class>/<image>`, or `<path>/train/<class>/<image>` and maybe the same under test/ (or val/).

    Classes are numbered in the order of their names. Hidden files and other suffixes are passed over.

    Raises:
      UserError: there are no classes, a class has no images, or test/ has a class of its own.
    """
    folders = _folders(path)
    if not _has_splits(folders):
        return Contents(str(path), path.resolve().name, _read(path, list(folders)), None, tuple(folders))
    class_names = list(_folders(folders["train"]))
    train = _read(folders["train"], class_names)
    test = next((_read(folders[name], class_names) for name in TEST_NAMES if name in folders), None)
    return Contents(str(path), path.resolve().name, train, test, tuple(class_names))


def _has_splits(folders: dict[str, Path]) -> bool:
    """Whether these are splits, and not classes of which one happens to be called train."""
    if "train" not in folders:
        return False
    return set(folders) <= {"train", *TEST_NAMES} or any(item.is_dir() for item in _visible(folders["train"]))


def _read(path: Path, class_names: list[str]) -> Part:
    files, labels = list[Path](), list[int]()
    for name, folder in _folders(path).items():
        if name not in class_names:
            raise UserError(f"{folder}: no class of the training images{did_you_mean(name, class_names)}")
        found = [file for file in _visible(folder) if file.suffix.lower() in SUFFIXES]
        if not found:
            raise UserError(
                f"{folder}: no images in this class; wanted files that end in {', '.join(SUFFIXES)}"
            )
        files += found
        labels += [class_names.index(name)] * len(found)
    return Part(Files(path, files), np.array(labels, np.int32))


def _folders(path: Path) -> dict[str, Path]:
    folders = {item.name: item for item in _visible(path) if item.is_dir()}
    if not folders:
        raise UserError(f"{path}: no class folders; put the images of each class into a folder of its own")
    return folders


def _visible(path: Path) -> list[Path]:
    return sorted((item for item in path.iterdir() if item.name[0] != "."), key=lambda item: item.name)
