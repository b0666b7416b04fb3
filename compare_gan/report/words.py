"""Formatting of numbers and names for the page."""

import shlex
from collections.abc import Sequence
from typing import Any

from compare_gan.core.label_methods import find_method
from compare_gan.report.collect import number

ABSENT = "–"
NAMES = {
    "frechet_distance": "Fréchet distance",
    "class_agreement": "Class agreement",
    "class_matched_distance": "Distance in matched class shares",
    "within_class_spread": "Within-class spread",
    "authenticity": "Authenticity",
    "authenticity_held_out": "Authenticity of held-out images",
    "seconds": "Time",
    "loss/d": "discriminator",
    "loss/g": "generator",
}


def name_of(key: str) -> str:
    """The display name of a method or a logged value; unknown keys are returned unchanged."""
    found = find_method(key)
    return NAMES.get(key, key) if found is None else found.title


def heading(key: str) -> str:
    """The display name of a score or a stage; unknown keys are capitalised."""
    name = name_of(key)
    return name if name != key else key.capitalize().replace("_", " ")


def count(value: float) -> str:
    """`1200` -> `"1,200"`."""
    return f"{value:,.10g}"


def percent(value: float) -> str:
    """`0.05` -> `"5%"`."""
    return f"{100 * value:.3g}%"


def duration(seconds: float) -> str:
    """`95` -> `"1 min 35 s"`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def plain(value: Any) -> str:
    """A JSON value as text, such as a setting."""
    if value is None:
        return ABSENT
    if isinstance(value, float):
        return ABSENT if number(value) is None else f"{value:.10g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or ABSENT
    return str(value)


def compact(step: int) -> str:
    """A step number in about four characters: 800, 2500, 12.5k, 100k, 1.2M."""
    if step < 10**4:
        return str(step)
    return f"{step / 10**3:.3g}k" if step < 10**6 else f"{step / 10**6:.3g}M"


def command_line(command: str | Sequence[str]) -> str:
    """A command as one line that can be pasted into a shell."""
    return command if isinstance(command, str) else shlex.join(map(str, command))
