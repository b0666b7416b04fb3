"""Training that starts from the weights of another run."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan.core import records
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json
from compare_gan.core.placement import Placement
from compare_gan.core.run_files import ABOUT, EXPORT_METADATA
from compare_gan.core.types import GANState, Tree
from compare_gan.gans.gan import GAN
from compare_gan.gans.transfer import NamedGAN, Transfer
from compare_gan.training.checkpoints import Checkpoints, manifest_sha256
from compare_gan.training.run_dir import read_run


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """A checkpoint of another run, and how the networks are made from it."""

    run_dir: Path
    step: int
    source: GAN
    transfer: Transfer

    @classmethod
    def plan(cls, run_dir: Path, step: int, source: NamedGAN, target: NamedGAN) -> "WarmStart":
        """The start of `target` from a checkpoint of `source`.

        Raises:
          UserError: the networks do not fit.
        """
        try:
            return cls(run_dir, step, source.gan, Transfer.plan(source, target))
        except UserError as error:
            raise UserError(
                f"{run_dir}: training cannot start from it: {error}; shape of images and networks must be "
                "the same"
            ) from None

    def record(self, choice: str) -> dict[str, Any]:
        """The entry `warm_start` of `run.json`; `choice` is the requested step: latest, best or a number."""
        sha256 = manifest_sha256(self.run_dir, self.step)
        return {"run": str(self.run_dir), "from_step": choice, "step": self.step, "sha256": sha256}

    def begin(self, gan: GAN, fresh: GANState, checkpoints: Checkpoints, placement: Placement) -> GANState:
        """The first state of a new run, which is saved as step 0, so that the source is not needed again.

        Args:
          gan: the GAN of the new run.
          fresh: its initial state.
          checkpoints: those of the new run.
          placement: the devices.

        Raises:
          UserError: the checkpoint is corrupted.
        """
        shapes = jax.eval_shape(self.source.init, jax.eval_shape(lambda: jax.random.key(0)))
        template = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placement.replicated), shapes
        )
        old = Checkpoints(self.run_dir).restore_step(self.step, template)
        if old is None:
            raise UserError(f"{self.run_dir}: step {self.step} is corrupted; start from another step")
        state = jax.tree.map(
            _placed, self.transfer.apply(_on_host(old, placement), _on_host(fresh, placement)), fresh
        )
        checkpoints.save(0, state)
        note = ""
        if gan.g_use_ema and gan.ema_start_step > 0:
            note = (
                f"; the moving average is a copy of the weights until step {gan.ema_start_step}, "
                "set ModularGAN.ema_start_step = 0 to go on from the loaded one"
            )
        print(f"starting from {self.run_dir}, step {self.step}: {self.transfer.describe()}{note}", flush=True)
        return state


def _on_host(state: Tree, placement: Placement) -> Tree:
    return jax.tree.map(np.asarray, placement.gather(state))


def _placed(array: np.ndarray, like: jax.Array) -> jax.Array:
    """An array, equal in all processes, with dtype and sharding of another."""
    array = np.asarray(array, like.dtype)
    return jax.make_array_from_callback(like.shape, like.sharding, lambda index: array[index])


def check_source(source: Path, run_dir: Path) -> None:
    """Checks that training in `run_dir` can start from the run in `source`, without looking at its networks.

    Raises:
      UserError: it is the same run, an export, or no run (which matters only before the run has begun).
    """
    if source.resolve() == run_dir.resolve():
        raise UserError(f"{run_dir}: cannot start from itself; choose another --model_dir")
    if (source / EXPORT_METADATA).exists() and not (source / ABOUT).exists():
        raise UserError(
            f"{source}: an export has no weights for training; start from the run that it was made from"
        )
    if not (run_dir / ABOUT).exists():
        read_run(source)


def recorded_start(run_dir: Path, warm: bool) -> dict[str, Any] | None:
    """The entry `warm_start` of `run.json`, or None if there is no run in this folder, or it has none.

    Args:
      run_dir: the run folder.
      warm: whether the run is now to start from another one.

    Raises:
      UserError: the run in the folder started from another one and now it shall not, or the other way round.
    """
    if not (run_dir / ABOUT).exists():
        return None
    recorded = read_json(run_dir / ABOUT, records.RUN).get("warm_start")
    if recorded is None and warm:
        raise UserError(f"{run_dir}: its run did not start from another one; choose another --model_dir")
    if recorded is not None and not warm:
        raise UserError(
            f"{run_dir}: its run started from {recorded['run']}; add --from {recorded['run']} --from_step "
            f"{recorded['from_step']}, or choose another --model_dir"
        )
    return recorded
