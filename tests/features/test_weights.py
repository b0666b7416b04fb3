"""Weights files, against the libraries that write them, and malicious files."""

import importlib.util
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.features.weights import read_weights

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(7),
    "c": np.ones(2, np.float16),
}


def safetensors(path, arrays, **changes):
    """Written by hand from the description of the format."""
    header, data = {"__metadata__": {"from": "a test"}}, b""
    for name, value in arrays.items():
        kind = {"f4": "F32", "f2": "F16", "i8": "I64"}[value.dtype.str[1:]]
        offsets = [len(data), len(data) + value.nbytes]
        header[name] = {"dtype": kind, "shape": value.shape, "data_offsets": offsets} | changes
        data += value.tobytes()
    words = json.dumps(header).encode()
    path.write_bytes(len(words).to_bytes(8, "little") + words + data)
    return path


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_safetensors_and_npz(tmp_path):
    assert_same(read_weights(safetensors(tmp_path / "x.safetensors", ARRAYS)), ARRAYS)
    np.savez(tmp_path / "x.npz", **ARRAYS)
    assert_same(read_weights(tmp_path / "x.npz"), ARRAYS)


def test_safetensors_written_by_its_library(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="compares with the safetensors library")
    library.save_file(ARRAYS, tmp_path / "x.safetensors", {"from": "a test"})
    assert_same(read_weights(tmp_path / "x.safetensors"), ARRAYS)


@pytest.mark.parametrize("version", [1, 2])
def test_pytorch_files_of_both_formats(version):
    """Those of a linear layer and a batch norm, and some views of longer tensors."""
    found = read_weights(Path(__file__).parent / "weights" / f"of_pytorch_{version}.pth")
    zero, one = np.zeros(2, np.float32), np.ones(2, np.float32)
    expected = {
        "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "0.bias": np.array([0.5, -1], np.float32),
        "1.weight": one,
        "1.bias": zero,
        "1.running_mean": zero,
        "1.running_var": one,
        "1.num_batches_tracked": np.array(0),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "part": np.array([3, 4], np.float16),
        "shared": np.array([3, 4], np.float32),
    }
    assert_same(found, expected)


def test_a_torchscript_module_is_read_without_its_classes():
    """Written by PyTorch, then the code of its classes was removed."""
    found = read_weights(Path(__file__).parent / "weights" / "of_torchscript.pt")
    expected = {
        "w": np.ones((2, 3), np.float32),
        "visual.p": np.array([1, 2, 3], np.float32),
        "visual.linear.weight": np.arange(6, dtype=np.float16).reshape(2, 3),
        "visual.linear.bias": np.zeros(2, np.float16),
        "steps.1.weight": np.full((2, 2), 2, np.float32),
        "steps.1.bias": np.full(2, 3, np.float32),
    }
    assert_same(found, expected)


def test_modules_that_contain_each_other_many_times(tmp_path):
    """Names for every path between them would fill the memory."""
    pickled = b"\x80\x02" + b"c__torch__\nM\n)\x81" + b"q\x00"
    for _ in range(60):
        pickled += b"c__torch__\nM\n)\x81}(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00ubq\x00"
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled + b".")
    assert read_weights(path) == {}


def test_pytorch_files_match_pytorch(tmp_path):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("compares with torch")
    import torch

    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last), torch.nn.Linear(2, 2)
    )
    for new in (True, False):
        path = tmp_path / f"{new}.pth"
        torch.save(net.state_dict(), path, _use_new_zipfile_serialization=new)
        expected = torch.load(path, weights_only=True)
        assert_same(read_weights(path), {name: value.numpy() for name, value in expected.items()})


class Harm:
    """Something whose pickle makes a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("archive", [True, False])
def test_no_code_in_a_file_is_executed(tmp_path, archive):
    path, folder = tmp_path / "x.pth", tmp_path / "created"
    harm = pickle.dumps({"a.weight": Harm(folder)}, protocol=2)
    path.write_bytes(harm)
    if archive:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("x/data.pkl", harm)
    with pytest.raises(UserError, match=r"contains more than plain tensors \(it refers to posix\.mkdir\)"):
        read_weights(path)
    assert not folder.exists()
    pickle.loads(harm)
    assert folder.exists()  # so it would have been


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".npz"])
def test_damaged_and_other_files_have_a_one_line_error(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    with pytest.raises(UserError, match="cannot be read"):
        read_weights(path)
    valid = Path(__file__).parent.joinpath("weights", "of_pytorch_2.pth").read_bytes()
    for content in (b"", b"\x80", b"nothing at all", valid[: len(valid) // 2], pickle.dumps([1, 2])):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"x\{suffix}: (damaged|cannot be read)"):
            read_weights(path)


def test_inconsistent_safetensors(tmp_path):
    for change in ({"dtype": "F8"}, {"shape": [5]}, {"data_offsets": [0, 10**9]}, {"data_offsets": 1}):
        path = safetensors(tmp_path / "x.safetensors", {"a": np.ones(3, np.float32)}, **change)
        with pytest.raises(UserError, match="damaged, or not a safetensors file"):
            read_weights(path)
    with pytest.raises(
        UserError, match="weights must be a file with suffix .pth, .pt, .tar, .bin, .safetensors, .npz"
    ):
        read_weights(tmp_path / "x.h5")
