"""Regenerate a report."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import add_overwrite, check_outputs, declare


def add(commands) -> None:
    parser = declare(commands, report, "report", "Regenerate the report of a study folder.", "runs/demo")
    parser.add_argument("study", help="output folder of demo, few-labels or study")
    parser.add_argument("--out", help="HTML file; default: report.html in the folder")
    add_overwrite(parser)


def report(arguments: argparse.Namespace) -> None:
    from compare_gan.core.run_files import REPORT
    from compare_gan.report.page import write_report

    check_outputs(arguments, ["out"], [arguments.study])
    out = Path(arguments.out or Path(arguments.study) / REPORT)
    write_report(Path(arguments.study), out)
    print(f"report: {out}")
