"""Scores during training, which select the best checkpoint."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from compare_gan.core.errors import UserError
from compare_gan.core.registry import METRICS
from compare_gan.core.types import GANState
from compare_gan.data.base import ImageDataset, Split
from compare_gan.evaluation.evaluate import check_settings, evaluate
from compare_gan.evaluation.options import EvalOptions, eval_extractor, eval_settings
from compare_gan.evaluation.scores import discard_later_scores, higher_is_better, score, write_scores
from compare_gan.gans.gan import GAN


@dataclasses.dataclass(frozen=True)
class Scoring:
    """When and how a GAN is scored while it is trained. The checkpoint with the best score is kept.

    >>> scoring = cg.Scoring(every=5000, validation=0.1, options=cg.EvalOptions(metrics=("fid_score",)))

    Raises:
      UserError: `every` is less than 1.
    """

    every: int  # steps
    best_by: str | None = None  # the score that selects the best checkpoint; None: the first of the metrics
    validation: float | None = None  # fraction of the training images to score on; None: the test images
    options: EvalOptions = EvalOptions()

    def __post_init__(self):
        if self.every < 1:
            raise UserError(f"the number of steps between scores is {self.every}; it must be at least 1")


def scorer(
    scoring: Scoring, gan: GAN, dataset: ImageDataset, validation: Split | None, run_dir: Path
) -> Callable[[GANState, int], float | None]:
    """A function that scores a state, adds a row to `scores.csv`, and returns a value to minimise.

    It removes rows of later steps: the run was rolled back, and their checkpoints do not exist.

    Args:
      scoring: how to score.
      gan: the GAN with its prior of evaluation.
      dataset: the data, without the validation images.
      validation: images to score on; None: the test images.
      run_dir: the run folder.

    Raises:
      UserError: a metric or the extractor is incompatible with the data, or `best_by` is not a score.
    """
    split, options = "test" if validation is None else "validation", scoring.options
    if validation is not None:
        dataset = dataclasses.replace(dataset, test=validation, test_class_names=None)
    settings, extractor = eval_settings(options, dataset), eval_extractor(options, dataset)
    check_settings(settings, gan, dataset, extractor, lenient=options.metrics is None)
    scores = [column for name in settings.metrics for column in METRICS[name].columns]
    best = scoring.best_by or scores[0]
    if best not in scores:
        raise UserError(f"--best_by {best}: not one of the scores {', '.join(scores)}; see --metrics")
    caution = (
        "evaluate --steps best scores it on the test images"
        if validation is not None
        else "so its scores on them are optimistic; --validation 0.1 selects on held-out training images"
    )
    print(
        f"the best checkpoint is selected by {best} on {len(dataset.test):,} {split} images; {caution}",
        flush=True,
    )

    def call(state: GANState, step: int) -> float | None:
        row = evaluate(gan, state, dataset, extractor, settings) | {"split": split}
        discard_later_scores(run_dir, step, options.score_filename)
        write_scores(run_dir, row, options.score_filename)
        value = score(row, best)
        print(f"{run_dir}: step {step}, {best} {value} ({split} images)", flush=True)
        return -value if value is not None and higher_is_better(best) else value

    return call
