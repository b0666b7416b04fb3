"""Recognises training that has gone wrong, and decides what to do about it."""

import dataclasses
import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp

from compare_gan.core.errors import UserError
from compare_gan.core.processes import broadcast_from_main, is_main_process
from compare_gan.core.types import GanLoss
from compare_gan.train.checkpoints import Checkpoints
from compare_gan.train.hooks import Action, SampleHook

INCIDENTS = "incidents.jsonl"
ROLLED_BACK = "rolled back"
Response = Literal["stop", "rollback", "note"]
log = logging.getLogger(__name__)


class Diverged(UserError):
    """Training diverged and was stopped; the last good checkpoint is saved."""

    exit_code = 1  # not a mistake of the user's, as far as one can tell


@dataclasses.dataclass(frozen=True)
class Incident:
    """What was observed."""

    what: str
    values: dict[str, float]
    diverged: bool  # later steps are worthless; else the generator may have collapsed


@dataclasses.dataclass(frozen=True)
class DivergencePolicy:
    """What counts as an incident, and the response.

    Divergence is a metric that is NaN or Inf, or a loss beyond `max_loss`. Collapse is a discriminator that
    has nothing left to learn (its loss on the mean logits of both sides is below `saturated` in `patience`
    reports in a row; losses without a lower bound are not checked), or a generator whose images are nearly
    all the same (their standard deviation is below `min_sample_std` times that of real images in
    `collapse_patience` sample grids in a row).

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
        return self.on_divergence if incident.diverged else self.on_collapse


class DivergenceMonitor:
    """Checks the metrics and samples of one run against a policy."""

    def __init__(self, policy: DivergencePolicy, loss: GanLoss, real_std: float):
        self.policy, self.real_std = policy, real_std
        self.loss_above_floor = _loss_above_floor(loss)
        self.saturated_count = self.collapsed_count = 0  # in a row

    def check_metrics(self, metrics: Mapping[str, float]) -> Incident | None:
        """Checks the means of some steps."""
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
        left = self.loss_above_floor(metrics["logits/real"], metrics["logits/fake"])
        self.saturated_count = self.saturated_count + 1 if left < self.policy.saturated else 0
        if self.saturated_count != self.policy.patience:  # reported once
            return None
        values = {name: metrics[name] for name in ("logits/real", "logits/fake", "loss/d")}
        return Incident("the discriminator separates all images and has nothing left to learn", values, False)

    def check_samples(self, std: float) -> Incident | None:
        """Checks the standard deviation of generated images, see `writers.sample_std`."""
        if not math.isfinite(std):
            return Incident("generated images contain NaN or Inf", {"std": std}, True)
        collapsed = std < self.policy.min_sample_std * self.real_std
        self.collapsed_count = self.collapsed_count + 1 if collapsed else 0
        if self.collapsed_count != self.policy.collapse_patience:
            return None
        values = {"std": std, "std of real images": self.real_std}
        return Incident("generated images are nearly all the same", values, False)

    def reset(self) -> None:
        """Starts counting again."""
        self.saturated_count = self.collapsed_count = 0


class DivergenceHook:
    """Stops, rolls back or notes when training goes wrong; incidents go to `incidents.jsonl`.

    Args:
      monitor: what checks metrics and samples.
      run_dir: gets the file.
      checkpoints: those of the run.
      samples: the hook that draws samples; it is called before this one.
    """

    def __init__(
        self, monitor: DivergenceMonitor, run_dir: Path, checkpoints: Checkpoints, samples: SampleHook
    ):
        self.monitor, self.run_dir, self.checkpoints, self.samples = monitor, run_dir, checkpoints, samples
        self.step = 0

    def __call__(self, step: int, state: Any, metrics: dict[str, float] | None) -> Action | None:
        """Raises:
        Diverged: the response is to stop, or training was rolled back too often.
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
            f"{self.run_dir}: {incident.what} at step {step}; stopped, the last good checkpoint is that of "
            f"step {saved}; see {INCIDENTS}"
        )


def note_incident(run_dir: Path, step: int, incident: Incident, done: str) -> None:
    """Appends a line to `incidents.jsonl`."""
    if not is_main_process():
        return
    values = {k: value if math.isfinite(value) else str(value) for k, value in incident.values.items()}
    line = {"step": step, "what": incident.what, "seen": values, "done": done}
    with open(run_dir / INCIDENTS, "a") as file:
        file.write(json.dumps(line) + "\n")


def read_incidents(run_dir: Path) -> list[dict[str, Any]]:
    """The incidents of a run, in order."""
    path = run_dir / INCIDENTS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def count_rollbacks(run_dir: Path) -> int:
    """How often a run was rolled back. All processes have to ask."""
    return int(
        broadcast_from_main(sum(line["done"].startswith(ROLLED_BACK) for line in read_incidents(run_dir)))
    )


def note_rollback(run_dir: Path, step: int, saved: int, rollbacks: int) -> None:
    """Notes the last of `rollbacks`, unless the hook that asked for it has done so."""
    if count_rollbacks(run_dir) < rollbacks:
        note_incident(run_dir, step, Incident("a hook asked", {}, False), f"{ROLLED_BACK} to step {saved}")


def _loss_above_floor(loss: GanLoss) -> Callable[[float, float], float] | None:
    """The discriminator's loss at mean logits of real and generated images, above the least possible.

    None where the loss has no lower bound. The losses are convex, so at the mean logits they are at most as
    large as their mean.
    """

    def at(real: float, fake: float) -> float:
        return float(loss(jnp.array([real]), jnp.array([fake])).d)

    return None if at(1e4, -1e4) < 0 else at
