"""Opens the data set named by a user."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.files import regular
from compare_gan.core.registry import DATASETS
from compare_gan.data.archive import SUFFIXES as ARCHIVES
from compare_gan.data.archive import read_archive
from compare_gan.data.arrays import contents_of_arrays, read_arrays
from compare_gan.data.base import ImageDataset, Origin
from compare_gan.data.facts import DATASET_INFO
from compare_gan.data.folder import read_folder
from compare_gan.data.idx import idx_name, read_idx_file
from compare_gan.data.joining import join_sources, with_test_data
from compare_gan.data.labels import describe_choice, relabelled
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
FAKE = "fake:"  # prefix of a named data set: noise of its shape
SUFFIXES = (".npz", ".npy", PARQUET, *ARCHIVES)


Source = str | Sequence[str]  # a name or a path, or several to be joined
Arrays = np.ndarray | Mapping[str, Any]  # images, or arrays by name


def open_dataset(
    source: Source | Path | Arrays, *, reading: LoadOptions | None = None, **options: Any
) -> ImageDataset:
    """Opens a data set by name, by path (a folder, an archive, `.parquet`, `.npz`, `.npy`), or from arrays.

    A name is a registered name such as "digits", a name in `DATASET_INFO`, or `tfds:NAME` for any other data
    set of TensorFlow Datasets; it takes precedence over a path. `DATASET_INFO` defines the crop, resize and
    labels of its data sets. A folder or archive contains images in a layout of `compare_gan.data.layout`; a
    folder may also contain parquet files. If a source has no test split, a fixed fifth of the images is held
    out. `fake:NAME` is noise in the shape of a named data set.

    >>> digits = cg.open_dataset("digits")
    >>> digits.train.images.shape, digits.train.images.dtype, digits.test.labels[:3]
    ((1347, 8, 8, 1), dtype('uint8'), array([1, 3, 5], dtype=int32))
    >>> images, labels = digits.train.images, digits.train.labels
    >>> cg.open_dataset({"images": images, "labels": labels}, image_size=16, holdout=0.5).spec
    ImageSpec(image_shape=(16, 16, 1), num_classes=10)

    Args:
      source: a name or a path. Several are joined: some may be labelled and others not, and classes with the
        same name are merged. Or an array of images, or a dictionary of arrays as in an `.npz` file: "images"
        [N, H, W, C], uint8 or float in [0, 1], and optionally "labels" (-1 = unlabelled), "test_images",
        "test_labels" and "class_names".
      reading: how to read it.
      **options: fields of `LoadOptions`, such as `labels="few.csv"` or `image_size=64`; they override those
        of `reading`.

    Raises:
      UserError: there is no such source, an option is invalid, or images differ in size.
    """
    if unknown := options.keys() - {field.name for field in dataclasses.fields(LoadOptions)}:
        name = min(unknown)
        known = did_you_mean(name, (field.name for field in dataclasses.fields(LoadOptions)))
        raise UserError(f"open_dataset has no option {name!r}{known}")
    reading = dataclasses.replace(reading or LoadOptions(), **options)
    if isinstance(source, Path):
        source = str(source)
    if isinstance(source, str) and source.startswith(FAKE):
        return dataclasses.replace(fake(source.removeprefix(FAKE)), origin=origin_of(source, reading))
    if isinstance(source, str):
        reading = with_preset(source, reading)
    labels = describe_choice(reading.labels) if reading.labels else None  # fails before images are decoded
    dataset = load(find(source, reading), reading)
    if reading.facts is not None and reading.facts.labels in ("single", "random"):
        dataset = relabelled(dataset, reading.facts.labels)
    origin = dataclasses.replace(origin_of(source, reading), labels=labels)
    return dataclasses.replace(dataset, origin=origin)


def origin_of(source: Source | Arrays, reading: LoadOptions) -> Origin:
    """The origin of a data set that is opened with these arguments, with absolute paths."""
    options = dataclasses.asdict(reading)
    options |= {name: str(resolved(options[name])) for name in ("labels", "test_data") if options[name]}
    return Origin(None if isinstance(source, Mapping | np.ndarray) else resolved(source), options)


def with_preset(source: str, reading: LoadOptions) -> LoadOptions:
    """The options with the preset of a named data set, if it has one."""
    return dataclasses.replace(reading, like=source) if source in DATASET_INFO else reading


def find(source: Source | Arrays, reading: LoadOptions | None = None) -> Contents:
    """The contents of a source, before pixels are read; `reading.test_data` replaces its test split.

    Raises:
      UserError: there is no such source, or it contains no images.
    """
    reading = reading or LoadOptions()
    if isinstance(source, Mapping | np.ndarray):
        arrays = source if isinstance(source, Mapping) else {"images": source}
        contents = contents_of_arrays({name: np.asarray(value) for name, value in arrays.items()})
    else:
        sources = [source] if isinstance(source, str) else list(dict.fromkeys(source))
        if not sources:
            raise UserError("no data set; set --data")
        contents = join_sources([_find(each, reading) for each in sources])
    if reading.test_data is None:
        return contents
    return with_test_data(contents, _find(reading.test_data, reading))


def resolved(source: Source) -> Source:
    """The source with paths made absolute; names are unchanged."""
    if not isinstance(source, str):
        return [str(resolved(each)) for each in source]
    named = source in DATASETS or is_named(source) or not Path(source).exists()
    return source if named else str(Path(source).resolve())


def refuse_inside(folder: Path, source: Source) -> None:
    """Checks that an output folder is not inside a data set, where images would be read as part of it.

    Args:
      folder: the output folder.
      source: a data set; only paths of folders are checked.

    Raises:
      UserError: `folder` is the folder of the data set or inside it.
    """
    target = folder.resolve()
    for each in [source] if isinstance(source, str) else source:
        path = Path(str(resolved(each)))
        if path.is_absolute() and path.is_dir() and (path == target or path in target.parents):
            raise UserError(
                f"{folder}: is inside the data set {each}, so images written there would become part of it; "
                "choose another folder"
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
        raise UserError(f"{source!r} is neither a known data set nor an existing path{hint}")
    try:
        return _read(path, columns)
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be read ({error.strerror or 'damaged'})") from None


def _read(path: Path, columns: Columns) -> Contents:
    if path.is_dir():
        return read_folder(path, columns)
    regular(path)
    if path.name.lower().endswith(PARQUET):
        return read_parquet(path, columns)
    if idx_name(path.name):
        return without_columns(read_idx_file(path), columns)
    for suffix, reader in READERS.items():
        if path.name.lower().endswith(suffix):
            return without_columns(reader(path), columns)
    raise UserError(f"{path}: a data set is a folder or one of {', '.join(SUFFIXES)}")
