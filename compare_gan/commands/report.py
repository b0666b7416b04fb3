"""Regenerate a report."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import declare


def add(commands) -> None:
    parser = declare(commands, report, "report", "Regenerate the report of a study folder.", "runs/demo")
    parser.add_argument("study", help="output folder of demo, few-labels or study")
    parser.add_argument("--out", help="HTML file; default: report.html in the folder")


def report(arguments: argparse.Namespace) -> None:
    from compare_gan.report.page import write_report

    out = Path(arguments.out or Path(arguments.study) / "report.html")
    write_report(Path(arguments.study), out)
    print(f"report: {out}")
