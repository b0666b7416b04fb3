"""Finds or downloads the public weights of the Inception network."""

import os
from pathlib import Path

from compare_gan.core.download import download
from compare_gan.core.errors import UserError
from compare_gan.core.files import sha256_of, user_cache

VARIABLE = "COMPARE_GAN_INCEPTION"
# Names in torch-fidelity and pytorch-fid; both are the same file, converted from TensorFlow.
FILES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILES[0]}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def inception_file() -> Path:
    """The weights file of `local_inception_file`; if there is none, it is downloaded.

    Raises:
      UserError: the file is missing, damaged, or cannot be downloaded.
    """
    path = local_inception_file()
    if path is None:
        path = user_cache() / FILES[0]
        download(URL, SHA256, path, f", or set ${VARIABLE} to a weights file")
    return path


def local_inception_file() -> Path | None:
    """The weights file: $COMPARE_GAN_INCEPTION, or the public one in the cache folder or that of PyTorch.

    Raises:
      UserError: $COMPARE_GAN_INCEPTION is not a file, or the public file is damaged.
    """
    if custom := os.environ.get(VARIABLE):
        if not Path(custom).is_file():
            raise UserError(f"{VARIABLE} is {custom!r}, which is not a file; correct or unset it")
        return Path(custom)
    for path in [folder / name for folder in (user_cache(), _pytorch_cache()) for name in FILES]:
        if path.is_file():
            return _verified(path)
    return None


def _verified(path: Path) -> Path:
    found = sha256_of(path)
    if found != SHA256:
        raise UserError(f"{path}: damaged, its SHA-256 is {found} instead of {SHA256}; delete it")
    return path


def _pytorch_cache() -> Path:
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"
