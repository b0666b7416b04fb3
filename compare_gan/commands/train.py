"""Train one GAN from a configuration."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from compare_gan.commands.evaluate import (
    EvalOptions,
    EvalRequest,
    add_settings,
    eval_options,
    eval_settings,
    evaluate_run,
)
from compare_gan.commands.shared import add_hosts, add_reading, declare, join, reading
from compare_gan.core.errors import UserError


def add(commands) -> None:
    made = declare(
        commands,
        train,
        "train",
        "Train one GAN from a gin configuration.",
        "--model_dir runs/mine --gin_config small.gin --gin_config s3gan.gin --data digits",
    )
    made.add_argument("--model_dir", required=True, help="where everything is written")
    made.add_argument(
        "--gin_config",
        action="append",
        default=[],
        help="configuration file, or the name of a packaged one such as small.gin; may be given often",
    )
    made.add_argument("--gin_bindings", action="append", default=[], help="one binding; may be given often")
    made.add_argument(
        "--data",
        action="extend",
        nargs="+",
        help="name or path, or several whose images join; default: dataset.name of the configuration",
    )
    made.add_argument(
        "--data_fake_dataset", action="store_true", help="noise in the shape that dataset.name says"
    )
    add_reading(made)
    made.add_argument(
        "--labels",
        help="in place of the data's own: single, random[:SEED], clusters:FILE, or a label FILE (.csv, .npz, "
        "TFRecords); default: replace_labels.file_pattern",
    )
    made.add_argument("--labelled_only", action="store_true", help="leave out training images without label")
    made.add_argument(
        "--data_workers", type=int, default=0, help="processes that read images not in memory; 0: threads"
    )
    made.add_argument(
        "--on_divergence",
        choices=("stop", "rollback", "note"),
        default="stop",
        help="if a loss explodes or is NaN; rollback resumes from the last checkpoint with a new RNG seed",
    )
    made.add_argument(
        "--on_collapse",
        choices=("stop", "rollback", "note"),
        default="note",
        help="if the discriminator has nothing left to learn, or samples are all the same",
    )
    made.add_argument(
        "--schedule",
        choices=("train", "eval_after_train", "continuous_eval"),
        default="train",
        help="eval_after_train scores all checkpoints afterwards; continuous_eval scores those that another "
        "process trains",
    )
    made.add_argument(
        "--eval_every_steps", type=int, help="score while training, every so many steps, and keep the best"
    )
    made.add_argument("--best_by", help="score that makes a checkpoint the best; default: the first metric")
    made.add_argument(
        "--validation",
        type=float,
        metavar="SHARE",
        help="with --eval_every_steps: hold this share of the training images out of training and score on "
        "them, so that test images do not choose the best checkpoint",
    )
    made.add_argument(
        "--continue_with_changes",
        action="store_true",
        help="resume a run although its configuration, data or seed has changed; run.json notes the changes",
    )
    made.add_argument(
        "--fsdp",
        type=int,
        default=1,
        help="devices that share one copy of weights and moments; more of them hold larger networks",
    )
    add_hosts(made)
    add_settings(made)
    made.add_argument("--sample_every", type=int, default=500, help="steps between sample grids")
    made.add_argument(
        "--profile",
        type=int,
        default=0,
        metavar="N",
        help="trace N steps with jax.profiler into the run folder",
    )


def train(arguments: argparse.Namespace) -> None:
    if arguments.schedule == "continuous_eval" and arguments.distributed:
        raise UserError("--schedule continuous_eval is done by one process; leave out --distributed")
    if arguments.profile < 0:
        raise UserError(f"--profile is {arguments.profile}; it is a number of steps")
    if arguments.eval_every_steps is not None and arguments.eval_every_steps < 1:
        raise UserError(f"--eval_every_steps is {arguments.eval_every_steps}; it must be at least 1")
    if arguments.validation is not None and (not arguments.eval_every_steps or arguments.schedule != "train"):
        raise UserError(
            "--validation chooses the best checkpoint while training; it needs --eval_every_steps"
        )
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
        )
        evaluate_run(request)


def train_one(arguments: argparse.Namespace, options: EvalOptions) -> None:
    from compare_gan.config.parse import parse
    from compare_gan.core.placement import Placement
    from compare_gan.data.source import refuse_inside
    from compare_gan.data.validation import with_validation
    from compare_gan.train.divergence import DivergencePolicy
    from compare_gan.train.gan import train as train_gan
    from compare_gan.train.hooks import ProfileHook
    from compare_gan.train.resume import check_fits, check_steps
    from compare_gan.train.run_dir import describe_run
    from compare_gan.train.schedule import TrainSchedule

    if not arguments.gin_config and not arguments.gin_bindings:
        raise UserError("no configuration; give some, such as --gin_config small.gin --gin_config s3gan.gin")
    placement = Placement.create(fsdp=arguments.fsdp)
    parsed = parse(arguments.gin_config, arguments.gin_bindings)
    run_dir, seed = Path(arguments.model_dir), parsed.run_config.tf_random_seed or 0
    schedule = TrainSchedule(
        parsed.options.training_steps,
        sample_every=arguments.sample_every,
        save_every=parsed.run_config.save_checkpoints_steps,
        keep_checkpoints=parsed.run_config.keep_checkpoint_max,
        score_every=arguments.eval_every_steps if arguments.schedule == "train" else None,
    )
    check_steps(run_dir, schedule.steps)
    refuse_inside(run_dir, data_source(arguments.data, arguments.data_fake_dataset, parsed.dataset.name))
    dataset, origin = training_data(arguments, parsed)
    gan = parsed.gan(dataset.spec)
    if line := about_unlabelled(dataset, gan):
        print(line, flush=True)
    validation = None
    if arguments.validation is not None:
        dataset, validation = with_validation(dataset, arguments.validation, seed)
    score = scorer(arguments, options, parsed, gan, dataset, validation) if schedule.score_every else None
    origin |= {"seed": seed, "validation": arguments.validation}
    if arguments.continue_with_changes:
        check_fits(run_dir, gan.with_replicas(placement.mesh.size))
    describe_run(run_dir, dataset, parsed.operative_config, origin, arguments.continue_with_changes)
    train_gan(
        gan,
        dataset.train,
        run_dir=run_dir,
        schedule=schedule,
        seed=seed,
        placement=placement,
        random_flip=parsed.dataset.random_flip,
        workers=arguments.data_workers,
        divergence=DivergencePolicy(arguments.on_divergence, arguments.on_collapse),
        score=score,
        hooks=[ProfileHook(run_dir, arguments.profile, schedule)] if arguments.profile else [],
    )
    print(f"trained: {run_dir}")


def training_data(arguments: argparse.Namespace, parsed: Any) -> tuple[Any, dict[str, Any]]:
    """The data set under the labels that training sees, and what `run.json` says of where it comes from.

    Raises:
      UserError: the data or the labels cannot be read, or do not fit.
    """
    from compare_gan.data import open_dataset
    from compare_gan.data.facts import DATASET_INFO
    from compare_gan.data.labels import describe_choice, labelled_only, relabelled
    from compare_gan.data.source import resolved

    fake = arguments.data_fake_dataset
    source = data_source(arguments.data, fake, parsed.dataset.name)
    how = reading(
        arguments,
        like=source if isinstance(source, str) and source in DATASET_INFO else parsed.dataset.name,
        train_crop=parsed.train_transform.crop_method,
        eval_crop=parsed.eval_transform.crop_method,
    )
    choice = arguments.labels or parsed.labels.file_pattern
    labels = describe_choice(choice) if choice else None  # before images are read, which may take long
    meant = how.facts.labels if how.facts else "stored"
    if meant == "soft" and not choice and not fake:
        raise UserError(f"{how.like}: needs a label file; give --labels or replace_labels.file_pattern")
    if labels and "sha256" in labels:
        word, _, file = choice.rpartition("clusters:")
        labels["choice"] = f"{'clusters:' if word or file != choice else ''}{Path(file).resolve()}"
        if file == choice and meant in ("stored", "given") and not fake:  # may label held-out images, too
            how, choice = dataclasses.replace(how, labels=labels["choice"]), None
    labelled_alone = arguments.labelled_only or meant == "given"
    dataset = open_dataset(source, reading=how)
    if choice:
        dataset = relabelled(dataset, choice)
    if labelled_alone:
        dataset = labelled_only(dataset)
    test_data = how.test_data and resolved(how.test_data)
    origin = {
        "data": resolved(source),
        "reading": dataclasses.asdict(dataclasses.replace(how, test_data=test_data)),
        "labels": labels,
        "labelled_only": labelled_alone,
    }
    return dataset, origin


def about_unlabelled(dataset: Any, gan: Any) -> str | None:
    """What becomes of training images without a label in a conditional GAN, if there are any.

    Raises:
      UserError: no training image has a label.
    """
    from compare_gan.data.base import UNLABELLED, hard_labels

    missing, count = int((hard_labels(dataset.train) == UNLABELLED).sum()), len(dataset.train)
    if not gan.conditional or not missing:
        return None
    if missing == count:
        raise UserError(
            f"{dataset.name}: no training image has a label, but ModularGAN.conditional is True; "
            "give --labels, or train without labels (no_labels.gin, ssgan.gin)"
        )
    start = f"{missing:,} of {count:,} training images have no label"
    if any(getattr(task, "use_predictor", False) for task in gan.tasks):
        return f"{start}: the discriminator's own classifier predicts them (S3GAN.use_predictor)"
    return (
        f"{start}: the discriminator sees these without a class; --labelled_only leaves them out, few-labels "
        "infers their labels"
    )


def scorer(
    arguments: argparse.Namespace,
    options: EvalOptions,
    parsed: Any,
    gan: Any,
    dataset: Any,
    validation: Any,
) -> Any:
    """Scores a state into the run's table; returns the number of which the smallest is the best.

    Args:
      validation: images to score on; None: the test images.

    Raises:
      UserError: a metric or the extractor does not fit.
    """
    from compare_gan.core.registry import METRICS
    from compare_gan.evaluation.evaluate import check_settings, evaluate
    from compare_gan.evaluation.scores import higher_is_better, score, write_scores
    from compare_gan.features import open_extractor

    split = "test" if validation is None else "validation"
    if validation is not None:
        dataset = dataclasses.replace(dataset, test=validation, test_class_names=None)
    how, extractor = eval_settings(options, dataset), open_extractor(options.extractor)
    check_settings(how, gan, dataset, extractor, lenient=options.metrics is None)
    evaluated = dataclasses.replace(gan, prior=parsed.eval_prior)
    scores = [column for name in how.metrics for column in METRICS[name].columns]
    best = arguments.best_by or scores[0]
    if best not in scores:
        raise UserError(f"--best_by {best}: not one of the scores {', '.join(scores)}; see --metrics")
    caution = (
        "evaluate --steps best scores the chosen one on the test images"
        if validation is not None
        else "so its scores on them flatter it; --validation 0.1 holds out training images for the choice"
    )
    print(
        f"the best checkpoint is chosen by {best} on {len(dataset.test):,} {split} images; {caution}",
        flush=True,
    )

    def call(state: Any, step: int) -> float | None:
        row = evaluate(evaluated, state, dataset, extractor, how) | {"split": split}
        write_scores(Path(arguments.model_dir), row)
        value = score(row, best)
        print(f"{arguments.model_dir}: step {step}, {best} {value} ({split} images)", flush=True)
        return -value if value is not None and higher_is_better(best) else value

    return call


def data_source(given: list[str] | None, fake: bool, name: str) -> str | list[str]:
    """What to train on, for `open_dataset`."""
    from compare_gan.data.source import FAKE

    if fake or not given:
        return FAKE + name if fake else name
    return given[0] if len(given) == 1 else given
