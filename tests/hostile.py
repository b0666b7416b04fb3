"""Hostile and damaged files: each case edits a copy of something sound and returns a command to read it.

A case is a function of a folder with sound files. Every command must end with code 2 and one line.
"""

import dataclasses
import io
import json
import os
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jax import export
from PIL import Image

from compare_gan.config.parse import parse
from compare_gan.core.files import sha256_of
from compare_gan.data import open_dataset
from compare_gan.main import main
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.run_dir import describe_run
from tests.gans.tiny import random_state
from tests.helpers.commands import bindings, config

Words = list[str]
DEEP = "[" * 10_000 + "]" * 10_000
ESCAPE = "\x1b[2J\x1b]0;owned\x07"
HUGE = 10**9


@dataclasses.dataclass(frozen=True)
class Case:
    """A name, and a function from a folder with sound files to the words of a command."""

    name: str
    make: Callable[[Path], Words]


def write_sound(folder: Path) -> None:
    """A run, its export, a study, images, labels and features, as small as they can be."""
    parsed = parse(config("s3gan")[1::2], bindings("options.training_steps = 1")[1::2])
    blobs = open_dataset("blobs")
    describe_run(folder / "run", blobs, parsed.operative_config, {"data": "blobs", "seed": 0})
    checkpoints = Checkpoints(folder / "run")
    checkpoints.save(1, dataclasses.replace(random_state(parsed.gan(blobs.spec)), step=jnp.int32(1)))
    checkpoints.mark_best(1, 1.0)
    checkpoints.close()
    assert main(["export", str(folder / "run"), "--out", str(folder / "export")]) == 0
    study = folder / "study"
    (study / "real").mkdir(parents=True)
    Image.new("L", (8, 8)).save(study / "real" / "real.png")
    write(study / "real" / "grid.json", {"rows": 2, "columns": 2, "tile": [4, 4]})
    line = {"method": "s3gan", "labels": 1, "seeds": 1, "scores": {"frechet_distance": {"mean": 1.0}}}
    summary = {"lines": [line], "labels": [], "clusters": [], "findings": [], "notes": []}
    write(study / "summary.json", summary | {"shown": {"runs": [], "features": ".", "labels": "."}})
    write(study / "settings.json", {"data": "blobs", "methods": ["s3gan"]})
    write(study / "label_quality.json", {"accuracy": 1.0, "balance": [1, 1], "confusion": [[1, 0], [0, 1]]})
    (study / "pretrain").mkdir()
    (study / "pretrain" / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    rng = np.random.default_rng(0)
    np.savez(folder / "images.npz", images=rng.integers(0, 256, (8, 8, 8, 3), np.uint8))
    np.save(folder / "features.npy", rng.normal(size=(9, 4)).astype(np.float32))
    scores = "step,frechet_distance,scored,fingerprint\n1,2.5,frechet_distance,abc\n"
    (folder / "run" / "scores.csv").write_text(scores)


def write(path: Path, value: Any) -> None:
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def edit(path: Path, **changes: Any) -> None:
    """Changes keys of a JSON object; `...` removes a key."""
    values = json.loads(path.read_text()) | changes
    write(path, {name: value for name, value in values.items() if value is not ...})


def sample(source: Path, *more: str) -> Words:
    return ["sample", str(source), "--out", str(source.parent / "out.npz"), "--count", "2", *more]


def dataset(path: Path, *more: str) -> Words:
    return ["dataset", str(path), *more]


def evaluate_features(path: Path) -> Words:
    sound = str(path.parent / "features.npy")
    return [
        "evaluate",
        "--features",
        str(path),
        "--reference_features",
        sound,
        "--metrics",
        "frechet_distance",
    ]


def evaluate_with(extractor: Path) -> Words:
    images = str(extractor.parent / "images.npz")
    words = ["evaluate", "--images_from", images, "--reference", images, "--reference_split", "all"]
    return [*words, "--extractor", str(extractor), "--metrics", "frechet_distance"]


# Values that a key of our JSON files must not have

SHAPES = [None, "8x8x3", [8, 8], [8, 8, 0], [-8, 8, 3], [8, 8, 7], [HUGE, 8, 3], [8.0, 8, 3], [True, 8, 3]]
RUN: dict[str, list[Any]] = {
    "image_shape": [*SHAPES, [16, 16, 3], ...],
    "num_classes": [None, "4", -1, HUGE, 4.0, True, 5, ...],
    "class_names": [None, 3, "abcd", ["a"], [1, 2, 3, 4], {"a": 1}],
    "fingerprint": [3, {"images": "x"}],
    "versions": [[], {"jax": 3}],
    "reading": [7, "x", {"evil": 1}, {"image_size": "8"}, {"holdout": -1}, {"memory": "9"}],
    "labels": [3, "x", [], {"choice": 4}, {}],
    "changes": ["x", [{"step": "1"}]],
    "unnamed_parts": ["x", [3], ["evil"]],
    "seed": ["0", 1.5, 2**70],
    "data": [3, [3]],
}
EXPORT: dict[str, list[Any]] = {
    "image_shape": [*SHAPES, [16, 16, 3], ...],
    "z_dim": [None, "8", -1, 0, 2**70, 1.5, True, 9, HUGE, ...],
    "num_classes": [None, "4", -1, HUGE, True, 5, ...],
    "class_names": [None, 3, "abcd", ["a"], [1, 2, 3, 4]],
    "step": [None, "1", -1, 2**70],
    "heads": [None, "rotation", [3]],
    "files": [None, [], {}, {"generator.jax": 3}, {"../run/run.json": "0" * 64}, {"x" * 300: "0" * 64}],
    "versions": [None, 3, {"jax": []}],
    "format": [None, "1", 0, -1, True, 2, HUGE],
    "averaged_weights": [None, 1, "True"],
    "architecture": [None, 3, "x" * 5000],
}
SUMMARY: dict[str, list[Any]] = {
    "lines": [None, {}, [3], [{"scores": {}}], [{"method": 3}], [{"method": "x", "scores": [1]}], ...],
    "shown": [None, [], {"runs": 3}, {"runs": [{"folder": "../..", "method": "x"}]}, ...],
    "labels": [None, 3, ["x"], ...],
    "findings": [None, "x", [3], ...],
    "real": [3, []],
    "seconds": [3, {"x": "1"}, {"x": -1}],
}
CONTENTS: dict[str, str] = {
    "empty": "",
    "truncated": '{"image_shape": [8, 8',
    "a list": "[]",
    "null": "null",
    "a number": "1",
    "text": '"x"',
    "deep": DEEP,
    "deep in a key": '{"versions": ' + DEEP + "}",
    "forty deep": '{"versions": ' + "[" * 40 + "]" * 40 + "}",
    "many digits": '{"num_classes": ' + "9" * 10_000 + "}",
    "an escape": '{"image_shape": "' + "\\u001b[2J" + '"}',
}


def keys(
    name: str, path: str, values: dict[str, list[Any]], words: Callable[[Path], Words]
) -> Iterator[Case]:
    """A case for each bad value of each key of a JSON file."""

    def case(key: str, value: Any) -> Case:
        def make(folder: Path) -> Words:
            edit(folder / path, **{key: value})
            return words(folder)

        shown = "missing" if value is ... else json.dumps(value)[:30]
        return Case(f"{name}: {key} is {shown}", make)

    for key, bad in values.items():
        yield from (case(key, value) for value in bad)


def contents(name: str, path: str, words: Callable[[Path], Words]) -> Iterator[Case]:
    """A case for each bad content of a JSON file, and for what is not a file."""

    def case(what: str, change: Callable[[Path], None]) -> Case:
        def make(folder: Path) -> Words:
            change(folder / path)
            return words(folder)

        return Case(f"{name}: {what}", make)

    for what, text in CONTENTS.items():
        yield case(what, lambda path, text=text: write(path, text))
    for what, change in NOT_FILES.items():
        yield case(what, change)
    yield case("bytes", lambda path: path.write_bytes(bytes(range(256))) and None)
    yield case("a sparse file of 1 TB", lambda path: os.truncate(path, 10**12))


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


NOT_FILES: dict[str, Callable[[Path], None]] = {"a pipe": fifo, "a device": device, "a folder": folder}


# Exports


def approve(path: Path) -> None:
    """Updates the SHA-256 of a file in `export.json`."""
    about = path.with_name("export.json")
    edit(about, files=json.loads(about.read_text())["files"] | {path.name: sha256_of(path)})


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Words]:
    """Changes the header of the generator's weights."""

    def make(folder: Path) -> Words:
        path = folder / "export" / "generator.safetensors"
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        values = json.loads(content[8 : 8 + size])
        new = change(values)
        text = json.dumps(values if new is None else new).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
        approve(path)
        return sample(folder / "export")

    return make


