"""Valid files of every format, and ways to corrupt them.

A case is decided by its number alone.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Rng = np.random.Generator
LABELS = [0, 1] * 5
NAMES = [f"{'ab'[i % 2]}/{i}.png" for i in range(10)]


def picture(rng: Rng, mode: str = "RGB", size: tuple[int, int] = (9, 7)) -> Image.Image:
    channels = {"RGB": 3, "RGBA": 4, "CMYK": 4}.get(mode, 1)
    pixels = rng.integers(0, 256, (size[1], size[0], channels), np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
    image = Image.frombytes(mode if channels > 1 else "L", size, pixels.tobytes())
    return image.quantize(8) if mode == "P" else image.convert(mode)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def images(rng: Rng) -> dict[str, bytes]:
    """Image files by name, with suffix."""
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [picture(rng) for _ in range(2)]
    return {
        "grey.png": saved(picture(rng, "L"), "png"),
        "colour.png": saved(picture(rng), "png", exif=exif),
        "clear.png": saved(picture(rng, "RGBA"), "png"),
        "sixteen.png": saved(picture(rng, "I;16"), "png"),
        "palette.png": saved(picture(rng, "P"), "png", transparency=1),
        "bits.png": saved(picture(rng, "1"), "png"),
        "photo.jpg": saved(picture(rng), "jpeg", exif=exif),
        "grey.jpg": saved(picture(rng, "L"), "jpeg", progressive=True),
        "ink.jpg": saved(picture(rng, "CMYK"), "jpeg"),
        "moving.gif": saved(frames[0], "gif", save_all=True, append_images=frames[1:]),
        "moving.webp": saved(frames[0], "webp", save_all=True, append_images=frames[1:], lossless=True),
        "photo.webp": saved(picture(rng), "webp", exif=exif),
        "plain.tiff": saved(picture(rng), "tiff", exif=exif),
        "packed.tif": saved(picture(rng), "tiff", compression="tiff_lzw"),
        "fax.tif": saved(picture(rng, "1"), "tiff", compression="group4"),
        "colour.bmp": saved(picture(rng), "bmp"),
        "colour.ppm": saved(picture(rng), "ppm"),
        "sixteen.pgm": saved(picture(rng, "I;16"), "ppm"),
        "photo.jp2": saved(picture(rng), "jpeg2000"),
        "photo.avif": saved(picture(rng), "avif", quality=60, speed=10),
    }


def zipped(members: list[tuple[str | bytes, bytes]], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as opened:
        for name, data in members:
            text = os.fsdecode(name) if isinstance(name, bytes) else name
            opened.writestr(zipfile.ZipInfo(text.encode("utf-8", "replace").decode()), data, packing)
    return file.getvalue()


def tarred(members: list[tuple[str | bytes, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as opened:
        for name, data in members:
            info = tarfile.TarInfo(os.fsdecode(name) if isinstance(name, bytes) else name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return file.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": lambda data: gzip.compress(data, mtime=0),
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def archives(rng: Rng) -> dict[str, bytes]:
    members = [(f"top/{name}", saved(picture(rng), "png")) for name in NAMES]
    found = {"packed.zip": zipped(members), "plain.zip": zipped(members, zipfile.ZIP_STORED)}
    for suffix, pack in PACKINGS.items():
        found[f"x{suffix}"] = pack(tarred(members))
    return found | {"gnu.tar": tarred([("x" * 150 + "/" + n, d) for n, d in members], tarfile.GNU_FORMAT)}


def parquet(columns: dict, note: object = None, **options) -> bytes:
    table = pa.table(columns)
    if note is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(note)})
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def hub(rng: Rng) -> dict:
    """Columns as on the Hugging Face hub."""
    files = [{"bytes": saved(picture(rng), "png"), "path": f"{i}.png"} for i in range(10)]
    return {"image": files, "label": LABELS}


CLASS_NOTE = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}


def parquets(rng: Rng) -> dict[str, bytes]:
    binary = {"img": [saved(picture(rng), "jpeg") for _ in range(10)], "fine_label": LABELS}
    return {
        "hub.parquet": parquet(hub(rng), CLASS_NOTE),
        "groups.parquet": parquet(hub(rng), row_group_size=3, compression="none"),
        "binary.parquet": parquet(binary, compression="gzip", use_dictionary=False),
    }


def npz(**members) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **members)
    return file.getvalue()


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def arrays(rng: Rng) -> dict[str, bytes]:
    pixels = rng.integers(0, 256, (10, 7, 9, 3), np.uint8)
    return {
        "both.npz": npz(images=pixels, labels=np.array(LABELS)),
        "all.npz": npz(images=pixels[:6], labels=LABELS[:6], test_images=pixels[6:], test_labels=LABELS[6:]),
        "float.npy": npy(pixels / 255),
        "bytes.npy": npy(pixels),
    }


def example(name: bytes, label: int) -> bytes:
    """A tf.train.Example by hand: fields of protocol buffers are (number << 3 | 2), length, content."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    def feature(key: bytes, value: bytes) -> bytes:
        return field(1, field(1, key) + field(2, value))

    labels, names = field(3, field(1, bytes([label]))), field(1, field(1, name))
    return field(1, feature(b"label", labels) + feature(b"file_name", names))


