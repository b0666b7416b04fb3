"""The folder of an export as a reader sees it. Its programs are all that is run, and they only compute."""

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any

from jax import export

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, sha256_of
from compare_gan.export.loader import load
from compare_gan.export.sampler import Sampler

FORMAT = 1
ABOUT = "export.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportMetadata:
    """What `export.json` tells, beside the number of the format and the SHA-256 of programs and weights."""

    architecture: str
    method: str
    step: int
    image_shape: tuple[int, int, int]  # H, W, C
    z_dim: int
    num_classes: int  # 0: networks take no label
    class_names: tuple[str, ...]
    averaged_weights: bool  # of the generator
    batch_statistics: str  # of the generator outside training
    heads: tuple[str, ...]  # of the discriminator
    versions: dict[str, str]


def is_export(folder: Path) -> bool:
    return (folder / ABOUT).exists()


def open_sampler(folder: Path) -> Sampler:
    """The generator of an export.

    Raises:
      UserError: the export is damaged, of a newer format or JAX, or its programs do more than compute.
    """
    metadata = read_metadata(folder)
    verify_checksums(folder)
    programs = load_checked(folder, "sampler"), load_checked(folder, "generator")
    return Sampler(*programs, metadata.class_names, metadata.image_shape)


def read_metadata(folder: Path) -> ExportMetadata:
    """What an export tells of itself.

    Raises:
      UserError: it is damaged or of a newer format.
    """
    path = folder / ABOUT
    content = read_json(path)
    version = content.get("format") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{path}: does not describe an export; export the run again")
    if version > FORMAT:
        raise UserError(f"{path}: of format {version}, this version reads {FORMAT}; update compare_gan")
    values: dict[str, Any] = {}
    for field in dataclasses.fields(ExportMetadata):
        value = content.get(field.name)
        value = tuple(value) if isinstance(value, list) else value
        if not isinstance(value, typing.get_origin(field.type) or field.type):  # type: ignore[arg-type]
            raise UserError(f"{path}: damaged, its {field.name} is {value!r}; export the run again")
        values[field.name] = value
    return ExportMetadata(**values)


def verify_checksums(folder: Path) -> None:
    """Compares programs and weights with the SHA-256 they had when they were written.

    Raises:
      UserError: one is missing or not as it was.
    """
    files = read_json(folder / ABOUT).get("files")
    if not isinstance(files, dict):
        raise UserError(f"{folder / ABOUT}: damaged, it lists no files; export the run again")
    for name, expected in files.items():
        path = folder / Path(name).name
        try:
            found = sha256_of(path)
        except UserError as error:
            raise UserError(f"{error}; export the run again") from None
        if found != expected:
            raise UserError(f"{path}: damaged, not as it was written; export the run again")


def load_checked(folder: Path, name: str) -> Any:
    """A program of an export as a function of arrays, once it is known to be harmless.

    Raises:
      UserError: it cannot be read, or does more than compute.
    """
    path = folder / f"{name}.jax"
    try:
        text = export.deserialize(bytearray(path.read_bytes())).mlir_module()
        run = load(folder, name)
    except (
        Exception
    ) as error:  # what reads it says in as many ways as there are that a file is none of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: this version of jax cannot read it ({reason}); update jax") from None
    side_effect = find_side_effects(text)
    if side_effect:
        raise UserError(f"{path}: refused, it does more than compute ({side_effect}); no export of ours does")
    return run


def find_side_effects(text: str) -> str | None:
    """An operation of a StableHLO program that reaches outside of it, or None.

    Custom calls hand their inputs to machine code by its name; the one that programs of ours hold checks
    shapes. The others talk to the host.
    """
    rest = text.replace("stablehlo.custom_call @shape_assertion(", "")
    found = re.search(r'custom_call"?( @[^(]*)?|stablehlo\.(infeed|outfeed|send|recv)\b', rest)
    return found[0] if found else None
