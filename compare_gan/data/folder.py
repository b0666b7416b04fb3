"""Image files in a folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from compare_gan.core.errors import UserError
from compare_gan.data.archive import archive_shards, is_archive
from compare_gan.data.images import MAX_FILE_BYTES
from compare_gan.data.layout import arrange
from compare_gan.data.parquet import Columns, read_shards, without_columns
from compare_gan.data.records import Contents, Encoded
from compare_gan.data.tree import Tree, is_hidden, is_image


class FolderImages(Encoded):
    """Image files under a folder."""

    def __init__(self, root: Path, names: list[str]):
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    def data(self, i: int) -> bytes:
        try:
            with open(self.root / self.names[i], "rb") as file:
                return file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise UserError(f"{self.where(i)}: cannot be read ({error.strerror})") from None

    def where(self, i: int) -> str:
        return str(self.root / self.names[i])

    def name(self, i: int) -> str:
        return self.names[i]


def read_folder(path: Path, columns: Columns = Columns()) -> Contents:
    """A folder of images in one of the layouts of `compare_gan.data.layout`, or of parquet files.

    Raises:
      UserError: see `compare_gan.data.layout.arrange` and `compare_gan.data.parquet.read_shards`.
    """
    names = _list_names(path)
    shards = [name for name in names if name.lower().endswith(".parquet")]
    if shards:
        return read_shards(path, shards, columns)
    if not any(map(is_image, names)) and (archives := [name for name in names if is_archive(name)]):
        tree = archive_shards(path, archives)
    else:
        tree = _tree(path, names)
    return without_columns(arrange(tree), columns)


def _tree(path: Path, names: Sequence[str]) -> Tree:
    def read(name: str) -> bytes:
        try:
            return (path / name).read_bytes()
        except OSError as error:
            raise UserError(f"{path / name}: cannot be read ({error.strerror})") from None

    return Tree(
        str(path),
        path.resolve().name,
        names,
        False,
        lambda root, found: FolderImages(path / root, found),
        read,
    )


def _list_names(path: Path) -> list[str]:
    """Relative paths of all files and folders below a folder. Follows links; reads each folder once."""
    names, pending, seen = list[str](), [""], set[tuple[int, int]]()
    while pending:
        prefix = pending.pop()
        status = os.stat(path / prefix)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder that was read already
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(path / prefix) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
                if is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    names.append(f"{prefix}{entry.name}/")
                    pending.append(names[-1])
                elif entry.is_file() or not os.path.exists(
                    entry.path
                ):  # report a dangling link as a broken image
                    names.append(prefix + entry.name)
    return names
