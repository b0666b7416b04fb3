"""Leak check: verifies on the user's own data that hidden labels influence neither inferred labels nor GANs.

The label stages run again in a scratch folder from the same kept labels, once with the hidden labels permuted
and once with them deleted. If any byte of their files differs, a hidden label was read. Optionally each GAN
is trained for a few steps under both changes, and its weights are compared.
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
from compare_gan.fewlabels.artefacts import BLIND, KEPT_LABELS, Artefacts
from compare_gan.fewlabels.budget import choose, describe_budget
from compare_gan.fewlabels.study import Study, Task
from compare_gan.fewlabels.tasks import dataset_for, prepare, task_stages, train_gan
from compare_gan.nn.state import digest

FILES = tuple(dict.fromkeys(file for artefact in BLIND for file in artefact.files))
GAN_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result of a leak check."""

    kept: int = 0  # number of kept labels
    hidden: int = 0  # number of hidden labels
    relabelled: int = 0  # hidden labels whose class changes under the permutation
    kept_as_chosen: bool = True  # whether the kept labels are those that budget and seed choose
    files: int = 0  # files of the label stages that were compared
    gans: int = 0  # GANs that were compared
    steps: int = 0  # training steps of each GAN
    differing: tuple[Path, ...] = ()  # files and runs that depend on hidden labels
    reproducible: bool = (
        True  # whether unchanged labels reproduce the bytes; tested only if something differs
    )
    unproven: str = ""  # why nothing could be compared

    @property
    def proven(self) -> bool:
        """Whether everything was compared and nothing differs."""
        return not self.differing and not self.unproven

    @property
    def message(self) -> str:
        """The result as one line for the user."""
        if self.unproven:
            return f"not verified: {self.unproven}"
        names = ", ".join(map(str, self.differing))
        if self.differing and self.reproducible:
            verb = "depends" if len(self.differing) == 1 else "depend"
            return f"LEAK: {names} {verb} on hidden labels"
        if self.differing:
            verb = "differs" if len(self.differing) == 1 else "differ"
            return f"inconclusive: {names} {verb} even with unchanged labels; runs are not reproducible here"
        compared = [f"all {self.files} files of the label stages"] if self.files else []
        compared += [f"the weights of {self.gans} GANs after {self.steps} steps"] if self.gans else []
        line = (
            f"no leak: {' and '.join(compared)} are identical with the {self.hidden} hidden labels permuted "
            f"({self.relabelled} change class) and deleted; {self.kept} labels are kept"
        )
        if not self.kept_as_chosen:
            line += f", not those that budget and seed choose: {KEPT} was not written by this program"
        return line if self.gans else f"{line}; GANs were not checked"


