"""Checkpoints that are whole or absent, and checked when read.

Orbax commits a checkpoint by a rename, so a killed save leaves nothing that looks like one.
But it does not check the data it reads; so each checkpoint also holds the SHA-256 of its
files, and one that does not agree is set aside, and the one before it used.
"""

import hashlib
import logging
import shutil
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, write_json
from compare_gan.core.types import GANState

MANIFEST, BEST = "sha256.json", "best.json"
log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run, in `<run_dir>/checkpoints/<step>`."""

    def __init__(self, run_dir: Path, keep: int | None = 2):
        self.folder = (run_dir / "checkpoints").absolute()
        self.keep = keep

    def steps(self) -> list[int]:
        """Steps with a checkpoint that was written to its end, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(
            int(p.name) for p in self.folder.iterdir() if p.name.isdigit() and (p / MANIFEST).exists()
        )

    def save(self, step: int, state: GANState) -> None:
        path = self.folder / str(step)
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(path, state, force=True)
        if jax.process_index() == 0:
            write_json(path / MANIFEST, digests(path))
            best = self.best()
            for old in self.steps()[: -self.keep] if self.keep else []:
                if best is not None and old == best[0]:
                    continue
                (self.folder / str(old) / MANIFEST).unlink()  # first, so that it never counts half-removed
                shutil.rmtree(self.folder / str(old))

    def restore(self, template: GANState) -> GANState | None:
        """The newest good state, placed as `template` is, or None where there is no checkpoint."""
        for step in reversed(self.steps()):
            state = self.good(step, template)
            if state is not None:
                return state
        return None

    def good(self, step: int, template: GANState) -> GANState | None:
        """The state of one step, or None, and the checkpoint set aside, if its files are damaged."""
        path = self.folder / str(step)
        trouble = damage(path)
        if trouble is None:
            return self.read(step, template)
        log.warning("checkpoint %s is damaged (%s) and set aside", path, trouble)
        if jax.process_index() == 0:
            path.rename(path.with_name(f"{step}.damaged"))
        return None

    def best(self) -> tuple[int, float] | None:
        """The step with the best score so far and that score, if one was told."""
        path = self.folder / BEST
        if not path.exists():
            return None
        told = read_json(path)
        return told["step"], told["score"]

    def is_best(self, step: int, score: float) -> None:
        """The checkpoint of this step is the best so far, and is kept."""
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
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"{self.folder / str(step)}: does not fit this configuration ({reason})"
            ) from None


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint but the manifest itself."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def damage(folder: Path) -> str | None:
    """What is wrong with the files of a checkpoint, or None."""
    try:
        expected, found = read_json(folder / MANIFEST), digests(folder)
    except (UserError, OSError) as error:
        return str(error)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f"{name} is {'missing' if name not in found else 'not as it was written'}"
    return None
