"""Reads the folder of an export. Only its programs are executed, after all checks."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export

from compare_gan.core import records
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_bytes, read_json, sha256_of
from compare_gan.core.limits import BATCH_S, within
from compare_gan.core.memory import memory_budget
from compare_gan.core.sampler import Sampler
from compare_gan.core.schema import parse_json
from compare_gan.export.loader import read_weights

FORMAT = 1
METADATA_FILE = "export.json"
CHECKSUMMED_SUFFIXES = (".jax", ".safetensors")  # verified when read; the card may be edited
MAX_PROGRAM_BYTES, MAX_HEADER_BYTES = 2**27, 2**24


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
      UserError: the export is damaged, of a newer format or JAX, its programs are not plain computation, or
        they do not match its metadata or its weights.
    """
    folder = Path(folder)
    metadata = read_metadata(folder)
    verify_checksums(folder)
    z, y = ("b", str(metadata.z_dim)), [("b", str(metadata.num_classes))] if metadata.num_classes else []
    images = ("b", *map(str, metadata.image_shape))
    latents = load_checked(folder, "sampler", Signature((("uint32", ()), ("int32", ("b",))), z))
    generator = load_checked(
        folder, "generator", Signature(tuple(("float32", shape) for shape in (z, *y)), images)
    )
    return Sampler(latents, generator, metadata.class_names, metadata.image_shape, metadata.prior)


def read_metadata(folder: Path) -> ExportMetadata:
    """The metadata of an export.

    Raises:
      UserError: it is damaged or of a newer format.
    """
    path = folder / METADATA_FILE
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
    files = read_json(folder / METADATA_FILE, records.EXPORT)["files"]
    for name, expected in files.items():
        path = folder / Path(name).name
        try:
            found = sha256_of(path)
        except UserError as error:
            raise UserError(f"{error}; export the run again") from None
        if found != expected:
            raise UserError(f"{path}: damaged, its SHA-256 does not match; export the run again")
    for path in sorted(folder.iterdir()):
        if path.suffix in CHECKSUMMED_SUFFIXES and path.name not in files:
            raise UserError(f"{path}: has no SHA-256 in {METADATA_FILE}; export the run again")


Shape = tuple[str, ...]  # sizes; "b" for the batch size


class Signature(NamedTuple):
    """The inputs of a program besides its weights, and its float32 output."""

    inputs: tuple[tuple[str, Shape], ...]  # dtype and shape of each
    output: Shape


def load_checked(folder: Path, name: str, signature: Signature) -> Callable[..., Any]:
    """A program of an export as a function of arrays.

    Everything is checked before it runs: its operations, its inputs, weights and output, and its memory.

    Raises:
      UserError: it cannot be read, is not plain computation, or does not match its weights or `signature`.
    """
    path, weights_path = folder / f"{name}.jax", folder / f"{name}.safetensors"
    content = read_bytes(path, MAX_PROGRAM_BYTES)
    try:
        exported = export.deserialize(bytearray(content))
        text = exported.mlir_module()
    except Exception as error:  # deserialization raises various types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: this version of jax cannot read it ({reason}); update jax") from None
    if found := find_side_effects(text) or next(map(str, exported.ordered_effects), None):
        raise UserError(
            f"{path}: refused, the program has side effects ({found}); exports of compare_gan have none"
        )
    shapes = weight_shapes(weights_path) if weights_path.exists() else {}
    check_signature(path, exported, shapes, signature)
    return runnable_within_limits(path, exported, read_weights(weights_path) if shapes else {})


