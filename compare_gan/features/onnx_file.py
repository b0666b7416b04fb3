"""Feature extractors from ONNX files, https://onnx.ai, to score with any trained network.

The only input is a batch of images, [B, C, H, W] or [B, H, W, C] with C = 1 or 3: uint8, or float in [0, 1].
Any further scaling must be part of the network. The outputs are named `features` [B, F] and `logits` [B, K];
without these names, the first output is the features and the second, if any, the logits.
"""

import dataclasses
import functools
import hashlib
import re
from pathlib import Path, PurePath
from typing import Any

import jax.numpy as jnp
import numpy as np

from compare_gan.core.errors import UserError, reason
from compare_gan.core.files import read_bytes
from compare_gan.core.limits import BATCH_S, within
from compare_gan.core.memory import memory_budget
from compare_gan.data.base import Images
from compare_gan.features.base import FeaturesAndClasses, in_batches
from compare_gan.features.resize import clean

BATCH = 32
FATAL = 4  # log level of onnxruntime
NO_FOLDER = "/no external weights"
KINDS = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclasses.dataclass(frozen=True)
class Input:
    """The input specification of a network."""

    name: str
    dtype: type
    batch_size: int | None  # None: any
    size: tuple[int | None, int | None]  # H, W; None: any
    channels: int
    channels_first: bool

    def prepare(self, batch: np.ndarray) -> np.ndarray:
        """Converts [B, H, W, C] uint8, or float in [0, 255], to the network input; repeats grey to RGB."""
        x = np.rint(batch) if self.dtype is np.uint8 else batch / np.float32(255)
        x = np.broadcast_to(x.astype(self.dtype), (*x.shape[:3], self.channels))
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if self.channels_first else x)


@dataclasses.dataclass(frozen=True, eq=False)
class OnnxFile:
    """A network with its weights."""

    session: Any  # onnxruntime.InferenceSession
    input: Input
    outputs: tuple[str, ...]  # features, and optionally logits
    name: str
    sha256: str  # of the file and of its external weights
    class_names: tuple[str, ...] = ()  # not stored in ONNX files

    def __call__(self, images: Images, batch_size: int | None = None) -> FeaturesAndClasses:
        """Maps uint8 images [N, H, W, C] to features [N, F] and logits [N, K].

        If the network input is square, images of other sizes are resized by `clean`.

        Raises:
          UserError: the size or number of channels is not supported, or the network fails.
        """
        (*size, c), (h, w) = images.shape[1:], self.input.size
        fits = all(expected in (None, actual) for expected, actual in zip((h, w), size, strict=True))
        side = h if h is not None and h == w else 0
        if c not in (1, self.input.channels) or not (fits or side):
            expected = [h or "any", w or "any", self.input.channels]
            raise UserError(f"{self.name}: expected images {expected}, got {[*size, c]}")

        def extract_batch(batch: np.ndarray) -> FeaturesAndClasses:
            resized = batch if fits else np.asarray(clean(jnp.asarray(batch, jnp.float32), side))
            return self._run(self.input.prepare(resized))

        return in_batches(extract_batch, images, self.input.batch_size or batch_size or BATCH, self.name)

    def _run(self, x: np.ndarray) -> FeaturesAndClasses:
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = FATAL

        def stop() -> None:
            options.terminate = True

        try:
            found = within(
                BATCH_S,
                lambda: self.session.run(self.outputs, {self.input.name: x}, options),
                f"{self.name}: a batch of {len(x)} images",
                stop,
            )
        except UserError:
            raise
        except Exception as error:  # onnxruntime errors have no common base class
            raise UserError(f"{self.name}: failed on a batch {list(x.shape)}: {reason(error, 300)}") from None
        for name, value in zip(self.outputs, found, strict=True):
            if value.ndim != 2 or len(value) != len(x):
                shapes = f"{list(value.shape)} for {len(x)} images"
                raise UserError(f"{self.name}: its output {name} is {shapes}; expected one row per image")
        features, logits = (*found, np.zeros((len(x), 0)))[:2]
        return FeaturesAndClasses(features.astype(np.float32), logits.astype(np.float32))


