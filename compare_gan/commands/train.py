"""Train one GAN from a configuration."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare_gan.commands.evaluate import EvalRequest, add_settings, eval_options, evaluate_run
from compare_gan.commands.shared import add_hosts, add_reading, declare, join, one_or_several, reading
from compare_gan.core.errors import UserError

if TYPE_CHECKING:
    from compare_gan.evaluation.options import EvalOptions


def add(commands) -> None:
    parser = declare(
        commands,
        train,
        "train",
        "Train one GAN from a gin configuration.",
        "--model_dir runs/mine --gin_config small.gin --gin_config s3gan.gin --data digits",
    )
    parser.add_argument("--model_dir", required=True, help="output folder")
    parser.add_argument(
        "--gin_config",
        action="append",
        default=[],
        help="configuration file, or the name of a packaged one, see compare-gan configs; may be repeated",
    )
    parser.add_argument("--gin_bindings", action="append", default=[], help="one binding; may be repeated")
    parser.add_argument(
        "--data",
        action="extend",
        nargs="+",
        help="names or paths; several are concatenated; default: dataset.name of the configuration",
    )
    parser.add_argument(
        "--data_fake_dataset", action="store_true", help="random images with the shape of dataset.name"
    )
    add_reading(parser)
    parser.add_argument(
        "--labels",
        help="labels that replace those of the data: single, random[:SEED], clusters:FILE, or a label FILE "
        "(.csv, .npz, TFRecords); default: replace_labels.file_pattern",
    )
    parser.add_argument("--labelled_only", action="store_true", help="use only labelled training images")
    parser.add_argument(
        "--data_workers", type=int, default=0, help="processes that load streamed images; 0: threads"
    )
    parser.add_argument(
        "--on_divergence",
        choices=("stop", "rollback", "note"),
        default="stop",
        help="action if a loss explodes or is NaN; rollback resumes from the last checkpoint with a new RNG "
        "seed",
    )
    parser.add_argument(
        "--on_collapse",
        choices=("stop", "rollback", "note"),
        default="note",
        help="action if the discriminator saturates or the generator collapses to identical samples",
    )
    parser.add_argument(
        "--schedule",
        choices=("train", "eval_after_train", "continuous_eval"),
        default="train",
        help="eval_after_train scores all checkpoints afterwards; continuous_eval scores the checkpoints "
        "that another process is writing",
    )
    parser.add_argument(
        "--eval_every_steps",
        type=int,
        help="score every N steps during training, and keep the best checkpoint",
    )
    parser.add_argument("--best_by", help="score that selects the best checkpoint; default: the first metric")
    parser.add_argument(
        "--validation",
        type=float,
        metavar="FRACTION",
        help="with --eval_every_steps: hold out this fraction of the training images and score on them, so "
        "that the best checkpoint is not selected on test images",
    )
    parser.add_argument(
        "--continue_with_changes",
        action="store_true",
        help="resume a run although its configuration, data or seed has changed; run.json records the "
        "changes",
    )
    parser.add_argument(
        "--fsdp",
        type=int,
        default=1,
        help="number of devices that each copy of weights and optimizer state is sharded over",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="RUN",
        help="start from the weights of this run, whose classes and heads may differ; steps and optimizers "
        "start again",
    )
    parser.add_argument(
        "--from_step",
        default="latest",
        metavar="STEP",
        help="with --from: its checkpoint, latest (default), best, or a step number",
    )
    add_hosts(parser)
    add_settings(parser)
    parser.add_argument("--sample_every", type=int, default=500, help="number of steps between sample grids")
    parser.add_argument(
        "--no_tensorboard", action="store_true", help="write no TensorBoard events into the run folder"
    )
    parser.add_argument(
        "--profile",
        type=int,
        default=0,
        metavar="N",
        help="trace N steps with jax.profiler into the run folder",
    )


def train(arguments: argparse.Namespace) -> None:
    if arguments.schedule == "continuous_eval" and arguments.distributed:
        raise UserError("--schedule continuous_eval runs in one process; leave out --distributed")
    if arguments.profile < 0:
        raise UserError(f"--profile is {arguments.profile}; it must not be negative")
    if arguments.eval_every_steps is not None and arguments.eval_every_steps < 1:
        raise UserError(f"--eval_every_steps is {arguments.eval_every_steps}; it must be at least 1")
    if arguments.validation is not None and (not arguments.eval_every_steps or arguments.schedule != "train"):
        raise UserError(
            "--validation selects the best checkpoint during training; it needs --eval_every_steps"
        )
    if arguments.from_step != "latest" and arguments.source is None:
        raise UserError("--from_step needs --from")
    join(arguments)
    options = eval_options(arguments)
    if arguments.schedule != "continuous_eval":
        train_one(arguments, options)
    if arguments.schedule != "train":
        request = EvalRequest(
            Path(arguments.model_dir),
            options,
            reading(arguments),
            steps="all",
            every=arguments.eval_every_steps or 1,
            continuous=arguments.schedule == "continuous_eval",
            allow_imports=None,  # the user has just given this configuration
        )
        evaluate_run(request)


def train_one(arguments: argparse.Namespace, options: "EvalOptions") -> None:
    from compare_gan import runs
    from compare_gan.config.parse import parse
    from compare_gan.core.placement import Placement
    from compare_gan.data.source import refuse_inside
    from compare_gan.evaluation.during_training import Scoring
    from compare_gan.training.divergence import DivergencePolicy
    from compare_gan.training.hooks import ProfileHook
    from compare_gan.training.resume import check_run_dir
    from compare_gan.training.schedule import TrainSchedule
    from compare_gan.training.warm_start import check_source

    if not arguments.gin_config and not arguments.gin_bindings:
        raise UserError(
            "no configuration; give one or more, such as --gin_config small.gin --gin_config s3gan.gin"
        )
    placement = Placement.create(fsdp=arguments.fsdp)
    parsed = parse(arguments.gin_config, arguments.gin_bindings)
    run_dir, seed = Path(arguments.model_dir), parsed.run_config.tf_random_seed or 0
    schedule = TrainSchedule(
        parsed.options.training_steps,
        sample_every=arguments.sample_every,
        save_every=parsed.run_config.save_checkpoints_steps,
        keep_checkpoints=parsed.run_config.keep_checkpoint_max,
    )
    scoring = None
    if arguments.eval_every_steps and arguments.schedule == "train":
        scoring = Scoring(arguments.eval_every_steps, arguments.best_by, arguments.validation, options)
    check_run_dir(run_dir, schedule.steps)  # before images are read, which may take long
    if arguments.source is not None:
        check_source(Path(arguments.source), run_dir)
    refuse_inside(run_dir, data_source(arguments.data, arguments.data_fake_dataset, parsed.dataset.name))
    dataset = training_data(arguments, parsed)
    runs.train(
        parsed.gan(dataset.spec),
        dataset,
        run_dir,
        schedule=schedule,
        seed=seed,
        hooks=[ProfileHook(run_dir, arguments.profile, schedule)] if arguments.profile else [],
        random_flip=parsed.dataset.random_flip,
        eval_prior=parsed.eval_prior,
        scoring=scoring,
        tensorboard=not arguments.no_tensorboard,
        divergence=DivergencePolicy(arguments.on_divergence, arguments.on_collapse),
        placement=placement,
        workers=arguments.data_workers,
        config=parsed.operative_config,
        continue_with_changes=arguments.continue_with_changes,
        warm_start=arguments.source,
        from_step=arguments.from_step,
    )
    print(f"trained: {run_dir}")


def training_data(arguments: argparse.Namespace, parsed: Any) -> Any:
    """The data set with its training labels.

    Raises:
      UserError: the data or the labels cannot be read, or do not match.
    """
    from compare_gan.data import open_dataset
    from compare_gan.data.facts import DATASET_INFO
    from compare_gan.data.labels import CLUSTERS, label_file, labelled_only, relabelled

    fake = arguments.data_fake_dataset
    source = data_source(arguments.data, fake, parsed.dataset.name)
    load_options = reading(
        arguments,
        like=source if isinstance(source, str) and source in DATASET_INFO else parsed.dataset.name,
        train_crop=parsed.train_transform.crop_method,
        eval_crop=parsed.eval_transform.crop_method,
    )
    choice = arguments.labels or parsed.labels.file_pattern
    file = label_file(choice) if choice else None  # fail before loading images, which may take long
    label_kind = load_options.facts.labels if load_options.facts else "stored"
    if label_kind == "soft" and not choice and not fake:
        raise UserError(
            f"{load_options.like}: needs a label file; give --labels or replace_labels.file_pattern"
        )
    if (
        file is not None
        and not choice.startswith(CLUSTERS)
        and label_kind in ("stored", "given")
        and not fake
    ):  # may also label held-out images
        load_options, choice = dataclasses.replace(load_options, labels=str(file.resolve())), None
    dataset = open_dataset(source, reading=load_options)
    if choice:
        dataset = relabelled(dataset, choice)
    if arguments.labelled_only or label_kind == "given":
        dataset = labelled_only(dataset)
    return dataset


def data_source(sources: list[str] | None, fake: bool, name: str | None) -> str | list[str]:
    """The training data, as an argument of `open_dataset`.

    Raises:
      UserError: the data is given neither on the command line nor as the `dataset.name` of the configuration.
    """
    from compare_gan.data.source import FAKE

    if fake or not sources:
        if name is None:
            raise UserError(f"no data set; set {'dataset.name' if fake else '--data or dataset.name'}")
        return FAKE + name if fake else name
    return one_or_several(sources)
