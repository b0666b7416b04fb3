"""Where TensorFlow Datasets keeps what it has prepared, and how that comes about."""

import contextlib
import dataclasses
import importlib.util
import io
import os
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.interrupt import Interrupted
from compare_gan.data.facts import DATASET_INFO, DatasetInfo

PREFIX = "tfds:"
FORMAT = "array_record"  # the only one in which every part of a split can be read by number
INFO = "dataset_info.json"
NEED_TENSORFLOW = {facts.tfds.partition("/")[0] for facts in DATASET_INFO.values()}  # to be prepared
NO_LSUN = (
    "TensorFlow Datasets needs tensorflow-io to prepare LSUN, which does not run with a TensorFlow of today; "
    "export the images with https://github.com/fyu/lsun and give their folder as --data"
)


@dataclasses.dataclass(frozen=True)
class TfdsRequest:
    """What the name of a data set asks for."""

    source: str  # the name itself
    tfds: str  # NAME, NAME/CONFIG or NAME/CONFIG/VERSION
    train_split: str
    facts: DatasetInfo | None = None

    def how(self, root: Path) -> str:
        """What to do in order to have it prepared."""
        if self.tfds.startswith("lsun"):
            return NO_LSUN
        command = f"run: compare-gan prepare {self.source} --tfds_data_dir {shlex.quote(str(root))}"
        missing = self.missing(root)
        return f"{missing}, then {command}" if missing else command

    def missing(self, root: Path) -> str:
        """Which files that TensorFlow Datasets cannot download are still to be put where; empty if none."""
        if self.facts is None:
            return ""
        folder = root / "downloads" / "manual"
        files = [name for name in self.facts.by_hand if not (folder / name).exists()]
        return f"put {' and '.join(files)} from {self.facts.by_hand_from} into {folder}" if files else ""


def is_named(source: str) -> bool:
    """Whether a source is for TensorFlow Datasets: a name that configurations know, or `tfds:...`."""
    return source in DATASET_INFO or source.startswith(PREFIX)


def wanted(source: str) -> TfdsRequest:
    """What `cifar10` and such, or `tfds:NAME[/CONFIG[/VERSION]][:SPLIT]`, asks for.

    Raises:
      UserError: it names no data set.
    """
    if source in DATASET_INFO:
        return TfdsRequest(
            source, DATASET_INFO[source].tfds, DATASET_INFO[source].train_split, DATASET_INFO[source]
        )
    name, _, split = source.removeprefix(PREFIX).partition(":")
    if not name or not source.startswith(PREFIX):
        others = f"others of TensorFlow Datasets are {PREFIX}NAME or {PREFIX}NAME/CONFIG"
        raise UserError(f"no data set is called {source!r} ({others}){did_you_mean(source, DATASET_INFO)}")
    return TfdsRequest(source, name, split or "train")


