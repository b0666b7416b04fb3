"""Studies as library functions: from a request to a study folder with results.

`study` is the function for users; the commands `study`, `few-labels` and `demo` call `prepare` and `run`.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from compare_gan import __version__
from compare_gan.config.parse import parse
from compare_gan.config.reader import config_sha256
from compare_gan.config.recipes import config_file, recipe
from compare_gan.core.defaults import DEFAULT_METRICS, STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder, sha256_of
from compare_gan.core.label_methods import method
from compare_gan.core.lock import claimed
from compare_gan.core.outputs import STUDY_OUTPUTS, check_run_folder
from compare_gan.core.registry import METRICS
from compare_gan.core.run_files import REPORT
from compare_gan.core.types import ImageSpec
from compare_gan.data import ImageDataset, LoadOptions, open_dataset
from compare_gan.data.base import hard_labels
from compare_gan.data.fingerprint import dataset_sha256
from compare_gan.data.source import Source, refuse_inside, resolved
from compare_gan.evaluation.evaluate import EvalSettings
from compare_gan.features import TrainedEncoder, open_extractor
from compare_gan.fewlabels import read_features
from compare_gan.fewlabels.budget import PerClass, refuse_too_few
from compare_gan.fewlabels.choices import Choices, Facts, choose, describe, facts_of_dataset, facts_of_source
from compare_gan.fewlabels.dask_cluster import Cluster, connect
from compare_gan.fewlabels.execute import Outcome
from compare_gan.fewlabels.overview import overview, usable_methods
from compare_gan.fewlabels.plan import describe_labels, estimate_times, outline, plan_table
from compare_gan.fewlabels.recipe import label_recipe
from compare_gan.fewlabels.results import is_current, last_summary, results_table, summarise
from compare_gan.fewlabels.run import run_study, set_up
from compare_gan.fewlabels.settings import (
    EXTENDABLE,
    Settings,
    changed_settings,
    read_settings,
    study_folder,
)
from compare_gan.fewlabels.study import ConfiguredGAN, Study
from compare_gan.fewlabels.tasks import all_done
from compare_gan.report.page import write_report
from compare_gan.training.schedule import TrainSchedule

QUICK: dict[str, Any] = {"pretrain_steps": 20, "classify_steps": 20, "calibration_fits": 0}
QUICK_STEPS = 40
# Scores of each GAN: the distance is the primary one.
STUDY_METRICS = (*DEFAULT_METRICS, "class_matched_distance", "within_class_spread", "prdc", "authenticity")
FRACTIONS = (0.05, 0.1, 0.2)  # default budgets of a study if every image has a label
Say = Callable[[str], None]
SAY: Say = functools.partial(print, flush=True)  # where all messages of this module go by default


@dataclasses.dataclass(frozen=True)
class StudyRequest:
    """A user's request for a study. `fewlabels.choices` chooses what is None."""

    data: Source | ImageDataset
    methods: tuple[str, ...]  # names for `label_methods.method`
    fractions: tuple[float, ...] = ()  # label budgets: fractions of the labels
    per_class: tuple[int, ...] = ()  # more label budgets: labels per class
    seeds: tuple[int, ...] = (0,)
    label_sets: tuple[int, ...] = ()  # each is combined with each seed; empty: one for each seed
    reading: LoadOptions = LoadOptions()
    steps: int | None = None  # of each GAN
    quick: bool = False  # shrink every stage
    label_recipe: str | None = None
    inference: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # fields of the recipe to override
    features: str | None = None  # a file, in place of our encoder
    label_file: str | None = None  # in place of inferred labels
    extractor: str | None = None
    gin_config: str | None = None  # of every GAN
    gin_bindings: tuple[str, ...] = ()
    statistics_examples: int | None = None  # generated images for batch statistics, before scores

    @property
    def source(self) -> Source | None:
        """The source of images and labels; None: they are only in memory."""
        if not isinstance(self.data, ImageDataset):
            return self.data
        origin = self.data.origin
        if origin is None or origin.assigned or origin.labelled_only:
            return None
        unchanged = origin.labels is None or origin.reading["labels"] is not None
        return origin.data if unchanged else None


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A study that is ready to run."""

    study: Study
    lines: tuple[str, ...]  # about the data, the choices and the labels, for the user
    workers: int  # number of parallel processes
    reopen: Callable[[], Study]  # opens the study in another process
    cluster: Cluster | None = None  # does the tasks, in place of processes of this machine


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """The results of a study.

    >>> result = cg.study("digits", ["no_labels"], folder="runs/result", quick=True, steps=1)
    data: ...
    >>> result.report.name, result.failed
    ('report.html', ())
    """

    folder: Path
    summary: dict[str, Any]  # the contents of summary.json
    failed: tuple[Outcome, ...] = ()  # tasks that failed, or that depend on failed ones

    @property
    def report(self) -> Path:
        """The report, an HTML page."""
        return self.folder / REPORT

    def table(self) -> str:
        """The results as text: means over seeds with 95% intervals, then findings and notes."""
        return results_table(self.summary)


def study(
    data: Source | ImageDataset,
    methods: Sequence[str] = ("s3gan",),
    *,
    folder: str | Path,
    fractions: Sequence[float] = (),
    per_class: Sequence[int] = (),
    seeds: Sequence[int] = (0,),
    label_sets: Sequence[int] = (),
    steps: int | None = None,
    label_recipe: str | None = None,
    inference: Mapping[str, Any] | None = None,
    features: str | Path | None = None,
    extractor: str | Path | None = None,
    gin_config: str | Path | None = None,
    gin_bindings: Sequence[str] = (),
    reading: LoadOptions | None = None,
    quick: bool = False,
    workers: int = 1,
    dask: str | None = None,
    say: Say = SAY,
) -> StudyResult:
    """Trains and scores GANs at several label budgets and seeds, as `compare-gan study` does.

    Stages are shared, and completed stages are not repeated: the same call resumes an interrupted study, and
    a call with more methods, budgets or seeds extends it. Choices that are left open fit the images, their
    number and the device (`compare_gan.fewlabels.choices`), or are those of the existing folder.

    >>> import compare_gan as cg
    >>> result = cg.study("digits", ["s3gan"], fractions=[0.1], folder="runs/study")  # doctest: +SKIP
    >>> print(result.table())  # doctest: +SKIP

    Args:
      data: a source for `open_dataset`, or an opened data set, whose labels are used as they are.
      methods: names of `compare_gan.core.label_methods.LABEL_METHODS`, with parts if needed, such as
        "s3gan+diffaugment".
      folder: the study folder. If it contains runs with other settings, a sibling folder is used.
      fractions: label budgets, as fractions of the labels in (0, 1]. Without any budget: 1 if some images are
        unlabelled, else 0.05, 0.1 and 0.2.
      per_class: label budgets, as numbers of labels per class.
      seeds: random seeds; each is a repetition, with its own label set unless `label_sets` is given.
      label_sets: seeds of label sets: each selects labels and infers the others, and each of `seeds` trains a
        GAN on it.
      steps: generator updates of each GAN.
      label_recipe: how labels are inferred, a name of `compare_gan.fewlabels.recipe.RECIPES`.
      inference: fields of the recipe to override, such as `{"pretrain_steps": 100}`.
      features: file with features of all images, in place of those of the pre-trained encoder.
      extractor: feature extractor of the scores, see `open_extractor`.
      gin_config: configuration of networks and training: a file, or the name of a packaged one.
      gin_bindings: bindings added to it.
      reading: how a source is read; not for an opened data set.
      quick: shorten every stage, for a quick test.
      workers: number of parallel processes, on a CPU.
      dask: address of a `dask.distributed` scheduler, such as "tcp://HOST:8786", whose workers do the tasks;
        see docs/scale.md.
      say: called with each line about plan and progress.

    Returns:
      The folder, the summary, and the tasks that failed.

    Raises:
      UserError: an argument is invalid or does not match the data, or the cluster cannot be used.
      Interrupted: Ctrl-C or SIGTERM; the same call resumes.
    """
    if isinstance(data, ImageDataset) and reading is not None:
        raise UserError(f"{data.name} is open already; give reading to open_dataset")
    request = StudyRequest(
        data=data,
        methods=tuple(method(name).name for name in methods),
        fractions=tuple(fractions),
        per_class=tuple(per_class),
        seeds=tuple(seeds),
        label_sets=tuple(label_sets),
        reading=reading or LoadOptions(),
        steps=steps,
        quick=quick,
        label_recipe=label_recipe,
        inference=dict(inference or {}),
        features=None if features is None else str(features),
        extractor=None if extractor is None else str(extractor),
        gin_config=None if gin_config is None else str(gin_config),
        gin_bindings=tuple(gin_bindings),
    )
    with connected(dask, workers) as cluster:
        prepared = prepare(request, Path(folder), workers=workers, cluster=cluster, say=say)
        run_folder(prepared.study.folder)
        show_plan(prepared, say)
        return run(prepared, say)


def connected(dask: str | None, workers: int) -> contextlib.AbstractContextManager[Cluster | None]:
    """The connection to a cluster; None without an address.

    Raises:
      UserError: it cannot be used, or processes of this machine were asked for, too.
    """
    if dask is None:
        return contextlib.nullcontext()
    if workers != 1:
        raise UserError(f"--workers {workers}: tasks run on the workers of --dask; give one of the two")
    return connect(dask)


def prepare(
    request: StudyRequest,
    folder: Path,
    *,
    flat: bool = False,
    workers: int = 1,
    cluster: Cluster | None = None,
    say: Say = SAY,
) -> Prepared:
    """Chooses what the request leaves open, opens the data and checks that everything fits.

    Args:
      request: without label budgets, the data determines the default.
      folder: the requested folder; see `study_folder`.
      flat: one seed and one label budget, with all files in one folder.
      workers: number of parallel processes.
      cluster: does the tasks, in place of processes of this machine; choices fit its devices.
      say: called with a line if the cluster has no worker yet.

    Raises:
      UserError: the request is invalid; before images are loaded if that can be known.
      Interrupted: Ctrl-C or SIGTERM while there is no worker.
    """
    if workers < 1:
        raise UserError(f"workers is {workers}; it must be at least 1")
    given = request.data if isinstance(request.data, ImageDataset) else None
    if given is not None:
        request = dataclasses.replace(request, reading=reading_of(given))
    if request.source is not None:
        refuse_inside(folder, request.source)
    elif cluster is not None:
        raise UserError(
            "--dask: images or labels are only in memory; write them to files that all machines see"
        )
    check_run_folder(folder, STUDY_OUTPUTS)
    configured = None
    if request.gin_config is not None:
        configured = configurations(request.gin_config, request.gin_bindings, request.methods)
    if request.label_recipe is not None:
        label_recipe(request.label_recipe)
    varying = ("methods",) if flat else EXTENDABLE
    platform = None if cluster is None or not open_choices(request) else cluster.platform(say)
    if isinstance(request.data, ImageDataset):
        facts = facts_of_dataset(request.data, platform)
    else:
        facts = facts_of_source(request.data, request.reading, platform)
    choices, where = choices_for(request, facts, folder, varying)
    complete = completed(request, choices)
    assert complete.gin_config is not None
    configured = configured or configurations(complete.gin_config, request.gin_bindings, request.methods)
    side = complete.reading.image_size or (facts.side if facts.uniform else None)
    if side is not None:
        refuse_misfit(complete.gin_config, configured, ImageSpec((side, side, facts.channels), 10))
        if where is None and request.label_recipe is not None:
            label_recipe(request.label_recipe, side)
    dataset = request.data
    if not isinstance(dataset, ImageDataset):
        dataset = open_dataset(dataset, reading=complete.reading)
    counts = overview(dataset)
    methods, left_out = usable_methods(request.methods, counts)
    budget_given = bool(request.fractions or request.per_class)
    default: tuple[float, ...] = (counts.default_fraction,)
    if not (flat or counts.partly_labelled):
        default = tuple(dict.fromkeys(max(share, counts.least_fraction) for share in FRACTIONS))
    complete = dataclasses.replace(
        complete, methods=tuple(methods), fractions=request.fractions if budget_given else default
    )
    if any(method(name).from_few for name in methods):
        for share in complete.fractions:
            refuse_too_few(hard_labels(dataset.train), share)
    settings = settings_of(complete, dataset, left_out)
    target, note = study_folder(folder, settings, varying)
    opened = open_study(settings, target, flat, dataset, configured)
    if isinstance(opened.extractor, TrainedEncoder):
        opened.extractor(dataset.test.images[:1])  # refuses images of another size
    chosen = describe(choices, facts, open_choices(request), where)
    data_line, *label_lines = describe_labels(opened, budget_given)
    lines = [note, data_line, chosen, *label_lines, *left_out]
    if cluster is None:
        reopen = functools.partial(open_study, settings, target, flat, given)
    else:
        reopen = functools.partial(open_elsewhere, settings, target.resolve(), flat)
    return Prepared(opened, tuple(line for line in lines if line), workers, reopen, cluster)


def reading_of(dataset: ImageDataset) -> LoadOptions:
    """How an opened data set was read."""
    origin = dataset.origin
    if origin is None:
        return LoadOptions()
    reading = LoadOptions(**origin.reading)
    return dataclasses.replace(reading, like=None) if reading.like == origin.data else reading


def open_choices(request: StudyRequest) -> list[str]:
    """The names of the choices that a request leaves open."""
    names = ("gin_config", "label_recipe", "steps", "extractor", "statistics_examples")
    found = [name for name in names if getattr(request, name) is None]
    resizable = request.reading.image_size is None and not isinstance(request.data, ImageDataset)
    return ["image_size", *found] if resizable else found


def choices_for(
    request: StudyRequest, facts: Facts, folder: Path, varying: Sequence[str]
) -> tuple[Choices, str | None]:
    """What is chosen if a request leaves it open, and the folder from which that is taken, if from one.

    The choices of an existing folder are kept if the request agrees with its other settings, so that the
    folder can be resumed and extended by any later version and on any device.
    """
    size = facts.side if isinstance(request.data, ImageDataset) else request.reading.image_size
    choices = choose(facts, size)
    if request.quick:
        choices = dataclasses.replace(choices, steps=QUICK_STEPS, pretrain_steps=None, classify_steps=None)
    if request.label_recipe is not None:
        choices = dataclasses.replace(choices, pretrain_steps=None, classify_steps=None)
    if isinstance(request.data, ImageDataset):
        choices = dataclasses.replace(choices, image_size=request.reading.image_size)
    before = read_settings(folder)
    if not before:
        return choices, None
    names = ("gin_config", "label_recipe", "steps", "extractor")
    earlier = dataclasses.replace(
        choices,
        statistics_examples=before.get("statistics_examples", STATISTICS_EXAMPLES),
        **{name: before[name] for name in names if name in before},
        **{name: before.get("inference", {}).get(name) for name in ("pretrain_steps", "classify_steps")},
        image_size=before.get("reading", {}).get("image_size"),
    )
    unknown = () if request.fractions or request.per_class else ("fractions", "per_class")
    settings = settings_of(completed(request, earlier))
    if changed_settings(folder, settings, [*varying, *unknown]):
        return choices, None
    return earlier, str(folder)


def completed(request: StudyRequest, choices: Choices) -> StudyRequest:
    """The request with everything that it leaves open as chosen."""
    size = request.reading.image_size or choices.image_size
    return dataclasses.replace(
        request,
        reading=dataclasses.replace(request.reading, image_size=size),
        inference=choices.inference | dict(request.inference),
        **{name: getattr(choices, name) for name in open_choices(request) if name != "image_size"},
    )


def refuse_misfit(
    gin_config: str, configured: Mapping[tuple[str, ...], ConfiguredGAN], spec: ImageSpec
) -> None:
    """Checks that networks can make images of this size.

    Raises:
      UserError: they cannot.
    """
    for each in configured.values():
        try:
            each.gan(spec)
        except UserError as error:
            raise UserError(
                f"{gin_config}: {error}; or choose another --gin_config or --image_size"
            ) from None


def configurations(
    gin_config: str, gin_bindings: Sequence[str], methods: Collection[str]
) -> dict[tuple[str, ...], ConfiguredGAN]:
    """The configured GANs of the methods, keyed by `Method.recipes`.

    Raises:
      UserError: the configuration is invalid.
    """
    base, configured = config_file(gin_config), {}
    for names in dict.fromkeys(method(each).recipes for each in methods):
        parsed = parse([base, *map(recipe, names)], gin_bindings)
        configured[names] = ConfiguredGAN(parsed.gan, parsed.operative_config, parsed.dataset.random_flip)
    return configured


def settings_of(
    request: StudyRequest, dataset: ImageDataset | None = None, left_out: Sequence[str] = ()
) -> Settings:
    """Converts a complete request to settings.

    Paths are absolute. The settings include the SHA-256 of files and images, so a folder never mixes results
    of different data.

    Args:
      request: the request, see `completed`.
      dataset: its data set; None: settings without the digest of the images.
      left_out: notes on methods that the data does not allow.
    """
    inference = dict(request.inference)
    if request.features and "classifier" not in inference:
        inference["classifier"] = "linear"
    options = dataclasses.asdict(request.reading)
    options |= {name: resolved(options[name]) for name in ("labels", "test_data") if options[name]}
    settings = {
        "data": None if request.source is None else resolved(request.source),
        **({} if dataset is None else {"data_sha256": dataset_sha256(dataset)}),
        "reading": options,
        "methods": list(dict.fromkeys(request.methods)),
        "fractions": list(dict.fromkeys(request.fractions)),
        "per_class": list(dict.fromkeys(request.per_class)),
        "seeds": list(dict.fromkeys(request.seeds)),
        "label_sets": list(dict.fromkeys(request.label_sets)),
        "steps": request.steps,
        "statistics_examples": request.statistics_examples,
        "quick": request.quick,
        "label_recipe": request.label_recipe,
        "inference": dict(sorted(inference.items())),  # the report shows them in this order
        "features": absolute(request.features),
        "label_file": absolute(request.label_file),
        "extractor": absolute(request.extractor),
        "gin_config": absolute(request.gin_config),
        "gin_bindings": list(request.gin_bindings),
        "left_out": list(left_out),
    }
    return settings | {"files": file_digests(settings), "compare_gan": __version__}


def file_digests(settings: Settings) -> dict[str, str]:
    """The SHA-256 of each file that settings name, by the name of the setting."""
    names = ("features", "label_file", "extractor", "gin_config")
    files = {"labels": settings["reading"]["labels"]} | {name: settings[name] for name in names}
    paths = {name: Path(path) for name, path in files.items() if path and Path(path).is_file()}
    digests = {"gin_config": config_sha256}
    return {name: digests.get(name, sha256_of)(path) for name, path in paths.items()}


def absolute(name: str | None) -> str | None:
    """The absolute path if `name` is an existing file; otherwise `name` itself."""
    return str(Path(name).resolve()) if name and Path(name).is_file() else name


def open_study(
    settings: Settings,
    folder: Path,
    flat: bool,
    dataset: ImageDataset | None = None,
    configured: Mapping[tuple[str, ...], ConfiguredGAN] | None = None,
) -> Study:
    """Opens the study that settings describe.

    Args:
      settings: those of `settings_of`.
      folder: the study folder; it need not exist.
      flat: keep all files in one folder, for one seed and one label budget.
      dataset: the data set of the settings, if already open.
      configured: the `configurations` of the settings, if already parsed.

    Raises:
      UserError: a setting contradicts another one or the data; or there is no data set, and the settings name
        none because it was made in memory.
    """
    quick, steps = settings["quick"], settings["steps"]
    schedule = TrainSchedule(
        steps,
        log_every=max(1, steps // 30),
        sample_every=max(1, steps // 10),
        save_every=max(1, steps // 5),
    )
    inference = label_recipe(settings["label_recipe"])
    if dataset is None:
        if settings["data"] is None:
            raise UserError(
                f"{folder}: its images or labels were made in memory; call study(data, ...) again"
            )
        dataset = open_dataset(settings["data"], reading=LoadOptions(**settings["reading"]))
    if configured is None:
        configured = configurations(settings["gin_config"], settings["gin_bindings"], settings["methods"])
    extractor, images = settings["extractor"], 500 if quick else 5000
    counts = len(dataset.test), images
    metrics = [name for name in STUDY_METRICS if METRICS[name].min_images(max(counts)) <= min(counts)]
    return Study(
        folder=folder,
        dataset=dataset,
        methods=tuple(map(method, settings["methods"])),
        budgets=(*settings["fractions"], *map(PerClass, settings["per_class"])),
        seeds=tuple(settings["seeds"]),
        label_sets=tuple(settings["label_sets"]),
        configured=configured,
        recipe=dataclasses.replace(
            inference.for_images(dataset.mirror), **(QUICK if quick else {}) | settings["inference"]
        ),
        schedule=schedule,
        evaluation=EvalSettings(
            images, statistics_examples=settings["statistics_examples"], metrics=tuple(metrics)
        ),
        extractor=open_extractor(extractor) if extractor else None,
        settings=settings,
        features=read_features(Path(settings["features"]), dataset) if settings["features"] else None,
        label_file=Path(settings["label_file"]) if settings["label_file"] else None,
        flat=flat,
    )


def open_elsewhere(settings: Settings, folder: Path, flat: bool) -> Study:
    """Opens a study on another machine than the one that started it, see `open_study`.

    Raises:
      UserError: images, labels or another file are not the same here.
    """
    study = open_study(settings, folder, flat)
    found = file_digests(settings) | {"data": dataset_sha256(study.dataset)}
    expected = settings["files"] | {"data": settings["data_sha256"]}
    for name, digest in expected.items():
        if found.get(name) != digest:
            path = settings["reading"]["labels"] if name == "labels" else settings[name]
            raise UserError(f"{path}: is another file on this machine than where the study was started")
    return study


def show_plan(prepared: Prepared, say: Say = SAY) -> None:
    """Says what data, choices and remaining tasks are, and how long these take unless that is short."""
    say("\n".join(prepared.lines))
    if entries := outline(prepared.study):
        say(plan_table(entries, 1))
        if prepared.cluster is not None:  # this machine may be slower than its workers
            return
        if (known := estimate_times(prepared.study, entries)) != entries:
            say(plan_table(known, prepared.workers))


def run(prepared: Prepared, say: Say = SAY) -> StudyResult:
    """Runs the remaining tasks, writes the results, and says what they are.

    Raises:
      UserError: the folder cannot be written, or another process runs a study in it.
      Interrupted: Ctrl-C or SIGTERM; finished work is kept.
    """
    study = prepared.study
    report = study.folder / REPORT
    failed = list[Outcome]()
    summary = last_summary(study.folder)
    if summary is not None and all_done(study) and is_current(study.folder):
        say(f"{study.folder}: all done already")
    else:
        with claimed(run_folder(study.folder)):
            set_up(study)
            failed = run_study(study, prepared.workers, prepared.reopen, say, prepared.cluster)
            summary = summarise(study)
            write_report(study.folder, report)
    result = StudyResult(study.folder, summary, tuple(failed))
    say(result.table())
    for outcome in failed:
        say(f"failed: {outcome.task.name}: {outcome.error}")
    say(f"report: {report}")
    return result
