"""`python -m tests.tf1 DIR [--only TEXT]`: imports what the original compare_gan wrote, and compares.

DIR holds folders with `fixture.json`, `reference.npz`, `model_dir/` and `module.tar.*`, or is one. For each
the tensors must be identical, images and predictions equal to TensorFlow's to the tolerance that its
description gives, and the run that a checkpoint becomes must have its weights, moments and counts. The last
line is `N passed, M failed`, and the exit code is 0 only if none failed.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tests.parity.runner import Outcome, outcome, summarized

from . import fixtures


def run_all(root: Path, only: str = "", say: Callable[[str], None] = print) -> int:
    """Checks all fixtures whose name contains `only`; returns how many failed, or 1 if there are none."""
    folders = (folder for folder in fixtures.folders(root) if only in folder.name)
    outcomes = summarized((run(folder) for folder in folders), say)
    return sum(not each.passed for each in outcomes) if outcomes else 1


def run(folder: Path) -> Outcome:
    """Checks one fixture; whatever goes wrong is an outcome."""
    return outcome(folder.name, "tf1", lambda: fixtures.checked(folder))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tf1", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of fixtures, or one fixture")
    parser.add_argument("--only", default="", help="only fixtures whose name contains this")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        print(f"tests.tf1: {arguments.folder}: is not a folder", file=sys.stderr)
        return 2
    return int(run_all(arguments.folder, arguments.only, lambda line: print(line, flush=True)) > 0)


if __name__ == "__main__":
    sys.exit(main())
