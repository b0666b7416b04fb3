"""Atomic checkpoints with asynchronous writes and integrity checks.

A save copies the state off the devices and returns; a thread writes it. Orbax commits a checkpoint by a
rename, so an interrupted save leaves no partial checkpoint. Orbax does not verify data on reading, so each
checkpoint also has a manifest with the SHA-256 of its files, written last. A checkpoint that does not match
its manifest is quarantined, and the one before it is used.

Files are JSON and arrays (TensorStore), read into a state of known types and shapes; nothing is unpickled or
imported, so an untrusted checkpoint may hold wrong numbers but cannot run code. Files store unsharded
arrays, so a checkpoint can be read with any number of devices.
"""

import dataclasses
import logging
import os
import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from compare_gan.core import records
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, remove_leftovers, sha256_of, write_json
from compare_gan.core.processes import is_main_process
from compare_gan.core.run_files import CHECKPOINTS
from compare_gan.core.types import Array, GANState, Tree

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

FORMAT = 2  # in format 1 the manifest held only the digests
MANIFEST, BEST, UNFINISHED = "sha256.json", "best.json", ".orbax-checkpoint-tmp"
ADAPTIVE = "adaptive"  # the field of `GANState`
TIMEOUT_MS = 20 * 60 * 1000  # of the barrier between processes, as in Orbax
log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run, in `<run_dir>/checkpoints/<step>`.

    Methods that access checkpoints first wait for a pending write, and raise a UserError if it failed. With
    several processes, all must save, wait and restore at the same steps.

    Args:
      run_dir: the run folder.
      keep: the number of newest checkpoints to keep, besides the best one; None or 0 keeps all.
    """

    def __init__(self, run_dir: Path, keep: int | None = 2):
        self.folder = (run_dir / CHECKPOINTS).absolute()
        self.keep = keep
        self.thread = ThreadPoolExecutor(1)
        self.pending: tuple[int, Future[None]] | None = None

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, in increasing order."""
        self.wait()
        return saved_steps(self.folder.parent)

    def save(self, step: int, state: GANState) -> None:
        """Starts writing the state of a step. After the call the state may be donated.

        Does nothing if the step has a checkpoint already.

        Raises:
          UserError: writing this checkpoint, or the one before it, failed.
        """
        if step in self.steps():
            return
        import orbax.checkpoint as ocp  # slow to import

        self._sweep()
        try:
            writer = ocp.StandardCheckpointer()
            writer.save(self.folder / str(step), _stored(state))
        except Exception as error:
            raise self._write_error(step, error) from error
        self.pending = step, self.thread.submit(self._commit, step, writer)

    def poll(self) -> None:
        """Completes a pending write if it has finished, without blocking, so that failures surface early.

        Raises:
          UserError: the write failed.
        """
        if self.pending is not None and self.pending[1].done():
            self.wait()

    def wait(self) -> None:
        """Waits for a pending write, then removes old checkpoints.

        Raises:
          UserError: the write failed.
        """
        if self.pending is None:
            return
        step, writing = self.pending
        try:
            writing.result()
        except Exception as error:
            self.pending = None
            raise self._write_error(step, error) from error
        self.pending = None
        self.remove_old()

    def remove_old(self) -> None:
        """Removes incomplete checkpoints, and old ones: all but the newest `keep` and the best."""
        self._sweep()
        if self.keep and is_main_process():
            best = self.best()
            for old in self.steps()[: -self.keep]:
                if best is not None and old == best[0]:
                    continue
                (self.folder / str(old) / MANIFEST).unlink()  # first: without it the checkpoint is ignored
                shutil.rmtree(self.folder / str(old))

    def close(self) -> None:
        """Waits for a pending write, then stops the thread."""
        try:
            self.wait()
        finally:
            self.thread.shutdown()

    def restore(self, template: GANState) -> GANState | None:
        """The newest intact state, sharded like `template`, or None if there is no checkpoint."""
        for step in reversed(self.steps()):
            state = self.restore_step(step, template)
            if state is not None:
                return state
        return None

    def restore_step(self, step: int, template: GANState) -> GANState | None:
        """The state of one step, after checking its files. A damaged checkpoint is quarantined (renamed).

        Returns:
          The state, or None if the checkpoint is damaged or another process has removed it meanwhile.

        Raises:
          UserError: the checkpoint belongs to another network or a newer version.
        """
        path = self.folder / str(step)
        corruption = find_corruption(path)
        if corruption is None:
            return self.read(step, template)
        if not (path / MANIFEST).exists():
            log.warning("checkpoint %s was removed while it was being read", path)
            return None
        log.warning("checkpoint %s is damaged (%s); quarantined", path, corruption)
        if is_main_process():
            names = (path.with_name(f"{step}.damaged{i or ''}") for i in range(100))
            path.rename(next(name for name in names if not name.exists()))
        return None

    def best(self) -> tuple[int, float] | None:
        """The step marked as the best and its score, or None if there is none or it no longer exists."""
        steps = self.steps()
        path = self.folder / BEST
        if not path.exists():
            return None
        best = read_json(path, records.BEST)
        return (best["step"], best["score"]) if best["step"] in steps else None

    def mark_best(self, step: int, score: float) -> None:
        """Marks the checkpoint of this step as the best so far, so that it is kept."""
        self.wait()
        if is_main_process():
            write_json(self.folder / BEST, {"step": step, "score": score})

    def read(self, step: int, template: GANState) -> GANState:
        """The state of one step, sharded like `template`, without checking its files.

        Adaptive parts that the checkpoint does not have keep the state of `template`.

        Raises:
          UserError: the checkpoint belongs to another network.
        """
        import orbax.checkpoint as ocp

        path = self.folder / str(step)
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), template
        )
        try:
            with ocp.StandardCheckpointer() as checkpointer:
                if not isinstance(abstract, GANState):
                    return checkpointer.restore(path, abstract)
                metadata = checkpointer.metadata(path).item_metadata.tree
                scalar = jax.ShapeDtypeStruct((), jnp.float32, sharding=template.step.sharding)
                parts: dict[str, Any] = {
                    name: dict.fromkeys(part, scalar) for name, part in metadata.get(ADAPTIVE, {}).items()
                }
                found = checkpointer.restore(path, _stored(dataclasses.replace(abstract, adaptive=parts)))
                return _with_adaptive_parts_of(template, GANState(**found), path)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            why = find_mismatch(path, template) or reason(error)
            raise UserError(f"{path}: does not match this configuration ({why})") from None

    def _commit(self, step: int, writer: "ocp.StandardCheckpointer") -> None:
        """Runs in the thread: waits for the files, then writes the manifest."""
        import orbax.checkpoint as ocp

        writer.close()  # waits until all processes have written
        try:
            if is_main_process():
                path = self.folder / str(step)
                write_json(path / MANIFEST, {"format": FORMAT, "sha256": digests(path)})
        finally:
            ocp.multihost.get_barrier_sync_fn()(key=f"manifest of {step}", timeout_ms=TIMEOUT_MS)

    def _sweep(self) -> None:
        """Removes incomplete checkpoints, and other files that killed processes left."""
        if not is_main_process() or not self.folder.is_dir():
            return
        remove_leftovers(self.folder)
        for path in self.folder.iterdir():
            if UNFINISHED in path.name or path.name.isdigit() and not (path / MANIFEST).exists():
                shutil.rmtree(path, ignore_errors=True)

    def _write_error(self, step: int, error: Exception) -> UserError:
        self._sweep()  # partial files take space on a full disk
        return UserError(
            f"{self.folder / str(step)}: write failed ({reason(error)}); earlier checkpoints are intact: fix "
            "the problem and rerun the same command to resume"
        )


