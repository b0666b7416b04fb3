"""The operations of a compiled program: kind, and the Python function each comes from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

OPERATION = re.compile(r"\s+(?:ROOT )?%([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\(")
COMPUTATION = re.compile(r"(?:ENTRY )?%([\w.\-]+) \(.*\{$")
CALLED = re.compile(r"calls=%([\w.\-]+)")
TARGET = re.compile(r'custom_call_target="([^"]*)"')
FRAME = re.compile(r"stack_frame_id=(\d+)")
NAMED = re.compile(r'op_name="([^"]*)"')
ROW = re.compile(r"(\d+) (.*)")
FIELD = re.compile(r"(\w+)=(\d+)")
PACKAGE = "compare_gan"
CONTROL = ("while", "call", "conditional")  # their parts are counted
MOVING = {
    *("bitcast", "broadcast", "concatenate", "constant", "copy", "dynamic-slice", "dynamic-update-slice"),
    *("gather", "get-tuple-element", "iota", "pad", "parameter", "reshape", "reverse", "scatter", "slice"),
    *("transpose", "tuple"),
}


@dataclass(frozen=True)
class Operation:
    """An instruction of the program; a fusion is one instruction."""

    name: str
    shape: str  # of the result
    kind: str
    source: str  # "file:function" of the innermost call in `PACKAGE`
    direction: str  # "backward" if JAX derived it by transposition, else "forward"


def operations(text: str) -> dict[str, Operation]:
    """All operations of a compiled program, `jax.stages.Compiled.as_text`, by name."""
    lines = text.splitlines()
    stacks = Stacks(lines)
    inside: dict[str, list[str]] = {}  # opcodes of each computation
    found = []
    computation = ""
    for line in lines:
        if begin := COMPUTATION.match(line):
            computation = begin[1]
            inside[computation] = []
        elif match := OPERATION.match(line):
            inside[computation].append(match[3])
            found.append((line, match))
    result = {}
    for line, match in found:
        name, shape, opcode = match.groups()
        called, target, frame = CALLED.search(line), TARGET.search(line), FRAME.search(line)
        opcodes = inside[called[1]] if called and opcode == "fusion" else [opcode]
        kind = f"custom call {target[1]}" if target else kind_of(opcodes)
        named = NAMED.search(line)
        result[name] = Operation(
            name,
            shape.partition("{")[0],
            kind,
            source=stacks.source(int(frame[1])) if frame else "",
            direction="backward" if named and "transpose(" in named[1] else "forward",
        )
    return result


def kind_of(opcodes: list[str]) -> str:
    """What an operation, or a fusion of several, spends its time on."""
    has = set(opcodes)
    if has & {"convolution"}:
        return "convolution"
    if has & {"dot"}:
        return "matrix product"
    if has & {"reduce", "reduce-window"}:
        return "reduction"
    if has & {"rng", "rng-bit-generator", "xor", "shift-right-logical"}:
        return "random numbers"
    if has & set(CONTROL):
        return "control flow"
    return "data movement" if has <= MOVING else "elementwise"


class Stacks:
    """The tables of files, functions and calls at the head of the text."""

    def __init__(self, lines: list[str]):
        self.files = {i: name.strip('"') for i, name in table(lines, "FileNames").items()}
        self.functions = {i: name.strip('"') for i, name in table(lines, "FunctionNames").items()}
        self.locations = fields(table(lines, "FileLocations"))
        self.frames = fields(table(lines, "StackFrames"))

    def source(self, frame: int) -> str:
        """The innermost call in the package, at or above a frame; empty if there is none."""
        while frame:
            at = self.frames[frame]
            location = self.locations[at["file_location_id"]]
            path = PurePath(self.files[location["file_name_id"]])
            if PACKAGE in path.parts:
                function = self.functions[location["function_name_id"]].replace(".<locals>", "")
                return f"{path.parent.name}/{path.name}:{function}"
            frame = at["parent_frame_id"] - 1  # stored with 1 added; 0: none
        return ""


def table(lines: list[str], title: str) -> dict[int, str]:
    """The numbered rows below a title."""
    if title not in lines:
        return {}
    rows = {}
    for line in lines[lines.index(title) + 1 :]:
        match = ROW.fullmatch(line)
        if match is None:
            break
        rows[int(match[1])] = match[2]
    return rows


def fields(rows: Mapping[int, str]) -> dict[int, dict[str, int]]:
    return {i: {name: int(value) for name, value in FIELD.findall(row)} for i, row in rows.items()}
