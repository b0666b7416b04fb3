"""Any network in an ONNX file, https://onnx.ai: scores can be measured with what others have trained.

Its one input is a batch of images, [B, C, H, W] or [B, H, W, C] with C = 1 or 3: uint8, or float in [0, 1].
Any further scaling belongs into the file. Its outputs are called `features` [B, F] and `logits` [B, K]; in a
file without these names, the first is the features and the second, if there is one, the logits.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import Images
from compare_gan.features.base import FeaturesAndClasses, in_batches
from compare_gan.features.resize import clean

BATCH = 32
KINDS = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclasses.dataclass(frozen=True)
class Input:
    """What a network wants to be given."""

    name: str
    dtype: type
    batch_size: int | None  # None: any
    size: tuple[int | None, int | None]  # H, W; None: any
    channels: int
    channels_first: bool

    def of(self, batch: np.ndarray) -> np.ndarray:
        """[B, H, W, C] uint8, or float in [0, 255] -> what the network gets; grey is taken for RGB."""
        x = np.rint(batch) if self.dtype is np.uint8 else batch / np.float32(255)
        x = np.broadcast_to(x.astype(self.dtype), (*x.shape[:3], self.channels))
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if self.channels_first else x)


@dataclasses.dataclass(frozen=True, eq=False)
class OnnxFile:
    """A network with its weights."""

    session: Any  # onnxruntime.InferenceSession
    input: Input
    outputs: tuple[str, ...]  # features, and maybe logits
    name: str
    sha256: str  # of the file
    class_names: tuple[str, ...] = ()  # an ONNX file does not say

    def __call__(self, images: Images, batch_size: int | None = None) -> FeaturesAndClasses:
        """uint8 images [N, H, W, C] to features [N, F] and logits [N, K].

        Where it wants squares, images of another size are resized as `clean` does.

        Raises:
          UserError: images of a size or number of channels that it cannot take; or it fails.
        """
        (*size, c), (h, w) = images.shape[1:], self.input.size
        fits = all(wanted in (None, given) for wanted, given in zip((h, w), size, strict=True))
        side = h if h is not None and h == w else 0
        if c not in (1, self.input.channels) or not (fits or side):
            wanted = [h or "any", w or "any", self.input.channels]
            raise UserError(f"{self.name}: wants images {wanted}, got {[*size, c]}")

        def see(batch: np.ndarray) -> FeaturesAndClasses:
            resized = batch if fits else np.asarray(clean(jnp.asarray(batch, jnp.float32), side))
            return self._run(self.input.of(resized))

        return in_batches(see, images, self.input.batch_size or batch_size or BATCH, self.name)

    def _run(self, x: np.ndarray) -> FeaturesAndClasses:
        try:
            found = self.session.run(self.outputs, {self.input.name: x})
        except Exception as error:  # those of onnxruntime have no common kind
            raise UserError(f"{self.name}: failed on a batch {list(x.shape)}: {error}") from None
        for name, value in zip(self.outputs, found, strict=True):
            if value.ndim != 2 or len(value) != len(x):
                shapes = f"{list(value.shape)} for {len(x)} images"
                raise UserError(f"{self.name}: its output {name} is {shapes}; wanted one row for each")
        features, logits = (*found, np.zeros((len(x), 0)))[:2]
        return FeaturesAndClasses(features.astype(np.float32), logits.astype(np.float32))


def load_onnx(path: Path) -> OnnxFile:
    """Reads a network; weights that it keeps in other files are not looked for.

    Raises:
      UserError: onnxruntime is missing, or this is no such network.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"{path}: needs onnxruntime; pip install 'compare_gan[onnx]'") from None
    content = path.read_bytes()
    try:
        session = onnxruntime.InferenceSession(content, providers=onnxruntime.get_available_providers())
    except Exception as error:  # those of onnxruntime have no common kind
        raise UserError(f"{path}: not an ONNX network that can be run: {error}") from None
    outputs = [output.name for output in session.get_outputs()]
    if "features" in outputs:
        outputs = ["features", *({"logits"} & {*outputs})]
    wanted = _input(path, session.get_inputs())
    return OnnxFile(session, wanted, tuple(outputs[:2]), path.name, hashlib.sha256(content).hexdigest())


def _input(path: Path, given: list[Any]) -> Input:
    if len(given) != 1 or given[0].type not in KINDS or len(given[0].shape) != 4:
        said = ", ".join(f"{node.name} {node.type} {node.shape}" for node in given)
        raise UserError(f"{path}: wants {said or 'nothing'}; its one input must be a batch of images")
    sides = [side if isinstance(side, int) else None for side in given[0].shape]
    for channels, channels_first, size in ((sides[1], True, sides[2:]), (sides[3], False, sides[1:3])):
        if channels in (1, 3):
            dtype = KINDS[given[0].type]
            return Input(given[0].name, dtype, sides[0], (size[0], size[1]), channels, channels_first)
    raise UserError(f"{path}: its input {given[0].name} {given[0].shape} has no axis of 1 or 3 channels")