def permuted(labels: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Labels [N] with those at indices `hidden` permuted among themselves."""
    changed = labels.copy()
    changed[hidden] = labels[hidden][permutation(len(hidden), 0)]
    return changed


def deleted(labels: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Labels [N] with those at indices `hidden` removed."""
    changed = labels.copy()
    changed[hidden] = UNLABELLED
    return changed


Change = Callable[[np.ndarray, np.ndarray], np.ndarray]  # labels, indices of the hidden ones -> labels


def verify(study: Study, gans: bool = False) -> Verdict:
    """Runs the label stages of a study again with changed hidden labels, and compares the results.

    All label stages must be done. Test labels are deleted as well, since no stage should read them. The
    scratch folder is removed unless something differs.

    Args:
      study: a study with one seed and one label budget.
      gans: also train each GAN, except those that use all labels, for `GAN_STEPS` steps under each change.

    Returns:
      The verdict; `unproven` if no label is hidden, or if the number of kept labels does not match the
      budget.

    Raises:
      UserError: see `refuse_unverifiable`.
      Interrupted: Ctrl-C or SIGTERM.
    """
    refuse_unverifiable(study, gans)
    stages, gan_tasks = label_stages(study), gans_to_check(study)
    labels, budget = study.dataset.train.labels, study.budgets[0]
    kept = np.flatnonzero(
        Artefacts(study, study.seeds[0], budget).ensure(KEPT_LABELS).train.labels != UNLABELLED
    )
    chosen = choose(labels, budget, study.seeds[0])
    hidden = np.setdiff1d(np.flatnonzero(labels != UNLABELLED), kept)
    if len(kept) != len(chosen):
        return Verdict(
            unproven=f"{KEPT} keeps {len(kept)} labels, but {describe_budget(budget)} would be {len(chosen)}"
        )
    if not len(hidden):
        return Verdict(unproven=f"no label is hidden; all {len(kept)} labels are kept")
    names = stage_files(study) if stages else []
    weights = (
        weight_digests(scratch_study(study, "original", study.dataset, names), gan_tasks) if gans else {}
    )
    differing = dict[Path, None]()
    for change in (permuted, deleted):
        other = scratch_study(study, change.__name__, with_hidden_changed(study.dataset, change, hidden))
        run_stages(other)
        differing |= dict.fromkeys(name for name in names if not same_bytes(study, other, name))
        digests = weight_digests(other, gan_tasks) if gans else {}
        differing |= dict.fromkeys(run for run in weights if weights[run] != digests[run])
    verdict = Verdict(
        kept=len(kept),
        hidden=len(hidden),
        relabelled=int((permuted(labels, hidden) != labels).sum()),
        kept_as_chosen=np.array_equal(kept, chosen),
        files=len(names),
        gans=len(weights),
        steps=gan_steps(study),
    )
    if not differing:
        shutil.rmtree(study.folder / LEAK_CHECK)
        return verdict
    unchanged = scratch_study(study, "unchanged", study.dataset)
    run_stages(unchanged)
    digests = weight_digests(unchanged, gan_tasks) if weights.keys() & differing.keys() else {}
    reproducible = all(
        weights[name] == digests[name] if name in weights else same_bytes(study, unchanged, name)
        for name in differing
    )
    return dataclasses.replace(verdict, differing=tuple(differing), reproducible=reproducible)


def label_stages(study: Study) -> list[Task]:
    """The tasks that infer labels; none if the user provides a label file."""
    return [] if study.label_file else task_stages(study)[1]


def gans_to_check(study: Study) -> list[Task]:
    """The GAN tasks whose method does not use all labels."""
    return [task for task in task_stages(study)[2] if task.method and not task.method.needs_every_label]


def refuse_unverifiable(study: Study, gans: bool = False) -> None:
    """Checks, before any work is done, that there will be something to compare.

    Raises:
      UserError: every method uses all labels; there are several seeds or label budgets; no method infers
        labels and GANs are not checked; or no label will be hidden.
    """
    if not gans_to_check(study) or len(study.seeds) > 1 or len(study.budgets) > 1 or study.label_sets:
        raise UserError(
            "there is nothing to verify: the leak check needs one seed, one label budget and a method that "
            "does not use all labels"
        )
    if not label_stages(study) and not gans:
        raise UserError(
            "there is nothing to verify: these methods infer no labels; "
            "--verify_no_leak gans checks their GANs"
        )
    labels = study.dataset.train.labels
    num_labels, task = int((labels != UNLABELLED).sum()), Task("labels", study.seeds[0], study.budgets[0])
    if (study.task_dir(task) / KEPT).exists():  # possibly the user's own choice
        return
    if not num_labels or len(choose(labels, study.budgets[0], study.seeds[0])) == num_labels:
        raise UserError(
            f"there is nothing to verify: all {num_labels} labels are used, none is hidden; --label_fraction "
            "0.5 hides half of them"
        )


def stage_files(study: Study) -> list[Path]:
    """The existing files of the label stages, relative to the study folder."""
    folders = {study.task_dir(task) for stage in task_stages(study)[:2] for task in stage}
    paths = [folder / name for folder in sorted(folders) for name in FILES]
    return [path.relative_to(study.folder) for path in paths if path.exists()]


def scratch_study(study: Study, name: str, dataset: ImageDataset, files: list[Path] | None = None) -> Study:
    """A copy of the study in a scratch folder, on another data set.

    Args:
      study: the original.
      name: of the scratch folder.
      dataset: the data set with changed labels.
      files: files to copy besides the kept labels, relative to the study folder.
    """
    folder = study.folder / LEAK_CHECK / name
    shutil.rmtree(folder, ignore_errors=True)
    run_folder(folder)
    kept = study.task_dir(Task("labels", study.seeds[0], study.budgets[0])).relative_to(study.folder) / KEPT
    for path in [*(files or []), kept]:
        run_folder((folder / path).parent)
        for file in (path, note_of(path)):
            if (study.folder / file).exists():
                shutil.copy(study.folder / file, folder / file)
    schedule = dataclasses.replace(
        study.schedule, steps=gan_steps(study)
    )  # otherwise unchanged, to reuse compiled programs
    methods = tuple(method for method in study.methods if not method.needs_every_label)
    return dataclasses.replace(study, folder=folder, dataset=dataset, methods=methods, schedule=schedule)


def gan_steps(study: Study) -> int:
    """The number of steps to train a GAN for before its weights are compared."""
    return min(GAN_STEPS, study.schedule.steps)


def run_stages(study: Study) -> None:
    """Runs all label stages."""
    for stage in task_stages(study)[:2]:
        for task in stage:
            prepare(study, task)


def weight_digests(study: Study, runs: list[Task]) -> dict[Path, str]:
    """Trains GANs; returns a digest of each final state, keyed by run folder relative to the study."""
    digests = {}
    for run in runs:
        assert run.method is not None
        dataset = dataset_for(Artefacts(study, run.label_seed, run.budget), run.method)
        digests[study.task_dir(run).relative_to(study.folder)] = digest(train_gan(study, run, dataset))
    return digests


def with_hidden_changed(dataset: ImageDataset, change: Change, hidden: np.ndarray) -> ImageDataset:
    """The data set with changed hidden labels and without test labels."""
    unlabelled = np.full(len(dataset.test), UNLABELLED, np.int32)
    test = Split(dataset.test.images, unlabelled, dataset.test.names)
    return dataclasses.replace(dataset.with_labels(change(dataset.train.labels, hidden)), test=test)


def same_bytes(study: Study, other: Study, name: Path) -> bool:
    """Whether a file exists in both studies with the same bytes."""
    one, two = study.folder / name, other.folder / name
    return two.exists() and one.read_bytes() == two.read_bytes()
