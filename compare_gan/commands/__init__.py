"""The commands, one file each; a file that is dropped in here is found.

A file has `add(commands)`, which declares the command and its arguments, and a function that runs it: it
checks the arguments, then hands plain values to the library. JAX takes a second to import, so the library
is imported by that function and not at the top.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType


def load_commands() -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        if hasattr(module, "add"):
            yield module
