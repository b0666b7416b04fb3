"""Training a GAN into a run folder, and opening the run folder of a trained GAN."""

import dataclasses
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.config.parse import parse_again
from compare_gan.config.write import architecture_of, network_classes, write_config
from compare_gan.core.augmentation import refuse_mirror
from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.core.partials import target_of
from compare_gan.core.placement import Placement
from compare_gan.core.processes import is_main_process
from compare_gan.core.registry import GAN_METHODS
from compare_gan.core.run_files import CONFIG, TRAINING_LABELS
from compare_gan.core.types import ImageSpec
from compare_gan.data.base import UNLABELLED, ImageDataset, Origin, Split, hard_labels
from compare_gan.data.label_files import digest, write_labels
from compare_gan.data.loading import LoadOptions
from compare_gan.data.source import refuse_inside
from compare_gan.data.validation import with_validation
from compare_gan.evaluation.during_training import Scoring, scorer
from compare_gan.gans.gan import GAN
from compare_gan.gans.sampling import Prior
from compare_gan.gans.transfer import NamedGAN
from compare_gan.trained_run import Run
from compare_gan.training.checkpoints import saved_steps
from compare_gan.training.divergence import DivergencePolicy
from compare_gan.training.gan import train as train_gan
from compare_gan.training.hooks import Hook
from compare_gan.training.resume import check_fits, check_run_dir
from compare_gan.training.run_dir import describe_run, read_run
from compare_gan.training.schedule import TrainSchedule
from compare_gan.training.warm_start import WarmStart, check_source, recorded_start

__all__ = ["Run", "open_run", "train"]


def open_run(
    run_dir: str | Path, gan: GAN | None = None, *, allow_imports: Collection[str] | None = ()
) -> Run:
    """Opens the run folder of `train`, `compare-gan train` or a study.

    >>> data = cg.open_dataset("blobs")
    >>> run = cg.train(cg.presets.small(data.spec), data, "runs/opened", steps=1)
    opened: 1/1 ...
    >>> cg.open_run("runs/opened").gan == run.gan
    True

    Args:
      run_dir: the folder.
      gan: the GAN that it trains; by default it is built from the configuration of the run. Needed only if
        parts of the GAN have no gin name, as the message then says.
      allow_imports: modules that the configuration may import, besides those of this library; None: any.

    Raises:
      UserError: this is not a run folder, its configuration is invalid, or `gan` is needed or does not match.
    """
    run_dir = Path(run_dir)
    about = read_run(run_dir)
    unnamed = about.get("unnamed_parts", [])
    spec = ImageSpec(tuple(about["image_shape"]), about["num_classes"])
    if gan is not None:
        if gan.spec.image_shape != spec.image_shape:
            raise UserError(
                f"{run_dir}: its images are {spec.image_shape}, and the GAN's {gan.spec.image_shape}"
            )
        return Run(run_dir, {"method": "GAN", "architecture": network_name(gan)} | about, gan)
    if unnamed:
        raise UserError(
            f"{run_dir}: parts of its GAN have no gin name ({', '.join(unnamed)}); open it in Python, with "
            "compare_gan.open_run(path, gan=gan)"
        )
    parsed = parse_again(run_dir / CONFIG, allow_imports)
    gan = dataclasses.replace(parsed.gan(spec), prior=parsed.eval_prior)
    if "imported" in about and about["data"] is None:
        about["data"] = parsed.dataset.name
    options = parsed.options
    target = target_of(options.gan_class)
    method = next(name for name in GAN_METHODS if GAN_METHODS[name] is target)
    return Run(run_dir, {"method": method} | about | {"architecture": options.architecture}, gan)


