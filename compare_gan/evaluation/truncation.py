"""Scores of a checkpoint over the truncation of its latent vectors: Brock et al.,
https://arxiv.org/abs/1809.11096, figure 2.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from compare_gan.core.errors import UserError
from compare_gan.core.files import write_json
from compare_gan.core.registry import METRICS
from compare_gan.core.run_files import TRUNCATION
from compare_gan.evaluation.options import EvalOptions
from compare_gan.evaluation.scores import Row, score
from compare_gan.evaluation.steps import Evaluation


def truncation_rows(
    evaluation: Callable[[EvalOptions], Evaluation],
    options: EvalOptions,
    thresholds: Sequence[float],
    step: int,
) -> Iterator[dict[str, Any]]:
    """Scores a step at each threshold, ascending, and without truncation; yields the rows.

    Scores that the run's file already has are not computed again.

    Args:
      evaluation: prepares the scoring with some options.
      options: how to score; its truncation is ignored.
      thresholds: in standard deviations of the latent vectors.
      step: of the checkpoint.

    Raises:
      UserError: the latent vectors are not Gaussian, or the checkpoint is corrupted.
    """
    for threshold in (*sorted(set(thresholds)), None):
        truncated = evaluation(dataclasses.replace(options, truncation=threshold))
        row = next(truncated.score([step]), None) or truncated.stored(step)
        if row is None:
            raise UserError(f"{truncated.run_dir}: step {step} is corrupted; choose another step")
        yield row


def write_points(run_dir: Path, rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, Any]:
    """Writes scores of the rows of one step to the run folder; returns them, see `records.TRUNCATION`."""
    scores = [column for name in metrics for column in METRICS[name].columns]
    points = [
        {"truncation": row["truncation"], "scores": {name: score(row, name) for name in scores}}
        for row in rows
    ]
    curve = {"step": int(rows[0]["step"]), "points": points}
    write_json(run_dir / TRUNCATION, curve)
    return curve
