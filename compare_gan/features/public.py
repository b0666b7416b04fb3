"""Finds or downloads public weights."""

import dataclasses
import os
from pathlib import Path

from compare_gan.core.download import download
from compare_gan.core.errors import UserError
from compare_gan.core.files import sha256_of, user_cache


@dataclasses.dataclass(frozen=True)
class PublicFile:
    """A weights file that its authors publish."""

    extractor: str  # the name of the extractor that uses it
    url: str
    sha256: str | None  # None: nobody publishes it, so that only names and shapes of the weights are checked
    other_names: tuple[str, ...] = ()  # under which other libraries store the same file

    @property
    def variable(self) -> str:
        """The environment variable with the path of another file."""
        return f"COMPARE_GAN_{self.extractor.upper()}"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.url.rpartition("/")[2], *self.other_names)

    def path(self) -> Path:
        """The file of `local`; if there is none, it is downloaded.

        Raises:
          UserError: the file is missing, damaged, or cannot be downloaded.
        """
        path = self.local()
        if path is None:
            path = user_cache() / self.names[0]
            download(self.url, self.sha256, path, f", or set ${self.variable} to a weights file")
        return path

    def local(self) -> Path | None:
        """The file on this machine: that of `variable`, or in a cache folder of this or another library.

        Raises:
          UserError: the file of `variable` does not exist, or the public file is damaged.
        """
        if custom := os.environ.get(self.variable):
            if not Path(custom).is_file():
                raise UserError(f"{self.variable} is {custom!r}, which is not a file; correct or unset it")
            return Path(custom)
        for path in [folder / name for folder in _folders() for name in self.names]:
            if path.is_file():
                return self._verified(path)
        return None

    def _verified(self, path: Path) -> Path:
        if self.sha256 is not None and (found := sha256_of(path)) != self.sha256:
            raise UserError(f"{path}: damaged, its SHA-256 is {found} instead of {self.sha256}; delete it")
        return path


def _folders() -> tuple[Path, ...]:
    """Where this library, PyTorch and CLIP store downloads."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    pytorch = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    return user_cache(), pytorch / "hub" / "checkpoints", cache / "clip"


# The file of torch-fidelity, converted from TensorFlow's; pytorch-fid has the same under another name.
INCEPTION = PublicFile(
    "inception",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ("pt_inception-2015-12-05-6726825d.pth",),
)
DINOV2_VITB14 = PublicFile(
    "dinov2_vitb14",
    "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
    "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
)
DINOV2_VITL14 = PublicFile(
    "dinov2_vitl14",
    "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
)
CLIP_VITL14_336 = PublicFile(
    "clip_vitl14_336",
    "https://openaipublic.azureedge.net/clip/models/"
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02/ViT-L-14-336px.pt",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
)
RESNET50_SWAV = PublicFile(
    "resnet50_swav",
    "https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar",
    None,
)
