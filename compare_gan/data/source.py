"""What a user may name as a data set."""

from collections.abc import Callable
from pathlib import Path

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import DATASETS
from compare_gan.data.archive import SUFFIXES as ARCHIVES
from compare_gan.data.archive import read_archive
from compare_gan.data.arrays import read_arrays
from compare_gan.data.base import ImageDataset
from compare_gan.data.folder import read_folder
from compare_gan.data.loading import Reading, load
from compare_gan.data.parquet import read_parquet
from compare_gan.data.records import Contents

READERS: dict[str, Callable[[Path], Contents]] = {
    ".npz": read_arrays,
    ".npy": read_arrays,
    ".parquet": read_parquet,
    **dict.fromkeys(ARCHIVES, read_archive),
}


def open_dataset(source: str, image_size: int | None = None, reading: Reading | None = None) -> ImageDataset:
    """The data set of a registered name, or of a path: `.npz`, `.npy`, `.parquet`, or a folder.

    A folder holds parquet files or one folder of images for each class. A registered name goes before a path
    of that name. Where a source has no test split, a fifth of each class is held out, always the same.

    Args:
      image_size: short for `Reading(image_size)`.
      reading: how to read it.

    Raises:
      UserError: nothing has that name, or it does not hold images of one size.
    """
    reading = reading or Reading(image_size)
    contents = find(source)
    return load(contents, reading)


def find(source: str) -> Contents:
    """What a source holds, before a pixel is read.

    Raises:
      UserError: nothing has that name, or it holds no images.
    """
    if source in DATASETS:
        return DATASETS[source]()
    path = Path(source)
    if not source or not path.exists():
        raise UserError(
            f"{source!r} is neither a known data set nor a path that exists{did_you_mean(source, DATASETS)}"
        )
    try:
        return _read(path)
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be read ({error.strerror or 'damaged'})") from None


def _read(path: Path) -> Contents:
    if path.is_dir():
        return read_folder(path)
    for suffix, reader in READERS.items():
        if path.name.lower().endswith(suffix):
            return reader(path)
    raise UserError(f"{path}: a data set is a folder or one of {', '.join(READERS)}")
