"""What a user may name as a data set."""

import dataclasses
from pathlib import Path

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import DATASETS
from compare_gan.data.arrays import read_arrays
from compare_gan.data.base import ImageDataset, Split
from compare_gan.data.folder import read_folder
from compare_gan.data.images import fit_all
from compare_gan.data.parquet import read_parquet

READERS = {".npz": read_arrays, ".npy": read_arrays, ".parquet": read_parquet}


def open_dataset(source: str, image_size: int | None = None) -> ImageDataset:
    """The data set of a registered name, or of a path: `.npz`, `.npy`, `.parquet`, or a folder.

    A folder holds parquet files or one folder of images for each class. A registered name goes before a path
    of that name. Where a source has no test split, a fifth of each class is held out, always the same.

    Args:
      image_size: crop each image to the square at its centre and resize that to this side.

    Raises:
      UserError: nothing has that name, or it does not hold images of one size.
    """
    if image_size is not None and image_size < 1:
        raise UserError(f"image_size {image_size} is not positive")
    if source in DATASETS:
        return _fitted(DATASETS[source](), image_size)
    path = Path(source)
    if not source or not path.exists():
        raise UserError(
            f"{source!r} is neither a known data set nor a path that exists{did_you_mean(source, DATASETS)}"
        )
    try:
        return _read(path, image_size)
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be read ({error.strerror or 'damaged'})") from None


def _read(path: Path, image_size: int | None) -> ImageDataset:
    if path.is_dir():
        return (read_parquet if any(path.glob("*.parquet")) else read_folder)(path, image_size)
    if path.suffix.lower() not in READERS:
        raise UserError(f"{path}: a data set is a folder or one of {', '.join(READERS)}")
    return READERS[path.suffix.lower()](path, image_size)


def _fitted(dataset: ImageDataset, size: int | None) -> ImageDataset:
    train, test = (
        Split(fit_all(split.images, size), split.labels) for split in (dataset.train, dataset.test)
    )
    return dataclasses.replace(dataset, train=train, test=test)
