"""Reads weights from common file formats without PyTorch.

No code in a file is ever executed: anything but plain arrays is an error.
"""

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file

from compare_gan.core.errors import UserError
from compare_gan.core.files import regular
from compare_gan.data.arrays import check_fits, plain_arrays

PYTORCH = {  # dtypes by PyTorch storage type
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
PYTHON_UNPICKLER: Any = pickle._Unpickler
SETS = {pickle.EMPTY_SET[0], pickle.ADDITEMS[0], pickle.FROZENSET[0]}
MAX_PICKLE_BYTES = 2**23  # of names and shapes
OLD_PYTORCH = 0x1950A86A20F9469CFC6C  # magic number of PyTorch files before version 1.6


Shapes = Mapping[str, tuple[int, ...]]  # of weights, by name


def checked(
    weights: Mapping[str, np.ndarray], shapes: Shapes, what: str, source: str
) -> dict[str, np.ndarray]:
    """The weights of `shapes` in float32. Others are ignored.

    Args:
      what: the network, and `source`: the file, for error messages.

    Raises:
      UserError: weights are missing or differ in shape.
    """
    for name, shape in shapes.items():
        found = weights[name].shape if name in weights else None
        if found != shape:
            mismatch = (
                f"has no {name}" if found is None else f"{name} is {list(found)} instead of {list(shape)}"
            )
            raise UserError(f"{source}: not {what}: {mismatch}")
    return {name: weights[name].astype(np.float32, copy=False) for name in shapes}


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The named arrays of a `.safetensors`, `.npz`, or PyTorch file (`.pth`, `.pt`, `.pth.tar`,
    `.bin`) of a state_dict or a TorchScript module.

    Raises:
      UserError: the file cannot be read, or contains anything else.
    """
    if path.suffix not in READERS:
        raise UserError(f"{path}: weights must be a file with suffix {', '.join(READERS)}")
    try:
        return READERS[path.suffix](regular(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or 'damaged'})") from None


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except OSError:
        raise
    except Exception:  # SafetensorError, or NumPy errors for unsupported dtypes
        raise UserError(f"{path}: damaged, or not a safetensors file of supported dtypes") from None


def _pytorch(path: Path) -> dict[str, np.ndarray]:
    """A zip file of a pickle and tensor data; before version 1.6, a sequence of pickles and tensor data."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                check_fits(path, sum(member.file_size for member in archive.infolist()))
                return _new_pytorch(archive)
        with open(path, "rb") as file:
            return _old_pytorch(file)
    except UserError:
        raise
    except Refused as refused:
        raise UserError(
            f"{path}: contains more than plain tensors ({refused}); refusing to open it"
        ) from None
    except OSError:
        raise
    except Exception:  # a damaged pickle can fail in any way
        raise UserError(f"{path}: damaged, or not a PyTorch file of a state_dict") from None


def _new_pytorch(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    folder = name.removesuffix("data.pkl")
    if archive.getinfo(name).file_size > MAX_PICKLE_BYTES:
        raise ValueError("not a state_dict")
    tensors = _TensorUnpickler(io.BytesIO(archive.read(name))).load()
    if isinstance(tensors, _Module):
        tensors = tensors.tensors()
    keys = {tensor.key for tensor in tensors.values()}
    data = {key: archive.read(f"{folder}data/{key}") for key in keys}  # tensors may share a storage
    return {name: tensor.values(data[tensor.key]) for name, tensor in tensors.items()}


def _old_pytorch(file: IO[bytes]) -> dict[str, np.ndarray]:
    magic, _version, _platform, tensors, keys = (_TensorUnpickler(file).load() for _ in range(5))
    if magic != OLD_PYTORCH:
        raise ValueError("not a PyTorch file")
    _check_keys(keys)
    sizes = {tensor.key: np.dtype(tensor.dtype).itemsize for tensor in tensors.values()}
    numbers = {key: file.read(int.from_bytes(file.read(8), "little") * sizes[key]) for key in keys}
    return {name: tensor.values(numbers[tensor.key]) for name, tensor in tensors.items()}


class Refused(pickle.UnpicklingError):
    """A pickle refers to something that is not part of a tensor."""


class _Storage(NamedTuple):
    dtype: str
    key: str  # name of its data


class _Tensor(NamedTuple):
    dtype: str
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def values(self, data: bytes) -> np.ndarray:
        flat = np.frombuffer(data, self.dtype)[self.offset :]
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min((0, self.offset, *self.shape, *self.strides)) < 0 or last >= len(flat):
            raise ValueError("tensor exceeds its storage")
        if math.prod(self.shape) > len(flat):  # a stride of 0 repeats numbers: copies could fill the memory
            raise ValueError("tensor is larger than its storage")
        return np.lib.stride_tricks.as_strided(flat, self.shape, [n * flat.itemsize for n in self.strides])


class _Module:
    """A module of a TorchScript file. Its class is in the file, as code, and is not read."""

    def tensors(self) -> dict[str, _Tensor]:
        """The tensors of this and all inner modules, by the names that a state_dict has."""
        found, seen = dict[str, _Tensor](), set[int]()

        def collect(module: _Module, prefix: str) -> None:
            if id(module) in seen:  # shared modules once: else the number of names could grow without limit
                return
            seen.add(id(module))
            for name, value in vars(module).items():
                if isinstance(value, _Module):
                    collect(value, f"{prefix}{name}.")
                elif isinstance(value, _Tensor):
                    found[f"{prefix}{name}"] = value

        collect(self, "")
        return found


class _TensorUnpickler(PYTHON_UNPICKLER):
    """Resolves only the functions in `KNOWN`, so a pickle cannot call any other.

    It is the unpickler written in Python: only there can the keys of dictionaries be checked. A key that is a
    deeply nested tuple crashes Python when it is hashed. For the same reason there are no sets.
    """

    dispatch = {code: load for code, load in PYTHON_UNPICKLER.dispatch.items() if code not in SETS}

    def load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        _check_keys(self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        _check_keys(self.stack[::2])
        super().load_dict()

    dispatch |= {
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
    }

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in PYTORCH:
            return PYTORCH[name]
        if module.partition(".")[0] == "__torch__":
            return _Module
        if (module, name) not in KNOWN:
            raise Refused(f"it refers to {module}.{name}")
        return KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage" or not isinstance(key, str):
            raise Refused("it refers to something other than a storage")
        return _Storage(dtype, key)


def _check_keys(keys: Sequence[Any]) -> None:
    if not all(isinstance(key, str | int) for key in keys):
        raise Refused("a key is no name")


def _ordered_dict() -> collections.OrderedDict[str, Any]:
    return collections.OrderedDict()


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(*storage, offset, shape, strides)


def _first(value: Any, *_: Any) -> Any:
    return value


KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _first,
    **{
        ("torch.jit._pickle", name): _first
        for name in (
            "build_boollist",
            "build_doublelist",
            "build_intlist",
            "build_tensorlist",
            "restore_type_tag",
        )
    },
}
READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    ".pth": _pytorch,
    ".pt": _pytorch,
    ".tar": _pytorch,  # of .pth.tar
    ".bin": _pytorch,
    ".safetensors": _safetensors,
    ".npz": plain_arrays,
}
