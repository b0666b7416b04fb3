"""Reads data sets prepared by TensorFlow Datasets, by name.

They store encoded image files, which are decoded like all others here, so TensorFlow is not needed.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.threads import parallel_map
from compare_gan.data.base import UNLABELLED
from compare_gan.data.images import dimensions
from compare_gan.data.parquet import IMAGE_NAMES, LABEL_NAMES
from compare_gan.data.prepared import (
    FORMAT,
    TfdsRequest,
    data_root,
    one_line,
    parse_request,
    prepared_folder,
    prepared_info,
    tfds_library,
)
from compare_gan.data.records import Contents, Encoded, StoredSplit
from compare_gan.data.scan import Scan, cache_file, load_scan, save_scan
from compare_gan.data.splits import TEST_NAMES

NAME_KEYS = ("file_name", "image/filename", "filename", "id")  # features that contain image names


def read_tfds(source: str, data_dir: str | None) -> Contents:
    """Reads a prepared data set.

    `DATASET_INFO` defines the splits of its data sets. For others, the test split is test, else validation;
    if there is neither, some images are held out.

    Args:
      source: see `compare_gan.data.prepared.parse_request`.
      data_dir: see `compare_gan.data.prepared.data_root`.

    Raises:
      UserError: the data set is not prepared, or cannot be read.
    """
    request, root, library = parse_request(source), data_root(data_dir), tfds_library(source)
    folder = prepared_folder(root, request.tfds)
    if folder is None:
        local = f"; or use ./{source} for the local path" if Path(source).exists() else ""
        raise UserError(f"{source}: not prepared in {root}; {request.instructions(root)}{local}")
    info = prepared_info(library, folder, request, root)
    keys = _keys(library, folder, info)
    facts = request.facts
    if facts is not None and not facts.num_classes:
        keys = dataclasses.replace(keys, label=None)

    def stored_split(split: str, *kinds: str) -> StoredSplit:
        """A split; reads the stored labels if the data set uses them."""
        stored = TfdsImages(folder, split, keys)
        if keys.label is None or facts is not None and facts.labels not in kinds:
            return StoredSplit(stored, np.full(len(stored), UNLABELLED, np.int32))
        return StoredSplit(stored, stored.scan.labels)

    train = stored_split(request.train_split, "stored", "given")
    test_split = _test_split(request, info.splits)
    test = None if test_split is None else stored_split(test_split, "stored", "given", "soft")
    if test is not None and facts is not None:
        test = test.select(np.arange(min(len(test), facts.eval_images)))
    names = () if keys.label is None else tuple(info.features[keys.label].names)
    mirror = facts is None or facts.mirror
    return Contents(str(folder), source, train, test, names, mirror=mirror)


@dataclasses.dataclass(frozen=True)
class Keys:
    """The feature names of image, label and file name."""

    image: str
    label: str | None
    name: str | None

    def __iter__(self) -> Iterator[str]:
        return (key for key in (self.image, self.label, self.name) if key is not None)


def _keys(library: Any, folder: Path, info: Any) -> Keys:
    kinds = library.features
    features = info.features if isinstance(info.features, kinds.FeaturesDict) else {}
    images = [
        key
        for key, feature in features.items()
        if isinstance(feature, kinds.Image) and not isinstance(feature, kinds.LabeledImage)
    ]
    labels = [key for key, feature in features.items() if isinstance(feature, kinds.ClassLabel)]
    texts = [key for key, feature in features.items() if isinstance(feature, kinds.Text)]
    supervised = [key for key in info.supervised_keys or () if isinstance(key, str)]
    image = _first(images, (*supervised, *IMAGE_NAMES)) or _only(images)
    if image is None:
        raise UserError(f"{folder}: no image feature, or several, among its features: {', '.join(features)}")
    label = _first(labels, (*supervised, *LABEL_NAMES)) or _only(labels)
    return Keys(image, label, _first(texts, NAME_KEYS))


def _first(found: Sequence[str], preferred: Iterable[str]) -> str | None:
    return next((key for key in preferred if key in found), None)


def _only(found: Sequence[str]) -> str | None:
    return found[0] if len(found) == 1 else None


def _test_split(request: TfdsRequest, splits: Iterable[str]) -> str | None:
    if request.facts is not None:
        return request.facts.eval_split
    used = {part.partition("[")[0].strip() for part in request.train_split.split("+")}
    return next((name for name in TEST_NAMES if name in splits and name not in used), None)


class TfdsImages(Encoded):
    """The images of a split, or of a slice of one, prepared as `FORMAT`."""

    def __init__(self, folder: Path, split: str, keys: Keys):
        self.folder, self.split, self.keys = folder, split, keys
        library = tfds_library(str(folder))
        builder = library.builder_from_directory(str(folder))
        _allow_many_files()
        try:
            raw = library.decode.DeserializeMethod.RAW_BYTES
            self.rows = builder.as_data_source(split, deserialize_method=raw, file_format=FORMAT)
        except ValueError as error:
            raise UserError(f"{folder}: has no images for {split!r} ({one_line(error)})") from None
        # Parse only these features: a row of CelebA has fifty, and parsing all of them is ten times slower.
        features = builder.info.features
        self.features = library.features.FeaturesDict({key: features[key] for key in keys})
        self.decoders = {keys.image: library.decode.SkipDecoding()}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the arguments, so that a worker process opens the files itself."""
        return _open_in_worker, (self.folder, self.split, self.keys)

    def __len__(self) -> int:
        return len(self.rows)

    def data(self, i: int) -> bytes:
        return self._row(i)[self.keys.image]

    def where(self, i: int) -> str:
        return f"{self.folder}: {self.split}, image {i}"

    def name(self, i: int) -> str:
        return "" if self.keys.name is None else self.scan.names[i].decode("utf-8", "replace")

    def size(self, i: int) -> tuple[int, int]:
        scanned = "scan" in self.__dict__ and self.scan.sizes[i].all()
        return tuple(self.scan.sizes[i].tolist()) if scanned else super().size(i)

    @functools.cached_property
    def scan(self) -> Scan:
        """Labels, names and sizes of all rows, cached on disk until the files change."""
        file = cache_file(self.folder, self.split, *self.keys)
        scan = load_scan(file, len(self))
        if scan is None:
            rows = parallel_map(f"reading labels of {self.folder} ({self.split})", len(self), self._scan_row)
            labels, names, sizes = zip(*rows, strict=True)
            scan = Scan(np.array(labels, np.int32), np.array(names, np.bytes_), np.array(sizes, np.int32))
            save_scan(file, scan)
        return scan

    def _scan_row(self, i: int) -> tuple[int, bytes, tuple[int, int]]:
        row = self._row(i)
        label = UNLABELLED if self.keys.label is None else int(row[self.keys.label])
        name = b"" if self.keys.name is None else row[self.keys.name]
        try:
            return label, name, dimensions(row[self.keys.image], self.where(i))
        except UserError:  # reported when the image is read
            return label, name, (0, 0)

    def _row(self, i: int) -> dict[str, Any]:
        try:
            row = self.features.deserialize_example_np(self.rows[i], decoders=self.decoders)
            reason = "" if all(row[key] is not None for key in self.keys) else "damaged"
        except Exception as error:  # array_record raises plain RuntimeErrors
            reason = one_line(error)
        if reason:  # a truncated file yields empty rows
            raise UserError(
                f"{self.where(i)}: cannot be read ({reason}); remove {self.folder} and prepare it again"
            )
        return row


def _open_in_worker(folder: Path, split: str, keys: Keys) -> TfdsImages:
    """Opens a split in a worker process; errors become one-line messages there as well."""
    try:
        return TfdsImages(folder, split, keys)
    except UserError:
        raise
    except Exception as error:  # raised by TensorFlow Datasets or array_record
        raise UserError(f"{folder}: a worker process cannot open it ({one_line(error)})") from None


def _allow_many_files() -> None:
    """Raises the soft limit of open files: each shard stays open, and ImageNet has a thousand."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows

        _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
