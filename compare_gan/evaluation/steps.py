"""Selects and scores checkpoints of a run; skips those already scored."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from compare_gan.core.errors import UserError
from compare_gan.core.run_files import DONE, SCORES
from compare_gan.core.types import GANState
from compare_gan.data.base import ImageDataset
from compare_gan.evaluation.evaluate import EvalSettings, evaluate, protocol_columns
from compare_gan.evaluation.scores import (
    CHECKPOINT_SHA256,
    find_scores,
    fingerprint,
    has_scores,
    write_scores,
)
from compare_gan.features.base import Extractor
from compare_gan.gans.gan import GAN
from compare_gan.training.checkpoints import Checkpoints, manifest_sha256

POLL_S, TIMEOUT_S = 60.0, 24 * 3600.0  # seconds, as in compare_gan
log = logging.getLogger(__name__)


def select_steps(run_dir: Path, choice: str = "latest", every: int = 1) -> list[int]:
    """Selects steps of a run that have a checkpoint.

    Args:
      run_dir: the run folder.
      choice: latest, all, best, or comma-separated steps.
      every: with "all": only multiples of this, and the last step.

    Raises:
      UserError: there are no checkpoints, or a requested one is missing.
    """
    checkpoints = Checkpoints(run_dir)
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"{run_dir}: no checkpoint in {checkpoints.folder}; train it first")
    if choice == "latest":
        return steps[-1:]
    if choice == "all":
        return [step for step in steps if step % every == 0 or step == steps[-1]]
    if choice == "best":
        best = checkpoints.best()
        if best is None:
            raise UserError(f"{run_dir}: the best step is unknown; train with --eval_every_steps")
        return [best[0]]
    try:
        requested = [int(word) for word in choice.split(",")]
    except ValueError:
        raise UserError(f"steps {choice!r}: give latest, all, best, or numbers such as 1000,2000") from None
    for step in requested:
        if step not in steps:
            raise UserError(
                f"{run_dir}: no checkpoint of step {step}; there are {', '.join(map(str, steps))}"
            )
    return requested


class Evaluation(NamedTuple):
    """How checkpoints of a run are scored."""

    run_dir: Path
    gan: GAN
    template: GANState  # with the sharding for restored arrays
    dataset: ImageDataset  # with the classes of the GAN
    extractor: Extractor
    settings: EvalSettings
    score_filename: str = SCORES  # CSV file in the run folder

    def score(self, steps: Iterable[int]) -> Iterator[dict[str, Any]]:
        """Scores checkpoints, adds each row to the file of scores, and yields it.

        Checkpoints that are corrupted or already have these scores are skipped with a warning.
        """
        protocol = self._protocol()
        for step in steps:
            row = {"step": step, CHECKPOINT_SHA256: manifest_sha256(self.run_dir, step)} | protocol
            if has_scores(self.run_dir, row, self.settings.metrics, self.score_filename):
                log.warning("%s: step %d already has these scores", self.run_dir, step)
                continue
            state = Checkpoints(self.run_dir).restore_step(step, self.template)
            if state is None:
                continue
            row |= evaluate(self.gan, state, self.dataset, self.extractor, self.settings)
            row = {"fingerprint": fingerprint(row)} | row
            write_scores(self.run_dir, row, self.score_filename)
            yield row

    def stored(self, step: int) -> dict[str, Any] | None:
        """The row of a step with this protocol in the file of scores, or None."""
        return find_scores(self.run_dir, {"step": step} | self._protocol(), self.score_filename)

    def _protocol(self) -> dict[str, Any]:
        return protocol_columns(self.gan, self.dataset, self.extractor, self.settings)


def poll_steps(
    run_dir: Path,
    every: int = 1,
    wait: Callable[[float], None] = time.sleep,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[int]:
    """Yields steps of a run in training as their checkpoints appear; ends when training has finished.

    Raises:
      UserError: no checkpoint appeared within `timeout_s`.
    """
    yielded: set[int] = set()
    waited = 0.0
    while True:
        done = (run_dir / DONE).exists()  # before looking, so that no checkpoint is missed
        steps = Checkpoints(run_dir).steps()
        new = [
            step
            for step in steps
            if step not in yielded and (step % every == 0 or done and step == steps[-1])
        ]
        if new:
            yielded.add(new[0])
            waited = 0.0
            yield new[0]
        elif done:
            return
        elif waited >= timeout_s:
            raise UserError(
                f"{run_dir}: no new checkpoint in {timeout_s / 3600:g} hours; is training still running?"
            )
        else:
            wait(POLL_S)
            waited += POLL_S
