"""One rule for the files that a command is asked to write, checked before its work.

An output file never replaces an input of the command. It replaces an existing file only if this library wrote
that file, which a mark in its content tells, or if the user asks for it with --overwrite.
"""

import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path

from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, run_folder
from compare_gan.core.run_files import (
    ABOUT,
    CHECKPOINTS,
    CONFIG,
    DONE,
    EXPORT_METADATA,
    INCIDENTS,
    INTERPOLATIONS,
    METRICS_LOG,
    NOTE,
    REPORT,
    RESULTS_TABLE,
    SAMPLES,
    SCORES,
    SETTINGS,
    SUMMARY,
    TRAINING_LABELS,
)

MARK = "compare_gan"
SOFTWARE = 0x0131  # EXIF tag: the program that wrote a picture
GENERATOR = f'<meta name="generator" content="{MARK}">'  # in the head of a page
PRODUCER = f"\x12{chr(len(MARK))}{MARK}"  # near the start of an ONNX file: its field `producer_name`
WRITTEN_BY = "written_by"  # array of an .npz file of images
ABOUT_ARRAY = "about"  # array of an .npz file of an encoder
ROW_KEYS = frozenset({"scored", "fingerprint"})  # of scores
SURVEY_KEYS = frozenset({"held_out", "class_names", "problems"})
TABLE_COLUMNS = ("run,step,", ",measured")  # first and last columns of a table of scores
OTHERWISE = "; choose another name, or give --overwrite"
HEAD_BYTES = 4096  # of a page or table
FOLDERS = {ABOUT: "a run", SETTINGS: "a study", EXPORT_METADATA: "an export"}
RUN_OUTPUTS = (CONFIG, METRICS_LOG, INCIDENTS, SAMPLES, INTERPOLATIONS, TRAINING_LABELS, DONE, SCORES)
STUDY_OUTPUTS = (REPORT, SUMMARY, RESULTS_TABLE)


def check_output(path: Path, option: str, inputs: Iterable[Path], overwrite: bool = False) -> None:
    """Checks that a command may write a file, and creates its folder.

    Args:
      path: the file.
      option: the option that names it, for messages.
      inputs: files that the command reads, or folders with them.
      overwrite: replace an existing file whatever it is, unless it is an input.

    Raises:
      UserError: it is a folder or an input, its folder cannot be written to, or it exists, this library has
        not written it, and `overwrite` is False.
    """
    if path.is_dir():
        raise UserError(f"{path}: is {_kind_of(path)}; {option} must name a file")
    for each in inputs:
        inside = each.is_dir() and each.resolve() in path.resolve().parents and not is_ours(path)
        if path.exists() and each.exists() and (inside or path.samefile(each)):
            raise UserError(f"{path}: is read by this command; choose another {option}")
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is a pipe or a device; {option} must name a file")
    if path.exists() and not overwrite and not is_ours(path):
        raise UserError(f"{path}: exists, and compare_gan did not write it{OTHERWISE}")
    run_folder(path.absolute().parent)


def is_ours(path: Path) -> bool:
    """Whether a file is a page, picture, table, array or ONNX file that a command of this library wrote."""
    try:
        match path.suffix.lower():
            case ".html":
                return GENERATOR in _head(path)
            case ".csv":
                header = _head(path).split("\n", 1)[0].strip()
                return header.startswith(TABLE_COLUMNS[0]) and header.endswith(TABLE_COLUMNS[1])
            case ".json":
                value = read_json(path)
                rows = value if isinstance(value, list) else [value]
                return bool(rows) and all(
                    isinstance(row, dict) and (row.keys() >= ROW_KEYS or row.keys() >= SURVEY_KEYS)
                    for row in rows
                )
            case ".npz":
                with zipfile.ZipFile(path) as file:
                    members = file.namelist()
                    return f"{WRITTEN_BY}.npy" in members or f"{ABOUT_ARRAY}.npy" in members
            case ".onnx":
                return PRODUCER in _head(path)[:64]
            case ".gif":
                with Image.open(path) as image:
                    return image.info.get("comment") == MARK.encode()
            case _:
                with Image.open(path) as image:
                    return str(image.getexif().get(SOFTWARE, "")).startswith(MARK)
    except (UserError, OSError, ValueError, SyntaxError, zipfile.BadZipFile):
        return False


def _kind_of(folder: Path) -> str:
    kinds = (kind for name, kind in FOLDERS.items() if (folder / name).is_file())
    return f"the folder of {kind}" if (kind := next(kinds, None)) else "a folder"


def _head(path: Path) -> str:
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES).decode("utf-8", "replace")


def check_images_folder(path: Path, names: Iterable[str], overwrite: bool = False) -> None:
    """Checks that a command may write image files into a folder, and creates it.

    Args:
      path: the folder.
      names: the files to write, as paths in the folder.
      overwrite: replace existing files whatever they are.

    Raises:
      UserError: it is the folder of a run, a study or an export, or a file exists that this library has not
        written and `overwrite` is False.
    """
    if path.is_dir() and (kind := _kind_of(path)) != "a folder":
        raise UserError(f"{path}: is {kind}; choose another --out, such as {path / 'images'}")
    for file in () if overwrite else map(path.joinpath, names):
        if file.exists() and not is_ours(file):
            raise UserError(f"{file}: exists, and compare_gan did not write it{OTHERWISE}")
    run_folder(path)


def check_run_folder(path: Path, names: Collection[str] = RUN_OUTPUTS) -> None:
    """Checks that a folder without a run or study of ours holds no file that a new one would replace.

    Raises:
      UserError: it holds one.
    """
    if any((path / record).exists() for record in (ABOUT, NOTE, SETTINGS, CHECKPOINTS)):
        return
    if found := [name for name in names if (path / name).exists()]:
        raise UserError(
            f"{path}: already contains {found[0]}, which compare_gan would replace; choose another folder"
        )
