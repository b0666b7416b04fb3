"""Provenance records: the inputs of a file or run, stored next to it, so that stale results are not reused.

The record of `pretrained.npz` is `pretrained.json`; that of a run folder is `origin.json` in it. A file
without a record was put there by the user and is used as it is. When a file is complete, its SHA-256 is added
to the record (`seal`), so that later changes are noticed.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compare_gan.core import records
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, run_folder, sha256_of, write_json
from compare_gan.core.outputs import check_run_folder
from compare_gan.core.processes import is_main_process
from compare_gan.core.run_files import CHECKPOINTS, NOTE

DURATION = "seconds"  # differs between equal results
FILES, SIGNATURE = "files_sha256", "sha256"  # keys of SHA-256 sums
Origin = Mapping[str, Any]  # JSON values: numbers, strings, fingerprints, and mappings of these
log = logging.getLogger(__name__)


def note_of(path: Path) -> Path:
    """The path of a file's provenance record."""
    return path.with_suffix(".json")


def is_made(path: Path, origin: Origin, *others: Path) -> bool:
    """Whether a file exists already. If not, writes `origin` as the record of the file about to be created.

    A file without a record is accepted with a warning. A file that has changed since `seal` is renamed to
    NAME.damaged with a warning, and counts as missing, so that it is created again. A file that was never
    sealed (the process was killed, or the version is older) is sealed now.

    Args:
      path: the file, which is written last.
      origin: its inputs.
      *others: files that are created with it, see `seal`.

    Raises:
      UserError: the file was created from other inputs.
    """
    if path.exists() and not note_of(path).exists():
        warn_once(f"{path}: has no provenance record ({note_of(path).name}); used as it is")
        return True
    if path.exists():
        check(path, note_of(path), origin)
        if FILES not in read_json(note_of(path), records.ORIGIN):
            seal(path, *others)
        if not (changed := changed_files(path)):
            return True
        for file in changed:
            log.warning("%s: has changed since it was created; renamed and created again", file)
            if file.exists():
                file.replace(file.with_name(f"{file.name}.damaged"))
    write_json(note_of(path), origin)
    return False


def seal(path: Path, *others: Path) -> None:
    """Adds the SHA-256 of a complete file to its record, and of other files that were created with it."""
    files = {file.name: sha256_of(file) for file in (path, *others) if file.exists()}
    write_json(note_of(path), read_json(note_of(path), records.ORIGIN) | {FILES: files})


def changed_files(path: Path) -> list[Path]:
    """The files that differ from their SHA-256 in the record of `path`; none if it was never sealed."""
    known = read_json(note_of(path), records.ORIGIN).get(FILES, {})
    files = {path.with_name(Path(name).name): digest for name, digest in known.items()}
    return [file for file, digest in files.items() if not file.exists() or sha256_of(file) != digest]


def signed(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values with the SHA-256 of all the others, except durations, under the key "sha256"."""
    content = {name: value for name, value in values.items() if name not in (SIGNATURE, DURATION)}
    text = json.dumps(content, sort_keys=True)
    return {**values, SIGNATURE: hashlib.sha256(text.encode()).hexdigest()}


def is_intact(values: Mapping[str, Any]) -> bool:
    """Whether values are as `signed` returned them, or have no signature, as in older versions."""
    return not values.get(SIGNATURE) or values[SIGNATURE] == signed(values)[SIGNATURE]


def claim(run_dir: Path, origin: Origin) -> None:
    """Writes the provenance record of a run before its first step; later calls compare with it.

    Raises:
      UserError: the folder is not writable, or its run has other inputs.
    """
    note = run_folder(run_dir) / NOTE
    if note.exists():
        check(run_dir, note, origin)
    elif (run_dir / CHECKPOINTS).exists():
        raise UserError(f"{run_dir}: holds checkpoints but no provenance record ({NOTE}); remove the folder")
    elif is_main_process():
        check_run_folder(run_dir)
        write_json(note, origin)


def check(path: Path, note: Path, origin: Origin) -> None:
    """Compares the record in the file `note` with `origin`.

    Raises:
      UserError: they differ; the message names `path` and each entry that differs. If the record
        only lacks entries, the message names these, and an older version as the likely cause.
    """
    noted, wanted = read_json(note, records.ORIGIN), json.loads(json.dumps(origin))
    noted.pop(FILES, None)
    if (added := list(new_entries(noted, wanted))) and noted == without_new(noted, wanted):
        raise UserError(
            f"{path}: has no record of {', '.join(added)}, probably because an older version of compare_gan "
            "created it; remove it or choose another folder"
        )
    if found := list(differences(noted, wanted)):
        raise UserError(
            f"{path}: was created from other inputs ({'; '.join(found)}); remove it or choose another folder"
        )


def new_entries(noted: Origin, wanted: Origin) -> Iterator[str]:
    """The names of the entries of `wanted`, also nested ones, that the record does not have."""
    for key, value in wanted.items():
        if key not in noted:
            yield key
        elif isinstance(value, dict) and isinstance(noted[key], dict):
            yield from new_entries(noted[key], value)


def without_new(noted: Origin, wanted: Origin) -> dict[str, Any]:
    """`wanted` without its `new_entries`."""
    return {
        key: without_new(noted[key], value)
        if isinstance(value, dict) and isinstance(noted[key], dict)
        else value
        for key, value in wanted.items()
        if key in noted
    }


def differences(noted: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Descriptions of the entries that differ, such as `"seed 0, not 1"` or `"other images"`."""
    if isinstance(noted, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*noted, *wanted]):
            yield from differences(noted.get(key), wanted.get(key), key)
    elif noted != wanted:
        readable = all(len(str(value)) < 40 for value in (noted, wanted))
        yield f"{name} {noted}, not {wanted}" if readable else f"other {name}"


@functools.cache
def warn_once(message: str) -> None:
    """Logs a warning, once per process."""
    log.warning("%s", message)
