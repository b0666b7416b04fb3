"""A table of the scores of several runs that were evaluated with the same protocol."""

from collections.abc import Sequence
from pathlib import Path

from compare_gan.core import tables
from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.run_files import SCORES
from compare_gan.evaluation.scores import Row, differences, higher_is_better, names, read_scores, score

DEVIATION = "± is the standard deviation over generated sets of one GAN, not over training seeds."


def load_rows(
    run_dirs: Sequence[Path], best: str | None = None, mixed: bool = False, filename: str = SCORES
) -> list[Row]:
    """One row per run: the best one by a score, or the last one.

    Args:
      run_dirs: the run folders.
      best: name of the score; None: the last row.
      mixed: whether the protocols of the rows may differ.
      filename: name of the CSV file with scores in the run folders.

    Raises:
      UserError: a run has no scores, or the protocols differ and `mixed` is False.
    """
    rows: list[Row] = [{"run": str(run_dir), **_select_row(run_dir, best, filename)} for run_dir in run_dirs]
    differing = differences(rows)
    if differing and not mixed:
        details = "; ".join(f"{name}: {' or '.join(map(repr, values))}" for name, values in differing.items())
        raise UserError(
            f"these runs were evaluated with different protocols ({details}); evaluate them again with the "
            "same "
            "protocol, or give --mixed"
        )
    return rows


def _select_row(run_dir: Path, best: str | None, filename: str) -> dict[str, str]:
    rows = read_scores(run_dir, filename)
    if not rows:
        raise UserError(f"{run_dir}: no scores; run compare-gan evaluate {run_dir}")
    if best is None:
        return rows[-1]
    scored = [(value, row) for row in rows if (value := score(row, best)) is not None]
    if not scored:
        raise UserError(f"{run_dir}: has no score {best!r}{did_you_mean(best, names(rows))}")
    return (max if higher_is_better(best) else min)(scored, key=lambda pair: pair[0])[1]


def table(rows: Sequence[Row], selected: Sequence[str] | None = None) -> tuple[list[str], list[list[str]]]:
    """Header and body: the run, its step, each score (with its standard deviation), the fingerprint.

    Raises:
      UserError: no row has a requested score.
    """
    known = names(rows)
    for name in selected or ():
        if name not in known:
            raise UserError(f"no run has a score {name!r}{did_you_mean(name, known)}")
    shown = list(selected or known)
    body = [
        [row["run"], row["step"], *(_cell(row, name) for name in shown), row.get("fingerprint", "")]
        for row in rows
    ]
    return ["run", "step", *shown, "measured"], body


def _cell(row: Row, name: str) -> str:
    value, deviation = score(row, name), row.get(f"{name}_std")
    if value is None:
        return "-"
    return f"{value:.4g} ± {float(deviation):.2g}" if deviation else f"{value:.4g}"


def text(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """The table for a terminal."""
    return tables.text([tables.Table([header, *body]), *notes(body)])


def notes(body: Sequence[Sequence[str]]) -> list[str]:
    """Notes to show below a table."""
    return [DEVIATION] if any("±" in cell for cells in body for cell in cells) else []
