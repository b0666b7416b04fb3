"""Checkpoints of TensorFlow: read as they were written, and damaged ones refused in one line."""

import re
from pathlib import Path

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.tf1.bundle import read_tensor_bundle

from . import writer


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {
        f"type/{name}": (rng.standard_normal((3, 2)) * 50).astype(
            writer.BFLOAT16 if name == "bfloat16" else name
        )
        for name in writer.CODES
    }
    many = {f"generator/B{i}/conv/kernel": rng.standard_normal((i, 3)).astype("f4") for i in range(40)}
    return found | many | {"global_step": np.array(7, "i8"), "empty": np.zeros((0, 4), "f4")}


@pytest.mark.parametrize("shards", [1, 3])
def test_every_tensor_is_read_back(tmp_path, shards):
    writer.write_bundle(tmp_path / "model.ckpt-7", arrays(), shards)
    bundle = read_tensor_bundle(tmp_path / "model.ckpt-7")
    assert list(bundle) == sorted(arrays()) and len(bundle) == len(arrays())
    for name, value in arrays().items():
        assert bundle.shape(name) == value.shape
        assert bundle[name].dtype == value.dtype and bundle[name].shape == value.shape
        assert bundle[name].tobytes() == value.tobytes()
    for suffix in (".index", f".data-00000-of-0000{shards}"):
        assert read_tensor_bundle(tmp_path / f"model.ckpt-7{suffix}").keys() == arrays().keys()


def test_only_what_is_asked_for_is_read(tmp_path):
    writer.write_bundle(tmp_path / "x", {"a": np.arange(3.0), "b": np.arange(4.0)}, shards=2)
    (tmp_path / "x.data-00001-of-00002").unlink()
    bundle = read_tensor_bundle(tmp_path / "x")
    np.testing.assert_array_equal(bundle["a"], np.arange(3.0))
    with pytest.raises(KeyError):
        bundle["c"]
    with pytest.raises(UserError, match=r"x\.data-00001-of-00002: cannot be read"):
        bundle["b"]
    with pytest.raises(ValueError, match="read-only"):
        bundle["a"][0] = 1


A = np.arange(6, dtype="f4").reshape(2, 3)
HEADER = (b"", writer.field(1, 1))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": (2, 4)}, r"has 24 bytes, but its shape \[2, 4\] and type need 32"),
        ({"shape": (2**40, 2**40)}, "but its shape"),
        ({"shape": (0, 2**47, 2**47), "size": 0}, "which is impossible"),
        ({"offset": 8}, "the file is cut off"),
        ({"offset": 2**40}, "the file is cut off"),
        ({"dtype": 7}, "holds strings"),
        ({"dtype": 8}, "TensorFlow's dtype 8"),
        ({"slices": b"x"}, "is partitioned"),
        ({"crc": 1}, "CRC-32C"),
    ],
)
def test_a_tensor_that_cannot_be_read(tmp_path, changed, message):
    """The others can."""
    pairs = [
        HEADER,
        (b"a", writer.entry(A, **({"shard": 0, "offset": 0} | changed))),
        (b"b", writer.entry(A, 0, 0)),
    ]
    (tmp_path / "x.index").write_bytes(writer.table(pairs))
    (tmp_path / "x.data-00000-of-00001").write_bytes(A.tobytes())
    bundle = read_tensor_bundle(tmp_path / "x")
    np.testing.assert_array_equal(bundle["b"], A)
    with pytest.raises(UserError, match=f"x.data-00000-of-00001: tensor 'a' .*{message}") as error:
        bundle["a"]
    assert "\n" not in str(error.value)


def entry(**changed) -> list[tuple[bytes, bytes]]:
    return [HEADER, (b"a", writer.entry(A, **({"shard": 0, "offset": 0} | changed)))]


INDICES = {
    "nothing": b"",
    "no index": b"x" * 100,
    "compressed": writer.table(entry(), kind=1),
    "no header": writer.table(entry()[1:]),
    "big-endian": writer.table([(b"", writer.field(1, 1) + writer.field(2, 1)), *entry()[1:]]),
    "newer": writer.table([(b"", writer.field(1, 1) + writer.field(3, writer.field(2, 2))), *entry()[1:]]),
    "no shards": writer.table([(b"", b""), *entry()[1:]]),
    "another shard": writer.table(entry(shard=1)),
    "negative size": writer.table(entry(shape=(-1, 3))),
    "huge offset": writer.table(entry(offset=2**62)),
    "names not in order": writer.table([HEADER, (b"b", b""), (b"a", b"")]),
    "a name twice": writer.table([HEADER, (b"a", b""), (b"a", b"")], per_block=1),
    "a long name": writer.table([HEADER, (b"a" * 2000, b"")]),
    "no text": writer.table([HEADER, (b"\xff", b"")]),
    "no message": writer.table([HEADER, (b"a", b"\xff\xff\xff")]),
    "a field beyond its message": writer.table([HEADER, (b"a", b"\x12\x7f")]),
    "too many axes": writer.table(entry(shape=(0,) * (2**20 + 1))),
    "a field of another type": writer.table([HEADER, (b"a", writer.field(1, b"x"))]),
    "block beyond the end": b"\xff\x7f\xff\x7f".ljust(40, b"\0") + writer.MAGIC.to_bytes(8, "little"),
    "one bit": bytes([writer.table(entry())[0] ^ 4]) + writer.table(entry())[1:],
    "cut off": writer.table(entry())[:-20],
}


@pytest.mark.parametrize("what", INDICES)
def test_a_damaged_index(tmp_path, what):
    (tmp_path / "x.index").write_bytes(INDICES[what])
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'x.index'}: ")) as error:
        read_tensor_bundle(tmp_path / "x")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="no TensorFlow checkpoint here"):
        read_tensor_bundle(tmp_path / "model.ckpt-1")


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Data with a bit, byte or stretch changed, cut out or repeated, or cut off."""
    at, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
    match rng.integers(5):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
        case 1:
            return data[:at] + rng.bytes(length) + data[at + length :]
        case 2:
            return data[:at] + data[at + length :]
        case 3:
            return data[: at + length] + data[at:]
        case _:
            return data[:at]


def rewritten(data: bytes, rng: np.random.Generator) -> bytes:
    """An index whose entries are damaged, but whose checksums are right."""
    pairs = [HEADER, *((f"n{i}".encode(), writer.entry(A, 0, 24 * i)) for i in range(4))]
    i = int(rng.integers(len(pairs)))
    pairs[i] = (pairs[i][0], mutated(pairs[i][1], rng))
    return writer.table(pairs)


@pytest.mark.slow
@pytest.mark.parametrize("change", [mutated, rewritten])
def test_damaged_files_are_refused_in_one_line_or_give_what_was_written(tmp_path, change):
    """200 mutations of an index, and 200 whose checksums were made right again."""
    written = {f"n{i}": A for i in range(4)}
    prefix = tmp_path / "x"
    writer.write_bundle(prefix, written)
    index = Path(f"{prefix}.index")
    good, rng, refused = index.read_bytes(), np.random.default_rng(5), 0
    for _ in range(200):
        index.write_bytes(change(good, rng))
        try:
            bundle = read_tensor_bundle(prefix)
            for name in bundle:
                same = bundle[name].tobytes() == A.tobytes()[: bundle[name].nbytes]
                assert same or change is rewritten
        except UserError as error:
            assert "\n" not in str(error) and str(prefix) in str(error)
            refused += 1
    assert refused > 100
