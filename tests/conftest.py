"""What all tests share: compiled programs are kept between sessions, and compiled in little time.

Tests run small programs once or twice, so compiling is what takes long. The first flag says how hard
LLVM tries; the second, which jaxlib 0.11 no longer has, takes XLA's older code generator, which compiles a
training step three times faster in older versions; the third compiles a program as a whole, since taking it
apart for several threads costs a tenth of the time. They are read when JAX starts, and inherited by the
processes that tests start.
"""

import ctypes
import gc
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

QUICK = "--xla_backend_optimization_level=0"
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
    QUICK += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
# Workers share the cores: threads of one that wait for each other would take the time of another.
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK} {ONE_THREAD}"
os.environ["OMP_NUM_THREADS"] = "1"

import jax  # noqa: E402
import pytest  # noqa: E402

from tests.helpers.memory import resident  # noqa: E402

CACHE = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(
    Path(tempfile.gettempdir()) / "compare_gan_jax_cache"
)

os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

LONGEST = (  # modules that take long, which start first, so that the workers end together
    "parity/test_cases.py",
    "test_main.py",
    "test_study_commands.py",
    "fewlabels/test_leak_methods.py",
    "export/test_export_commands.py",
    "training/test_resume.py",
    "fewlabels/test_study.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    first = [Path(__file__).parent / name for name in LONGEST]
    items.sort(key=lambda item: first.index(item.path) if item.path in first else len(first))


@pytest.fixture
def shallow_resnet30(monkeypatch):
    """One block in a group of resnet30 instead of five; the parity cases have all."""
    from compare_gan.architectures import resnet30

    monkeypatch.setattr(resnet30, "BLOCKS", 1)


@pytest.fixture(autouse=True)
def bounded_memory():
    """Compiled programs are dropped once a process holds many, so that it stays below 2.5 GB."""
    yield
    if resident() > 1.8e9:
        jax.clear_caches()
        gc.collect()
        return_memory()


def return_memory() -> None:
    """Gives what the C library holds in reserve back to the system, where it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
