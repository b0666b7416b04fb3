"""Selects and scores checkpoints of a run; skips those already scored."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from compare_gan.core.errors import UserError
from compare_gan.core.run_files import DONE
from compare_gan.core.types import GANState
from compare_gan.data.base import ImageDataset
from compare_gan.evaluation.evaluate import EvalSettings, evaluate, protocol_columns
from compare_gan.evaluation.scores import has_scores, write_scores
from compare_gan.features.base import Extractor
from compare_gan.gans.gan import GAN
from compare_gan.training.checkpoints import Checkpoints

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


def score_steps(
    run_dir: Path,
    steps: Sequence[int],
    gan: GAN,
    template: GANState,
    dataset: ImageDataset,
    extractor: Extractor,
    settings: EvalSettings,
) -> Iterator[dict[str, Any]]:
    """Scores checkpoints of a run, writes each row to its table of scores, and yields it.

    Damaged checkpoints are skipped with a warning.

    Args:
      template: a state of this GAN with the sharding for restored arrays.
    """
    protocol = protocol_columns(gan, dataset, extractor, settings)
    for step in steps:
        if has_scores(run_dir, {"step": step} | protocol, settings.metrics):
            log.warning("%s: step %d already has these scores", run_dir, step)
            continue
        state = Checkpoints(run_dir).restore_step(step, template)
        if state is None:
            continue
        row = evaluate(gan, state, dataset, extractor, settings)
        write_scores(run_dir, row)
        yield row


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
