"""Imports a model of the original compare_gan as a run folder."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from compare_gan import __version__
from compare_gan.config.parse import Parsed, parse
from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic, atomic_folder, read_text, write_json
from compare_gan.core.records import MAX_CLASSES, MAX_SIDE
from compare_gan.core.run_files import ABOUT, CONFIG
from compare_gan.core.types import ImageSpec
from compare_gan.data.facts import DATASET_INFO
from compare_gan.runs import Run, open_run
from compare_gan.tf1 import infer
from compare_gan.tf1.names import ARCHITECTURE_RULES
from compare_gan.tf1.published import PUBLISHED, Published, published_name
from compare_gan.tf1.saved_model import read_graph
from compare_gan.tf1.source import Source, open_source
from compare_gan.tf1.state import Imported, read_state
from compare_gan.training.checkpoints import Checkpoints

PRIORS = ("normal", "uniform")
DISC_TAGS = frozenset({"disc", "bs8"})
RUNS = Path("runs")


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that was read: the configuration of its GAN, its state, and notes for the user."""

    parsed: Parsed
    spec: ImageSpec
    imported: Imported
    source: Source
    notes: tuple[str, ...]


def import_tf(
    source: str | Path,
    folder: str | Path | None = None,
    *,
    step: int | None = None,
    gin_config: Sequence[str | Path] = (),
    prior: str | None = None,
    archive: str | Path | None = None,
    image_size: int | None = None,
) -> Run:
    """Imports a model or checkpoint of the original compare_gan (TensorFlow 1) as a run, without TensorFlow.

    The run can be sampled, scored, exported and compared like any other, and training can continue from it.
    One line is printed for each part that the files lack.

    >>> run = cg.import_tf("model_dir", "runs/imported")  # doctest: +SKIP
    >>> run.sample(8).shape  # doctest: +SKIP
    (8, 32, 32, 3)

    Args:
      source: a module folder, a .tar.gz or .tar.xz of one, the prefix of a checkpoint, a `model_dir`, or the
        name of a published module, such as google/compare_gan/s3gan_10_128x128.
      folder: the run folder; None: `runs/NAME`, where NAME is that of the source.
      step: of the checkpoint in a `model_dir`; None: the newest.
      gin_config: the training configuration; by default the one beside the checkpoint, or for a module the
        one inferred from its variables and graph.
      prior: the distribution of z, normal or uniform, for a module without a configuration.
      archive: the downloaded file of a published module.
      image_size: side length of the images, if neither the configuration nor the variables determine it.

    Returns:
      The run.

    Raises:
      UserError: the source is not such a model, is damaged, or does not match the configuration, or the
        folder is not empty.
    """
    out = _checked_folder(Path(folder) if folder is not None else RUNS / default_name(str(source)))
    with read_model(
        source, step=step, gin_config=gin_config, prior=prior, archive=archive, image_size=image_size
    ) as model:
        _write(model, str(source), out)
        for note in model.notes:
            print(f"{model.source.path}: {note}", flush=True)
    return open_run(out)


@contextlib.contextmanager
def read_model(
    source: str | Path,
    *,
    step: int | None = None,
    gin_config: Sequence[str | Path] = (),
    prior: str | None = None,
    archive: str | Path | None = None,
    image_size: int | None = None,
) -> Iterator[Model]:
    """Like `import_tf`, but writes nothing. The files of the model exist while it is used."""
    if prior is not None and prior not in PRIORS:
        raise UserError(f"prior is {prior!r}; use {' or '.join(PRIORS)}")
    published, path = _locate(source, archive)
    with open_source(path, step) as found:
        if step is not None and step != found.step:
            raise UserError(f"{path}: has step {found.step}, not {step}; leave out the step")
        parsed, spec, notes = _configured(found, gin_config, published, prior, image_size)
        try:
            gan = parsed.gan(spec)
        except UserError as error:
            raise UserError(f"{path}: its GAN cannot be built: {error}") from None
        architecture = parsed.options.architecture.removesuffix("_arch")
        if architecture not in ARCHITECTURE_RULES:
            raise UserError(
                f"{path}: the original has no {parsed.options.architecture}; give the configuration of its "
                "training with --gin_config"
            )
        imported = read_state(gan, architecture, found.variables, found.filled, found.step, found.is_module)
        yield Model(parsed, spec, imported, found, (*notes, *imported.notes))


def default_name(source: str) -> str:
    """The name of the run folder of a source."""
    name = published_name(source) or Path(source).absolute().name
    return re.sub(r"(\.tar)?\.(gz|tgz|xz|txz|bz2|tar)$", "", name)


def _locate(source: str | Path, archive: str | Path | None) -> tuple[Published | None, Path]:
    """The entry of a published module, and the file or folder to read."""
    name = published_name(str(source))
    if name is None or Path(source).exists():
        if archive is not None:
            raise UserError(f"{source}: is not the name of a published module; leave out the archive")
        return None, Path(source)
    if name not in PUBLISHED:
        raise UserError(f"{source}: not a published module of compare_gan; known: {', '.join(PUBLISHED)}")
    if archive is None:
        raise UserError(
            f"{source}: published modules are not downloaded; get its .tar.gz (docs/import.md says where to "
            "look) and pass it with --archive"
        )
    return PUBLISHED[name], Path(archive)


