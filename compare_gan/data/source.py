"""What a user may name as a data set."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import DATASETS
from compare_gan.data.archive import SUFFIXES as ARCHIVES
from compare_gan.data.archive import read_archive
from compare_gan.data.arrays import read_arrays
from compare_gan.data.base import ImageDataset
from compare_gan.data.facts import DATASET_INFO
from compare_gan.data.folder import read_folder
from compare_gan.data.idx import idx_name, read_idx_file
from compare_gan.data.joining import together, with_test_data
from compare_gan.data.labels import relabelled
from compare_gan.data.loading import LoadOptions, load
from compare_gan.data.parquet import Columns, read_parquet, without_columns
from compare_gan.data.prepared import is_named
from compare_gan.data.records import Contents
from compare_gan.data.synthetic import fake
from compare_gan.data.tfds import read_tfds

READERS: dict[str, Callable[[Path], Contents]] = {
    ".npz": read_arrays,
    ".npy": read_arrays,
    **dict.fromkeys(ARCHIVES, read_archive),
}
PARQUET = ".parquet"
FAKE = "fake:"  # before the name of a data set: noise of its shape
SUFFIXES = (".npz", ".npy", PARQUET, *ARCHIVES)


Source = str | Sequence[str]  # a name or a path, or several whose images join


def open_dataset(
    source: Source, image_size: int | None = None, reading: LoadOptions | None = None
) -> ImageDataset:
    """The data set of a name, or of a path: a folder, an archive, `.parquet`, `.npz` or `.npy`.

    A name is a registered one, one that has facts, or `tfds:NAME` for any other data set of TensorFlow
    Datasets; it goes before a path of that name. Data sets with facts are cropped, resized and labelled as
    these say. A folder holds parquet files, or images as `compare_gan.data.layout` says, and so does an
    archive. Where a source has no test split, a fifth of the images is held out, always the same ones. The
    name of a data set after `fake:` means noise of its shape.

    Args:
      source: several sources become one data set: one may be labelled and another not. Classes of one name
        are one class.
      image_size: short for `Reading(image_size)`.
      reading: how to read it.

    Raises:
      UserError: nothing has that name, or it does not hold images of one size.
    """
    reading = reading or LoadOptions(image_size)
    if isinstance(source, str):
        if source.startswith(FAKE):
            return fake(source.removeprefix(FAKE))
        reading = as_known(source, reading)
    dataset = load(find(source, reading), reading)
    if reading.facts is not None and reading.facts.labels in ("single", "random"):
        dataset = relabelled(dataset, reading.facts.labels)
    return dataset


def as_known(source: str, reading: LoadOptions) -> LoadOptions:
    """How a data set is read that may have facts."""
    return dataclasses.replace(reading, like=source) if source in DATASET_INFO else reading


def find(source: Source, reading: LoadOptions | None = None) -> Contents:
    """What a source holds, before a pixel is read; its test split is that of `reading.test_data` if given.

    Raises:
      UserError: nothing has that name, or it holds no images.
    """
    reading = reading or LoadOptions()
    sources = [source] if isinstance(source, str) else list(dict.fromkeys(source))
    if not sources:
        raise UserError("no data set is named; give --data")
    contents = together([_find(each, reading) for each in sources])
    if reading.test_data is None:
        return contents
    return with_test_data(contents, _find(reading.test_data, reading))


def resolved(source: Source) -> Source:
    """A source by which it can be found from any folder: paths become absolute, names stay."""
    if not isinstance(source, str):
        return [str(resolved(each)) for each in source]
    named = source in DATASETS or is_named(source) or not Path(source).exists()
    return source if named else str(Path(source).resolve())


def refuse_inside(folder: Path, source: Source) -> None:
    """Refuses to write into a data set: what is written there would be read as its images.

    Args:
      folder: what is to be written to.
      source: a data set; only the paths of folders matter.

    Raises:
      UserError: `folder` is the folder of the data set, or lies in it.
    """
    where = folder.resolve()
    for each in [source] if isinstance(source, str) else source:
        path = Path(str(resolved(each)))
        if path.is_absolute() and path.is_dir() and (path == where or path in where.parents):
            raise UserError(
                f"{folder}: lies in the data set {each}, so its pictures would be read as images of it; "
                "choose a folder elsewhere"
            )


def _find(source: str, reading: LoadOptions) -> Contents:
    columns = Columns(reading.image_column, reading.label_column)
    if source in DATASETS:
        return without_columns(DATASETS[source](), columns)
    if is_named(source):
        return without_columns(read_tfds(source, reading.data_dir), columns)
    path = Path(source)
    if len(path.parts) > 1 and not path.exists():
        raise UserError(f"{source!r}: no such file or folder")
    if not source or not path.exists():
        hint = did_you_mean(source, [*DATASETS, *DATASET_INFO])
        raise UserError(f"{source!r} is neither a known data set nor a path that exists{hint}")
    try:
        return _read(path, columns)
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be read ({error.strerror or 'damaged'})") from None


def _read(path: Path, columns: Columns) -> Contents:
    if path.is_dir():
        return read_folder(path, columns)
    if path.name.lower().endswith(PARQUET):
        return read_parquet(path, columns)
    if idx_name(path.name):
        return without_columns(read_idx_file(path), columns)
    for suffix, reader in READERS.items():
        if path.name.lower().endswith(suffix):
            return without_columns(reader(path), columns)
    raise UserError(f"{path}: a data set is a folder or one of {', '.join(SUFFIXES)}")
