"""Images in a NumPy file."""

from pathlib import Path

import numpy as np
from numpy.lib.format import MAGIC_PREFIX, open_memmap

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.memory import memory_budget
from compare_gan.data.base import UNLABELLED
from compare_gan.data.records import Contents, Part, Pixels
from compare_gan.data.splits import class_indices, numbered

NAMES = ("images", "labels", "test_images", "test_labels")


def plain_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file, or that of an `.npy` file as "images". Nothing is unpickled.

    That of an `.npy` file stays on disk until it is used.

    Raises:
      UserError: it cannot be read, is not such a file, or is more than the memory can take.
    """
    try:
        with open(path, "rb") as file:
            if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
                return {"images": open_memmap(path, mode="r")}
            file.seek(0)
            with np.load(file, allow_pickle=False) as found:
                _check_fits(path, sum(member.file_size for member in found.zip.infolist()))
                return dict(found)
    except UserError:
        raise
    except Exception as error:  # NumPy's reader, zip and zlib have their own ways to fail
        reason = "damaged, or not a NumPy file of plain arrays"
        if isinstance(error, OSError) and error.filename:  # the system's own, and not a reader's
            reason = error.strerror or reason
        raise UserError(f"{path}: cannot be read ({reason})") from None


def _check_fits(path: Path, size: int) -> None:
    most = memory_budget()
    if size > most:
        raise UserError(
            f"{path}: its arrays take {size / 1e9:.1f} GB, and {most / 1e9:.1f} GB of memory may be used; "
            f"save the images alone, as uint8 in an .npy file, which is read as it is needed"
        )


def read_arrays(path: Path) -> Contents:
    """An `.npy` file of images, which may be larger than the memory, or an `.npz` file with these arrays:

      images: [N, H, W] or [N, H, W, C], C = 1 or 3; uint8, or float in [0, 1]
      labels: [N] integers; may be missing
      test_images, test_labels: the same of the test split; may be missing

    Raises:
      UserError: it is not such a file.
    """
    arrays = plain_arrays(path)
    _check_names(path, arrays)
    train = _part(path, arrays, "")
    test = _part(path, arrays, "test_") if "test_images" in arrays else None
    return Contents(str(path), path.resolve().name, train, test, numbered(train, test))


def _check_names(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for name in arrays:
        if name not in NAMES:
            raise UserError(f"{path}: unknown array {name!r}{did_you_mean(name, NAMES)}")
    if "images" not in arrays:
        raise UserError(f"{path}: has no array 'images'; it has: {', '.join(arrays) or 'nothing'}")
    if "test_labels" in arrays and "test_images" not in arrays:
        raise UserError(f"{path}: has test_labels but no test_images")
    if "test_images" in arrays and ("labels" in arrays) != ("test_labels" in arrays):
        raise UserError(f"{path}: has the labels of one split only; give labels and test_labels, or neither")


def _part(path: Path, arrays: dict[str, np.ndarray], prefix: str) -> Part:
    name = f"{prefix}images"
    images = _pixels(path, name, arrays[name])
    if f"{prefix}labels" not in arrays:
        return Part(Pixels(images, str(path)), np.full(len(images), UNLABELLED, np.int32))
    name = f"{prefix}labels"
    return Part(Pixels(images, str(path)), class_indices(path, name, arrays[name], len(images)))


def _pixels(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Values as a file holds them to [N, H, W, C] uint8."""
    images = values[..., None] if values.ndim == 3 else values
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise UserError(
            f"{path}: {name} has the shape {list(values.shape)}; wanted [N, H, W] or [N, H, W, C], "
            f"C = 1 or 3{_hint(name, values.shape)}"
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise UserError(f"{path}: {name} is {values.dtype}; wanted uint8, or float in [0, 1]")
    _check_fits(path, images.size)
    if not 0 <= images.min() <= images.max() <= 1:  # false for NaN, too
        raise UserError(
            f"{path}: {name} runs from {images.min():g} to {images.max():g}; floats must be in [0, 1]"
        )
    whole = np.empty(images.shape, np.uint8)
    for i, image in enumerate(images):
        whole[i] = np.rint(image.astype(np.float32) * 255)
    return whole


def _hint(name: str, shape: tuple[int, ...]) -> str:
    if len(shape) == 4 and shape[3] == 4:
        return f"; drop the transparency: {name}[..., :3]"
    if len(shape) == 4 and shape[1] in (1, 3):
        return f"; channels come last: {name}.transpose(0, 2, 3, 1)"
    return f"; rows of pixels need their shape again: {name}.reshape(N, H, W, C)" if len(shape) == 2 else ""