def records(payloads: list[bytes]) -> bytes:
    return b"".join(struct.pack("<Q", len(data)) + bytes(4) + data + bytes(4) for data in payloads)


def label_files(rng: Rng) -> dict[str, bytes]:
    """Label files for ten images named `NAMES`, in classes a and b."""
    rows = "".join(f"{i},{name},{'ab'[i % 2]}\n" for i, name in enumerate(NAMES))
    soft = "".join(f"{name},{i / 10:.1f},{1 - i / 10:.1f}\n" for i, name in enumerate(NAMES))
    return {
        "hard.npz": npz(index=np.arange(10), label=np.array(LABELS)),
        "soft.npz": npz(file_name=np.array(NAMES), label=np.full((10, 2), 0.5)),
        "words.csv": f"index,file_name,label\n{rows}".encode(),
        "soft.csv": f"file_name,a,b\n{soft}".encode(),
        "x.tfrecord": records([example(name.encode(), i % 2) for i, name in enumerate(NAMES)]),
    }


# Spoiling bytes, whatever they mean


def cut(rng: Rng, data: bytes) -> bytes:
    return data[: rng.integers(0, len(data) + 1)]


def flip(rng: Rng, data: bytes) -> bytes:
    spoiled = bytearray(data)
    for at in rng.integers(0, len(data), rng.choice([1, 1, 2, 5, 40])):
        spoiled[at] ^= 1 << int(rng.integers(8))
    return bytes(spoiled)


def flip_early(rng: Rng, data: bytes) -> bytes:
    """Corrupts the first bytes, which contain headers."""
    return flip(rng, data[:64]) + data[64:]


def flip_late(rng: Rng, data: bytes) -> bytes:
    """Corrupts the last bytes, which contain the zip or parquet footer."""
    return data[:-200] + flip(rng, data[-200:])


def numbers(rng: Rng, data: bytes) -> bytes:
    """Writes extreme integers at random positions."""
    spoiled = bytearray(data)
    value = int(rng.choice([0, 1, 0x7FFF, 0xFFFF, 100_000, 2**31 - 1, 2**31, 2**32 - 1]))
    for at in rng.integers(0, max(1, len(data) - 4), rng.choice([1, 2, 4])):
        spoiled[at : at + 4] = struct.pack(str(rng.choice(["<I", ">I"])), value)
    return bytes(spoiled)


def erase(rng: Rng, data: bytes) -> bytes:
    begin, end = sorted(rng.integers(0, len(data) + 1, 2))
    filling = [bytes(end - begin), b"\xff" * (end - begin), rng.bytes(int(end - begin)), b""]
    return data[:begin] + filling[rng.integers(4)] + data[end:]


def repeat(rng: Rng, data: bytes) -> bytes:
    begin, end = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:end] + data[begin:end] * int(rng.integers(1, 4)) + data[end:]


BYTES = (cut, flip, flip_early, flip_late, numbers, erase, repeat)


# Spoiling what they mean


