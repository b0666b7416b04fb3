"""The scores of a run as TensorBoard events."""

import time
from collections.abc import Sequence
from pathlib import Path

from compare_gan.core.events import EventFile, event_files, scalar
from compare_gan.evaluation.scores import Row, names, score


def mirror_scores(table: Path, rows: Sequence[Row]) -> None:
    """Writes a table of scores to an event file, which replaces that of the table's earlier state.

    Nothing is written unless the training writes event files. The events of `scores.csv` are in the folder
    `scores` next to it, with the tags `scores/NAME`. A score that was measured with several protocols, which
    are not comparable, has one tag for each: `scores/NAME/FINGERPRINT`.

    Args:
      table: the file of the table.
      rows: its rows.
    """
    if not event_files(table.parent):
        return
    protocols: dict[str, set[str]] = {}
    for row in rows:
        for name in names([row]):
            if score(row, name) is not None:
                protocols.setdefault(name, set()).add(row.get("fingerprint", ""))
    file, now = EventFile(table.with_suffix("")), time.time()
    for row in rows:
        values = []
        for name in names([row]):
            value = score(row, name)
            if value is not None:
                protocol = f"/{row.get('fingerprint', '')}" if len(protocols[name]) > 1 else ""
                values.append(scalar(f"{table.stem}/{name}{protocol}", value))
        file.write(int(row["step"]), now, values)
