"""The studies of docs/protocol.md, from the data to the report, in pieces of some minutes.

  python -m benchmarks.study --protocol cifar10 --data FOLDER --budget gpu --out runs/cifar10 --minutes 5

It splits the data, trains the extractor on its share, and trains and scores the GANs, group by group. When
`--minutes` are over it stops as after Ctrl-C, with exit code 3 while anything is left; the same command
resumes. `--budget cpu` has the networks and steps for two CPU cores, `look` is a smoke test of minutes, and
the protocol `smoke` has one GAN.
`--pilot` trains the two GANs that the number of steps is chosen by, for four times as long.
"""

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.models import narrow
from benchmarks.split import EXTRACTOR, GANS
from compare_gan.core.files import write_json

FINISHED = "finished.json"  # the groups of GANs that are done
NETWORK = "extractor_network.npz"
STUDY, PILOT = "study", "pilot"
UNFINISHED = 3
PILOT_SEED, PILOT_FACTOR = 100, 4

SIX, THREE, ONE = range(6), range(3), range(1)
TENTH, HUNDREDTH = 0.1, 0.01


@dataclasses.dataclass(frozen=True)
class Group:
    """GANs that are trained together: each method with each fraction of the labels and each seed."""

    methods: Sequence[str]
    fractions: Sequence[float] = (TENTH,)  # without meaning for methods without a label budget
    seeds: Sequence[int] = THREE