def _configured(
    source: Source,
    gin_config: Sequence[str | Path],
    published: Published | None,
    prior: str | None,
    image_size: int | None,
) -> tuple[Parsed, ImageSpec, list[str]]:
    """The configuration, the image shape with the number of classes, and notes for the user."""
    shapes = source.variables.shapes
    files = list(gin_config) or ([source.config] if source.config else [])
    if files:
        for each in files:
            if isinstance(each, Path) and not each.exists():
                raise UserError(f"{each}: does not exist")
        text = [read_text(Path(each)) if Path(each).exists() else "" for each in files]
        parsed = parse(files, [*_eval_prior(text), *_prior(prior)], allow_imports=())
        return parsed, _spec(source, parsed, image_size), []
    if not source.is_module:
        raise UserError(
            f"{source.path}: has no operative_config-*.gin beside it; give the configuration of its training "
            "with --gin_config"
        )
    assert source.graphs is not None
    chosen = prior or (published.prior if published else None)
    if chosen is None:
        raise UserError(
            f"{source.path}: a module does not contain the distribution of z; give --prior normal (S3GAN, "
            "SSGAN and BigGAN) or --prior uniform (all others), or --gin_config"
        )
    discriminator = None
    if any(name.startswith("discriminator/") for name in shapes):
        discriminator = read_graph(source.graphs, DISC_TAGS, default=True)
    try:
        lines, spec = infer.configuration(shapes, read_graph(source.graphs), discriminator, chosen)
    except UserError as error:
        raise UserError(f"{source.path}: {error}") from None
    dataset = [f"dataset.name = '{published.data}'"] if published else []
    training = ["options.batch_size = 64", f"options.training_steps = {max(source.step, 1)}"]
    parsed = parse([], [*lines, *dataset, *training])
    return parsed, spec, ["its training settings are unknown; the defaults are used"]


def _eval_prior(texts: Sequence[str]) -> list[str]:
    """Bindings that make the evaluation prior the same as the training prior.

    The operative configuration of a training run has no eval_z, since training does not use it.
    """
    lines = [line.strip() for text in texts for line in text.splitlines()]
    if any(line.startswith("eval_z.") for line in lines):
        return []
    return [f"eval_{line}" for line in lines if line.startswith("z.")]


def _prior(prior: str | None) -> list[str]:
    """Bindings of a prior that the user gave."""
    return [f"{each}.distribution_fn = @tf.random.{prior}" for each in ("z", "eval_z")] if prior else []


def _spec(source: Source, parsed: Parsed, image_size: int | None) -> ImageSpec:
    """The shape of the images and the number of classes of a configured model.

    Raises:
      UserError: the shape cannot be determined, or is impossible.
    """
    shapes = source.variables.shapes
    facts = DATASET_INFO.get(parsed.dataset.name or "")
    architecture = parsed.options.architecture.removesuffix("_arch")
    shape = infer.image_shape(shapes, architecture)
    if shape is None and source.graphs is not None:
        outputs = [s.outputs for s in read_graph(source.graphs).signatures.values()]
        images = next((shape for each in outputs for shape in each.values() if len(shape) == 4), None)
        shape = (images[1], images[2], images[3]) if images and 0 < min(images[1:]) else None
    if shape is None and image_size is not None:
        if not 0 < image_size <= MAX_SIDE:
            raise UserError(f"image_size is {image_size}; it must be between 1 and {MAX_SIDE}")
        colors = next((s[2] for n, s in shapes.items() if n == "discriminator/d_conv1/kernel"), 3)
        shape = (image_size, image_size, colors)
    if shape is None and facts is not None:
        shape = facts.image_shape
    if shape is None:
        raise UserError(
            f"{source.path}: the size of its images is not known (dataset.name is {parsed.dataset.name!r}); "
            "give --image_size"
        )
    classes = infer.num_classes(shapes, architecture) or (facts.num_classes if facts else 0)
    if not all(0 < size <= MAX_SIDE for size in shape) or not 0 <= classes <= MAX_CLASSES:
        raise UserError(
            f"{source.path}: its variables are for images with more than {MAX_SIDE:,} pixels a side, or for "
            f"more than {MAX_CLASSES:,} classes; give another file"
        )
    return ImageSpec(shape, classes)


def _checked_folder(folder: Path) -> Path:
    """Returns the folder if it does not exist or is empty.

    Raises:
      UserError: it is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not empty; choose another --out")
    return folder


def _write(model: Model, source: str, folder: Path) -> None:
    """Writes the run folder; it appears only when it is complete."""
    state = model.imported.state
    step = int(state.step)
    about = {
        "image_shape": list(model.spec.image_shape),
        "num_classes": model.spec.num_classes,
        "imported": {"source": source, "step": step, "notes": list(model.notes)},
        "versions": {"compare_gan": __version__, "jax": jax.__version__, "numpy": np.__version__},
    }
    with atomic_folder(folder) as new:
        checkpoints = Checkpoints(new, keep=None)
        checkpoints.save(step, state)
        checkpoints.close()
        with atomic(new / CONFIG) as file:
            file.write(model.parsed.operative_config.encode())
        write_json(new / ABOUT, about)