def saved_steps(run_dir: Path) -> list[int]:
    """Steps of a run that have a complete checkpoint, in increasing order."""
    folder = run_dir / CHECKPOINTS
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit() and (p / MANIFEST).exists())


def manifest_sha256(run_dir: Path, step: int) -> str:
    """SHA-256 of the manifest of a checkpoint, which identifies its content."""
    return sha256_of(run_dir / CHECKPOINTS / str(step) / MANIFEST)


def _stored(state: GANState) -> Tree:
    """A state in the form of a checkpoint: a state without adaptive parts has no entry for them.

    So checkpoints of plain GANs are those of versions that knew no such parts.
    """
    if not isinstance(state, GANState):
        return state
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return fields if state.adaptive else {name: fields[name] for name in fields if name != ADAPTIVE}


def _with_adaptive_parts_of(template: GANState, found: GANState, path: Path) -> GANState:
    """The state `found` with the adaptive parts of `template`, which start again if `found` lacks them."""
    parts = dict[str, dict[str, Array]]()
    for name, initial in template.adaptive.items():
        stored = found.adaptive.get(name, {})
        parts[name] = stored if stored.keys() == initial.keys() else initial
        if parts[name] is initial:
            log.warning("checkpoint %s has no state of %s, which starts again", path, name)
    return dataclasses.replace(found, adaptive=parts)


