"""Label budgets: the fraction of labels to keep, or the number per class."""

import dataclasses

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.words import counted
from compare_gan.data.base import UNLABELLED
from compare_gan.data.labels import choose_kept, choose_per_class


@dataclasses.dataclass(frozen=True)
class PerClass:
    """A fixed number of labels per class."""

    count: int


Budget = float | PerClass  # a float is the fraction to keep, in (0, 1]


def choose(labels: np.ndarray, budget: Budget, seed: int) -> np.ndarray:
    """Chooses the images that keep their label, stratified by class.

    Args:
      labels: [N] class indices; -1 = unlabelled.
      budget: how many labels to keep.
      seed: of the random choice.

    Returns:
      Sorted indices of the kept labels.

    Raises:
      UserError: the budget is out of range, or no image is labelled.
    """
    if isinstance(budget, PerClass):
        return choose_per_class(labels, budget.count, seed)
    return choose_kept(labels, budget, seed)


def refuse_too_few(labels: np.ndarray, budget: Budget) -> None:
    """Checks that a fraction of the labels [N] is at least one label per class.

    `choose` would keep one of each class, which is more than the fraction.

    Raises:
      UserError: it is not.
    """
    known = labels[labels != UNLABELLED]
    classes = len(np.unique(known))
    if isinstance(budget, PerClass) or not 0 < budget <= 1 or (used := round(budget * len(known))) >= classes:
        return
    raise UserError(
        f"label fraction {budget:g} is {counted(used, 'label')} of {len(known):,}, fewer than one for each "
        f"of the {classes} classes; use {classes / len(known):.4g} or more"
    )


def describe_budget(budget: Budget) -> str:
    """`"10% of the labels"` or `"5 labels per class"`."""
    if isinstance(budget, PerClass):
        return f"{counted(budget.count, 'label')} per class"
    return f"{100 * budget:.4g}% of the labels"


def budget_columns(budget: Budget | None) -> dict[str, float | int | None]:
    """The columns `fraction` and `per_class`: at most one is set; both are None without a budget."""
    count = budget.count if isinstance(budget, PerClass) else None
    return {"fraction": None if isinstance(budget, PerClass) else budget, "per_class": count}


def budget_folder_name(budget: Budget) -> str:
    """`"fraction-0.1"` or `"per-class-5"`."""
    return f"per-class-{budget.count}" if isinstance(budget, PerClass) else f"fraction-{budget:.6g}"
