"""What a worker of a `dask.distributed` cluster does: it checks that it fits, and starts child processes.

The worker stays small: this module imports nothing but the standard library and `distributed`.
"""

import contextlib
import dataclasses
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from typing import Any

from compare_gan import __version__
from compare_gan.core.child import ask
from compare_gan.core.errors import UserError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "distributed")


@dataclasses.dataclass(frozen=True)
class Terms:
    """What a worker must have in common with the process that sends it tasks."""

    versions: Mapping[str, str | None]
    shared: str | None = None  # a folder that it must see; None: no folder is needed


def versions() -> dict[str, str | None]:
    """The versions of Python, of this library and of what results depend on; None: not installed."""
    found: dict[str, str | None] = {"python": "{}.{}".format(*sys.version_info), "compare_gan": __version__}
    for name in PACKAGES:
        found[name] = None
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def difference(found: Mapping[str, str | None], expected: Mapping[str, str | None]) -> str | None:
    """The first difference between versions, as text; None if there is none."""
    for name, version in expected.items():
        if found.get(name) != version:
            return f"has {name} {found.get(name) or '(none)'}, but this process has {version or '(none)'}"
    return None


def unfit(terms: Terms, dask_worker: Any) -> str | None:
    """Why this worker cannot do tasks; None if it can.

    Args:
      terms: what it must have.
      dask_worker: the worker; `Client.run` provides it.
    """
    if (text := difference(versions(), terms.versions)) is not None:
        return f"{text}; install the same versions everywhere"
    if (threads := dask_worker.state.nthreads) != 1:
        return f"has {threads} threads, so it would do {threads} tasks at a time; start it with --nthreads 1"
    if terms.shared is not None and not os.path.isdir(terms.shared):
        folder = os.path.dirname(terms.shared)
        return (
            f"does not see what is written to {folder}; --model_dir must be a folder that all machines share"
        )
    return None


def do(
    terms: Terms, module: str, question: bytes, owner: str, environment: Mapping[str, str]
) -> tuple[bytes | None, int]:
    """Runs on a worker: see `core.child.ask`.

    Raises:
      UserError: the worker does not fit.
    """
    from distributed import get_worker

    worker = get_worker()
    if (reason := unfit(terms, worker)) is not None:
        raise UserError(f"worker {worker.address}: {reason}")
    return ask(module, question, owner, environment)