def check_signature(path: Path, exported: Any, weights: Mapping[str, Shape], signature: Signature) -> None:
    """Compares the inputs and outputs that a program declares with its weights and its metadata.

    Raises:
      UserError: they differ.
    """
    try:
        (declared, *inputs), more = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        declared = {name: _described(aval) for name, aval in declared.items()}
        found = tuple(map(_described, inputs)), [_described(aval) for aval in exported.out_avals]
    except (AttributeError, TypeError, ValueError):
        declared, more, found = {}, None, ((), [])
    if more != {} or found[0] != signature.inputs or exported.nr_devices != 1:
        raise UserError(f"{path}: its inputs do not match {METADATA_FILE}; export the run again")
    if found[1] != [("float32", signature.output)]:
        shapes = ", ".join(f"{dtype} {list(shape)}" for dtype, shape in found[1]) or "nothing"
        raise UserError(
            f"{path}: returns {shapes[:200]}, but {METADATA_FILE} says {list(signature.output)}; "
            "export the run again"
        )
    if declared != {name: ("float32", shape) for name, shape in weights.items()}:
        differing = sorted({*declared} ^ {*weights}) or sorted(
            name for name, shape in weights.items() if declared[name] != ("float32", shape)
        )
        raise UserError(
            f"{path}: its weights are not those of {path.stem}.safetensors (such as {differing[0][:60]}); "
            "export the run again"
        )


def _described(aval: Any) -> tuple[str, Shape]:
    return str(aval.dtype), tuple(map(str, aval.shape))


def weight_shapes(path: Path) -> dict[str, Shape]:
    """The shapes in the header of a safetensors file of float32 arrays that fill it without gaps.

    Raises:
      UserError: the header is damaged, or does not match the file.
    """
    content = memoryview(read_bytes(path, memory_budget()))
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(len(content) - 8, MAX_HEADER_BYTES):
        raise UserError(f"{path}: damaged, its header is too long; export the run again")
    try:
        header = parse_json(bytes(content[8 : 8 + size]), records.SAFETENSORS)
    except ValueError as error:
        raise UserError(f"{path}: damaged header ({error}); export the run again") from None
    header.pop("__metadata__", None)
    end = 0
    for name, about in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = about["data_offsets"]
        if start != end or stop - start != 4 * math.prod(about["shape"]):
            raise UserError(f"{path}: damaged, the place of {name[:60]} is wrong; export the run again")
        end = stop
    if end != len(content) - 8 - size:
        raise UserError(f"{path}: damaged, its arrays do not fill it; export the run again")
    return {name: tuple(map(str, about["shape"])) for name, about in header.items()}


def runnable_within_limits(path: Path, exported: Any, weights: Mapping[str, Any]) -> Callable[..., Any]:
    """A program as a function of arrays that fails in one line: for lack of memory or time, too."""
    compiled: dict[Any, Any] = {}
    run, weights = jax.jit(exported.call), jax.device_put(dict(weights))

    def call(*inputs: Any) -> Any:
        key = tuple((np.shape(x), str(np.asarray(x).dtype)) for x in inputs)
        if key not in compiled:
            program = run.lower(weights, *inputs).compile()
            if (used := program.memory_analysis()) is not None:
                size, limit = used.temp_size_in_bytes + used.output_size_in_bytes, 2 * memory_budget()
                if size > limit:
                    raise UserError(
                        f"{path}: refused, a batch takes {size / 1e9:.1f} GB, more than {limit / 1e9:.1f} GB"
                    )
            compiled[key] = program
        return jax.block_until_ready(compiled[key](weights, *inputs))

    def guarded(*inputs: Any) -> Any:
        try:
            return within(BATCH_S, lambda: call(*inputs), f"{path}")
        except UserError:
            raise
        except Exception as error:  # of tracing, of the compiler or of the device
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UserError(f"{path}: failed ({reason})") from None

    return guarded


def find_side_effects(text: str) -> str | None:
    """An operation of a StableHLO program that is not plain computation, or None.

    Custom calls run native code by name; the one that our programs contain checks shapes. Infeed, outfeed,
    send and receive communicate with the host. Operations of other dialects are unknown.
    """
    rest = text.replace("stablehlo.custom_call @shape_assertion(", "")
    found = re.search(r'custom_call"?( @[^(]*)?|stablehlo\.(infeed|outfeed|send|recv|composite)\b', rest)
    found = found or re.search(
        r'(?<![\w.#])(?!stablehlo|chlo|func)"?[a-z_]\w*\.\w+"?(?=\()', _without_strings(rest)
    )
    return found[0] if found else None


def _without_strings(text: str) -> str:
    return re.sub(r'= "[^"\n]*"', "", text)