def huge(rng: Rng, data: bytes) -> bytes:
    """The same image file with a header that claims 100,000 pixels a side, or the maximum."""
    side = int(rng.choice([100_000, 20_000, 2**31 - 1]))
    spoiled = bytearray(data)
    if data[:4] == b"\x89PNG":
        spoiled[16:24] = struct.pack(">II", side, side)
        spoiled[29:33] = struct.pack(">I", zlib.crc32(spoiled[12:29]))
    elif data[:3] == b"GIF":
        spoiled[6:10] = b"\xff" * 4
    elif data[:2] == b"BM":
        spoiled[18:26] = struct.pack("<ii", side, side)
    elif data[:2] in (b"P6", b"P5"):
        return data[:3] + b"%d %d\n" % (side, side) + data.split(b"\n", 2)[2]
    elif data[:4] == b"RIFF" and b"VP8X" in data:
        spoiled[24:30] = b"\xff" * 6
    elif data[:2] == b"\xff\xd8":
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        spoiled[at + 5 : at + 9] = b"\xff" * 4
    elif data[:2] == b"II":
        for tag in (256, 257):
            at = data.find(struct.pack("<H", tag), struct.unpack("<I", data[4:8])[0])
            spoiled[at + 2 : at + 12] = struct.pack("<HII", 4, 1, side)
    return bytes(spoiled)


def odd_name(rng: Rng, outside: Path) -> str | bytes:
    names = [
        "../outside.png",
        "a/../../outside.png",
        "..\\..\\outside.png",
        str(outside),
        "//" + str(outside).lstrip("/"),
        "C:\\outside.png",
        b"\xff\xfe/\x80.png",
        b"a/\xe4\n\r\x1b[2J.png",
        "a/" + "b/" * 1500 + "c.png",
        "n" * 3000 + "/" + "m" * 3000 + ".png",
        "a/nul\0/x.png",
        "./././a/0.png",
        "a//0.png",
        ".png",
        "a/.png",
        "a",
        "a/0.png/b.png",
        "",
        "/",
        "..",
        "train/train/train.png",
        "\u202egnp.a/\u0000.png",
    ]
    return names[rng.integers(len(names))]


def odd_archive(rng: Rng, outside: Path) -> tuple[str, bytes]:
    """Members with odd names or types, duplicates, or contents other than images."""
    sound = saved(picture(rng), "png")
    members: list[tuple[str | bytes, bytes]] = [(name, sound) for name in NAMES]
    for _ in range(rng.integers(1, 4)):
        contents = [sound, b"", b"junk", bytes(100_000)]
        at = int(rng.integers(len(members) + 1))
        members.insert(at, (odd_name(rng, outside), contents[rng.integers(4)]))
    if rng.random() < 0.3:
        return "odd.zip", zipped(dict(members).items())
    file = io.BytesIO(tarred(members, int(rng.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))))
    with tarfile.open(fileobj=file, mode="a") as opened:
        for kind in rng.choice([b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"Z"], 3):
            info = tarfile.TarInfo(f"a/odd{rng.integers(9)}.png")
            info.type, info.linkname = (
                bytes(kind),
                str(rng.choice([str(outside), "../../outside.png", "a/0.png"])),
            )
            opened.addfile(info)
    suffix = str(rng.choice(list(PACKINGS)))
    return f"odd{suffix}", PACKINGS[suffix](file.getvalue())


def odd_parquet(rng: Rng) -> tuple[str, bytes]:
    """Valid tables with unexpected contents."""
    columns, note = hub(rng), [None, CLASS_NOTE][rng.integers(2)]
    label = [
        lambda: [LABELS[0]] * 9 + [10**6],
        lambda: [-1] * 10,
        lambda: [2**63 - 1] * 10,
        lambda: [None, *LABELS[1:]],
        lambda: [1.5] * 10,
        lambda: ["cat"] * 10,
        lambda: [LABELS] * 10,
        lambda: [5] * 10,
        lambda: pa.array(LABELS, pa.uint8()),
        lambda: pa.array(LABELS).dictionary_encode(),
    ]
    image = [
        lambda: [None] * 10,
        lambda: [b""] * 10,
        lambda: [{"bytes": None, "path": "../../outside.png"}] * 10,
        lambda: [{"bytes": b"junk", "path": "x"}] * 10,
        lambda: [{"path": "x"}] * 10,
        lambda: [1] * 10,
        lambda: pa.array([b"x"] * 10, pa.large_binary()),
        lambda: [{"bytes": row["bytes"], "path": 3} for row in columns["image"]],
    ]
    notes = [{"info": 3}, [1], {"info": {"features": {"label": {"names": [1, None], "_type": "ClassLabel"}}}}]
    notes += [{"info": {"features": {"label": {"names": "a\nb", "_type": "ClassLabel"}}}}]
    how = rng.integers(5)
    if how == 0:
        columns["label"] = label[rng.integers(len(label))]()
    elif how == 1:
        columns["image"] = image[rng.integers(len(image))]()
    elif how == 2:
        note = notes[rng.integers(len(notes))]
    elif how == 3:
        columns = {name: columns[name] for name in rng.permutation(list(columns))[:1]} | {"odd\n": LABELS}
    else:
        columns = {name: [values[0]] * 3000 for name, values in columns.items()}
    return "odd.parquet", parquet(columns, note)


