"""Labels, names and sizes of stored images, collected in one pass and cached on disk."""

import dataclasses
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic, user_cache
from compare_gan.data.arrays import plain_arrays

VERSION = 1  # of the cache file format
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """One row per image."""

    labels: np.ndarray  # [N] int32, -1 = unlabelled
    names: np.ndarray  # [N] bytes, UTF-8; empty where there is none
    sizes: np.ndarray  # [N, 2] int32, height and width; 0 where the image cannot be read


def cache_file(folder: Path, *more: Any) -> Path:
    """The cache file for a scan of a folder. The path changes when a file in the folder changes."""
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.iterdir())]
    key = json.dumps([VERSION, str(folder.resolve()), files, *more])
    return user_cache() / "scans" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"


def load_scan(file: Path, count: int) -> Scan | None:
    """Loads the scan of `count` images from a cache file; None if it is missing or damaged."""
    try:
        scan = Scan(**plain_arrays(file))
    except (UserError, TypeError):
        return None
    kinds = [(array.shape, array.dtype.kind) for array in (scan.labels, scan.names, scan.sizes)]
    return scan if kinds == [((count,), "i"), ((count,), "S"), ((count, 2), "i")] else None


def save_scan(file: Path, scan: Scan) -> None:
    """Writes a cache file. If that fails, the next run scans again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic(file) as opened:
            np.savez(opened, **dataclasses.asdict(scan))
    except OSError as error:
        log.warning("%s: cannot be written (%s); the next run reads labels again", file, error.strerror)