def first(values: dict[str, Any]) -> dict[str, Any]:
    return next(value for name, value in values.items() if name != "__metadata__")


HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda v: [],
    "nothing": lambda v: {},
    "text in place of arrays": lambda v: {"evil": {"a": "b"}},
    "an extra name": lambda v: v.update(evil=dict(first(v))),
    "a missing name": lambda v: v.pop(next(name for name in v if name != "__metadata__")) and None,
    "another name": lambda v: v.update(evil=v.pop(next(n for n in v if n != "__metadata__"))),
    "another shape": lambda v: first(v).update(shape=[*first(v)["shape"], 1]),
    "a shape of 2^63": lambda v: first(v).update(shape=[2**63]),
    "a negative shape": lambda v: first(v).update(shape=[-1]),
    "an offset of 2^63": lambda v: first(v).update(data_offsets=[0, 2**63]),
    "a negative offset": lambda v: first(v).update(data_offsets=[-4, 0]),
    "an offset of text": lambda v: first(v).update(data_offsets=["0", "4"]),
    "overlapping arrays": lambda v: (
        [x.update(data_offsets=[0, 4]) for x in v.values() if "shape" in x] and None
    ),
    "another dtype": lambda v: first(v).update(dtype="F64"),
    "no offsets": lambda v: first(v).pop("data_offsets") and None,
}


