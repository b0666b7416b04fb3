"""Keeps freed memory in the process, for speed on a CPU."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> None:
    """Lets the C library reuse the blocks that XLA frees and allocates again at every step.

    By default glibc returns large blocks to the system, and each step pays for mapping them
    again. Call this before importing JAX. Does nothing without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    settings = {M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}
    for name, value in settings.items():
        mallopt(name, value)