def find_mismatch(path: Path, template: GANState) -> str | None:
    """A short description of how a checkpoint's arrays differ from those of a state; None if they do not.

    Only names and shapes are compared, and not those of adaptive parts, see `Checkpoints.read`. None also if
    the checkpoint cannot be read, see `find_corruption`.

    Args:
      path: the checkpoint.
      template: a state, or its shapes from `jax.eval_shape`.
    """
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            stored = _shapes(checkpointer.metadata(path.absolute()).item_metadata.tree)
    except Exception:  # damaged in any way
        return None
    expected = _shapes(template)
    differing = [name for name in sorted(stored | expected) if stored.get(name) != expected.get(name)]
    if not differing:
        return None
    name = differing[0]
    old, new = (list(shapes[name]) if name in shapes else "absent" for shapes in (stored, expected))
    more = f", and {len(differing) - 1} more arrays" if len(differing) > 1 else ""
    return f"{name} is {old} in the checkpoint and {new} now{more}"


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each array by its path, without those of adaptive parts."""
    leaves = jax.tree.leaves_with_path(tree)
    shapes = {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(x.shape) for path, x in leaves}
    return {name: shape for name, shape in shapes.items() if not name.startswith(f"{ADAPTIVE}/")}


def reason(error: Exception) -> str:
    """The cause of an error in a few words: the system's message, or the first line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    message = str(error).strip()
    code = re.search(r"os_error_code='(\d+)'", message)  # TensorStore's, at the end of a long line
    return os.strerror(int(code[1])) if code else (message.splitlines() or [type(error).__name__])[0]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint except the manifest itself."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        found[str(path.relative_to(folder))] = sha256_of(path)
    return found


def find_corruption(folder: Path) -> str | None:
    """Compares the files of a checkpoint with its manifest.

    Returns:
      A description of the damage, or None if the checkpoint is intact.

    Raises:
      UserError: the checkpoint was written by a newer version.
    """
    try:
        manifest, found = read_json(folder / MANIFEST, records.MANIFEST), digests(folder)
    except (UserError, OSError) as error:
        return str(error)
    try:
        version, expected = int(manifest.get("format", 1)), dict(manifest.get("sha256", manifest))
    except (AttributeError, TypeError, ValueError):
        return f"{MANIFEST} has changed"
    if version > FORMAT:
        raise UserError(
            f"{folder}: has format {version}, this version reads formats up to {FORMAT}; update compare_gan"
        )
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f"{name} {'is missing' if name not in found else 'has changed'}"
    return None
