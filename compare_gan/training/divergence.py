"""Detects divergence and mode collapse, and responds: stop, roll back or note."""

import dataclasses
import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from compare_gan.core import records
from compare_gan.core.errors import UserError
from compare_gan.core.files import append, read_lines
from compare_gan.core.processes import broadcast_from_main, is_main_process
from compare_gan.core.run_files import INCIDENTS
from compare_gan.core.types import GanLoss
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.hooks import Action, SampleHook

ROLLED_BACK = "rolled back"
Response = Literal["stop", "rollback", "note"]
log = logging.getLogger(__name__)


class Diverged(UserError):
    """Training diverged and was stopped; the last good checkpoint is saved."""

    exit_code = 1  # not necessarily a user error


@dataclasses.dataclass(frozen=True)
class Incident:
    """An observation of divergence or possible collapse."""

    what: str
    values: dict[str, float]
    diverged: bool  # divergence; otherwise possible collapse


@dataclasses.dataclass(frozen=True)
class DivergencePolicy:
    """What counts as an incident, and the response.

    Divergence is a NaN or Inf metric, or a loss whose magnitude exceeds `max_loss`. Collapse is a saturated
    discriminator (its loss at the mean logits of both sides is below `saturated` in `patience` consecutive
    reports; losses without a lower bound are not checked), or mode collapse (the standard deviation of
    generated images is below `min_sample_std` times that of real images in `collapse_patience` consecutive
    sample grids).

    >>> cg.DivergencePolicy(on_divergence="rollback").on_collapse
    'note'

    Raises:
      UserError: an unknown response.
    """

    on_divergence: Response = "stop"
    on_collapse: Response = "note"
    max_loss: float = 1e5
    saturated: float = 1e-3
    patience: int = 20
    min_sample_std: float = 0.02
    collapse_patience: int = 3
    max_rollbacks: int = 3

    def __post_init__(self):
        for name in ("on_divergence", "on_collapse"):
            if getattr(self, name) not in ("stop", "rollback", "note"):
                raise UserError(f"{name} is {getattr(self, name)!r}; use stop, rollback or note")

    def response(self, incident: Incident) -> Response:
        """The response to an incident."""
        return self.on_divergence if incident.diverged else self.on_collapse


class DivergenceMonitor:
    """Checks the metrics and samples of one run against a policy."""

    def __init__(self, policy: DivergencePolicy, loss: GanLoss, real_std: float):
        self.policy, self.real_std = policy, real_std
        self.loss_above_floor = _loss_above_floor(loss)
        self.saturated_count = self.collapsed_count = 0  # consecutive observations

    def check_metrics(self, metrics: Mapping[str, float]) -> Incident | None:
        """Checks the mean metrics of a report."""
        bad = {name: value for name, value in metrics.items() if not math.isfinite(value)}
        if bad:
            return Incident(f"{' and '.join(bad)} is NaN or Inf", bad, True)
        large = {
            name: value
            for name, value in metrics.items()
            if name in ("loss/d", "loss/g") and abs(value) > self.policy.max_loss
        }
        if large:
            return Incident(f"{' and '.join(large)} exceeds {self.policy.max_loss:g}", large, True)
        if self.loss_above_floor is None or "logits/real" not in metrics:
            return None
        excess = self.loss_above_floor(metrics["logits/real"], metrics["logits/fake"])
        self.saturated_count = self.saturated_count + 1 if excess < self.policy.saturated else 0
        if self.saturated_count != self.policy.patience:  # reported once
            return None
        values = {name: metrics[name] for name in ("logits/real", "logits/fake", "loss/d")}
        return Incident(
            "the discriminator is saturated: it separates real and generated images", values, False
        )

    def check_samples(self, std: float) -> Incident | None:
        """Checks the standard deviation of generated images, see `writers.sample_std`."""
        if not math.isfinite(std):
            return Incident("generated images contain NaN or Inf", {"std": std}, True)
        collapsed = std < self.policy.min_sample_std * self.real_std
        self.collapsed_count = self.collapsed_count + 1 if collapsed else 0
        if self.collapsed_count != self.policy.collapse_patience:
            return None
        values = {"std": std, "std of real images": self.real_std}
        return Incident("mode collapse: generated images are nearly identical", values, False)

    def reset(self) -> None:
        """Resets the counts of consecutive observations."""
        self.saturated_count = self.collapsed_count = 0


