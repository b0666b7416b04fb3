"""Reads the folder of an export. Only its programs are executed, after a check for side effects."""

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any

from jax import export

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, sha256_of
from compare_gan.core.sampler import Sampler
from compare_gan.export.loader import load

FORMAT = 1
METADATA_FILE = "export.json"


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
    return (folder / METADATA_FILE).exists()


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
      UserError: the export is damaged, of a newer format or JAX, or its programs have side effects.
    """
    folder = Path(folder)
    metadata = read_metadata(folder)
    verify_checksums(folder)
    programs = load_checked(folder, "sampler"), load_checked(folder, "generator")
    return Sampler(*programs, metadata.class_names, metadata.image_shape, metadata.prior)


def read_metadata(folder: Path) -> ExportMetadata:
    """The metadata of an export.

    Raises:
      UserError: it is damaged or of a newer format.
    """
    path = folder / METADATA_FILE
    content = read_json(path)
    version = content.get("format") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{path}: does not describe an export; export the run again")
    if version > FORMAT:
        raise UserError(
            f"{path}: has format {version}, but this version reads up to {FORMAT}; update compare_gan"
        )
    values: dict[str, Any] = {}
    for field in dataclasses.fields(ExportMetadata):
        if field.name not in content and field.default_factory is not dataclasses.MISSING:
            continue  # written by an older version
        value = content.get(field.name)
        value = tuple(value) if isinstance(value, list) else value
        if not isinstance(value, typing.get_origin(field.type) or field.type):  # type: ignore[arg-type]
            raise UserError(f"{path}: damaged, its {field.name} is {value!r}; export the run again")
        values[field.name] = value
    return ExportMetadata(**values)


def verify_checksums(folder: Path) -> None:
    """Checks programs and weights against the SHA-256 in `export.json`.

    Raises:
      UserError: a file is missing or has changed.
    """
    files = read_json(folder / METADATA_FILE).get("files")
    if not isinstance(files, dict):
        raise UserError(f"{folder / METADATA_FILE}: damaged, it lists no files; export the run again")
    for name, expected in files.items():
        path = folder / Path(name).name
        try:
            found = sha256_of(path)
        except UserError as error:
            raise UserError(f"{error}; export the run again") from None
        if found != expected:
            raise UserError(f"{path}: damaged, its SHA-256 does not match; export the run again")


def load_checked(folder: Path, name: str) -> Any:
    """A program of an export as a function of arrays, after a check for side effects.

    Raises:
      UserError: it cannot be read, or has side effects.
    """
    path = folder / f"{name}.jax"
    try:
        text = export.deserialize(bytearray(path.read_bytes())).mlir_module()
        run = load(folder, name)
    except Exception as error:  # deserialization raises various types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: this version of jax cannot read it ({reason}); update jax") from None
    side_effect = find_side_effects(text)
    if side_effect:
        raise UserError(
            f"{path}: refused, the program has side effects ({side_effect}); exports of compare_gan have none"
        )
    return run


def find_side_effects(text: str) -> str | None:
    """An operation of a StableHLO program with side effects, or None.

    Custom calls run native code by name; the one that our programs contain checks shapes. The other
    operations communicate with the host.
    """
    rest = text.replace("stablehlo.custom_call @shape_assertion(", "")
    found = re.search(r'custom_call"?( @[^(]*)?|stablehlo\.(infeed|outfeed|send|recv)\b', rest)
    return found[0] if found else None
