"""The memory of the test process."""

import os
from pathlib import Path


def resident() -> int:
    """Resident memory of this process in bytes; 0 if unknown."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
