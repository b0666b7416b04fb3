"""A check on the user's own data that no hidden label went into what was inferred, or into a GAN.

The label stages are run again in a scratch folder, from the same kept labels, once with all other labels
permuted and once with none of them. If a single byte of the files they write differs, a hidden label was read.
On request each GAN is trained for a few steps, too, and its weights are compared.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder
from compare_gan.core.origin import note_of
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.order import permutation
from compare_gan.fewlabels.budget import choose, told
from compare_gan.fewlabels.inferred import LABELS, PREDICTIONS, SOFT_LABELS
from compare_gan.fewlabels.representation import FEATURES, PRETRAINED
from compare_gan.fewlabels.s4l import CLASSIFIER
from compare_gan.fewlabels.stages import KEPT
from compare_gan.fewlabels.study import Study, Task, few, prepare, tasks, trained
from compare_gan.nn.state import digest
from compare_gan.train.loop import Schedule

CHECK = "leak-check"  # the scratch folder
FILES = (KEPT, PRETRAINED, FEATURES, CLASSIFIER, PREDICTIONS, LABELS, SOFT_LABELS)
GAN_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the check found."""

    kept: int = 0  # labels
    hidden: int = 0  # labels
    moved: int = 0  # hidden labels that are another class once permuted
    files: int = 0  # of the label stages, compared
    gans: int = 0  # compared
    differing: tuple[Path, ...] = ()  # files and runs that depend on hidden labels
    reproducible: bool = (
        True  # whether unchanged labels give the same bytes; checked only if something differs
    )
    unproven: str = ""  # why nothing could be compared

    @property
    def proven(self) -> bool:
        """Whether everything was compared and nothing differs."""
        return not self.differing and not self.unproven

    @property
    def text(self) -> str:
        """One line for the user."""
        if self.unproven:
            return f"not verified: {self.unproven}"
        names = ", ".join(map(str, self.differing))
        if self.differing and self.reproducible:
            return f"LEAK: hidden labels have changed {names}"
        if self.differing:
            return (
                f"no proof: {names} differ even with the same labels; this device does not reproduce results"
            )
        found = [f"all {self.files} files of the label stages"] if self.files else []
        found += [f"the weights of {self.gans} GANs after {GAN_STEPS} steps"] if self.gans else []
        line = (
            f"no leak: {' and '.join(found)} are the same, byte for byte, with the {self.hidden} hidden labels "
            f"permuted ({self.moved} become another class) and deleted; {self.kept} labels are kept"
        )
        return line if self.gans else f"{line}; GANs were not checked"


