"""Hides what libraries print besides the errors that they raise."""

import logging
import sys
from typing import Any


def hide_logged_errors() -> None:
    """Hides what Orbax and TensorStore log when a write fails; they also raise it."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def unraisable(event: Any) -> None:
    """`sys.unraisablehook` that hides a follow-up error of a failed checkpoint write.

    When one write fails, Orbax closes its event loop, and the remaining TensorStore writes then fail to
    report to it. The original failure is raised and reported separately.
    """
    if not (isinstance(event.exc_value, RuntimeError) and str(event.exc_value) == "Event loop is closed"):
        sys.__unraisablehook__(event)
