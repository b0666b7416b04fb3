"""A trained run: its images, scores, export and features."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan.core.defaults import EVAL_RUNS, EVAL_SEED, STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_text, user_cache
from compare_gan.core.placement import Placement
from compare_gan.core.registry import METRICS
from compare_gan.core.run_files import CONFIG, EXPORT, SCORES
from compare_gan.core.sampler import Sampler
from compare_gan.core.types import GANState
from compare_gan.data import ImageDataset, LoadOptions
from compare_gan.evaluation.evaluate import check_settings, draws_training_shares, metric_names
from compare_gan.evaluation.neighbours import TrainingImages, training_images
from compare_gan.evaluation.options import EvalOptions, eval_extractor, eval_settings
from compare_gan.evaluation.run_data import (
    data_of_run,
    with_images_of_run,
    with_training_classes,
    with_training_images,
    with_training_labels,
)
from compare_gan.evaluation.scores import read_scores, validate_score_filename
from compare_gan.evaluation.steps import Evaluation, select_steps
from compare_gan.export.folder import ExportMetadata
from compare_gan.export.onnx_model import OnnxModel, check_converter, onnx_model
from compare_gan.export.write import validate_output_dir, write_export
from compare_gan.features.base import Extractor, on_all_devices
from compare_gan.gans.gan import GAN
from compare_gan.gans.inference import discriminator_features, sampler_of
from compare_gan.gans.standing import prepare_for_inference
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.resume import check_consistent

FEATURES_BATCH = 256  # images per device


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run.

    >>> data = cg.open_dataset("digits")
    >>> run = cg.train(cg.presets.small(data.spec), data, "runs/digits", steps=1)
    digits: 1/1 ...
    >>> images = run.sample(16, label="3", seed=0)
    >>> images.shape, images.dtype
    ((16, 8, 8, 1), dtype('uint8'))
    >>> scores = run.evaluate(["frechet_distance"], images=500, runs=1)
    >>> scores["real_images"], scores["generated_images"], scores["scored"]
    (450, 500, 'frechet_distance')
    >>> run.discriminator_features(images).shape
    (16, 64)
    >>> run.export("digits-gan").step
    1
    """

    run_dir: Path
    about: dict[str, Any]  # `run.json`, plus the names of the architecture and of the GAN method
    gan: GAN  # with the prior of evaluation
    dataset: ImageDataset | None = None  # the training data, if it is still in memory

    def step_number(self, step: str | int = "latest") -> int:
        """The number of a checkpoint.

        Args:
          step: "latest", "best", or a step number.

        Raises:
          UserError: there is no such checkpoint.
        """
        choice = str(step)
        if choice not in ("latest", "best") and not choice.isdecimal():
            raise UserError(f"step {choice!r}: give latest, best, or one number")
        (number,) = select_steps(self.run_dir, choice)
        return number

    def template(self) -> GANState:
        """A freshly initialised state, the template for restoring checkpoints.

        Raises:
          UserError: the newest checkpoint does not match the configuration of the run.
        """
        check_consistent(self.run_dir, self.gan)
        return jax.jit(self.gan.init)(jax.random.key(0))

    def restore(self, step: str | int = "latest") -> GANState:
        """The state of a checkpoint.

        Args:
          step: "latest", the newest intact checkpoint; "best"; or a step number.

        Raises:
          UserError: there is no such checkpoint, or it is corrupted.
        """
        number = self.step_number(step)
        checkpoints, template = Checkpoints(self.run_dir), self.template()
        state = (
            checkpoints.restore(template) if step == "latest" else checkpoints.restore_step(number, template)
        )
        if state is None:
            raise UserError(
                f"{checkpoints.folder}: step {number} is corrupted; choose another step, or train again"
            )
        return state

    def sampler(
        self, step: str | int = "latest", *, statistics_examples: int = STATISTICS_EXAMPLES
    ) -> Sampler:
        """The sampler of a checkpoint, for many or large draws: its `batches` are generated one at a time.

        Args:
          step: "latest", "best", or a step number.
          statistics_examples: number of generated images for accumulated batch statistics, if the generator
            needs any.

        Raises:
          UserError: there is no such checkpoint, or it is corrupted.
        """
        state = prepare_for_inference(self.gan, self.restore(step), statistics_examples)
        return sampler_of(self.gan, state, self.about["class_names"])

    def sample(
        self,
        count: int = 64,
        *,
        label: int | str | Sequence[int | str] | None = None,
        seed: int = 0,
        truncation: float | None = None,
        step: str | int = "latest",
        statistics_examples: int = STATISTICS_EXAMPLES,
    ) -> np.ndarray:
        """Generates images, the same as `compare-gan sample` and as an export of the checkpoint.

        Latent vectors depend on the seed and on the index of an image. A score of N images with seed S is
        computed from `sample(N, seed=S)`, and those of further generated sets from S + 1, S + 2, ...

        Args:
          count: number of images.
          label: a class by index or name, or several, through which the images cycle; None: all classes.
          seed: of the latent vectors, in [0, 2**32).
          truncation: redraws Gaussian latent values beyond this many standard deviations, so that images are
            more typical and less diverse: Brock et al., https://arxiv.org/abs/1809.11096, section 3.1.
          step: "latest", "best", or a step number.
          statistics_examples: number of generated images for accumulated batch statistics, if the generator
            needs any.

        Returns:
          uint8 images [count, H, W, C].

        Raises:
          UserError: there is no such checkpoint or class, or latent vectors that are not Gaussian are to be
            truncated.
        """
        if count < 1:
            raise UserError(f"{count} images; sample at least 1")
        if label is not None and not self.gan.conditional:
            raise UserError(f"label {label}: the GAN is unconditional; leave out label")
        sampler = self.sampler(step, statistics_examples=statistics_examples)
        labels = [label] if isinstance(label, int | str | np.integer) else label
        classes = None if labels is None else [sampler.class_index(each) for each in labels]
        images, _ = sampler.images(count, seed, classes, truncation)
        return images

    def evaluate(
        self,
        metrics: Sequence[str] | None = None,
        *,
        extractor: str | Extractor | None = None,
        step: str | int = "latest",
        data: str | Path | ImageDataset | None = None,
        images: int | None = None,
        runs: int = EVAL_RUNS,
        seed: int = EVAL_SEED,
        statistics_examples: int = STATISTICS_EXAMPLES,
        truncation: float | None = None,
        score_filename: str = SCORES,
    ) -> dict[str, Any]:
        """Scores a checkpoint against held-out images, and adds the scores to `scores.csv`.

        Scores that the file already has with the same protocol are not computed again.

        Args:
          metrics: names of metrics; None: frechet_distance and class_agreement.
          extractor: a name, a file, or an `Extractor`; None: the packaged classifier of the data set, or else
            Inception if its weights are on this machine. "inception" downloads them once.
          step: "latest", "best", or a step number.
          data: the data set, its name or path; None: the one that the run was trained on.
          images: images per generated set; None: the number of real images, at least 5000.
          runs: number of generated sets. Scores of several sets are in NAME_mean, NAME_std and NAME_list.
          seed: of the first generated set; the next sets have the next seeds, see `sample`.
          statistics_examples: number of generated images for accumulated batch statistics, if the generator
            needs any.
          truncation: see `sample`; it is part of the protocol.
          score_filename: name of the CSV file in the run folder.

        Returns:
          A row: the step, the protocol with its `fingerprint`, the metrics that were `scored`, and scores,
          which are None where they do not apply.

        Raises:
          UserError: there is no such checkpoint, it is corrupted, or the data, the extractor or a metric is
            incompatible.
        """
        options = EvalOptions(
            extractor,
            None if metrics is None else metric_names(metrics),
            images,
            runs,
            seed,
            statistics_examples,
            truncation,
            score_filename,
        )
        number = self.step_number(step)
        dataset = self.open_data(str(data)) if isinstance(data, str | Path) else data
        evaluation = self.evaluation(options, dataset)
        row = next(evaluation.score([number]), None) or evaluation.stored(number)
        if row is None:
            raise UserError(f"{self.run_dir}: step {number} is corrupted; choose another step")
        return row

    def evaluation(self, options: EvalOptions, dataset: ImageDataset | None = None) -> Evaluation:
        """Prepares the scoring of any number of checkpoints.

        Args:
          options: how to score.
          dataset: the data; None: that of the run.

        Raises:
          UserError: the data, the extractor or a metric is incompatible.
        """
        validate_score_filename(options.score_filename)
        in_memory = dataset is None and self.dataset is not None
        if dataset is None:
            dataset = self.dataset or self.open_data()
        dataset = with_images_of_run(self.run_dir, self.about, dataset)
        extractor, settings = eval_extractor(options, dataset), eval_settings(options, dataset)
        if not in_memory and any("train" in METRICS[name].needs for name in settings.metrics):
            dataset = with_training_images(dataset, self.run_dir, self.about)
        elif not in_memory and draws_training_shares(self.gan):
            dataset = with_training_labels(dataset, self.run_dir, self.about)
        dataset = with_training_classes(dataset, tuple(self.about["class_names"]))
        check_settings(settings, self.gan, dataset, extractor, lenient=options.metrics is None)
        template = Placement.create().replicate(self.template())
        return Evaluation(
            self.run_dir, self.gan, template, dataset, extractor, settings, options.score_filename
        )

    def open_data(self, source: str | None = None, load_options: LoadOptions | None = None) -> ImageDataset:
        """Opens the data set that this run was trained on, or another one with images of its size.

        Args:
          source: name or path of other data; None: the training data.
          load_options: non-default fields override how the run loaded its data.

        Raises:
          UserError: the data is missing, its images have another size, or its label file has changed.
        """
        return data_of_run(self.run_dir, self.about, source, load_options)

    def training_images(
        self, extractor: str | Extractor | None = None, data: ImageDataset | None = None
    ) -> TrainingImages:
        """The images that this run was trained on, to find those nearest to a generated image.

        >>> data = cg.open_dataset("digits")
        >>> run = cg.train(cg.presets.small(data.spec), data, "runs/near", steps=1)
        near: 1/1 ...
        >>> found = run.training_images().nearest(run.sample(2), k=3)
        >>> found.rows.shape, found.distances.shape
        ((2, 3), (2, 3))

        Args:
          extractor: a name, a file, or an `Extractor`; None: as in `evaluate`. Its features of the training
            images are kept in the cache folder of the user.
          data: the data set; None: that of the run.

        Raises:
          UserError: the data is missing or has other images, or the extractor does not support them.
        """
        if data is None and self.dataset is not None:
            dataset = self.dataset
        else:
            dataset = with_training_images(data or self.open_data(), self.run_dir, self.about)
        options = EvalOptions(extractor)
        return training_images(dataset, eval_extractor(options, dataset), user_cache() / "features")

    def export(
        self,
        out: Path | str | None = None,
        *,
        step: str | int = "latest",
        statistics_examples: int = STATISTICS_EXAMPLES,
    ) -> ExportMetadata:
        """Exports generator and discriminator as programs that need only JAX, with weights and a model card.

        Args:
          out: the output folder; None: `export`, in the run folder. An export in it is replaced.
          step: "latest", "best", or a step number.
          statistics_examples: number of generated images for accumulated batch statistics, if the generator
            needs any.

        Returns:
          The metadata of the export, such as `step`.

        Raises:
          UserError: there is no such checkpoint, or `out` contains something else or cannot be written.
        """
        out = validate_output_dir(self.run_dir / EXPORT if out is None else Path(out))
        config, rows = read_text(self.run_dir / CONFIG), read_scores(self.run_dir)
        return write_export(out, self.gan, self.restore(step), self.about, config, rows, statistics_examples)

    def onnx_model(
        self, *, step: str | int = "latest", statistics_examples: int = STATISTICS_EXAMPLES
    ) -> OnnxModel:
        """The generator as an ONNX file, for `onnxruntime` and for `compare_gan.export.page.page`.

        Needs jax2onnx. The images of the file are compared with ours, if onnxruntime is installed.

        Args:
          step: "latest", "best", or a step number.
          statistics_examples: number of generated images for accumulated batch statistics, if the generator
            needs any.

        Raises:
          UserError: there is no such checkpoint, jax2onnx is missing or cannot convert the generator, or
            images of the file differ from ours by more than one step of an 8-bit pixel.
        """
        check_converter()
        return onnx_model(self.gan, self.restore(step), self.about, statistics_examples)

    def discriminator_features(self, images: np.ndarray, *, step: str | int = "latest") -> np.ndarray:
        """Features of images from the last layer of the discriminator before its outputs.

        Args:
          images: uint8 [N, H, W, C], of the size of the training images.
          step: "latest", "best", or a step number.

        Returns:
          float32 [N, F].

        Raises:
          UserError: there is no such checkpoint, or the images have another type or shape.
        """
        shape = self.gan.spec.image_shape
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise UserError(
                f"the discriminator takes uint8 images [N, {', '.join(map(str, shape))}], "
                f"not {images.dtype} {list(images.shape)}"
            )
        apply = functools.partial(discriminator_features, self.gan)
        return on_all_devices(apply, self.restore(step).d, images, FEATURES_BATCH, "features")
