"""What a file or a run was made from, noted beside it, so that nothing made from other inputs is used.

The note of `pretrained.npz` is `pretrained.json`; that of a folder with checkpoints is `origin.json` in it. A
file without a note comes from elsewhere: the user put it there, and it is used.
"""

import functools
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, run_folder, write_json
from compare_gan.core.processes import is_main_process
from compare_gan.core.run_files import CHECKPOINTS

NOTE = "origin.json"
Origin = Mapping[str, Any]  # plain values: numbers, words, fingerprints, and mappings of these
log = logging.getLogger(__name__)


def note_of(path: Path) -> Path:
    """Where the note of a file is kept."""
    return path.with_suffix(".json")


def is_made(path: Path, origin: Origin) -> bool:
    """Whether a file is there already. If not, `origin` is noted as what it is about to be made from.

    A file without a note is accepted with a warning.

    Raises:
      UserError: it was made from something else.
    """
    if not path.exists():
        write_json(note_of(path), origin)
        return False
    if note_of(path).exists():
        check(path, note_of(path), origin)
    else:
        warn_once(f"{path}: comes from elsewhere (it has no {note_of(path).name}); it is used as it is")
    return True


def claim(run_dir: Path, origin: Origin) -> None:
    """Notes in a run folder what the run is made from, before its first step; compares it afterwards.

    Raises:
      UserError: the folder cannot be written to, or its run was made from something else.
    """
    note = run_folder(run_dir) / NOTE
    if note.exists():
        check(run_dir, note, origin)
    elif (run_dir / CHECKPOINTS).exists():
        raise UserError(f"{run_dir}: does not say what its run was made from ({NOTE} is missing); remove it")
    elif is_main_process():
        write_json(note, origin)


def check(path: Path, note: Path, origin: Origin) -> None:
    """Compares a note with `origin`.

    Raises:
      UserError: they differ; the message names `path` and each entry that does.
    """
    noted, wanted = read_json(note), json.loads(json.dumps(origin))
    if found := list(differences(noted, wanted)):
        raise UserError(
            f"{path}: was made from something else ({'; '.join(found)}); remove it or choose another folder"
        )


def differences(noted: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """The entries in which two origins differ, such as `"seed 0, not 1"` or `"other images"`."""
    if isinstance(noted, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*noted, *wanted]):
            yield from differences(noted.get(key), wanted.get(key), key)
    elif noted != wanted:
        readable = all(len(str(value)) < 40 for value in (noted, wanted))
        yield f"{name} {noted}, not {wanted}" if readable else f"other {name}"


@functools.cache
def warn_once(message: str) -> None:
    """Logs a warning, once in a process."""
    log.warning("%s", message)
