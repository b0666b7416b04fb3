"""Names of the packages that a folder of wheels has and this Python lacks: python missing.py FOLDER."""

import importlib.metadata
import sys
from pathlib import Path


def missing(wheels: Path) -> list[str]:
    names = sorted({wheel.name.partition("-")[0] for wheel in wheels.glob("*.whl")})
    return [name for name in names if not installed(name)]


def installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    print(*missing(Path(sys.argv[1])))
