"""The options of an evaluation, with defaults that depend on the data."""

import dataclasses

from compare_gan.core.defaults import EVAL_RUNS, EVAL_SEED, MIN_EVAL_IMAGES, STATISTICS_EXAMPLES
from compare_gan.core.files import user_cache
from compare_gan.core.run_files import SCORES
from compare_gan.data.base import ImageDataset
from compare_gan.evaluation.evaluate import EvalSettings
from compare_gan.features import default_extractor, open_extractor
from compare_gan.features.base import Extractor


@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """How a GAN is scored, and where scores are stored.

    >>> cg.EvalOptions(metrics=("fid_score", "kid_score"), extractor="inception").seed
    42
    """

    extractor: str | Extractor | None = None  # see `open_extractor`; None: `default_extractor`
    metrics: tuple[str, ...] | None = None  # None: those of the defaults that apply
    images: int | None = None  # per generated set; None: the number of real images, at least 5000
    runs: int = EVAL_RUNS  # number of generated sets
    seed: int = EVAL_SEED  # of the first set; the next sets have the next seeds
    statistics_examples: int = STATISTICS_EXAMPLES  # images for accumulated batch statistics
    truncation: float | None = None  # of Gaussian latent vectors, see `core.sampler.truncate`
    score_filename: str = SCORES  # CSV file in the run folder


def eval_settings(options: EvalOptions, dataset: ImageDataset) -> EvalSettings:
    """The evaluation protocol for a data set.

    Raises:
      UserError: an option is invalid.
    """
    chosen = {} if options.metrics is None else {"metrics": options.metrics}
    return EvalSettings(
        images=max(MIN_EVAL_IMAGES, len(dataset.test)) if options.images is None else options.images,
        seed=options.seed,
        statistics_examples=options.statistics_examples,
        runs=options.runs,
        cache=user_cache() / "features",
        truncation=options.truncation,
        **chosen,
    )


def eval_extractor(options: EvalOptions, dataset: ImageDataset) -> Extractor:
    """The feature extractor for a data set.

    Raises:
      UserError: it cannot be opened, or none is given and none is packaged for the data.
    """
    if options.extractor is None:
        return default_extractor(dataset.name, dataset.spec.image_shape)
    return open_extractor(options.extractor) if isinstance(options.extractor, str) else options.extractor
