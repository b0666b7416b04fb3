"""The memory budget for decoded images."""

import os
from pathlib import Path


def memory_budget() -> int:
    """A quarter of the memory available to this process, in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:  # a container's limit may be lower than the machine's memory
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        pass
    return total // 4