def raw_header(change: Callable[[bytes], bytes]) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        path = folder / "export" / "generator.safetensors"
        path.write_bytes(change(path.read_bytes()))
        approve(path)
        return sample(folder / "export")

    return make


RAW_HEADERS: dict[str, Callable[[bytes], bytes]] = {
    "a header of 2^63 bytes": lambda data: (2**63).to_bytes(8, "little") + data[8:],
    "a header to the end": lambda data: (len(data) - 8).to_bytes(8, "little") + data[8:],
    "no bytes": lambda data: b"",
    "four bytes": lambda data: data[:4],
    "half": lambda data: data[: len(data) // 2],
    "more bytes": lambda data: data + bytes(100),
    "a deep header": lambda data: (20_000).to_bytes(8, "little") + DEEP.encode(),
}


def program(name: str, run: Callable[..., Any], checks: tuple[str, ...] = ()) -> Callable[[Path], Words]:
    """Replaces a program by another function of its weights and inputs."""

    def make(folder: Path) -> Words:
        path = folder / "export" / f"{name}.jax"
        sound = export.deserialize(bytearray(path.read_bytes()))
        shapes = jax.tree.unflatten(sound.in_tree, sound.in_avals)[0]
        (b,) = export.symbolic_shape("b")
        structs = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct([d if isinstance(d, int) else b for d in x.shape], x.dtype), shapes
        )
        disabled = [export.DisabledSafetyCheck.custom_call(check) for check in checks]
        path.write_bytes(export.export(jax.jit(run), disabled_checks=disabled)(*structs).serialize())
        approve(path)
        return sample(folder / "export")

    return make


def images(z: Any, *shape: int) -> Any:
    return jnp.zeros((z.shape[0], *shape)) + z.mean()


def forever(w: Any, z: Any, y: Any) -> Any:
    return jax.lax.while_loop(lambda x: x[0, 0, 0, 0] < 2, lambda x: x * 0.5, images(z, 8, 8, 3))


def native(w: Any, z: Any, y: Any) -> Any:
    return images(z, 8, 8, 3) + jax.ffi.ffi_call("strange", jax.ShapeDtypeStruct((3,), np.float32))(
        w and z[0, :3]
    )


