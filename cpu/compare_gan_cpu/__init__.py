"""The three maps of a convolution on a CPU, as targets of `jax.ffi.ffi_call`.

compare_gan uses them where this package is installed. Each map takes two arrays and the attributes stride,
top and left (zeros above and to the left of the image), int64, and computes one array:

    convolve            [B, H, W, C], [kh, kw, C, O] -> [B, h, w, O]
    convolve_transpose  [B, h, w, O], [kh, kw, C, O] -> [B, H, W, C]
    kernel_gradient     [B, H, W, C], [B, h, w, O]   -> [kh, kw, C, O]
"""

import ctypes
import functools
import sysconfig
from pathlib import Path

import jax

__version__ = "0.1.0"

# Instruction sets, from the oldest; v3 and v4 are levels of x86-64. Those in BFLOAT16 multiply bfloat16.
LEVELS = ("generic", "v3", "v4", "v4_bf16", "v4_amx")
BFLOAT16 = ("v4_bf16", "v4_amx")
MAPS = ("convolve", "convolve_transpose", "kernel_gradient")


@functools.cache
def levels() -> tuple[str, ...]:
    """The levels that are compiled and that this processor has, the fastest last."""
    best = _library("generic").compare_gan_level()
    return tuple(level for level in LEVELS[: best + 1] if _path(level).exists())


@functools.cache
def register(level: str) -> dict[str, str]:
    """Registers the kernels of a level with XLA; returns the name of each map's target.

    Raises:
      ValueError: the level is not one of `levels()`.
    """
    if level not in levels():  # for AMX this also requests permission from the system
        raise ValueError(f"{level!r} is not one of {levels()}")
    targets = {}
    for name in MAPS:
        targets[name] = f"compare_gan_cpu.{name}.{level}.{__version__}"
        handler = jax.ffi.pycapsule(getattr(_library(level), f"compare_gan_{name}"))
        jax.ffi.register_ffi_target(targets[name], handler, platform="cpu")
    return targets


def _path(level: str) -> Path:
    return Path(__file__).parent / f"{level}{sysconfig.get_config_var('EXT_SUFFIX')}"


@functools.cache
def _library(level: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(_path(level)))
