"""Reads what an importer needs from a SavedModel (a TF-Hub module of TensorFlow 1): its signatures and a few
nodes of its graph. The graph is never run."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_bytes
from compare_gan.tf1.wire import (
    Damaged,
    Message,
    message,
    number,
    packed_floats,
    packed_varints,
    parse,
    raw,
    text,
)

MAX_BYTES = 2**28  # eight times the largest file that the original is known to write
FLOAT32, INT32 = 1, 3
TENSOR_SHAPE: Message = {
    2: message("dims", {1: number("size")}, repeated=True),
}
TENSOR: Message = {1: number("dtype"), 4: raw("content"), 5: raw("floats"), 7: raw("ints")}
NODE: Message = {
    1: text("name"),
    2: text("op"),
    3: text("inputs", repeated=True),
    5: raw("attributes", repeated=True),
}
ENTRY: Message = {1: text("key"), 2: raw("value")}
GRAPH: Message = {1: raw("nodes", repeated=True)}
INFO: Message = {1: text("name"), 2: number("dtype"), 3: message("shape", TENSOR_SHAPE)}
INFOS: Message = {1: text("key"), 2: message("value", INFO)}
SIGNATURE: Message = {1: message("inputs", INFOS, repeated=True), 2: message("outputs", INFOS, repeated=True)}
META_GRAPH: Message = {
    1: message("info", {4: text("tags", repeated=True)}),
    2: raw("graph"),
    5: message("signatures", {1: text("key"), 2: message("value", SIGNATURE)}, repeated=True),
}
SAVED_MODEL: Message = {1: number("version"), 2: raw("graphs", repeated=True)}
ATTRIBUTE: Message = {8: message("tensor", TENSOR)}


@dataclasses.dataclass(frozen=True)
class Signature:
    """Names and shapes of the inputs and outputs of a graph; -1 stands for any size."""

    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    output_names: dict[str, str]  # of the tensors in the graph


@dataclasses.dataclass(frozen=True)
class Graph:
    """A graph of a module: its signatures by name, the inputs of each node, and scalar constants."""

    tags: frozenset[str]
    signatures: dict[str, Signature]
    inputs: dict[str, list[str]]
    constants: dict[str, float]


def read_graph(path: Path, wanted: frozenset[str] = frozenset(), default: bool = False) -> Graph:
    """The graph of `saved_model.pb` with these tags; with `default`, the one without tags if there is none.

    Raises:
      UserError: the file cannot be read or is damaged, or has no such graph.
    """
    try:
        model = parse(memoryview(read_bytes(path, MAX_BYTES)), SAVED_MODEL)
        for graph in model["graphs"]:
            found = parse(graph, META_GRAPH)
            tags = frozenset(found.get("info", {"tags": []})["tags"])
            if tags == wanted:
                return _graph(tags, found)
    except Damaged as error:
        raise UserError(
            f"{path}: {error}; it is damaged or not a TensorFlow SavedModel: copy it again"
        ) from None
    if default and wanted:
        return read_graph(path)
    raise UserError(f"{path}: has no graph without tags; it is not a TF-Hub module of TensorFlow 1")


def _graph(tags: frozenset[str], found: dict[str, Any]) -> Graph:
    signatures = {}
    for entry in found["signatures"]:
        value = entry.get("value", {"inputs": [], "outputs": []})
        shapes, names = {}, {}
        for side in ("inputs", "outputs"):
            infos = {each.get("key", ""): each.get("value", {}) for each in value[side]}
            shapes[side] = {key: _shape(info) for key, info in infos.items()}
            names[side] = {key: info.get("name", "") for key, info in infos.items()}
        signatures[entry.get("key", "")] = Signature(shapes["inputs"], shapes["outputs"], names["outputs"])
    inputs, constants = {}, {}
    for node in _nodes(found.get("graph", memoryview(b""))):
        name = node.get("name", "")
        inputs[name] = node["inputs"]
        if node.get("op") == "Const":
            value = _scalar(node["attributes"])
            if value is not None:
                constants[name] = value
    return Graph(tags, signatures, inputs, constants)


def _nodes(graph: memoryview) -> Iterator[dict[str, Any]]:
    for node in parse(graph, GRAPH)["nodes"]:
        yield parse(node, NODE)


def _shape(info: dict[str, Any]) -> tuple[int, ...]:
    return tuple(dim.get("size", 0) for dim in info.get("shape", {"dims": []})["dims"])


def _scalar(attributes: list[memoryview]) -> float | None:
    """The value of a constant that is a single float32 or int32; None for other constants."""
    tensor = None
    for each in attributes:
        attribute = parse(each, ENTRY)
        if attribute.get("key") == "value":
            tensor = parse(attribute.get("value", memoryview(b"")), ATTRIBUTE).get("tensor")
    if tensor is None:
        return None
    content = tensor.get("content", memoryview(b""))
    if tensor.get("dtype") == FLOAT32:
        values = packed_floats(tensor.get("floats", content))
    elif tensor.get("dtype") == INT32 and "ints" in tensor:
        values = tuple(packed_varints(tensor["ints"]))
    elif tensor.get("dtype") == INT32 and len(content) == 4:
        values = (int.from_bytes(content, "little", signed=True),)
    else:
        return None
    return values[0] if len(values) == 1 else None
