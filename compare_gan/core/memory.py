"""The memory budget for decoded images, and files that are made to exceed it."""

import os
from pathlib import Path

MAX_RATIO, MIN_BOMB_BYTES = 100, 2**27


def memory_budget() -> int:
    """A quarter of the memory available to this process, in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:  # a container's limit may be lower than the machine's memory
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        pass
    return total // 4


def is_bomb(unpacked: int, packed: int) -> bool:
    """Whether image files of `packed` bytes that expand to `unpacked` bytes are a decompression bomb.

    Formats of images are compressed, and compress little more.
    """
    return unpacked > max(MIN_BOMB_BYTES, MAX_RATIO * packed)
