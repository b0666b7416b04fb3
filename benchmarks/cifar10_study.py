"""The few-labels study at 32x32: every method on CIFAR-10, in pieces of a few minutes.

  python -m benchmarks.cifar10_study --data FOLDER --budget gpu --out runs/cifar10_study

It runs `compare-gan study` for `--minutes`, stops it like Ctrl-C, and exits with code 3 while tasks remain;
the same command resumes. `--budget look` shrinks networks and steps to what a CPU computes in minutes, as a
smoke test.
"""

import argparse
import signal
import subprocess
import sys

BUDGETS = {
    "gpu": {
        "--label_recipe": ["photos_gpu"],
        "--steps": ["50000"],
        "--gin_bindings": ["precision.compute = 'bfloat16'"],
    },
    "look": {
        "--label_recipe": ["photos"],
        "--steps": ["20"],
        "--pretrain_steps": ["10"],
        "--classify_steps": ["10"],
        "--encoder_width": ["8"],
        "--gin_bindings": [
            "options.batch_size = 32",
            "resnet_small.Generator.ch = 8",
            "resnet_small.Discriminator.ch = 8",
        ],
    },
}
UNFINISHED = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="CIFAR-10: a Hugging Face parquet folder, or an .npz")
    parser.add_argument("--budget", required=True, choices=list(BUDGETS), help="what it may cost")
    parser.add_argument("--out", required=True, help="where everything is written")
    parser.add_argument("--minutes", type=float, default=25, help="that this piece may take")
    parser.add_argument(
        "--grace", type=float, help="seconds to save in; then it is killed; default: any time"
    )
    parser.add_argument("--seeds", nargs="+", default=["0", "1", "2"])
    parser.add_argument("--fractions", nargs="+", default=["0.05", "0.1", "0.2"])
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--extractor", help="what distances are measured with; default: the encoder")
    arguments = parser.parse_args()
    options = BUDGETS[arguments.budget] | {
        "--seeds": arguments.seeds,
        "--fractions": arguments.fractions,
        "--methods": arguments.methods,
        "--extractor": arguments.extractor and [arguments.extractor],
    }
    command = [sys.executable, "-m", "compare_gan.main", "study", "--gin_config", "small32.gin"]
    command += ["--data", arguments.data, "--model_dir", arguments.out]
    for name, values in options.items():
        if name == "--gin_bindings":
            command += [word for value in values for word in (name, value)]
        elif values:
            command += [name, *values]
    process = subprocess.Popen(command)
    try:
        return process.wait(60 * arguments.minutes)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(arguments.grace)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        print("time is up; the same command resumes")
        return UNFINISHED if code else 0


if __name__ == "__main__":
    sys.exit(main())
