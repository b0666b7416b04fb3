"""Data sets that TensorFlow Datasets has prepared, by name.

Their images are stored as files and are decoded as all others are here, so nothing needs TensorFlow.
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
    prepared_folder,
    prepared_info,
    tfds_library,
    wanted,
)
from compare_gan.data.records import Contents, Encoded, Part
from compare_gan.data.scan import Scan, cache_file, remember, remembered
from compare_gan.data.splits import TEST_NAMES

NAME_KEYS = ("file_name", "image/filename", "filename", "id")  # under which images have names


def read_tfds(source: str, data_dir: str | None) -> Contents:
    """A prepared data set.

    If there are facts about it, they say which images are for training and which for tests. Else test images
    are those of the split test, or of validation; without either some are held out.

    Args:
      source: see `compare_gan.data.prepared.wanted`.
      data_dir: see `compare_gan.data.prepared.data_root`.

    Raises:
      UserError: it is not prepared, or cannot be read.
    """
    asked, root, library = wanted(source), data_root(data_dir), tfds_library(source)
    folder = prepared_folder(root, asked.tfds)
    if folder is None:
        here = f"; or say ./{source} for what is here" if Path(source).exists() else ""
        raise UserError(f"{source}: not prepared in {root}; {asked.how(root)}{here}")
    info = prepared_info(library, folder, asked, root)
    keys = _keys(library, folder, info)
    facts = asked.facts
    if facts is not None and not facts.num_classes:
        keys = dataclasses.replace(keys, label=None)

    def part(split: str, *kinds: str) -> Part:
        """A split; labels are read where those that are stored count."""
        stored = Stored(folder, split, keys)
        if keys.label is None or facts is not None and facts.labels not in kinds:
            return Part(stored, np.full(len(stored), UNLABELLED, np.int32))
        return Part(stored, stored.scan.labels)

    train = part(asked.train_split, "stored", "given")
    test_split = _test_split(asked, info.splits)
    test = None if test_split is None else part(test_split, "stored", "given", "soft")
    if test is not None and facts is not None:
        test = test.chosen(np.arange(min(len(test), facts.eval_images)))
    names = () if keys.label is None else tuple(info.features[keys.label].names)
    return Contents(str(folder), source, train, test, names)


@dataclasses.dataclass(frozen=True)
class Keys:
    """Under which names a data set keeps what is wanted of an image."""

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
        raise UserError(f"{folder}: no image among its features, or several: {', '.join(features)}")
    label = _first(labels, (*supervised, *LABEL_NAMES)) or _only(labels)
    return Keys(image, label, _first(texts, NAME_KEYS))


def _first(found: Sequence[str], preferred: Iterable[str]) -> str | None:
    return next((key for key in preferred if key in found), None)


def _only(found: Sequence[str]) -> str | None:
    return found[0] if len(found) == 1 else None


def _test_split(asked: TfdsRequest, splits: Iterable[str]) -> str | None:
    if asked.facts is not None:
        return asked.facts.eval_split
    used = {part.partition("[")[0].strip() for part in asked.train_split.split("+")}
    return next((name for name in TEST_NAMES if name in splits and name not in used), None)


class Stored(Encoded):
    """The images of one split, or of a part of one, that is prepared as `FORMAT`."""

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
        # A row of CelebA has fifty features, so to parse all of them would take ten times as long.
        features = builder.info.features
        self.features = library.features.FeaturesDict({key: features[key] for key in keys})
        self.decoders = {keys.image: library.decode.SkipDecoding()}

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files for itself."""
        return _opened, (self.folder, self.split, self.keys)

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
        """All rows are read once, and again only after the files have changed."""
        file = cache_file(self.folder, self.split, *self.keys)
        scan = remembered(file, len(self))
        if scan is None:
            rows = parallel_map(f"reading labels of {self.folder} ({self.split})", len(self), self._about)
            labels, names, sizes = zip(*rows, strict=True)
            scan = Scan(np.array(labels, np.int32), np.array(names, np.bytes_), np.array(sizes, np.int32))
            remember(file, scan)
        return scan

    def _about(self, i: int) -> tuple[int, bytes, tuple[int, int]]:
        row = self._row(i)
        label = UNLABELLED if self.keys.label is None else int(row[self.keys.label])
        name = b"" if self.keys.name is None else row[self.keys.name]
        try:
            return label, name, dimensions(row[self.keys.image], self.where(i))
        except UserError:  # told once it is wanted
            return label, name, (0, 0)

    def _row(self, i: int) -> dict[str, Any]:
        try:
            row = self.features.deserialize_example_np(self.rows[i], decoders=self.decoders)
            why = "" if all(row[key] is not None for key in self.keys) else "damaged"
        except Exception as error:  # array_record has plain RuntimeErrors
            why = one_line(error)
        if why:  # a file that was cut off gives empty rows
            raise UserError(
                f"{self.where(i)}: cannot be read ({why}); remove {self.folder} and prepare it again"
            )
        return row


def _opened(folder: Path, split: str, keys: Keys) -> Stored:
    """The images of a split in a worker process, whose mistakes have to be told in one line, too."""
    try:
        return Stored(folder, split, keys)
    except UserError:
        raise
    except Exception as error:  # of TensorFlow Datasets and array_record
        raise UserError(f"{folder}: a worker process cannot open it ({one_line(error)})") from None


def _allow_many_files() -> None:
    """A file stays open for each shard. ImageNet has a thousand; often no more are allowed at first."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