PROGRAMS: dict[str, Callable[[Path], Words]] = {
    "a custom call": program("generator", native, ("strange",)),
    "seven channels": program("generator", lambda w, z, y: images(z, 8, 8, 7)),
    "another size": program("generator", lambda w, z, y: images(z, 9, 8, 3)),
    "another rank": program("generator", lambda w, z, y: images(z, 8, 8)),
    "256 GB": program("generator", lambda w, z, y: images(z, 80_000, 80_000, 10)),
    "256 GB on the way": program(
        "generator",
        lambda w, z, y: images(
            jnp.sort(jnp.zeros((z.shape[0], 800_000, 80_000)) + z[:, :1, None], 1)[:, 0], 8, 8, 3
        ),
    ),
    "a tuple": program("generator", lambda w, z, y: (images(z, 8, 8, 3), z)),
    "integers": program("generator", lambda w, z, y: images(z, 8, 8, 3).astype(jnp.int32)),
    "the batch size doubled": program("generator", lambda w, z, y: jnp.concatenate([images(z, 8, 8, 3)] * 2)),
    "NaN": program("generator", lambda w, z, y: images(z, 8, 8, 3) / 0 * 0),
    "latent vectors of another size": program(
        "sampler", lambda w, seed, i: jnp.zeros((i.shape[0], 9)) + seed
    ),
    "one latent vector": program("sampler", lambda w, seed, i: jnp.zeros((8,)) + seed),
}


# Archives, arrays, weights and tables that expand


def deflated_zeros(size: int) -> bytes:
    """A raw deflate stream of `size` zeros, a multiple of 16 MB, made without writing them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size // 2**24) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def bomb(path: Path, members: dict[str, bytes | int]) -> None:
    """A zip file; a number is the size of a member of zeros."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, bytes) else deflated_zeros(content))
            if isinstance(content, int):
                info = archive.getinfo(name)
                info.compress_type, info.file_size, info.CRC = zipfile.ZIP_DEFLATED, content, 0


def npy_header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


TWO_GB = 2**31 - 2**24


def features_bomb(folder: Path) -> Words:
    bomb(folder / "bomb.npz", {"features.npy": TWO_GB, **{f"x{i}.npy": TWO_GB for i in range(16)}})
    return evaluate_features(folder / "bomb.npz")


