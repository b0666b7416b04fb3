"""A check on the user's own data that no hidden label went into what was inferred, or into a GAN.

The label stages are run again in a scratch folder, from the same kept labels, once with all other labels
permuted and once with none of them. If a single byte of their files differs, a hidden label was read. On
request each GAN is trained for a few steps, too, and its weights are compared.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder
from compare_gan.core.origin import note_of
from compare_gan.core.run_files import (
    KEPT,
    LEAK_CHECK,
)
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.order import permutation
from compare_gan.fewlabels.artefacts import ARTEFACTS, KEPT_LABELS, Artefacts
from compare_gan.fewlabels.budget import choose, describe_budget
from compare_gan.fewlabels.study import Study, Task
from compare_gan.fewlabels.tasks import dataset_for, prepare, tasks, train_gan
from compare_gan.nn.state import digest

FILES = tuple(dict.fromkeys(file for artefact in ARTEFACTS for file in artefact.files))
GAN_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the check found."""

    kept: int = 0  # labels
    hidden: int = 0  # labels
    moved: int = 0  # hidden labels that are another class once permuted
    as_chosen: bool = True  # whether the kept labels are those which budget and seed choose
    files: int = 0  # of the label stages, compared
    gans: int = 0  # compared
    steps: int = 0  # that each of them was trained for
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
            return f"no proof: {names} differ even with the same labels; results are not reproducible here"
        compared = [f"all {self.files} files of the label stages"] if self.files else []
        compared += [f"the weights of {self.gans} GANs after {self.steps} steps"] if self.gans else []
        line = (
            f"no leak: {' and '.join(compared)} are the same, byte for byte, with the {self.hidden} hidden "
            f"labels permuted ({self.moved} become another class) and deleted; {self.kept} labels are kept"
        )
        if not self.as_chosen:
            line += f", not those that budget and seed choose: {KEPT} is from elsewhere"
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
      The verdict; `unproven` if no label is hidden, or if the kept labels are more or fewer than the budget
      says.

    Raises:
      UserError: see `refuse_unverifiable`.
      Interrupted: Ctrl-C or SIGTERM.
    """
    refuse_unverifiable(study, gans)
    stages, blind = label_stages(study), blind_runs(study)
    labels, budget = study.dataset.train.labels, study.budgets[0]
    kept = np.flatnonzero(
        Artefacts(study, study.seeds[0], budget).ensure(KEPT_LABELS).train.labels != UNLABELLED
    )
    chosen = choose(labels, budget, study.seeds[0])
    hidden = np.setdiff1d(np.flatnonzero(labels != UNLABELLED), kept)
    if len(kept) != len(chosen):
        return Verdict(
            unproven=f"{KEPT} keeps {len(kept)} labels, but {describe_budget(budget)} are {len(chosen)}"
        )
    if not len(hidden):
        return Verdict(unproven=f"no label is hidden; all {len(kept)} labels that there are are kept")
    names = made_by_stages(study) if stages else []
    weights = weights_of(scratch(study, "original", study.dataset, names), blind) if gans else {}
    differing = dict[Path, None]()
    for change in (permuted, deleted):
        other = scratch(study, change.__name__, hiding(study.dataset, change, hidden))
        run_stages(other)
        differing |= dict.fromkeys(name for name in names if not same(study, other, name))
        found = weights_of(other, blind) if gans else {}
        differing |= dict.fromkeys(run for run in weights if weights[run] != found[run])
    verdict = Verdict(
        kept=len(kept),
        hidden=len(hidden),
        moved=int((permuted(labels, hidden) != labels).sum()),
        as_chosen=np.array_equal(kept, chosen),
        files=len(names),
        gans=len(weights),
        steps=gan_steps(study),
    )
    if not differing:
        shutil.rmtree(study.folder / LEAK_CHECK)
        return verdict
    again = scratch(study, "unchanged", study.dataset)
    run_stages(again)
    found = weights_of(again, blind) if weights.keys() & differing.keys() else {}
    alike = all(
        weights[name] == found[name] if name in weights else same(study, again, name) for name in differing
    )
    return dataclasses.replace(verdict, differing=tuple(differing), reproducible=alike)


def label_stages(study: Study) -> list[Task]:
    return [] if study.label_file else tasks(study)[1]


def blind_runs(study: Study) -> list[Task]:
    """The GANs that are not given all labels."""
    return [task for task in tasks(study)[2] if task.method and task.method.labels != "true"]


def refuse_unverifiable(study: Study, gans: bool = False) -> None:
    """Finds before any work that there will be nothing to compare.

    Raises:
      UserError: every method is given all labels; there are several seeds or label budgets; no method infers
        labels and GANs are not to be checked; or no label will be hidden.
    """
    if not blind_runs(study) or len(study.seeds) > 1 or len(study.budgets) > 1:
        raise UserError(
            "there is nothing to verify: that takes one seed, one label budget and a method that is not "
            "given all labels"
        )
    if not label_stages(study) and not gans:
        raise UserError(
            "there is nothing to verify: these methods infer no labels; "
            "--verify_no_leak gans checks their GANs"
        )
    labels = study.dataset.train.labels
    known, place = int((labels != UNLABELLED).sum()), Task("labels", study.seeds[0], study.budgets[0])
    if (study.task_dir(place) / KEPT).exists():  # maybe somebody's own choice
        return
    if not known or len(choose(labels, study.budgets[0], study.seeds[0])) == known:
        raise UserError(
            f"there is nothing to verify: all {known} labels are used, none is hidden; --label_fraction 0.5 "
            "hides half of them"
        )


def made_by_stages(study: Study) -> list[Path]:
    """The files of the label stages, relative to the folder of the study; not those of other methods."""
    folders = {study.task_dir(task) for stage in tasks(study)[:2] for task in stage}
    found = [folder / name for folder in sorted(folders) for name in FILES]
    return [path.relative_to(study.folder) for path in found if path.exists()]


def scratch(study: Study, name: str, dataset: ImageDataset, files: list[Path] | None = None) -> Study:
    """The study on another data set in a scratch folder, with the same kept labels, or with all `files`."""
    folder = study.folder / LEAK_CHECK / name
    shutil.rmtree(folder, ignore_errors=True)
    run_folder(folder)
    kept = study.task_dir(Task("labels", study.seeds[0], study.budgets[0])).relative_to(study.folder) / KEPT
    for path in [*(files or []), kept]:
        run_folder((folder / path).parent)
        for each in (path, note_of(path)):
            if (study.folder / each).exists():
                shutil.copy(study.folder / each, folder / each)
    schedule = dataclasses.replace(study.schedule, steps=gan_steps(study))  # else the same: no new programs
    methods = tuple(method for method in study.methods if method.labels != "true")
    return dataclasses.replace(study, folder=folder, dataset=dataset, methods=methods, schedule=schedule)


def gan_steps(study: Study) -> int:
    """For how many steps a GAN is trained to compare its weights."""
    return min(GAN_STEPS, study.schedule.steps)


def run_stages(study: Study) -> None:
    """Runs all label stages."""
    for stage in tasks(study)[:2]:
        for task in stage:
            prepare(study, task)


def weights_of(study: Study, runs: list[Task]) -> dict[Path, str]:
    """Trains GANs; the digest of the state of each, by the folder of its run in the study."""
    found = {}
    for run in runs:
        assert run.method is not None
        dataset = dataset_for(Artefacts(study, run.seed, run.budget), run.method)
        found[study.task_dir(run).relative_to(study.folder)] = digest(train_gan(study, run, dataset))
    return found


def hiding(dataset: ImageDataset, change: Change, hidden: np.ndarray) -> ImageDataset:
    """The data set with changed hidden labels, and without test labels."""
    nothing = np.full(len(dataset.test), UNLABELLED, np.int32)
    test = Split(dataset.test.images, nothing, dataset.test.names)
    return dataclasses.replace(dataset.with_labels(change(dataset.train.labels, hidden)), test=test)


def same(study: Study, other: Study, name: Path) -> bool:
    """Whether a file of two studies has the same bytes."""
    one, two = study.folder / name, other.folder / name
    return two.exists() and one.read_bytes() == two.read_bytes()