# In order of value, since a study may stop after any group.
PROTOCOLS: Mapping[str, Sequence[Group]] = {
    "fashion": (
        Group(["all_labels", "s3gan", "labelled_only", "no_labels"], seeds=ONE),
        Group(["all_labels", "all_labels_rotation", "noise_matched", "s2gan", "s3gan"], seeds=SIX),
        Group(["noise_matched", "s2gan", "s3gan"], [HUNDREDTH], SIX),
        Group(["labelled_only", "labelled_only+diffaugment"], [TENTH, HUNDREDTH]),
        Group(["no_labels", "ssgan"]),
        Group(["s3gan", "labelled_only"], [0.001, 0.05, 0.2]),
        Group(["s3gan_co", "s2gan_co", "s3gan_co+oversampled"], [TENTH, HUNDREDTH]),
        Group(["s3gan+diffaugment"], [TENTH, HUNDREDTH]),
        Group(["all_labels+diffaugment", "no_labels+diffaugment"]),
        Group(["clustering", "random_label", "single_label"]),
        Group(["s2gan", "noise_matched", "s3gan_co", "s2gan_co", "s3gan_co+oversampled"], [0.001, 0.05, 0.2]),
        Group(["s3gan+diffaugment", "labelled_only+diffaugment"], [0.001, 0.05, 0.2]),
    ),
    "cifar10": (
        Group(["all_labels", "s3gan", "labelled_only"], seeds=ONE),
        Group(["labelled_only+diffaugment", "no_labels", "ssgan", "s2gan"], seeds=ONE),
        Group(["s3gan"], [HUNDREDTH], ONE),
        Group(["all_labels", "s3gan"]),
        Group(["s3gan"], [HUNDREDTH]),
        Group(["labelled_only", "labelled_only+diffaugment", "no_labels", "ssgan", "s2gan"]),
    ),
    "smoke": (Group(["no_labels"], seeds=ONE),),
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much is computed."""

    steps: int  # of each GAN
    classifier: Sequence[str]  # options of `compare-gan classifier`
    study: Sequence[str]  # options of `compare-gan study`
    bindings: Sequence[str] = ()  # added to the configuration of each GAN


BFLOAT16 = "precision.compute = 'bfloat16'"


def small(ch: int) -> list[str]:
    """Bindings of narrow networks, and of batches for a CPU."""
    return [*narrow("resnet_small", ch), "options.batch_size = 32"]


LOOK = Budget(
    20,
    ["--steps", "20", "--width", "8"],
    ["--pretrain_steps", "10", "--classify_steps", "10", "--encoder_width", "8"],
    small(8),
)
AVERAGE = ["ModularGAN.ema_decay = 0.999", "ModularGAN.ema_start_step = 1000"]
WIDE = ["--gin_config", "small32.gin"]
BUDGETS: Mapping[str, Mapping[str, Budget]] = {  # by protocol
    "fashion": {
        "cpu": Budget(
            4000,
            ["--steps", "4000", "--encoder", "halved", "--precision", "bfloat16"],
            ["--label_recipe", "grey_fixmatch", "--encoder_precision", "bfloat16"],
            [BFLOAT16, *small(16), *AVERAGE],
        ),
        "gpu": Budget(
            50_000,
            ["--steps", "10000", "--encoder", "wide28", "--precision", "bfloat16"],
            ["--label_recipe", "grey_fixmatch", "--encoder_precision", "bfloat16", *WIDE],
            [BFLOAT16],
        ),
        "look": LOOK,
    },
    "cifar10": {
        "cpu": Budget(
            20_000,
            ["--steps", "4000", "--width", "24", "--precision", "bfloat16"],
            ["--label_recipe", "photos_fixmatch", "--encoder_precision", "bfloat16", *WIDE],
            [
                BFLOAT16,
                *small(16),
                "ModularGAN.g_lr = 4e-4",
                "ModularGAN.d_lr = 8e-4",
                "dataset.random_flip = True",
            ],
        ),
        "gpu": Budget(
            50_000,
            ["--steps", "20000", "--encoder", "wide28", "--precision", "bfloat16"],
            ["--label_recipe", "photos_gpu", "--encoder_precision", "bfloat16", *WIDE],
            [BFLOAT16, "dataset.random_flip = True"],
        ),
        "look": LOOK,
    },
    "smoke": {"look": LOOK},
}


def study_command(folder: Path, group: Group, budget: Budget, steps: int) -> list[str]:
    """The command that trains and scores the GANs of a group."""
    lists = {"--methods": group.methods, "--fractions": group.fractions, "--seeds": group.seeds}
    return [
        *compare_gan("study", "--data", str(folder / GANS), "--extractor", str(folder / NETWORK)),
        *(word for name, values in lists.items() for word in (name, *map(str, values))),
        *budget.study,
        *("--steps", str(steps)),
        *(word for binding in budget.bindings for word in ("--gin_bindings", binding)),
    ]


def compare_gan(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "compare_gan.main", *arguments]


def commands(
    protocol: str, budget: Budget, data: str, folder: Path, pilot: bool, workers: int
) -> list[tuple[str, list[str]]]:
    """Names and commands of all that is to be done, in order."""
    split = [sys.executable, "-m", "benchmarks.split", "--data", data, "--out", str(folder)]
    network = compare_gan("classifier", "--data", str(folder / EXTRACTOR), "--out", str(folder / NETWORK))
    first = [("split", split), ("extractor", [*network, *budget.classifier])]
    if pilot:
        group = Group(["all_labels", "s3gan"], seeds=[PILOT_SEED])
        command = study_command(folder, group, budget, PILOT_FACTOR * budget.steps)
        groups = [(PILOT, [*command, "--model_dir", str(folder / PILOT)])]
    else:
        options = ["--model_dir", str(folder / STUDY), "--workers", str(workers)]
        groups = [
            (
                f"{number} of {len(PROTOCOLS[protocol])}",
                [*study_command(folder, group, budget, budget.steps), *options],
            )
            for number, group in enumerate(PROTOCOLS[protocol], 1)
        ]
    return [*first, *groups]


def run_for(command: Sequence[str], seconds: float, grace: float | None) -> int | None:
    """The exit code of a command; None: it was stopped when the time was over.

    Args:
      command: program and arguments.
      seconds: that it may take.
      grace: seconds to save in after an interrupt, before it is killed; None: any time.
    """
    process = subprocess.Popen(command)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    try:
        code = process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return code and None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--protocol", required=True, choices=list(PROTOCOLS), help="which study")
    parser.add_argument(
        "--data", required=True, help="Fashion-MNIST (IDX files) or CIFAR-10 (parquet or .npz)"
    )
    parser.add_argument(
        "--budget", required=True, choices=["cpu", "gpu", "look"], help="how much is computed"
    )
    parser.add_argument("--out", required=True, type=Path, help="where everything is written")
    parser.add_argument("--minutes", type=float, default=25, help="that this piece may take")
    parser.add_argument(
        "--grace", type=float, help="seconds to save in; then it is killed; default: any time"
    )
    parser.add_argument("--workers", type=int, default=1, help="of the study, on a CPU")
    parser.add_argument("--pilot", action="store_true", help="train the pilot, in place of the study")
    arguments = parser.parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    if arguments.budget not in BUDGETS[arguments.protocol]:
        parser.error(f"the protocol {arguments.protocol} has only the budget look")
    budget = BUDGETS[arguments.protocol][arguments.budget]
    stages = commands(
        arguments.protocol, budget, arguments.data, arguments.out, arguments.pilot, arguments.workers
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / FINISHED
    finished = json.loads(path.read_text()) if path.exists() else []
    for name, command in stages:
        if name in finished:
            continue
        left = deadline - time.monotonic()
        code = run_for(command, left, arguments.grace) if left > 0 else None
        if code is None:
            print(f"time is up in {name}; the same command resumes", flush=True)
            return UNFINISHED
        if code:
            return code
        write_json(path, finished := [*finished, name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
