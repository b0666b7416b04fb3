"""Checkpoints that are whole or absent, written while training goes on, and checked when read.

A save copies the state off the devices and returns; a thread does the rest. Orbax commits a checkpoint
by a rename, so a killed save leaves nothing that looks like one. But it does not check the data it
reads; so each checkpoint also holds the SHA-256 of its files, written last. One that does not agree is
set aside, and the one before it used.

What is read is JSON and arrays (TensorStore), into a state whose types and shapes are known before:
nothing is unpickled or imported. A checkpoint from elsewhere may hold wrong numbers; it runs no code.
Arrays are whole in the files, however they lay on devices, so any number of devices can read them.
"""

import logging
import os
import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, sha256_of, write_json
from compare_gan.core.processes import is_main_process
from compare_gan.core.run_files import CHECKPOINTS
from compare_gan.core.types import GANState

FORMAT = 2  # 1: the manifest was the digests alone
MANIFEST, BEST, UNFINISHED = "sha256.json", "best.json", ".orbax-checkpoint-tmp"
TIMEOUT_MS = 20 * 60 * 1000  # milliseconds that processes wait for each other, as Orbax does
log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run, in `<run_dir>/checkpoints/<step>`.

    Whatever asks for a checkpoint waits for one that is still being written, and raises a UserError if it
    could not be. With several processes all of them save, wait and restore at the same steps.
    """

    def __init__(self, run_dir: Path, keep: int | None = 2):
        self.folder = (run_dir / CHECKPOINTS).absolute()
        self.keep = keep
        self.thread = ThreadPoolExecutor(1)
        self.pending: tuple[int, Future[None]] | None = None

    def steps(self) -> list[int]:
        """Steps with a checkpoint that was written to its end, in order."""
        self.wait()
        return saved_steps(self.folder.parent)

    def save(self, step: int, state: GANState) -> None:
        """Begins to write the state of a step, which may then be donated. A step that is there stays.

        Raises:
          UserError: this checkpoint, or the one before it, could not be written.
        """
        if step in self.steps():
            return
        self._sweep()
        try:
            writer = ocp.StandardCheckpointer()
            writer.save(self.folder / str(step), state)
        except Exception as error:
            raise self._unwritten(step, error) from error
        self.pending = step, self.thread.submit(self._commit, step, writer)

    def poll(self) -> None:
        """Like `wait`, but only if there is nothing to wait for: says early what could not be written."""
        if self.pending is not None and self.pending[1].done():
            self.wait()

    def wait(self) -> None:
        """Waits until the checkpoint that is being written is there, and removes those that are too old.

        Raises:
          UserError: it could not be written.
        """
        if self.pending is None:
            return
        step, writing = self.pending
        try:
            writing.result()
        except Exception as error:
            self.pending = None
            raise self._unwritten(step, error) from error
        self.pending = None
        if self.keep and is_main_process():
            best = self.best()
            for old in self.steps()[: -self.keep]:
                if best is not None and old == best[0]:
                    continue
                (self.folder / str(old) / MANIFEST).unlink()  # first, so that it never counts half-removed
                shutil.rmtree(self.folder / str(old))

    def close(self) -> None:
        """Waits for what is being written, and for its thread."""
        try:
            self.wait()
        finally:
            self.thread.shutdown()

    def restore(self, template: GANState) -> GANState | None:
        """The newest good state, placed as `template` is, or None where there is no checkpoint."""
        for step in reversed(self.steps()):
            state = self.restore_step(step, template)
            if state is not None:
                return state
        return None

    def restore_step(self, step: int, template: GANState) -> GANState | None:
        """The state of one step, or None, and the checkpoint set aside, if its files are damaged.

        None also if training, in another process, has removed it since.

        Raises:
          UserError: it belongs to another network or another version.
        """
        path = self.folder / str(step)
        trouble = find_corruption(path)
        if trouble is None:
            return self.read(step, template)
        if not (path / MANIFEST).exists():
            log.warning("checkpoint %s was removed while it was read", path)
            return None
        log.warning("checkpoint %s is damaged (%s) and set aside", path, trouble)
        if is_main_process():
            aside = (path.with_name(f"{step}.damaged{i or ''}") for i in range(100))
            path.rename(next(name for name in aside if not name.exists()))
        return None

    def best(self) -> tuple[int, float] | None:
        """The step with the best score so far and that score, if one was told and is still there."""
        steps = self.steps()
        path = self.folder / BEST
        if not path.exists():
            return None
        told = read_json(path)
        return (told["step"], told["score"]) if told["step"] in steps else None

    def mark_best(self, step: int, score: float) -> None:
        """The checkpoint of this step is the best so far, and is kept."""
        self.wait()
        if is_main_process():
            write_json(self.folder / BEST, {"step": step, "score": score})

    def read(self, step: int, template: GANState) -> GANState:
        """The state of one step.

        Raises:
          UserError: it belongs to another network or another version.
        """
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), template
        )
        try:
            with ocp.StandardCheckpointer() as checkpointer:
                return checkpointer.restore(self.folder / str(step), abstract)
        except (ValueError, KeyError) as error:
            why = misfit(self.folder / str(step), template) or reason(error)
            raise UserError(f"{self.folder / str(step)}: does not fit this configuration ({why})") from None

    def _commit(self, step: int, writer: ocp.StandardCheckpointer) -> None:
        """What the thread does: waits for the files, and writes the manifest."""
        writer.close()  # waits until all processes have written
        try:
            if is_main_process():
                path = self.folder / str(step)
                write_json(path / MANIFEST, {"format": FORMAT, "sha256": digests(path)})
        finally:
            ocp.multihost.get_barrier_sync_fn()(key=f"manifest of {step}", timeout_ms=TIMEOUT_MS)

    def _sweep(self) -> None:
        """Removes what was begun and not finished."""
        if not is_main_process() or not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if UNFINISHED in path.name or path.name.isdigit() and not (path / MANIFEST).exists():
                shutil.rmtree(path, ignore_errors=True)

    def _unwritten(self, step: int, error: Exception) -> UserError:
        self._sweep()  # what is on a full disk already is in the way
        return UserError(
            f"{self.folder / str(step)}: could not be written ({reason(error)}); earlier checkpoints are "
            "whole: fix this and give the same command again, which resumes from the last of them"
        )


def saved_steps(run_dir: Path) -> list[int]:
    """Steps of a run that have a whole checkpoint, in order."""
    folder = run_dir / CHECKPOINTS
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit() and (p / MANIFEST).exists())


def misfit(path: Path, template: GANState) -> str | None:
    """How the arrays of a checkpoint differ from those of a state, in a few words; None if they do not.

    Only names and shapes are compared. What cannot be read is not compared: `damage` names that.

    Args:
      template: a state, or its shapes as `jax.eval_shape` gives them.
    """
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            stored = _shapes(checkpointer.metadata(path.absolute()).item_metadata.tree)
    except Exception:  # damaged, in whatever way
        return None
    wanted = _shapes(template)
    differing = [name for name in sorted(stored | wanted) if stored.get(name) != wanted.get(name)]
    if not differing:
        return None
    name = differing[0]
    old, new = (list(shapes[name]) if name in shapes else "absent" for shapes in (stored, wanted))
    more = f", and {len(differing) - 1} more arrays" if len(differing) > 1 else ""
    return f"{name} is {old} in the checkpoint and {new} now{more}"


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each array by its path."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(x.shape) for path, x in leaves}


def reason(error: Exception) -> str:
    """Why, in a few words: what the system says, or the first line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    told = str(error).strip()
    code = re.search(r"os_error_code='(\d+)'", told)  # TensorStore's, at the end of a long line
    return os.strerror(int(code[1])) if code else (told.splitlines() or [type(error).__name__])[0]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint but the manifest itself."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        found[str(path.relative_to(folder))] = sha256_of(path)
    return found


def find_corruption(folder: Path) -> str | None:
    """What is wrong with the files of a checkpoint, or None.

    Raises:
      UserError: it was written by a newer version.
    """
    try:
        manifest, found = read_json(folder / MANIFEST), digests(folder)
    except (UserError, OSError) as error:
        return str(error)
    try:
        version, expected = int(manifest.get("format", 1)), dict(manifest.get("sha256", manifest))
    except (AttributeError, TypeError, ValueError):
        return f"{MANIFEST} is not as it was written"
    if version > FORMAT:
        raise UserError(
            f"{folder}: has format {version}, this version reads formats up to {FORMAT}; update compare_gan"
        )
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f"{name} is {'missing' if name not in found else 'not as it was written'}"
    return None