def permuted(labels: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Hidden labels shuffled among the images they belong to."""
    changed = labels.copy()
    changed[hidden] = labels[hidden][permutation(len(hidden), 0)]
    return changed


def deleted(labels: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """No hidden label is left."""
    changed = labels.copy()
    changed[hidden] = UNLABELLED
    return changed


Change = Callable[[np.ndarray, np.ndarray], np.ndarray]  # labels, indices of the hidden ones -> labels


def verify(study: Study, gans: bool = False) -> Verdict:
    """Runs the label stages of a study again under other hidden labels; all have been done before.

    Test labels are deleted, too: no stage has any use for them. The scratch folder is removed, unless
    something differs.

    Args:
      study: of one seed and at most one label budget.
      gans: also train each GAN but those that are given all labels, for `GAN_STEPS` steps under each change.

    Returns:
      The verdict; `unproven` if no label is hidden, if the kept labels are more or fewer than the budget
      says, or if no method infers labels and GANs are not to be checked.

    Raises:
      UserError: no method of the study uses kept labels, or it has not just one seed and one label budget.
      Interrupted: Ctrl-C or SIGTERM.
    """
    stages = [task for wave in tasks(study)[:2] for task in wave]
    blind = [task for task in tasks(study)[2] if task.method and task.method.labels != "true"]
    if not blind or len(study.seeds) > 1 or len(study.budgets) > 1:
        raise UserError(
            "there is nothing to verify: that takes one seed, one label budget, and a method that does not use "
            "all labels"
        )
    if not stages and not gans:
        return Verdict(unproven="these methods have no label stages, and GANs were not to be checked")
    labels, budget = study.dataset.train.labels, study.budgets[0]
    kept = np.flatnonzero(few(study, study.seeds[0], budget).train.labels != UNLABELLED)
    chosen = choose(labels, budget, study.seeds[0])
    hidden = np.setdiff1d(np.flatnonzero(labels != UNLABELLED), kept)
    if len(kept) != len(chosen):
        return Verdict(
            unproven=f"{KEPT} keeps {len(kept)} labels, but {told(budget)} are {len(chosen)}; remove it"
        )
    if not len(hidden):
        return Verdict(unproven=f"no label is hidden; all {len(kept)} labels that there are are kept")
    made = sorted(path for name in FILES for path in study.folder.glob(f"**/{name}"))
    made = [path for path in made if CHECK not in path.relative_to(study.folder).parts]
    names = [path.relative_to(study.folder) for path in made] if stages else []
    differing = dict[Path, None]()
    weights = weights_of(scratch(study, "original", study.dataset, names), blind) if gans else {}
    for change in (permuted, deleted):
        other = scratch(study, change.__name__, hiding(study.dataset, change, hidden))
        run_stages(other)
        differing |= dict.fromkeys(
            name for name in names if not same(study.folder / name, other.folder / name)
        )
        found = weights_of(other, blind) if gans else {}
        differing |= dict.fromkeys(run for run in weights if weights[run] != found[run])
    verdict = Verdict(
        len(kept), len(hidden), int((permuted(labels, hidden) != labels).sum()), len(names), len(weights)
    )
    if not differing:
        shutil.rmtree(study.folder / CHECK)
        return verdict
    again = scratch(study, "unchanged", study.dataset)
    run_stages(again)
    found = weights_of(again, blind) if weights.keys() & differing.keys() else {}
    alike = all(
        weights[name] == found[name] if name in weights else same(study.folder / name, again.folder / name)
        for name in differing
    )
    return dataclasses.replace(verdict, differing=tuple(differing), reproducible=alike)


def scratch(study: Study, name: str, dataset: ImageDataset, files: list[Path] | None = None) -> Study:
    """The study on another data set in a scratch folder, with the same kept labels, or with all `files`."""
    folder = study.folder / CHECK / name
    shutil.rmtree(folder, ignore_errors=True)
    run_folder(folder)
    kept = study.place(Task("labels", study.seeds[0], study.budgets[0])).relative_to(study.folder) / KEPT
    for path in [*(files or []), kept]:
        run_folder((folder / path).parent)
        for each in (path, note_of(path)):
            if (study.folder / each).exists():
                shutil.copy(study.folder / each, folder / each)
    schedule = Schedule(GAN_STEPS, GAN_STEPS, GAN_STEPS, GAN_STEPS)
    return dataclasses.replace(study, folder=folder, dataset=dataset, schedule=schedule)


def run_stages(study: Study) -> None:
    """Runs all label stages."""
    for wave in tasks(study)[:2]:
        for task in wave:
            prepare(study, task)


def weights_of(study: Study, runs: list[Task]) -> dict[Path, str]:
    """Trains GANs; the digest of the state of each, by the folder of its run in the study."""
    return {study.place(run).relative_to(study.folder): digest(trained(study, run)) for run in runs}


def hiding(dataset: ImageDataset, change: Change, hidden: np.ndarray) -> ImageDataset:
    """The data set with changed hidden labels, and without test labels."""
    nothing = np.full(len(dataset.test), UNLABELLED, np.int32)
    test = Split(dataset.test.images, nothing, dataset.test.names)
    return dataclasses.replace(dataset.with_labels(change(dataset.train.labels, hidden)), test=test)


def same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()