def train(
    gan: GAN,
    data: ImageDataset,
    folder: str | Path,
    *,
    steps: int | None = None,
    schedule: TrainSchedule | None = None,
    seed: int = 0,
    hooks: Sequence[Hook] = (),
    tensorboard: bool = True,
    random_flip: bool = False,
    eval_prior: Prior | None = None,
    scoring: Scoring | None = None,
    divergence: DivergencePolicy = DivergencePolicy(),
    placement: Placement | None = None,
    workers: int = 0,
    config: str | None = None,
    continue_with_changes: bool | None = None,
    warm_start: str | Path | Run | None = None,
    from_step: str | int = "latest",
) -> Run:
    """Trains a GAN into a run folder, or resumes where an earlier call with the same arguments stopped.

    The run can be opened by `open_run` and by all commands. Ctrl-C saves and raises `Interrupted`; the same
    call then resumes bit-exactly.

    >>> data = cg.open_dataset("blobs")
    >>> run = cg.train(cg.presets.small(data.spec), data, "runs/blobs", steps=1)
    blobs: 1/1 ...
    >>> run.sample(4, label="top left").shape
    (4, 8, 8, 3)

    Args:
      gan: the GAN; `gan.spec` must be that of the data.
      data: its training images with the labels that the GAN may see.
      folder: the run folder, created if needed.
      steps: number of generator updates, short for `schedule=TrainSchedule(steps)`.
      schedule: how long to train, and when to log, sample, score and save.
      seed: of every random number.
      hooks: called after every step, see `compare_gan.training.hooks`.
      tensorboard: write metrics, samples and real images to a TensorBoard event file in the run folder.
      random_flip: mirror real images left to right with probability 1/2.
      eval_prior: the distribution of latent vectors of samples and scores; None: `gan.prior`.
      scoring: scores during training, which keep the best checkpoint.
      divergence: what to do when training goes wrong.
      placement: the devices; all of them by default.
      workers: processes that read images which are not in memory; 0: threads.
      config: the operative configuration of the GAN, if it was parsed from one; by default it is written from
        the GAN.
      continue_with_changes: resume although the GAN, the data or the seed has changed, and record the changes
        in run.json.
      warm_start: a run whose networks this one starts from, see `compare_gan.gans.transfer`. Steps and
        optimisers start again. Needed again only as long as the run has no checkpoint.
      from_step: the checkpoint of that run: "latest", "best", or a step number.

    Raises:
      UserError: the folder holds another run, is in use or not writable; the data does not match the GAN; or
        the run cannot start from the weights of `warm_start`.
      Interrupted: Ctrl-C or SIGTERM; the state is saved.
      Diverged: an incident to which the response is to stop.
    """
    run_dir, placement = Path(folder), placement or Placement.create()
    if (steps is None) == (schedule is None):
        raise UserError("train takes either steps or a schedule")
    schedule = schedule or TrainSchedule(steps or 0)
    check_data(gan, data)
    gan.validate()
    if random_flip:
        refuse_mirror("dataset.random_flip", data.spec, "dataset.random_flip = False")
    check_run_dir(run_dir, schedule.steps)
    if data.origin is not None and data.origin.data is not None:
        refuse_inside(run_dir, data.origin.data)
    if line := describe_unlabelled(data, gan):
        print(line, flush=True)
    evaluated = dataclasses.replace(gan, prior=eval_prior or gan.prior)
    used, score = data, None
    if scoring is not None:
        held_out = None
        if scoring.validation is not None:
            used, held_out = with_validation(data, scoring.validation, seed)
        score = scorer(scoring, evaluated, used, held_out, run_dir)
        schedule = dataclasses.replace(schedule, score_every=scoring.every)
    unnamed: tuple[str, ...] = ()
    if config is None:
        written = write_config(
            gan, data=data.name, schedule=schedule, seed=seed, random_flip=random_flip, eval_prior=eval_prior
        )
        config, unnamed = written.config, written.unnamed
    if continue_with_changes:
        check_fits(run_dir, gan.with_replicas(placement.mesh.size))
    started, start = resolve_start(
        run_dir, warm_start, str(from_step), NamedGAN(gan, used.class_names), config
    )
    record: dict[str, Any] = {"seed": seed, "validation": scoring and scoring.validation}
    if started is not None:
        record["warm_start"] = started
    if unnamed:
        record["unnamed_parts"] = list(unnamed)
    describe_with_labels(run_dir, data, used, config, record, continue_with_changes)
    train_gan(
        gan,
        used.train,
        run_dir=run_dir,
        schedule=schedule,
        seed=seed,
        placement=placement,
        random_flip=random_flip,
        workers=workers,
        divergence=divergence,
        score=score,
        tensorboard=tensorboard,
        hooks=hooks,
        warm_start=start,
    )
    return dataclasses.replace(open_run(run_dir, gan=evaluated), dataset=used)


