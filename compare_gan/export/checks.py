"""Checks the programs of an export before they run, and limits their memory and time."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export

from compare_gan.core import records
from compare_gan.core.errors import UserError, reason
from compare_gan.core.files import read_bytes
from compare_gan.core.limits import BATCH_S, within
from compare_gan.core.memory import memory_budget
from compare_gan.core.schema import anything, mapping_of, parse_json
from compare_gan.export.loader import read_weights

MAX_PROGRAM_BYTES, MAX_HEADER_BYTES = 2**27, 2**24
BATCH = "b"  # the size of a batch
Array = tuple[str, tuple[str, ...]]  # dtype and sizes


def array(dtype: str, *sizes: Any) -> Array:
    """The description of an array; a size is a number, or `BATCH`."""
    return dtype, tuple(map(str, sizes))


class Signature(NamedTuple):
    """The inputs of a program besides its weights, and its outputs."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


def load_program(path: Path, signature: Signature) -> Callable[..., Any]:
    """A program as a function of arrays; its weights, if any, are in a safetensors file of the same name.

    Raises:
      UserError: it cannot be read, is not plain computation, or does not match its weights or `signature`.
    """
    weights_path = path.with_suffix(".safetensors")
    content = read_bytes(path, MAX_PROGRAM_BYTES)
    try:
        exported = export.deserialize(bytearray(content))
        text = exported.mlir_module()
    except Exception as error:  # deserialization raises various types
        raise UserError(f"{path}: this version of jax cannot read it ({reason(error)}); update jax") from None
    if found := find_side_effects(text) or next(map(str, exported.ordered_effects), None):
        raise UserError(
            f"{path}: refused, the program has side effects ({found}); exports of compare_gan have none"
        )
    declared = weight_arrays(weights_path) if weights_path.exists() else {}
    check_signature(path, exported, declared, signature)
    return within_limits(path, exported, read_weights(weights_path) if declared else {})


def check_signature(path: Path, exported: Any, weights: Mapping[str, Array], signature: Signature) -> None:
    """Compares the inputs and outputs that a program declares with its weights and the metadata.

    Raises:
      UserError: they differ.
    """
    try:
        (declared, *inputs), more = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        declared = {name: _array_of(aval) for name, aval in declared.items()}
        found = Signature(tuple(map(_array_of, inputs)), tuple(map(_array_of, exported.out_avals)))
    except (AttributeError, TypeError, ValueError):
        raise UserError(
            f"{path}: does not map weights and arrays to an array; export the run again"
        ) from None
    if more or found.inputs != signature.inputs or exported.nr_devices != 1:
        raise UserError(
            f"{path}: takes {_listed(found.inputs)}, but the metadata says {_listed(signature.inputs)}; "
            "export the run again"
        )
    if found.outputs != signature.outputs:
        raise UserError(
            f"{path}: returns {_listed(found.outputs)}, but the metadata says {_listed(signature.outputs)}; "
            "export the run again"
        )
    if declared != weights:
        names = sorted(name for name in {*declared, *weights} if declared.get(name) != weights.get(name))
        raise UserError(
            f"{path}: its weights are not those of {path.stem}.safetensors (such as {names[0][:60]}); export "
            "the run again"
        )


def _array_of(aval: Any) -> Array:
    return array(str(aval.dtype), *aval.shape)


def _listed(arrays: Sequence[Array]) -> str:
    described = (f"{dtype} [{', '.join(sizes)}]" for dtype, sizes in arrays)
    return ", ".join(described)[:200] or "nothing"


def weight_arrays(path: Path) -> dict[str, Array]:
    """The shapes in the header of a safetensors file of float32 arrays that fill it without gaps.

    Raises:
      UserError: the header is damaged, or does not match the file.
    """
    content = memoryview(read_bytes(path, memory_budget()))
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(len(content) - 8, MAX_HEADER_BYTES):
        raise UserError(f"{path}: damaged, its header is too long; export the run again")
    try:
        header = parse_json(bytes(content[8 : 8 + size]), mapping_of(anything))
        header.pop("__metadata__", None)
        records.SAFETENSORS("", header)
    except ValueError as error:
        raise UserError(f"{path}: damaged header ({error}); export the run again") from None
    end = 0
    for name, about in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = about["data_offsets"]
        if start != end or stop - start != 4 * math.prod(about["shape"]):
            raise UserError(f"{path}: damaged, the place of {name[:60]} is wrong; export the run again")
        end = stop
    if end != len(content) - 8 - size:
        raise UserError(f"{path}: damaged, its arrays do not fill it; export the run again")
    return {name: array("float32", *about["shape"]) for name, about in header.items()}


def within_limits(path: Path, exported: Any, weights: Mapping[str, Any]) -> Callable[..., Any]:
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
            raise UserError(f"{path}: failed ({reason(error, 200)})") from None

    return guarded


def find_side_effects(text: str) -> str | None:
    """An operation of a StableHLO program that is not plain computation, or None.

    Custom calls run native code by name; the one that our programs contain checks shapes. Infeed, outfeed,
    send and receive communicate with the host. Operations of other dialects are unknown.
    """
    rest = text.replace("stablehlo.custom_call @shape_assertion(", "")
    found = re.search(r'custom_call"?( @[^(]*)?|stablehlo\.(infeed|outfeed|send|recv|composite)\b', rest)
    found = found or re.search(
        r'^\s*(?:%[^=\n]*= )?"?(?!stablehlo|chlo|func)[a-z_]\w*\.\w+', rest, re.MULTILINE
    )
    return found[0].strip() if found else None
