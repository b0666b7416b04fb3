"""How many labels are kept: a share of each class, or so many of each."""

import dataclasses

import numpy as np

from compare_gan.core.words import counted
from compare_gan.data.labels import choose_kept, choose_per_class


@dataclasses.dataclass(frozen=True)
class PerClass:
    """So many labels of each class."""

    count: int


Budget = float | PerClass  # a float is the share that is kept, in (0, 1]


def choose(labels: np.ndarray, budget: Budget, seed: int) -> np.ndarray:
    """Sorted indices of the images that keep their label.

    Raises:
      UserError: the budget makes no sense, or no image is labelled.
    """
    if isinstance(budget, PerClass):
        return choose_per_class(labels, budget.count, seed)
    return choose_kept(labels, budget, seed)


def describe_budget(budget: Budget) -> str:
    """`"10% of the labels"` or `"5 labels a class"`."""
    if isinstance(budget, PerClass):
        return f"{counted(budget.count, 'label')} a class"
    return f"{100 * budget:.4g}% of the labels"


def columns(budget: Budget | None) -> dict[str, float | int | None]:
    """The budget as two columns of a table, of which one is filled; none where labels do not matter."""
    count = budget.count if isinstance(budget, PerClass) else None
    return {"fraction": None if isinstance(budget, PerClass) else budget, "per_class": count}


def folder_of(budget: Budget) -> str:
    """`"fraction-0.1"` or `"per-class-5"`."""
    return f"per-class-{budget.count}" if isinstance(budget, PerClass) else f"fraction-{budget:.6g}"