def data_root(data_dir: str | None) -> Path:
    """Where TensorFlow Datasets prepares: `data_dir`, or $TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def tfds_library(source: str) -> Any:
    """The module tensorflow_datasets.

    Raises:
      UserError: it is not installed.
    """
    try:
        import tensorflow_datasets
    except ImportError:
        raise UserError(f"{source}: needs TensorFlow Datasets; pip install 'compare_gan[tfds]'") from None
    return tensorflow_datasets


def prepared_folder(root: Path, name: str) -> Path | None:
    """The newest version of NAME or NAME/CONFIG, or NAME/CONFIG/VERSION itself; None: it is not prepared.

    Raises:
      UserError: no configuration is named and several are prepared, or a folder cannot be read.
    """
    base = root / name
    try:
        if (base / INFO).is_file():
            return base
        found = {folder: newest for folder in (base, *_folders(base)) if (newest := _newest(folder))}
    except OSError as error:
        raise UserError(f"{error.filename or base}: cannot be read ({error.strerror})") from None
    if base not in found and len(found) > 1:
        choice = " or ".join(f"{PREFIX}{folder.relative_to(root).as_posix()}" for folder in found)
        raise UserError(f"{base}: holds several configurations; say {choice}")
    return next(iter(found.values()), None)


def prepared_info(library: Any, folder: Path, asked: TfdsRequest, root: Path) -> Any:
    """What a prepared data set says of itself: a `tfds.core.DatasetInfo`.

    Raises:
      UserError: it is damaged, or cannot be read by number.
    """
    try:
        info = library.builder_from_directory(str(folder)).info
        formats = sorted(each.value for each in info.available_file_formats())
    except Exception as error:  # of whatever reads JSON and protocol buffers
        why = one_line(error)
        raise UserError(f"{folder}: cannot be read ({why}); remove it, then {asked.how(root)}") from None
    if FORMAT not in formats:
        raise UserError(
            f"{folder}: prepared as {' and '.join(formats)}, which cannot be read by number; "
            f"with TensorFlow and apache-beam run: tfds convert_format --out_file_format={FORMAT} "
            f"--dataset_version_dir={shlex.quote(str(folder))}; or move it away, then {asked.how(root)}"
        )
    return info


def prepare(source: str, data_dir: str | None) -> Path:
    """Downloads and prepares a data set, unless that is done; returns its folder.

    TensorFlow Datasets writes into a folder of another name until all is there, and keeps its downloads, so
    this may be stopped and called again.

    Raises:
      UserError: it cannot be prepared, or files or packages are missing.
    """
    asked, root, library = wanted(source), data_root(data_dir), tfds_library(source)
    folder = prepared_folder(root, asked.tfds)
    if folder is not None:
        prepared_info(library, folder, asked, root)
        return folder
    if asked.tfds.startswith("lsun"):
        raise UserError(f"{source}: {NO_LSUN}")
    if missing := asked.missing(root):
        raise UserError(f"{source}: {missing}")
    if _base(asked.tfds) in NEED_TENSORFLOW and importlib.util.find_spec("tensorflow") is None:
        raise _needs(source, "tensorflow")  # said before the download and not after it
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its progress goes to stderr
            builder = library.builder(asked.tfds, data_dir=str(root), file_format=FORMAT)
            config = library.download.DownloadConfig(try_download_gcs=False)  # holds other formats only
            builder.download_and_prepare(download_config=config)
    except KeyboardInterrupt:
        raise Interrupted(f"{source}: stopped; what was downloaded is kept") from None
    except library.core.DatasetNotFoundError:
        hint = did_you_mean(_base(asked.tfds), library.list_builders(with_community_datasets=False))
        raise UserError(f"{source}: TensorFlow Datasets has no such data set{hint}") from None
    except Exception as error:  # of downloads, archives and each data set's own code
        for cause in _causes(error):
            if isinstance(cause, ModuleNotFoundError) and cause.name:
                raise _needs(source, cause.name) from None
        raise UserError(f"{source}: cannot be prepared in {root} ({one_line(error)})") from None
    return Path(builder.data_dir)


def _needs(source: str, module: str) -> UserError:
    install = "'compare_gan[prepare]'" if module.partition(".")[0] == "tensorflow" else module
    return UserError(
        f"{source}: TensorFlow Datasets needs {module} to prepare it, though not to read it; "
        f"pip install {install}"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException) -> str:
    """What an error of another library says."""
    return textwrap.shorten(str(error), 300) or type(error).__name__


def _base(name: str) -> str:
    return name.partition("/")[0]


def _newest(folder: Path) -> Path | None:
    versions = [item for item in _folders(folder) if re.fullmatch(r"\d+\.\d+\.\d+", item.name)]
    whole = [item for item in versions if (item / INFO).is_file()]
    return max(whole, key=lambda item: tuple(map(int, item.name.split("."))), default=None)


def _folders(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if item.is_dir()) if folder.is_dir() else []