def odd_labels(rng: Rng) -> tuple[str, bytes]:
    """Label files with one wrong row, twice a row, or wrong columns."""
    labels: np.ndarray | list = np.array(LABELS)
    index = np.arange(10)
    row = int(rng.integers(10))
    how = rng.integers(9)
    if how == 0:
        labels[row] = rng.choice([-1, -5, 99, 2**40])
    elif how == 1:
        index[row] = rng.choice([-1, 10, 2**62, index[row - 1]])
    elif how == 2:
        return "odd.npz", npz(index=index, label=rng.random((10, int(rng.integers(0, 4)))))
    elif how == 3:
        return "odd.npz", npz(file_name=np.array(NAMES[::-1] + ["\udcff"]), label=np.array([*LABELS, 0]))
    elif how == 4:
        words = ["a", "b", "", "c\n", "-1", "nan", "1e99", "\0", "猫", '"']
        lines = [f"{i},{words[rng.integers(len(words))]}" for i in range(10)]
        return "odd.csv", ("index,label\n" + "\n".join(lines)).encode()
    elif how == 5:
        header = str(rng.choice(["index", "label", "index,index", "a,b", "file_name,a,label", "index,\xff"]))
        return "odd.csv", (header + "\n0,0,0\n" * 3).encode("latin1")
    elif how == 6:
        return "odd.csv", b"file_name,label\n" + rng.bytes(50) + b",0\n"
    elif how == 7:
        payloads = [example(name.encode(), i % 2) for i, name in enumerate(NAMES)]
        payloads[row] = [b"", b"junk", rng.bytes(20), payloads[row - 1], example(b"\xff", 9)][rng.integers(5)]
        return "odd.tfrecord", records(payloads)
    else:
        return "odd.npz", npz(**{str(rng.choice(["index", "label", "x"])): index, "label": labels[:row]})
    return "odd.npz", npz(index=index, label=labels)


def odd_arrays(rng: Rng) -> tuple[str, bytes]:
    """Arrays of odd shapes and dtypes; headers that claim a wrong size."""
    kinds = [np.uint8, np.int64, np.float16, np.bool_, "<U3", np.complex64, "M8[s]"]
    shape = [(10,), (), (0, 4, 4), (5, 4, 4, 4), (5, 3, 4, 4), (3, 2, 2, 2, 2), (10, 4, 4, 3), (1, 1, 1, 1)]
    values = np.zeros(shape[rng.integers(len(shape))], kinds[rng.integers(len(kinds))])
    how = rng.integers(4)
    if how == 0:
        return "odd.npy", npy(values)
    if how == 1:
        data = npy(np.zeros((10, 4, 4), np.uint8))
        claims = [b"(9,9**9,4)", b"(99999999,", b"(10, -4,4)", b"('a',4, 4)", b"((((((((((", b"\x00" * 10]
        return "odd.npy", data.replace(b"(10, 4, 4)", claims[rng.integers(len(claims))])
    if how == 2:
        return "odd.npz", npz(images=np.zeros((10, 4, 4), np.uint8), labels=values)
    names = rng.permutation(["images", "labels", "test_images", "test_labels", "image", "../x", "\n"])
    return "odd.npz", npz(**{str(name): values for name in names[: rng.integers(1, 4)]})
