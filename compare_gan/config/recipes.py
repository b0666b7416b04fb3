"""Configurations that come with the library."""

from importlib import resources
from pathlib import Path

from compare_gan.core.errors import UserError, did_you_mean

FOLDER = Path(str(resources.files("compare_gan"))) / "configs"


def recipe(name: str) -> Path:
    """The file of a packaged configuration, such as "small_s3gan".

    Raises:
      UserError: there is none of that name.
    """
    known = [path.stem for path in FOLDER.glob("*.gin")]
    if name not in known:
        raise UserError(f"unknown recipe {name!r}{did_you_mean(name, known)}")
    return FOLDER / f"{name}.gin"
