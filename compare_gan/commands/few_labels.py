"""Labels from few, and GANs trained on them."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import Parser, add_reading, declare
from compare_gan.commands.studies import (
    add_inference,
    add_methods,
    add_training,
    carry_out,
    compile_quickly,
    open_study,
    settings_of,
    study_folder,
)


def add(commands) -> None:
    made = declare(
        commands,
        few_labels,
        "few-labels",
        "Infer labels from few, train GANs on them, score them and write a report.",
        "--data my_images/ --label-fraction 0.1 --method s3gan --model_dir runs/mine",
    )
    made.add_argument("--data", required=True, help="digits, a folder of class folders, .parquet, .npz")
    made.add_argument("--model_dir", required=True, help="where everything is written")
    add_reading(made)
    add_methods(made, ["s3gan"])
    add_labels(made)
    made.add_argument("--label_file", help="label file in place of inferred labels")
    add_inference(made)
    add_training(made)
    made.add_argument(
        "--verify_no_leak",
        action="store_true",
        help="do the label stages twice more, with hidden labels permuted and deleted, and compare all bytes",
    )


def add_labels(made: Parser) -> None:
    kept = made.add_mutually_exclusive_group()
    kept.add_argument("--label_fraction", type=float, default=0.1, help="labels that are kept, in (0, 1]")
    kept.add_argument("--labels_per_class", type=int, help="labels of each class that are kept")
    made.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random")


def few_labels(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        compile_quickly()
    per_class = [] if arguments.labels_per_class is None else [arguments.labels_per_class]
    fractions = [] if per_class else [arguments.label_fraction]
    settings = settings_of(arguments, fractions, per_class, [arguments.seed])
    folder = study_folder(Path(arguments.model_dir), settings, varying=("methods",))
    study = open_study(settings, folder, flat=True)
    code = carry_out("few-labels", study)
    return code or verify_no_leak(study) if arguments.verify_no_leak else code


def verify_no_leak(study) -> int:
    """Tells in one line whether hidden labels made a difference; the exit code."""
    from compare_gan.fewlabels.leak import verify

    verdict = verify(study)
    print(verdict.text)
    return 1 if verdict.differing else 0
