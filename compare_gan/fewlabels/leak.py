"""A proof on the user's own data that no hidden label has gone into what was inferred.

The label stages are done again in a scratch folder, from the same kept labels, once with all other labels
permuted and once with none of them. If a single byte of what they leave behind differs, something has peeked.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.order import permutation
from compare_gan.fewlabels.inferred import LABELS, PREDICTIONS, SOFT_LABELS
from compare_gan.fewlabels.representation import FEATURES, PRETRAINED
from compare_gan.fewlabels.s4l import CLASSIFIER
from compare_gan.fewlabels.stages import KEPT
from compare_gan.fewlabels.study import Study, few, prepare, tasks

CHECK = "leak-check"  # the scratch folder
FILES = (KEPT, PRETRAINED, FEATURES, CLASSIFIER, PREDICTIONS, LABELS, SOFT_LABELS)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of the proof."""

    compared: int  # files
    differing: tuple[Path, ...]  # of the study, each with a change under which it became another
    reproducible: bool = True  # whether unchanged labels give the same bytes; asked only if something differs

    @property
    def text(self) -> str:
        """One line for the user."""
        if not self.differing:
            return (
                f"no leak: all {self.compared} files of the label stages are the same, byte for byte, with "
                "hidden labels permuted and with hidden labels deleted"
            )
        names = ", ".join(map(str, self.differing))
        if self.reproducible:
            return f"LEAK: hidden labels have changed {names}"
        return f"no proof: {names} differ even with the same labels; this device does not compute alike twice"


def permuted(labels: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Hidden labels dealt out anew among the images they belong to."""
    changed = labels.copy()
    changed[hidden] = labels[hidden][permutation(len(hidden), 0)]
    return changed


def deleted(labels: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """No hidden label is left."""
    changed = labels.copy()
    changed[hidden] = UNLABELLED
    return changed


Change = Callable[[np.ndarray, np.ndarray], np.ndarray]  # labels, indices of the hidden ones -> labels


def verify(study: Study) -> Verdict:
    """Does the label stages of a study again under other hidden labels; all have been done before.

    Test labels are deleted, too: no stage has any use for them. The scratch folder goes again, unless
    something differs.

    Raises:
      UserError: no stage of the study infers labels, or it has not just one seed and one label budget.
      Interrupted: Ctrl-C or SIGTERM.
    """
    stages = [task for wave in tasks(study)[:2] for task in wave]
    if not stages or len(study.seeds) > 1 or len(study.budgets) > 1:
        raise UserError("there is nothing to verify: these methods need no inferred labels")
    kept = few(study, study.seeds[0], study.budgets[0]).train.labels != UNLABELLED
    hidden = np.flatnonzero(~kept)
    made = sorted(path for name in FILES for path in study.folder.glob(f"**/{name}"))
    made = [path for path in made if CHECK not in path.relative_to(study.folder).parts]
    names = [path.relative_to(study.folder) for path in made]
    differing = dict[Path, None]()
    for change in (permuted, deleted):
        again = done_again(study, change.__name__, hiding(study.dataset, change, hidden))
        differing |= dict.fromkeys(name for name in names if not same(study.folder / name, again / name))
    if differing:
        again = done_again(study, "unchanged", study.dataset)
        alike = all(same(study.folder / name, again / name) for name in differing)
        return Verdict(len(made), tuple(differing), alike)
    shutil.rmtree(study.folder / CHECK)
    return Verdict(len(made), ())


def done_again(study: Study, name: str, dataset: ImageDataset) -> Path:
    """The folder in which the label stages were done on another data set, from the same kept labels."""
    folder = study.folder / CHECK / name
    shutil.rmtree(folder, ignore_errors=True)
    run_folder(folder)
    shutil.copy(study.folder / KEPT, folder / KEPT)
    again = dataclasses.replace(study, folder=folder, dataset=dataset)
    for wave in tasks(again)[:2]:
        for task in wave:
            prepare(again, task)
    return folder


def hiding(dataset: ImageDataset, change: Change, hidden: np.ndarray) -> ImageDataset:
    """The data set with changed hidden labels, and without test labels."""
    nothing = np.full(len(dataset.test), UNLABELLED, np.int32)
    test = Split(dataset.test.images, nothing, dataset.test.names)
    return dataclasses.replace(dataset.with_labels(change(dataset.train.labels, hidden)), test=test)


def same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()
