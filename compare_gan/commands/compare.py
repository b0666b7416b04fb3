"""Put the scores of several runs side by side."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import add_overwrite, check_outputs, declare
from compare_gan.core.run_files import SCORES


def add(commands) -> None:
    parser = declare(
        commands,
        compare,
        "compare",
        "Compare the scores of runs that were evaluated with the same protocol.",
        "runs/study/s3gan runs/study/all_labels",
    )
    parser.add_argument("runs", nargs="+", help="run folders")
    parser.add_argument("--metrics", action="extend", nargs="+", help="scores to show; default: all")
    parser.add_argument(
        "--best",
        metavar="SCORE",
        help="show the step with the best value of this score; default: the last step",
    )
    parser.add_argument(
        "--mixed", action="store_true", help="also show rows that were evaluated with different protocols"
    )
    parser.add_argument(
        "--score_filename", default=SCORES, help="name of the CSV file with scores in the run folders"
    )
    parser.add_argument("--csv", help="CSV file to write the table to")
    parser.add_argument("--html", help="HTML file to write the table to")
    add_overwrite(parser)


def compare(arguments: argparse.Namespace) -> None:
    from compare_gan.core.files import atomic, write_csv
    from compare_gan.evaluation.compare import load_rows, notes, table, text
    from compare_gan.report.scores import scores_page

    run_dirs = [Path(run) for run in arguments.runs]
    scores = [run_dir / arguments.score_filename for run_dir in run_dirs]
    check_outputs(arguments, ["csv", "html"], scores)
    rows = load_rows(run_dirs, arguments.best, arguments.mixed, arguments.score_filename)
    header, body = table(rows, arguments.metrics)
    print(text(header, body))
    if arguments.csv:
        write_csv(Path(arguments.csv), [dict(zip(header, cells, strict=True)) for cells in body])
        print(f"table: {arguments.csv}")
    if arguments.html:
        with atomic(Path(arguments.html)) as file:
            file.write(scores_page(header, body, notes(body)).encode())
        print(f"table: {arguments.html}")