class DivergenceHook:
    """Responds to incidents and appends them to `incidents.jsonl`.

    Args:
      monitor: checks metrics and samples.
      run_dir: the run folder.
      checkpoints: those of the run.
      samples: the hook that draws samples; it must be called before this one.
    """

    def __init__(
        self, monitor: DivergenceMonitor, run_dir: Path, checkpoints: Checkpoints, samples: SampleHook
    ):
        self.monitor, self.run_dir, self.checkpoints, self.samples = monitor, run_dir, checkpoints, samples
        self.step = 0

    def __call__(self, step: int, state: Any, metrics: dict[str, float] | None) -> Action | None:
        """Raises:
        Diverged: the response is to stop, or the maximum number of rollbacks is reached.
        """
        if step <= self.step:  # rolled back
            self.monitor.reset()
        self.step = step
        incident, at = None, step
        if metrics is not None:
            incident, at = self.monitor.check_metrics(metrics), int(metrics["step"])
        if incident is None and step and self.samples.std is not None:
            incident, at = self.monitor.check_samples(self.samples.std), step
        return None if incident is None else self.respond(at, incident)

    def respond(self, step: int, incident: Incident) -> Action | None:
        """Applies the policy's response to an incident at `step`.

        Raises:
          Diverged: see `__call__`.
        """
        policy = self.monitor.policy
        response = policy.response(incident)
        if response == "note":
            note_incident(self.run_dir, step, incident, "noted")
            log.warning(
                "%s: %s at step %d; training continues, see %s", self.run_dir, incident.what, step, INCIDENTS
            )
            return None
        saved = max(self.checkpoints.steps(), default=0)
        if response == "rollback" and count_rollbacks(self.run_dir) < policy.max_rollbacks:
            note_incident(self.run_dir, step, incident, f"{ROLLED_BACK} to step {saved}")
            return Action.ROLL_BACK
        note_incident(self.run_dir, step, incident, "stopped")
        raise Diverged(
            f"{self.run_dir}: {incident.what} at step {step}; stopped; the last good checkpoint is that of "
            f"step {saved}; see {INCIDENTS}"
        )


def note_incident(run_dir: Path, step: int, incident: Incident, done: str) -> None:
    """Appends a line to `incidents.jsonl`."""
    if not is_main_process():
        return
    values = {k: value if math.isfinite(value) else str(value) for k, value in incident.values.items()}
    line = {"step": step, "what": incident.what, "seen": values, "done": done}
    append(run_dir / INCIDENTS, f"{json.dumps(line)}\n".encode())


def read_incidents(run_dir: Path) -> list[dict[str, Any]]:
    """The incidents of a run, in order."""
    path = run_dir / INCIDENTS
    return read_lines(path, records.INCIDENT) if path.exists() else []


def count_rollbacks(run_dir: Path) -> int:
    """The number of rollbacks of a run. Collective: all processes must call it."""
    return int(
        broadcast_from_main(sum(line["done"].startswith(ROLLED_BACK) for line in read_incidents(run_dir)))
    )


def note_rollback(run_dir: Path, step: int, saved: int, rollbacks: int) -> None:
    """Notes the last of `rollbacks` rollbacks, unless the hook that requested it has done so."""
    if count_rollbacks(run_dir) < rollbacks:
        incident = Incident("requested by a hook", {}, False)
        note_incident(run_dir, step, incident, f"{ROLLED_BACK} to step {saved}")


def _loss_above_floor(loss: GanLoss) -> Callable[[float, float], float] | None:
    """A function of the mean real and fake logits: the discriminator's loss there minus its lower bound, 0.

    None if the loss has no lower bound. The losses are convex, so the loss at the mean logits is at most the
    mean loss.
    """

    discriminator_loss = jax.jit(lambda real, fake: loss(real, fake).d)

    def at(real: float, fake: float) -> float:
        return float(discriminator_loss(np.array([real], np.float32), np.array([fake], np.float32)))

    return None if at(1e4, -1e4) < 0 else at