def resolve_start(
    run_dir: Path, source: str | Path | Run | None, choice: str, target: NamedGAN, config: str
) -> tuple[dict[str, Any] | None, WarmStart | None]:
    """How a run starts: the entry `warm_start` of `run.json`, and the weights if they are still needed.

    Args:
      run_dir: the run.
      source: the run that it starts from, or None.
      choice: the step of the source: latest, best or a number.
      target: the GAN of the run.
      config: its configuration; that of the source may import the same modules.

    Raises:
      UserError: the run cannot start from the source, or started in another way.
    """
    before = recorded_start(run_dir, source is not None)
    if source is None:
        if target.gan.freeze_d_layers:
            raise UserError(
                "ModularGAN.freeze_d_layers freezes weights that nothing has trained; give a run to start "
                "from, or set it to 0"
            )
        return None, None
    place = source.run_dir if isinstance(source, Run) else Path(source)
    check_source(place, run_dir)
    same = before is not None and (Path(before["run"]).resolve(), before["from_step"]) == (
        place.resolve(),
        choice,
    )
    if same and saved_steps(run_dir):
        return before, None
    if not isinstance(source, Run):
        modules = [line.split()[1] for line in config.splitlines() if line.startswith("import ")]
        source = open_run(place, allow_imports=modules)
    step = before["step"] if before is not None and same else source.step_number(choice)
    start = WarmStart.plan(place, step, NamedGAN(source.gan, tuple(source.about["class_names"])), target)
    record = start.record(choice)
    if before is not None and before["sha256"] != record["sha256"]:
        raise UserError(
            f"{run_dir}: its run started from {before['run']}, step {before['step']}, not from {place}, step "
            f"{step}, or that has changed; choose another --model_dir"
        )
    return before or record, start


def describe_with_labels(
    run_dir: Path,
    data: ImageDataset,
    used: ImageDataset,
    config: str,
    record: dict[str, Any],
    continue_with_changes: bool | None,
) -> None:
    """`describe_run` with the origin of the data; labels that are in no other file are written to the folder.

    Args:
      run_dir: the run folder.
      data: the data.
      used: the same without validation images.
      config: the operative configuration.
      record: further entries of `run.json`.
      continue_with_changes: see `describe_run`.

    Raises:
      UserError: the folder is not writable, or holds another run.
    """
    origin = data.origin or Origin(None, dataclasses.asdict(LoadOptions()))
    with tempfile.TemporaryDirectory() as scratch:
        labels, file = origin.labels, Path(scratch) / TRAINING_LABELS
        if origin.assigned:
            labels = {"choice": TRAINING_LABELS, "sha256": save_labels(file, data.train)}
        fields = {"data": origin.data, "reading": origin.reading, "labels": labels}
        fields |= {"labelled_only": origin.labelled_only} | record
        describe_run(run_dir, used, config, fields, continue_with_changes)
        if origin.assigned and is_main_process():  # not before `describe_run`, which may refuse the folder
            with atomic(run_dir / TRAINING_LABELS) as copy:
                copy.write(file.read_bytes())


def check_data(gan: GAN, data: ImageDataset) -> None:
    """Checks that a GAN fits a data set.

    Raises:
      UserError: the image shapes differ, or a conditional GAN has another number of classes.
    """
    if gan.spec.image_shape != data.spec.image_shape:
        raise UserError(
            f"the GAN generates images {list(gan.spec.image_shape)}, but those of {data.name} are "
            f"{list(data.spec.image_shape)}; build it with the spec of the data set, or set image_size"
        )
    if gan.conditional and gan.spec.num_classes != data.spec.num_classes:
        raise UserError(
            f"the GAN has {gan.spec.num_classes} classes, but {data.name} has {data.spec.num_classes}; build "
            "it with the spec of the data set"
        )


def describe_unlabelled(data: ImageDataset, gan: GAN) -> str | None:
    """A line on how a conditional GAN uses unlabelled training images; None if it has none.

    Raises:
      UserError: no training image has a label.
    """
    missing, count = int((hard_labels(data.train) == UNLABELLED).sum()), len(data.train)
    if not gan.conditional or not missing:
        return None
    if missing == count:
        raise UserError(
            f"{data.name}: no training image has a label, but ModularGAN.conditional is True; "
            "give --labels, or train without labels (no_labels.gin, ssgan.gin)"
        )
    start = f"{missing:,} of {count:,} training images have no label"
    if any(getattr(task, "use_predictor", False) for task in gan.tasks):
        return f"{start}: the discriminator's classification head predicts them (S3GAN.use_predictor)"
    return (
        f"{start}: the discriminator gets them without a class; --labelled_only drops them, few-labels "
        "infers their labels"
    )


def network_name(gan: GAN) -> str:
    """The name of a GAN's architecture, or of its generator if it is not registered."""
    if (name := architecture_of(gan)) is not None:
        return name
    generator, _ = network_classes(gan)
    return getattr(generator, "__qualname__", str(generator))


def save_labels(path: Path, split: Split) -> str:
    """Writes the labels of a split as a label file, and returns its SHA-256."""
    labelled = np.flatnonzero(hard_labels(split) != UNLABELLED)
    write_labels(path, labelled, split.labels[labelled], split.names)
    return digest(path)
