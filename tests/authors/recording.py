"""Tools of the recording scripts, which run the code of other repositories on given numbers.

`python -m tests.authors.record_SOURCE CHECKOUT` writes `cases/SOURCE.npz`; CHECKOUT is a folder with the
repository that the script names. PyTorch is needed to record, not to test.
"""

import ast
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

CASES = Path(__file__).with_name("cases")


def checkout() -> Path:
    """The folder that the user names; modules in it can be imported."""
    folder = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(folder))
    return folder


def definition(file: Path, name: str) -> Any:
    """The class or function `name` of a file whose imports are not installed."""
    tree = ast.parse(file.read_text(encoding="utf-8-sig"))
    found = [node for node in tree.body if getattr(node, "name", None) == name]
    space: dict[str, Any] = {}
    exec(compile(ast.Module(found, []), str(file), "exec"), space)
    return space[name]


def lines_after(file: Path, comment: str) -> str:
    """The code of a file from a comment to the next empty line."""
    text = file.read_text(encoding="utf-8-sig")
    start = text.rindex("\n", 0, text.index(comment)) + 1
    return textwrap.dedent(text[start : text.index("\n\n", start)])


def numbers_for(torch: Any, rng: np.random.Generator, used: list[np.ndarray]) -> Any:
    """A context in which `torch.rand` and `torch.randn` return numbers of `rng`, added to `used`."""

    def source(draw):
        def given(size: Iterable[int], **_: Any):
            used.append(draw(tuple(size)).astype(np.float32))
            return torch.as_tensor(used[-1])

        return given

    return mock.patch.multiple(torch, rand=source(rng.random), randn=source(rng.standard_normal))


def save(name: str, arrays: dict[str, Any]) -> None:
    """Writes `cases/NAME.npz`."""
    CASES.mkdir(exist_ok=True)
    np.savez_compressed(CASES / f"{name}.npz", **arrays)
