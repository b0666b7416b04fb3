"""Finds and prepares data sets of TensorFlow Datasets."""

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
from compare_gan.core.files import temporary_folder
from compare_gan.core.interrupt import Interrupted
from compare_gan.data.facts import DATASET_INFO, DatasetInfo

PREFIX = "tfds:"
FORMAT = "array_record"  # the only format with random access to examples
INFO = "dataset_info.json"
NEED_TENSORFLOW = {facts.tfds.partition("/")[0] for facts in DATASET_INFO.values()}  # to prepare them
NO_LSUN = (
    "TensorFlow Datasets needs tensorflow-io to prepare LSUN, which does not run with current TensorFlow; "
    "export the images with https://github.com/fyu/lsun and pass their folder as --data"
)


@dataclasses.dataclass(frozen=True)
class TfdsRequest:
    """A parsed data set name."""

    source: str  # the name as passed by the user
    tfds: str  # NAME, NAME/CONFIG or NAME/CONFIG/VERSION
    train_split: str
    facts: DatasetInfo | None = None

    def instructions(self, root: Path) -> str:
        """Instructions for the user to prepare the data set."""
        if self.tfds.startswith("lsun"):
            return NO_LSUN
        command = f"run: compare-gan prepare {self.source} --tfds_data_dir {shlex.quote(str(root))}"
        missing = self.missing(root)
        return f"{missing}, then {command}" if missing else command

    def missing(self, root: Path) -> str:
        """Instructions for files that must be downloaded manually; empty if none are missing."""
        if self.facts is None:
            return ""
        folder = root / "downloads" / "manual"
        files = [name for name in self.facts.manual_files if not (folder / name).exists()]
        return f"put {' and '.join(files)} from {self.facts.manual_source} into {folder}" if files else ""


def is_named(source: str) -> bool:
    """Whether a source is read by TensorFlow Datasets: a name in `DATASET_INFO`, or `tfds:...`."""
    return source in DATASET_INFO or source.startswith(PREFIX)


def parse_request(source: str) -> TfdsRequest:
    """Parses a name in `DATASET_INFO`, or `tfds:NAME[/CONFIG[/VERSION]][:SPLIT]`.

    Raises:
      UserError: there is no such data set.
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
    """The folder of prepared data sets: `data_dir`, or $TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def tfds_library(source: str) -> Any:
    """Imports tensorflow_datasets.

    Raises:
      UserError: it is not installed.
    """
    try:
        import tensorflow_datasets
    except ImportError:
        raise UserError(f"{source}: needs TensorFlow Datasets; pip install 'compare_gan[tfds]'") from None
    return tensorflow_datasets


def prepared_folder(root: Path, name: str) -> Path | None:
    """The folder of the newest version of NAME or NAME/CONFIG, or of NAME/CONFIG/VERSION; None: not prepared.

    Raises:
      UserError: several configurations are prepared and none is selected, or a folder cannot be read.
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
        raise UserError(f"{base}: contains several configurations; use {choice}")
    return next(iter(found.values()), None)


def prepared_info(library: Any, folder: Path, request: TfdsRequest, root: Path) -> Any:
    """The `tfds.core.DatasetInfo` of a prepared data set.

    Raises:
      UserError: it is damaged, or its format has no random access.
    """
    try:
        info = library.builder_from_directory(str(folder)).info
        formats = sorted(each.value for each in info.available_file_formats())
    except Exception as error:  # JSON and protocol buffer readers raise many types
        reason = one_line(error)
        raise UserError(
            f"{folder}: cannot be read ({reason}); remove it, then {request.instructions(root)}"
        ) from None
    if FORMAT not in formats:
        raise UserError(
            f"{folder}: prepared as {' and '.join(formats)}, which does not support random access; "
            f"with TensorFlow and apache-beam run: tfds convert_format --out_file_format={FORMAT} "
            f"--dataset_version_dir={shlex.quote(str(folder))}; or move it away, "
            f"then {request.instructions(root)}"
        )
    return info


def prepare(source: str, data_dir: str | None) -> Path:
    """Downloads and prepares a data set unless it is already prepared; returns its folder.

    It is written into a temporary folder and then moved, and downloads are kept, so this can be interrupted
    and rerun.

    Raises:
      UserError: the data set cannot be prepared, or files or packages are missing.
    """
    request, root, library = parse_request(source), data_root(data_dir), tfds_library(source)
    folder = prepared_folder(root, request.tfds)
    if folder is not None:
        prepared_info(library, folder, request, root)
        return folder
    if request.tfds.startswith("lsun"):
        raise UserError(f"{source}: {NO_LSUN}")
    if missing := request.missing(root):
        raise UserError(f"{source}: {missing}")
    if _base(request.tfds) in NEED_TENSORFLOW and importlib.util.find_spec("tensorflow") is None:
        raise _needs(source, "tensorflow")  # before a long download
    try:
        with (
            temporary_folder(root, request.tfds.replace("/", "-")) as scratch,
            contextlib.redirect_stdout(io.StringIO()),  # its progress bars use stderr
        ):
            builder = library.builder(request.tfds, data_dir=str(scratch), file_format=FORMAT)
            config = library.download.DownloadConfig(
                try_download_gcs=False
            )  # the bucket has other formats only
            builder.download_and_prepare(download_dir=str(root / "downloads"), download_config=config)
            made = Path(builder.data_dir)
            folder = root / made.relative_to(scratch)
            folder.parent.mkdir(parents=True, exist_ok=True)
            if not folder.exists():  # otherwise another process has prepared it meanwhile
                made.rename(folder)
    except KeyboardInterrupt:
        raise Interrupted(f"{source}: stopped; downloaded files are kept") from None
    except library.core.DatasetNotFoundError:
        hint = did_you_mean(_base(request.tfds), library.list_builders(with_community_datasets=False))
        raise UserError(f"{source}: TensorFlow Datasets has no such data set{hint}") from None
    except Exception as error:  # raised by downloads, archives or the code of the data set
        for cause in _causes(error):
            if isinstance(cause, ModuleNotFoundError) and cause.name:
                raise _needs(source, cause.name) from None
        raise UserError(f"{source}: cannot be prepared in {root} ({one_line(error)})") from None
    return folder


def _needs(source: str, module: str) -> UserError:
    install = "'compare_gan[prepare]'" if module.partition(".")[0] == "tensorflow" else module
    return UserError(
        f"{source}: TensorFlow Datasets needs {module} to prepare it (but not to read it); "
        f"pip install {install}"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException) -> str:
    """The message of a third-party error, shortened to one line."""
    return textwrap.shorten(str(error), 300) or type(error).__name__


def _base(name: str) -> str:
    return name.partition("/")[0]


def _newest(folder: Path) -> Path | None:
    versions = [item for item in _folders(folder) if re.fullmatch(r"\d+\.\d+\.\d+", item.name)]
    complete = [item for item in versions if (item / INFO).is_file()]
    return max(complete, key=lambda item: tuple(map(int, item.name.split("."))), default=None)


def _folders(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if item.is_dir()) if folder.is_dir() else []
