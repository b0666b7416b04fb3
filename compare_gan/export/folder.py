"""Reads the folder of an export. Only its programs are executed, after all checks."""

import dataclasses
from pathlib import Path
from typing import Any

from compare_gan.core import records
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, sha256_of
from compare_gan.core.run_files import EXPORT_METADATA
from compare_gan.core.sampler import Sampler
from compare_gan.export.checks import BATCH, Signature, array, load_program

FORMAT = 1
CHECKSUMMED_SUFFIXES = (".jax", ".safetensors")  # verified when read; the card may be edited
PARTS = ("generator", "discriminator", "sampler")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportMetadata:
    """The contents of `export.json`, except the format version and the SHA-256 of the files."""

    architecture: str
    method: str
    step: int
    image_shape: tuple[int, int, int]  # H, W, C
    z_dim: int
    num_classes: int  # 0: unconditional
    class_names: tuple[str, ...]
    averaged_weights: bool  # whether the generator has averaged weights
    batch_statistics: str  # source of the batch statistics of the generator
    heads: tuple[str, ...]  # names of the heads of the discriminator
    versions: dict[str, str]
    prior: dict[str, Any] = dataclasses.field(default_factory=dict)  # of the latent vectors; empty: unknown


def is_export(folder: Path) -> bool:
    return (folder / EXPORT_METADATA).exists()


def open_sampler(folder: str | Path) -> Sampler:
    """The generator of an export.

    >>> data = cg.open_dataset("blobs")
    >>> run = cg.train(cg.presets.small(data.spec), data, "runs/exported", steps=1)
    exported: 1/1 ...
    >>> step = run.export("exported").step
    >>> images, labels = cg.open_sampler("exported").images(8, seed=0)
    >>> images.shape, labels.tolist()
    ((8, 8, 8, 3), [0, 1, 2, 3, 0, 1, 2, 3])

    Raises:
      UserError: the export is damaged, of a newer format or JAX, its programs are not plain computation, or
        they do not match its metadata or its weights.
    """
    folder = Path(folder)
    metadata = read_metadata(folder)
    verify_checksums(folder)
    z = array("float32", BATCH, metadata.z_dim)
    y = [array("float32", BATCH, metadata.num_classes)] if metadata.num_classes else []
    indices, images = array("int32", BATCH), array("float32", BATCH, *metadata.image_shape)
    latents = load_program(folder / "sampler.jax", Signature((array("uint32"), indices), (z,)))
    generator = load_program(folder / "generator.jax", Signature((z, *y), (images,)))
    return Sampler(latents, generator, metadata.class_names, metadata.image_shape, metadata.prior)


def read_metadata(folder: Path) -> ExportMetadata:
    """The metadata of an export.

    Raises:
      UserError: it is damaged or of a newer format.
    """
    path = folder / EXPORT_METADATA
    version = read_json(path, records.FORMAT)["format"]
    if version > FORMAT:
        raise UserError(
            f"{path}: has format {version}, but this version reads up to {FORMAT}; update compare_gan"
        )
    content = read_json(path, records.EXPORT)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(ExportMetadata):
        if field.name in content:
            value = content[field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return ExportMetadata(**values)


def verify_checksums(folder: Path) -> None:
    """Checks programs and weights against the SHA-256 in `export.json`.

    Raises:
      UserError: a file is missing or has changed, or a file to read is not listed.
    """
    files = read_json(folder / EXPORT_METADATA, records.EXPORT)["files"]
    for name in (f"{part}{suffix}" for part in PARTS for suffix in CHECKSUMMED_SUFFIXES):
        if (folder / name).exists() and name not in files:
            raise UserError(f"{folder / name}: has no SHA-256 in {EXPORT_METADATA}; export the run again")
    for name, expected in files.items():
        path = folder / Path(name).name
        try:
            found = sha256_of(path)
        except UserError as error:
            raise UserError(f"{error}; export the run again") from None
        if found != expected:
            raise UserError(f"{path}: damaged, its SHA-256 does not match; export the run again")
