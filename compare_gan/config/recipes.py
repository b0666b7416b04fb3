"""Configurations that come with the library."""

from importlib import resources
from pathlib import Path

from compare_gan.core.errors import UserError, did_you_mean

FOLDER = Path(str(resources.files("compare_gan"))) / "configs"


def recipe(name: str) -> Path:
    """The file of a packaged configuration, such as "small", or "s3gan" of the folder `methods`.

    Raises:
      UserError: there is none of that name.
    """
    known = {path.stem: path for path in FOLDER.rglob("*.gin")}
    if name not in known:
        raise UserError(f"unknown recipe {name!r}{did_you_mean(name, known)}")
    return known[name]


def config_file(text: str) -> Path:
    """The file that a user means: a path, or the name of a packaged configuration, such as "small.gin"."""
    path = Path(text)
    packaged = {found.name: found for found in FOLDER.rglob("*.gin")}
    return path if path.exists() else packaged.get(text, path)
