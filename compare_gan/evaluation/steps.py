"""Which checkpoints of a run are scored, and when. What is scored already is not scored again."""

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
from compare_gan.train.checkpoints import Checkpoints

POLL, PATIENCE = 60.0, 24 * 3600.0  # seconds, as compare_gan's
log = logging.getLogger(__name__)


def select_steps(run_dir: Path, wanted: str = "latest", every: int = 1) -> list[int]:
    """Steps of a run that have a checkpoint.

    Args:
      run_dir: the run folder.
      wanted: latest, all, best, or steps with commas between them.
      every: of all, those at multiples of this, and the last.

    Raises:
      UserError: there are none, or one that is asked for is not there.
    """
    checkpoints = Checkpoints(run_dir)
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"{run_dir}: no checkpoint in {checkpoints.folder}; train it first")
    if wanted == "latest":
        return steps[-1:]
    if wanted == "all":
        return [step for step in steps if step % every == 0 or step == steps[-1]]
    if wanted == "best":
        best = checkpoints.best()
        if best is None:
            raise UserError(f"{run_dir}: no best step is known; train with --eval_every_steps")
        return [best[0]]
    try:
        asked = [int(word) for word in wanted.split(",")]
    except ValueError:
        raise UserError(f"steps {wanted!r}: give latest, all, best, or numbers such as 1000,2000") from None
    for step in asked:
        if step not in steps:
            raise UserError(
                f"{run_dir}: no checkpoint of step {step}; there are {', '.join(map(str, steps))}"
            )
    return asked


def score_steps(
    run_dir: Path,
    steps: Sequence[int],
    gan: GAN,
    template: GANState,
    dataset: ImageDataset,
    extractor: Extractor,
    settings: EvalSettings,
) -> Iterator[dict[str, Any]]:
    """Scores some checkpoints of a run, each into the table of its scores as soon as it is known.

    A checkpoint that is damaged is named and passed over.

    Args:
      template: a state of this GAN, with the arrays where they are wanted.
    """
    protocol = protocol_columns(gan, dataset, extractor, settings)
    for step in steps:
        if has_scores(run_dir, {"step": step} | protocol, settings.metrics):
            log.warning("%s: step %d is scored already", run_dir, step)
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
    patience: float = PATIENCE,
) -> Iterator[int]:
    """Steps of a run that is being trained, one after the other; ends when training has.

    Raises:
      UserError: no checkpoint came for a day.
    """
    told: set[int] = set()
    waited = 0.0
    while True:
        done = (run_dir / DONE).exists()  # before looking, so that no checkpoint is missed
        steps = Checkpoints(run_dir).steps()
        new = [
            step for step in steps if step not in told and (step % every == 0 or done and step == steps[-1])
        ]
        if new:
            told.add(new[0])
            waited = 0.0
            yield new[0]
        elif done:
            return
        elif waited >= patience:
            raise UserError(
                f"{run_dir}: no new checkpoint in {patience / 3600:g} hours; is it being trained?"
            )
        else:
            wait(POLL)
            waited += POLL