def load_onnx(path: Path) -> OnnxFile:
    """Reads a network, with files of external weights if it has any; all are part of its SHA-256.

    Raises:
      UserError: onnxruntime is missing, or the file is not such a network.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"{path}: needs onnxruntime; pip install 'compare_gan[onnx]'") from None
    content = read_bytes(path, memory_budget())
    digest, options = hashlib.sha256(content), onnxruntime.SessionOptions()
    options.log_severity_level = FATAL  # its log could print anything; errors are raised
    options.add_session_config_entry("session.use_env_allocators", "1")
    # External weights come from memory, so that they are those that were hashed.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
    if external := {name: _external_file(path, name) for name in external_names(content)}:
        if not hasattr(options, "add_external_initializers_from_files_in_memory"):
            raise UserError(f"{path}: has external weights, which need a newer onnxruntime")
        for name, weights in external.items():
            digest.update(f"\0{name}\0{hashlib.sha256(weights).hexdigest()}".encode())
        sizes = [len(weights) for weights in external.values()]
        options.add_external_initializers_from_files_in_memory([*external], [*external.values()], sizes)
    try:
        _limit_memory()
        session = onnxruntime.InferenceSession(
            content, options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # onnxruntime errors have no common base class
        raise UserError(f"{path}: not a valid ONNX network: {reason(error, 300)}") from None
    outputs = [output.name for output in session.get_outputs()]
    if "features" in outputs:
        outputs = ["features", *({"logits"} & {*outputs})]
    spec = _input(path, session.get_inputs())
    return OnnxFile(session, spec, tuple(outputs[:2]), path.name, digest.hexdigest())


def external_names(content: bytes) -> list[str]:
    """The names of the files of external weights in a serialised network.

    A name is the value of the key "location", in an entry of two strings of a protocol buffer. Any other
    encoding of such an entry is not found, and onnxruntime then has no file for it.
    """
    names = set[str]()
    for found in re.finditer(rb"\n\x08location\x12", content):
        size, shift, at = 0, 0, found.end()
        while at < len(content) and shift < 28:
            size |= (content[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if content[at - 1] < 128:
                break
        names.add(content[at : at + size].decode("utf-8", "replace"))
    return sorted(names)


def _external_file(path: Path, name: str) -> bytes:
    """The content of a file of external weights in the folder of the network."""
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise UserError(f"{path}: refers to weights outside its folder ({name[:100]})")
    return read_bytes(path.parent / name, memory_budget())


@functools.cache
def _limit_memory() -> None:
    """Limits the memory of all networks on the CPU, since a network may ask for any amount."""
    import onnxruntime

    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    limits = onnxruntime.OrtArenaCfg({"max_mem": 2 * memory_budget()})
    onnxruntime.create_and_register_allocator(info, limits)


def _input(path: Path, inputs: list[Any]) -> Input:
    if len(inputs) != 1 or inputs[0].type not in KINDS or len(inputs[0].shape) != 4:
        listed = ", ".join(f"{node.name} {node.type} {node.shape}" for node in inputs)
        raise UserError(f"{path}: has inputs {listed or 'none'}; it must have one input, a batch of images")
    sides = [side if isinstance(side, int) else None for side in inputs[0].shape]
    for channels, channels_first, size in ((sides[1], True, sides[2:]), (sides[3], False, sides[1:3])):
        if channels in (1, 3):
            dtype = KINDS[inputs[0].type]
            return Input(inputs[0].name, dtype, sides[0], (size[0], size[1]), channels, channels_first)
    raise UserError(f"{path}: its input {inputs[0].name} {inputs[0].shape} has no axis of 1 or 3 channels")
