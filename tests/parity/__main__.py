"""`python -m tests.parity DIR [--only TEXT]`: compares this library with recorded cases of compare_gan.

Prints, for each case, how far each recorded array lies from ours and how far it may; the last line
is `N passed, M failed`, and the exit code is 0 only if none failed.
"""

import argparse
import sys
from pathlib import Path

from compare_gan.core.errors import UserError

from .reference import CASES
from .runner import run_folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=CASES, help="where the cases are")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    arguments = parser.parse_args()
    try:
        return int(run_folder(arguments.folder, arguments.only, lambda line: print(line, flush=True)) > 0)
    except UserError as error:
        print(f"tests.parity: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
