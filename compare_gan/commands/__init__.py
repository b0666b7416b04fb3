"""The commands, one module each; every module of this package is discovered.

A module has `add(commands)`, which declares the command and its arguments, and a function that runs it: it
checks the arguments, then passes plain values to the library. Importing JAX takes a second, so that function
imports the library, not the top of the module.
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
