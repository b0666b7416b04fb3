"""Configurations that are packaged with the library."""

from importlib import resources
from pathlib import Path

from compare_gan.core.errors import UserError, did_you_mean

FOLDER = Path(str(resources.files("compare_gan"))) / "configs"


def recipe(name: str) -> Path:
    """The file of a packaged configuration, such as "small", or "s3gan" of the folder `methods`.

    Raises:
      UserError: there is none with this name.
    """
    known = {path.stem: path for path in FOLDER.rglob("*.gin")}
    if name not in known:
        raise UserError(f"unknown recipe {name!r}{did_you_mean(name, known)}")
    return known[name]


def config_file(text: str) -> Path:
    """The configuration file for a path, or for the name of a packaged configuration.

    Args:
      text: a path, or a name such as "small.gin", "small", "s3gan.gin" or "methods/s3gan.gin". A file that
        exists takes precedence.

    Raises:
      UserError: there is no such file and no packaged configuration with this name.
    """
    path = Path(text)
    if path.exists() and not path.is_dir():
        return path
    packaged = sorted(FOLDER.rglob("*.gin"))
    for found in packaged:
        inside = found.relative_to(FOLDER)
        if text in (found.name, found.stem, inside.as_posix(), inside.with_suffix("").as_posix()):
            return found
    names = ", ".join(found.relative_to(FOLDER).as_posix() for found in packaged)
    reason = "is a folder" if path.is_dir() else "no such file"
    raise UserError(f"{text}: {reason}, and no packaged configuration has this name; packaged: {names}")