def state_dict(tensors: dict[str, tuple[str, int, tuple[int, ...], tuple[int, ...]]]) -> bytes:
    """The pickle of a PyTorch file: name -> (key of the storage, offset, shape, strides)."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return value.pid if isinstance(value, Storage) else None

    @dataclasses.dataclass
    class Storage:
        pid: Any

    def rebuild(*args: Any) -> Any: ...

    class Tensor:
        def __init__(self, *args: Any):
            self.args = args

        def __reduce__(self) -> Any:
            return rebuild, self.args

    file = io.BytesIO()
    # Globals by name: pickle writes the module and the name of these functions.
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    import sys
    import types

    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}
    modules["torch._utils"]._rebuild_tensor_v2 = rebuild  # type: ignore[attr-defined]
    kind = type("FloatStorage", (), {"__module__": "torch"})
    modules["torch"].FloatStorage = kind  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        values = {
            name: Tensor(Storage(("storage", kind, key, "cpu", 1)), offset, shape, strides, False, {})
            for name, (key, offset, shape, strides) in tensors.items()
        }
        Pickler(file, 2).dump(values)
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    return file.getvalue()


def pth(tensors: dict[str, Any], storages: dict[str, bytes | int]) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        members = {"x/data.pkl": state_dict(tensors)} | {f"x/data/{key}": v for key, v in storages.items()}
        bomb(folder / "net.pth", members)
        return evaluate_with(folder / "net.pth")

    return make


def deep_pickle(folder: Path) -> Words:
    """A key that is a tuple in a tuple, and so on: hashing it overflows the stack."""
    bomb(folder / "net.pth", {"x/data.pkl": b"\x80\x02})" + b"\x85" * 2_000_000 + b"Ns."})
    return evaluate_with(folder / "net.pth")


SMALL = np.zeros(4, np.float32).tobytes()
PTH: dict[str, Callable[[Path], Words]] = {
    "34 GB of zeros": pth(
        {"a": ("0", 0, (4,), (1,))}, {"0": SMALL, **{f"{i}": TWO_GB for i in range(1, 17)}}
    ),
    "a stride of 0": pth({"a": ("0", 0, (HUGE, 2), (0, 0))}, {"0": SMALL}),
    "a negative stride": pth({"a": ("0", 3, (4,), (-1,))}, {"0": SMALL}),
    "a negative offset": pth({"a": ("0", -1, (4,), (1,))}, {"0": SMALL}),
    "a tensor beyond its storage": pth({"a": ("0", 0, (5,), (1,))}, {"0": SMALL}),
    "no storage": pth({"a": ("7", 0, (4,), (1,))}, {"0": SMALL}),
    "a deeply nested key": deep_pickle,
    "other weights": pth({"a": ("0", 0, (4,), (1,))}, {"0": SMALL}),
}


def tar_bomb(folder: Path) -> Words:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo("a/0.png")
        info.size = 20 * 2**30
        archive.addfile(info)
    head = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = head.compress(data.getvalue()[:512]) + head.flush(zlib.Z_FULL_FLUSH)
    content = b"\x1f\x8b\x08" + bytes(7) + start + deflated_zeros(20 * 2**30)
    (folder / "bomb.tar.gz").write_bytes(content)
    return dataset(folder / "bomb.tar.gz")


def parquet(folder: Path, name: str, columns: dict[str, Any], **options: Any) -> Words:
    pq.write_table(pa.table(columns), folder / name, **options)
    return dataset(folder / name)


def parquet_bomb(folder: Path) -> Words:
    index = pa.array(np.zeros(5000, np.int32))
    values = pa.DictionaryArray.from_arrays(index, pa.array([bytes(10_000_000)]))
    options = {"compression": "zstd", "store_schema": False, "dictionary_pagesize_limit": 2**30}
    return parquet(folder, "bomb.parquet", {"image": values}, **options)


def label_bomb(folder: Path) -> Words:
    index = pa.array(np.zeros(5000, np.int32))
    values = pa.DictionaryArray.from_arrays(index, pa.array(["x" * 10_000_000]))
    options = {"compression": "zstd", "store_schema": False, "dictionary_pagesize_limit": 2**30}
    return parquet(folder, "bomb.parquet", {"image": [b"x"] * 5000, "label": values}, **options)


def arrays(**values: Any) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        np.savez_compressed(folder / "x.npz", **values)
        return dataset(folder / "x.npz")

    return make


def members(**values: bytes | int) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        bomb(folder / "x.npz", {f"{name}.npy": content for name, content in values.items()})
        return dataset(folder / "x.npz")

    return make


def label_file(name: str, content: str | bytes | dict[str, Any]) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        if isinstance(content, dict):
            np.savez(folder / name, **content)
        elif isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            (folder / name).write_text(content)
        return dataset(folder / "images.npz", "--labels", str(folder / name))

    return make


PIXELS = np.zeros((8, 8, 8, 3), np.uint8)
INDEX = np.arange(8)
DATA: dict[str, Callable[[Path], Words]] = {
    "arrays: 34 GB of zeros": members(images=TWO_GB, **{f"x{i}": TWO_GB for i in range(16)}),
    "arrays: a header of 4 TB": members(images=npy_header((HUGE, 32, 32, 1))),
    "arrays: a header of 2^62 items": members(images=npy_header((2**31, 2**31))),
    "arrays: a negative shape": members(images=npy_header((-1, 8, 8, 3))),
    "arrays: objects": arrays(images=np.array([{}], object)),
    "arrays: a label of 10^9": arrays(images=PIXELS, labels=np.full(8, HUGE)),
    "arrays: a label of 10^300": arrays(images=PIXELS, labels=np.full(8, 1e300)),
    "arrays: a label of 2^64 - 1": arrays(images=PIXELS, labels=np.full(8, 2**64 - 1, np.uint64)),
    "arrays: a label of -2": arrays(images=PIXELS, labels=np.full(8, -2)),
    "archive: a tar.gz of 20 GB": tar_bomb,
    "parquet: 50 GB of one image": parquet_bomb,
    "parquet: 50 GB of one label": label_bomb,
    "parquet: a label of 10^9": lambda folder: parquet(
        folder, "x.parquet", {"image": [b"x"] * 8, "label": [HUGE] * 8}
    ),
    "labels: 10^9": label_file("l.npz", {"index": INDEX, "label": np.full(8, HUGE)}),
    "labels: an index of 10^15": label_file("l.npz", {"index": INDEX + 10**15, "label": np.zeros(8, int)}),
    "labels: 10^9 images": label_file(
        "l.npz", {"index": INDEX, "label": np.full(8, HUGE), "num_images": np.array(HUGE)}
    ),
    "labels: JSON 10,000 deep": label_file("l.json", DEEP),
    "labels: JSON lines 10,000 deep": label_file("l.jsonl", '{"a": ' + DEEP + "}\n"),
    "labels: an escape": label_file("l.csv", f"index,label\n{ESCAPE},0\n"),
    "labels: null characters": label_file("l.csv", b"index,label\n\0\0\0,0\n"),
    "labels: a number of 5,000 digits": label_file("l.csv", "index,label\n" + "9" * 5000 + ",0\n"),
}


def feature_file(name: str, save: Callable[[Path], Any]) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        save(folder / name)
        return evaluate_features(folder / name)

    return make


FEATURES: dict[str, Callable[[Path], Words]] = {
    "34 GB of zeros": features_bomb,
    "a header of 4 TB": feature_file("x.npy", lambda path: path.write_bytes(npy_header((HUGE, 1000)))),
    "a member of 4 TB": feature_file("x.npz", lambda path: bomb(path, {"f.npy": npy_header((HUGE, 1000))})),
    "NaN": feature_file("x.npy", lambda path: np.save(path, np.full((9, 4), np.nan))),
    "objects": feature_file("x.npy", lambda path: np.save(path, np.array([[{}]] * 9, object))),
    "another width": feature_file("x.npy", lambda path: np.save(path, np.zeros((9, 5), np.float32))),
    "a covariance that is none": feature_file(
        "x.npz", lambda path: np.savez(path, mu=np.zeros(4), sigma=-np.eye(4))
    ),
    "a covariance of text": feature_file(
        "x.npz", lambda path: np.savez(path, mu=np.array(["x"] * 4), sigma=np.eye(4))
    ),
    **{what: feature_file("x.npy", change) for what, change in NOT_FILES.items()},
}


def onnx(name: str, big: int = 1, location: str = "") -> Callable[[Path], Words]:
    """A network of the mean of each channel, with odd parts. Needs the package onnx."""

    def make(folder: Path) -> Words:
        from onnx import TensorProto, helper, numpy_helper, save_model

        node, value = helper.make_node, helper.make_tensor_value_info
        nodes = [node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0)]
        constants = [numpy_helper.from_array(np.ones(3, np.float32), "ones")]
        nodes += [node("Mul", ["means", "ones"], ["scaled"])]
        if big > 1:
            constants += [numpy_helper.from_array(np.array([1, 1, big, big]), "sides")]
            nodes += [
                node("Shape", ["x"], ["shape"]),
                node("Sub", ["shape", "shape"], ["zero"]),
                node("Add", ["zero", "sides"], ["size"]),
                node("ConstantOfShape", ["size"], ["big"]),
                node("ReduceMean", ["big"], ["mean"], axes=[2, 3], keepdims=0),
                node("Add", ["scaled", "mean"], ["features"]),
            ]
        else:
            nodes += [node("Identity", ["scaled"], ["features"])]
        inputs = [value("x", TensorProto.FLOAT, ["n", 3, 8, 8])]
        graph = helper.make_graph(
            nodes, "net", inputs, [value("features", TensorProto.FLOAT, None)], constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        saving = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0} if location else {}
        path = folder / name
        save_model(model, path, **saving)
        if location:
            content = path.read_bytes().replace(b"w.bin", location.encode())
            path.write_bytes(content)
            (folder / "w.bin").unlink()
            if location == "p.bin":
                os.mkfifo(folder / location)
        return evaluate_with(path)

    return make


def onnx_bytes(content: bytes) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        (folder / "net.onnx").write_bytes(content)
        return evaluate_with(folder / "net.onnx")

    return make


ONNX: dict[str, Callable[[Path], Words]] = {
    "4 TB": onnx("net.onnx", big=10**6),
    "missing weights": onnx("net.onnx", location="v.bin"),
    "weights outside its folder": onnx("net.onnx", location="../ab"),
    "weights in a pipe": onnx("net.onnx", location="p.bin"),
    "no bytes": onnx_bytes(b""),
    "other bytes": onnx_bytes(bytes(range(256)) * 9),
    "an escape": onnx_bytes(b"\x08\x08:\x0c\n\x0a\x1b[2J\x1b[2J\x07" + ESCAPE.encode()),
}


def encoder(**changes: Any) -> Callable[[Path], Words]:
    """A file like those of `compare-gan classifier`, with other metadata."""

    def make(folder: Path) -> Words:
        about = {"image_shape": [8, 8, 3], "classes": ["a", "b"], "width": 4, "body": "small"}
        values = {name: value for name, value in (about | changes).items() if value is not ...}
        np.savez(folder / "net.npz", about=np.array(json.dumps(values)), kernel=np.zeros(3, np.float32))
        return evaluate_with(folder / "net.npz")

    return make


ENCODERS: dict[str, Callable[[Path], Words]] = {
    "other weights": encoder(),
    "a width of text": encoder(width="4"),
    "a width of 10^9": encoder(width=HUGE),
    "a giant image": encoder(image_shape=[HUGE, HUGE, 3]),
    "no classes": encoder(classes=...),
    "10^6 classes": encoder(classes=["x"] * 10**6),
    "an unknown body": encoder(body=ESCAPE),
    "a list as body": encoder(body=[]),
    "deep": encoder(deep=json.loads("[" * 500 + "]" * 500)),
}


# Configurations


def gin(text: str) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        (folder / "x.gin").write_text(text)
        return ["explain", str(folder / "x.gin"), "--image_shape", "8", "8", "3", "--num_classes", "4"]

    return make


def config_of_run(change: Callable[[str], str]) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        path = folder / "run" / "operative_config.gin"
        path.write_text(change(path.read_text()))
        return sample(folder / "run")

    return make


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


CONFIGS: dict[str, Callable[[Path], Words]] = {
    "3,000 deep": gin("options.z_dim = " + "[" * 3000 + "]" * 3000),
    "200 deep": gin("options.z_dim = " + "[" * 200 + "]" * 200),
    "not closed": gin("options.z_dim = [" * 100),
    "an escape in a string": gin(f"dataset.name = '{ESCAPE}'\nG.nothing = '{ESCAPE}'\n"),
    "an escape in a name": gin(f"{ESCAPE} = 3"),
    "5,000 digits": gin("options.z_dim = " + "9" * 5000),
    "a macro of itself": gin("a = %b\nb = %a\noptions.z_dim = %a"),
    "an include of itself": gin("include 'x.gin'"),
    "a run that imports a module": config_of_run(lambda text: "import evilmodule\n" + text),
    "a run that imports os": config_of_run(lambda text: "import antigravity\n" + text),
    "a run with z_dim 10^9": config_of_run(replaced("options.z_dim = 8", "options.z_dim = 1000000000")),
    "a run with z_dim 9": config_of_run(replaced("options.z_dim = 8", "options.z_dim = 9")),
    "a run with z_dim -1": config_of_run(replaced("options.z_dim = 8", "options.z_dim = -1")),
    "a run of another architecture": config_of_run(replaced("resnet_small_arch", "dcgan_arch")),
    "a run with more channels": config_of_run(
        replaced("resnet_small.Generator.ch = 4", "resnet_small.Generator.ch = 100000")
    ),
    "a run 3,000 deep": config_of_run(lambda text: text + "\nx = " + "[" * 3000 + "]" * 3000),
    "a run without configuration": config_of_run(lambda text: ""),
}


def changed_file(
    path: str, change: Callable[[Path], Any], words: Callable[[Path], Words]
) -> Callable[[Path], Words]:
    def make(folder: Path) -> Words:
        change(folder / path)
        return words(folder)

    return make


def report(folder: Path) -> Words:
    return ["report", str(folder / "study")]


def compare(folder: Path) -> Words:
    return ["compare", str(folder / "run")]


def best(folder: Path) -> Words:
    return sample(folder / "run", "--step", "best")


def giant_png(path: Path) -> None:
    """A PNG file whose header claims 100,000 x 100,000 pixels."""
    content = bytearray(path.read_bytes())
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)


GRID, LOG, QUALITY = "study/real/grid.json", "study/pretrain/metrics.jsonl", "study/label_quality.json"
FILES: dict[str, Callable[[Path], Words]] = {
    "grid: a list": changed_file(GRID, lambda p: write(p, []), report),
    "grid: text": changed_file(GRID, lambda p: edit(p, rows="2"), report),
    "grid: other rows": changed_file(GRID, lambda p: edit(p, rows=3), report),
    "grid: 10^9 rows": changed_file(GRID, lambda p: edit(p, rows=HUGE), report),
    "grid: an image of 10^10 pixels": changed_file("study/real/real.png", giant_png, report),
    "grid: no image": changed_file("study/real/real.png", lambda p: p.write_bytes(b"\x89PNG"), report),
    "log: a line without step": changed_file(LOG, lambda p: write(p, '{"x": 1}\n{"step": 2}\n'), report),
    "log: a step of 1e400": changed_file(LOG, lambda p: write(p, '{"step": 1e400}\n{"step": 2}\n'), report),
    "log: deep": changed_file(LOG, lambda p: write(p, DEEP + '\n{"step": 2}\n'), report),
    "labels: other classes": changed_file(QUALITY, lambda p: edit(p, class_names=["a"]), report),
    "labels: a count of text": changed_file(QUALITY, lambda p: edit(p, balance=["x"]), report),
    "labels: 10^9 x 1": changed_file(QUALITY, lambda p: edit(p, confusion=[[1], [1]]), report),
    "scores: a row that has changed": changed_file(
        "run/scores.csv", lambda p: write(p, "step,fid_score,sha256\n1,2.0,00ff\n"), compare
    ),
    "scores: no steps": changed_file("run/scores.csv", lambda p: write(p, "a,b\n1,2\n"), compare),
    "scores: no text": changed_file("run/scores.csv", lambda p: p.write_bytes(b"\xff\xfe"), compare),
    "scores: a pipe": changed_file("run/scores.csv", fifo, compare),
    "best: a list": changed_file("run/checkpoints/best.json", lambda p: write(p, []), best),
    "best: a step of text": changed_file("run/checkpoints/best.json", lambda p: edit(p, step="1"), best),
    "best: no step": changed_file("run/checkpoints/best.json", lambda p: edit(p, step=...), best),
    "manifest: a list": changed_file(
        "run/checkpoints/1/sha256.json", lambda p: write(p, []), lambda f: sample(f / "run", "--step", "1")
    ),
    "manifest: format 9": changed_file(
        "run/checkpoints/1/sha256.json", lambda p: edit(p, format=9), lambda f: sample(f / "run")
    ),
    "program: no program": changed_file(
        "export/generator.jax",
        lambda p: p.write_bytes(b"no program") and approve(p),
        lambda f: sample(f / "export"),
    ),
    "program: a pipe": changed_file("export/generator.jax", fifo, lambda f: sample(f / "export")),
    "weights: a device": changed_file("export/generator.safetensors", device, lambda f: sample(f / "export")),
}


def of_run(folder: Path) -> Words:
    return sample(folder / "run")


def of_export(folder: Path) -> Words:
    return sample(folder / "export")


def cases() -> Iterator[Case]:
    """All cases, in a fixed order."""
    yield from keys("run.json", "run/run.json", RUN, of_run)
    yield from contents("run.json", "run/run.json", of_run)
    yield from keys("export.json", "export/export.json", EXPORT, of_export)
    yield from contents("export.json", "export/export.json", of_export)
    yield from keys("summary.json", "study/summary.json", SUMMARY, report)
    yield from contents("summary.json", "study/summary.json", report)
    for case in contents("settings.json", "study/settings.json", report):
        if case.name.split(": ")[1] not in ("an escape", *NOT_FILES):  # the report does without settings
            yield case
    for group, named in {
        "header": {what: header(change) for what, change in HEADERS.items()},
        "raw header": {what: raw_header(change) for what, change in RAW_HEADERS.items()},
        "program": PROGRAMS,
        "data": DATA,
        "features": FEATURES,
        "pth": PTH,
        "onnx": ONNX,
        "encoder": ENCODERS,
        "config": CONFIGS,
        "file": FILES,
    }.items():
        yield from (Case(f"{group}: {what}", make) for what, make in named.items())


# Cases that took gigabytes before they were refused; each runs in a process of its own.
LARGE = (
    "features: 34 GB of zeros",
    "pth: 34 GB of zeros",
    "pth: a stride of 0",
    "data: archive: a tar.gz of 20 GB",
    "data: parquet: 50 GB of one image",
    "data: parquet: 50 GB of one label",
    "data: arrays: 34 GB of zeros",
    "data: labels: 10^9",
    "program: 256 GB",
    "onnx: 4 TB",
    "program: 256 GB on the way",
    "config: a run with z_dim 10^9",
    "run.json: deep",
    "run.json: image_shape is [1000000000, 8, 3]",
)
