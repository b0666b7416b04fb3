"""Configurations that are packaged with the library, and what their headers say about them."""

import dataclasses
import re
from importlib import resources
from pathlib import Path

from compare_gan.core.errors import UserError, did_you_mean

FOLDER = Path(str(resources.files("compare_gan"))) / "configs"
NO_SCORE = "none published for these settings"


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A packaged configuration of networks and training, as the comments at the top of its file say."""

    name: str
    path: Path
    title: str
    paper: str
    settings: str  # source of the hyper-parameters
    score: str  # published, such as "FID 16.77"; or `NO_SCORE`
    score_from: str | None  # source and protocol of the score
    images: str  # "32x32", or "8x8 to 64x64"
    needs: str | None  # more than one device and unlabelled images
    memory: str  # of a training step, over all devices
    time: str  # of the whole training on one device, and its basis
    command: str
    combine_with: str | None  # the file that must be given beside it; None: it is complete

    @property
    def side(self) -> int | None:
        """The side length of the square images; None if it is not fixed."""
        return int(self.images.partition("x")[0]) if " to " not in self.images else None

    @property
    def duration(self) -> str:
        """The time without its basis."""
        return self.time.partition(" (")[0]


def configurations() -> dict[str, Configuration]:
    """The packaged configurations except those of `configs/methods` and `configs/parts`, by name."""
    return {path.stem: described(path) for path in sorted(FOLDER.glob("*.gin"))}


def methods() -> dict[str, str]:
    """The files of `configs/methods`, which say what labels are used: name -> first sentence."""
    return _first_sentences("methods")


def parts() -> dict[str, str]:
    """The files of `configs/parts`, which can be added to every method: name -> first sentence."""
    return _first_sentences("parts")


def _first_sentences(folder: str) -> dict[str, str]:
    found = sorted((FOLDER / folder).glob("*.gin"))
    return {path.stem: re.split(r"(?<=\.)\s", header(path)["title"])[0] for path in found}


def described(path: Path) -> Configuration:
    """The description in the header of a configuration."""
    fields = header(path)
    return Configuration(
        name=path.stem,
        path=path,
        title=fields["title"],
        paper=fields["Paper"],
        settings=fields["Settings"],
        score=fields["Score"],
        score_from=fields.get("Score from"),
        images=fields["Images"],
        needs=fields.get("Needs"),
        memory=fields["Memory"],
        time=fields["Time"],
        command=fields["Command"],
        combine_with=fields.get("Combine with"),
    )


def header(path: Path) -> dict[str, str]:
    """The comments at the top of a configuration: "title", the text before the first empty line, and entries.

    A line `# Key: value` begins an entry; lines that are indented by three spaces continue it.
    """
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    end = lines.index("") if "" in lines else len(lines)
    fields, key = {"title": " ".join(lines[:end])}, "title"
    for line in lines[end:]:
        if match := re.match(r"([A-Z][a-z]*(?: [a-z]+)?): (.*)", line):
            key, fields[match[1]] = match[1], match[2]
        elif line.startswith("  ") and key != "title":
            fields[key] += f" {line.strip()}"
    return fields


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
        exists takes precedence. Names may have dashes for underscores, as in compare_gan's
        resnet_lsun-bedroom128.gin.

    Raises:
      UserError: there is no such file and no packaged configuration with this name.
    """
    path = Path(text)
    if path.exists() and not path.is_dir():
        return path
    wanted = text.removesuffix(".gin").replace("-", "_")
    packaged = {file.relative_to(FOLDER).with_suffix("").as_posix(): file for file in FOLDER.rglob("*.gin")}
    for name, file in packaged.items():
        if wanted in (name, file.stem):
            return file
    reason = "is a folder" if path.is_dir() else "no such file"
    names = {file.stem for file in packaged.values()}
    raise UserError(
        f"{text}: {reason}, and not one of the configurations that `compare-gan configs` lists"
        f"{did_you_mean(wanted, names)}"
    )
