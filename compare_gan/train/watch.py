"""Looks at a GAN's training from outside, and says when it has gone wrong."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp

from compare_gan.core.errors import UserError
from compare_gan.core.processes import first, of_first
from compare_gan.core.types import GanLoss

INCIDENTS = "incidents.jsonl"
ROLLED_BACK = "rolled back"
Action = Literal["stop", "rollback", "note"]


class Diverged(UserError):
    """Training went wrong and was stopped; what was good is saved."""

    exit_code = 1  # no mistake in what was given, as far as one can tell


@dataclasses.dataclass(frozen=True)
class Trouble:
    """What was seen."""

    what: str
    seen: dict[str, float]
    fatal: bool  # what comes after it is worth nothing


@dataclasses.dataclass(frozen=True)
class Watch:
    """What counts as trouble, and what to do about it.

    Fatal is a reported number that is not finite, or a loss beyond `largest_loss`. Doubtful is a
    discriminator that has nothing left to learn (its loss on the mean logits of both sides is below
    `saturated`, `patience` reports in a row; losses without a lower bound are not looked at), or a generator
    whose images are nearly all the same (their spread is below `least_spread` times that of real ones,
    `patience_spread` pictures in a row).

    Raises:
      UserError: an action that there is not.
    """

    on_fatal: Action = "stop"
    on_doubtful: Action = "note"
    largest_loss: float = 1e5
    saturated: float = 1e-3
    patience: int = 20
    least_spread: float = 0.02
    patience_spread: int = 3
    most_rollbacks: int = 3

    def __post_init__(self):
        for name in ("on_fatal", "on_doubtful"):
            if getattr(self, name) not in ("stop", "rollback", "note"):
                raise UserError(f"{name} is {getattr(self, name)!r}; use stop, rollback or note")

    def action(self, trouble: Trouble) -> Action:
        return self.on_fatal if trouble.fatal else self.on_doubtful


class Watcher:
    """A watch over one run; its incidents go to `incidents.jsonl`."""

    def __init__(self, watch: Watch, run_dir: Path, loss: GanLoss, real_spread: float):
        self.watch, self.path = watch, run_dir / INCIDENTS
        self.floor = _floor(loss)
        self.real_spread = real_spread
        self.satisfied = self.alike = 0  # how often in a row

    def reported(self, metrics: Mapping[str, float]) -> Trouble | None:
        """Looks at the numbers of some steps."""
        odd = {name: value for name, value in metrics.items() if not math.isfinite(value)}
        if odd:
            return Trouble(f"{' and '.join(odd)} not finite", odd, True)
        large = {
            name: value
            for name, value in metrics.items()
            if name in ("loss/d", "loss/g") and abs(value) > self.watch.largest_loss
        }
        if large:
            return Trouble(f"{' and '.join(large)} beyond {self.watch.largest_loss:g}", large, True)
        if self.floor is None or "logits/real" not in metrics:
            return None
        left = self.floor(metrics["logits/real"], metrics["logits/fake"])
        self.satisfied = self.satisfied + 1 if left < self.watch.saturated else 0
        if self.satisfied != self.watch.patience:  # told once
            return None
        seen = {name: metrics[name] for name in ("logits/real", "logits/fake", "loss/d")}
        return Trouble("the discriminator tells all images apart and has nothing left to learn", seen, False)

    def drawn(self, spread: float) -> Trouble | None:
        """Looks at the spread of generated images."""
        if not math.isfinite(spread):
            return Trouble("generated images are not finite", {"spread": spread}, True)
        alike = spread < self.watch.least_spread * self.real_spread
        self.alike = self.alike + 1 if alike else 0
        if self.alike != self.watch.patience_spread:
            return None
        seen = {"spread": spread, "spread of real images": self.real_spread}
        return Trouble("generated images are nearly all the same", seen, False)

    def note(self, step: int, trouble: Trouble, done: str) -> None:
        """Writes an incident down."""
        if not first():
            return
        seen = {name: value if math.isfinite(value) else str(value) for name, value in trouble.seen.items()}
        line = {"step": step, "what": trouble.what, "seen": seen, "done": done}
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")

    def rollbacks(self) -> int:
        """How often this run went back to an earlier state; each time its dice are thrown anew."""
        found = sum(line["done"].startswith(ROLLED_BACK) for line in read_incidents(self.path.parent))
        return int(of_first(found))

    def forget(self) -> None:
        """Starts counting anew."""
        self.satisfied = self.alike = 0


def read_incidents(run_dir: Path) -> list[dict[str, Any]]:
    """What went wrong in a run, in order."""
    path = run_dir / INCIDENTS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _floor(loss: GanLoss) -> Callable[[float, float], float] | None:
    """What a discriminator loses at mean logits of real and generated images, above the least it can lose.

    None where there is no least. The losses are convex, so at the mean logits they are at most as large.
    """

    def at(real: float, fake: float) -> float:
        return float(loss(jnp.array([real]), jnp.array([fake])).d)

    return None if at(1e4, -1e4) < 0 else at
