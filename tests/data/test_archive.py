"""Archives read like the folder that they were packed from; members cannot escape."""

import io
import os
import random
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data import LoadOptions, archive, open_dataset
from compare_gan.data.source import find

KINDS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
LAYOUTS = {
    "classes": ["cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png", "dog/0.png", "dog/deep/1.png"],
    "splits": ["train/a/0.png", "train/b/0.png", "test/b/7.png", "loose.png"],
    "flat": ["0.png", "1.png", "2.png", "3.png"],
    "flat splits": ["train/0.png", "train/1.png", "val/0.png"],
}


def png(name):
    """An image unique to this name."""
    file = io.BytesIO()
    pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (4, 5, 3), np.uint8)
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def pack(path, members):
    """An archive of these (name, content) pairs, in their order; a name that ends in a slash is a folder."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in members:
                opened.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        return path
    packing = path.name.rpartition(".")[2].replace("tgz", "gz").replace("tbz2", "bz2").replace("txz", "xz")
    with tarfile.open(path, "w" if packing == "tar" else f"w:{packing}") as opened:
        for name, content in members:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


def add(path, **fields):
    """One more member of a tar file, with these fields."""
    with tarfile.open(path, "a") as opened:
        info = tarfile.TarInfo()
        for name, value in fields.items():
            setattr(info, name, value)
        opened.addfile(info)


def refused(path, words):
    with pytest.raises(UserError, match=words) as caught:
        open_dataset(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def same(one, other):
    assert one.class_names == other.class_names
    for a, b in ((one.train, other.train), (one.test, other.test)):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert list(a.names) == list(b.names)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_holds_what_its_folder_holds(tmp_path, kind, layout):
    names = LAYOUTS[layout]
    for name in names:
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(png(name))
    shuffled = random.Random(0).sample(names, len(names))
    junk = [("notes.txt", b"x"), (".DS_Store", b"x"), ("__MACOSX/cat/0.png", b"x"), ("__MACOSX/", b"")]
    folder = open_dataset(str(tmp_path / "folder"))
    for top in ("", "./", "my images/"):
        members = [(top + name, content) for name, content in [*((n, png(n)) for n in shuffled), *junk]]
        path = pack(tmp_path / f"a{kind}", [("./", b""), *members] if top == "./" else members)
        same(open_dataset(str(path)), folder)


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_a_flat_folder_packed_with_its_name_is_unlabelled(tmp_path, kind):
    data = open_dataset(
        str(pack(tmp_path / f"a{kind}", [(f"photos/{i}.png", png(str(i))) for i in range(5)]))
    )
    assert data.class_names == () and list(data.train.names) == ["0.png", "1.png", "3.png", "4.png"]


@pytest.mark.parametrize("command", [["tar", "-cf"], ["tar", "-czf"]])
def test_gnu_tar_formats(tmp_path, command):
    long = "a" * 120 + "/" + "é" * 60 + ".png"
    for name in ("cat/0.png", "dog/1.png", long):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(png(name))
    path = tmp_path / "x.tar"
    for inside in (["-C", tmp_path, "pets"], ["-C", tmp_path / "pets", "."]):
        subprocess.run([*command, path, *inside], check=True)
        same(open_dataset(str(path)), open_dataset(str(tmp_path / "pets")))


def test_format_is_detected_by_content(tmp_path):
    path = pack(tmp_path / "a.zip", [("cat/0.png", png("0")), ("dog/0.png", png("1"))])
    expected = open_dataset(str(path))
    same(open_dataset(str(path.rename(tmp_path / "a.tar.gz"))), expected)


def test_the_last_of_duplicate_members_is_used(tmp_path):
    members = [("a/0.png", png("old")), ("b/0.png", png("b")), ("a/0.png", png("new"))]
    for kind in (".tar", ".tgz"):
        contents = find(str(pack(tmp_path / f"a{kind}", members)))
        assert len(contents.train) == 2 and contents.train.records.data(0) == png("new")
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = pack(tmp_path / "a.zip", members)
    assert find(str(path)).train.records.data(0) == png("new")


def test_a_zip_file_with_backslashes(tmp_path):
    path = pack(tmp_path / "a.zip", [("pets\\cat\\0.png", png("0")), ("pets\\dog\\0.png", png("1"))])
    assert open_dataset(str(path)).class_names == ("cat", "dog")


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tgz"])
def test_reading_is_thread_safe(tmp_path, kind):
    names = [f"{label}/{i:02}.png" for label in "ab" for i in range(40)]
    records = find(str(pack(tmp_path / f"x{kind}", [(name, png(name)) for name in names]))).train.records
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(records.data, [*range(len(names))] * 5))
    assert found == [png(name) for name in names] * 5


def test_archives_can_be_streamed(tmp_path):
    path = str(pack(tmp_path / "x.zip", [(f"{c}/{i}.png", png(f"{c}{i}")) for c in "ab" for i in range(5)]))
    streamed, in_memory = open_dataset(path, reading=LoadOptions(memory=0)), open_dataset(path)
    assert not isinstance(streamed.train.images, np.ndarray)
    np.testing.assert_array_equal(streamed.train.images[:], in_memory.train.images)


OUTSIDE = ["../0.png", "a/../../0.png", "/tmp/0.png", "..", "a/.."]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", [".zip", ".tar", ".tgz"])
def test_a_member_outside_the_archive(tmp_path, kind, name):
    (tmp_path / "0.png").write_bytes(png("mine"))
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    path = pack(tmp_path / f"x{kind}", [("a/1.png", png("1")), (name, png("0"))])
    refused(path, "is outside the archive; pack the folder again")
    assert {file: file.read_bytes() for file in tmp_path.iterdir() if file != path} == before


def test_backslashes_cannot_escape_the_archive(tmp_path):
    refused(pack(tmp_path / "x.zip", [("a\\..\\..\\0.png", png("0"))]), "is outside the archive")


def test_links_and_devices_are_skipped(tmp_path, caplog):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png("secret"))
    path = pack(tmp_path / "x.tar", [("a/0.png", png("0")), ("b/0.png", png("1"))])
    for i, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
        add(path, name=f"a/{i + 1}.png", type=kind, linkname=str(secret))
    data = open_dataset(str(path))
    assert [*data.train.names] == ["a/0.png", "b/0.png"]
    assert "x.tar: skipped 4 images stored as links or devices" in caplog.text
    zipped = tmp_path / "x.zip"
    with zipfile.ZipFile(zipped, "w") as opened:
        opened.writestr("a/0.png", png("0"))
        link = zipfile.ZipInfo("a/1.png")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, str(secret))
    assert list(open_dataset(str(zipped)).train.names) == ["0.png"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5])
def test_a_truncated_archive(tmp_path, kind, share):
    rng = np.random.default_rng(0)
    path = pack(tmp_path / f"x{kind}", [(f"{c}/0.png", rng.bytes(700)) for c in "abcd"])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "truncated or corrupt zip or tar archive; download it again")


def test_a_tar_file_truncated_between_members(tmp_path):
    path = pack(tmp_path / "x.tar", [("a/0.png", png("0")), ("b/0.png", png("1"))])
    path.write_bytes(path.read_bytes()[:2048])
    refused(path, "truncated or corrupt zip or tar archive")


def test_a_damaged_header_is_detected(tmp_path):
    path = pack(tmp_path / "x.tar", [("a/0.png", png("0")), ("b/0.png", png("1"))])
    data = bytearray(path.read_bytes())
    data[1024 + 10] ^= 1  # in the second header
    path.write_bytes(data)
    refused(path, "truncated or corrupt zip or tar archive")


def test_a_header_that_points_back_is_detected(tmp_path):
    path = pack(tmp_path / "x.tar", [("a/0.png", png("0")), ("b/0.png", b"")])
    data = bytearray(path.read_bytes())
    header = data[1024:1536]
    header[124:136] = (2**96 - 512).to_bytes(12, "big")[:12]  # minus 512, as GNU tar writes large numbers
    header[124] = 0xFF
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[1024:1536] = header
    path.write_bytes(data)
    refused(path, "truncated or corrupt zip or tar archive")


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tgz"])
def test_a_broken_image_is_named(tmp_path, kind):
    path = pack(tmp_path / f"x{kind}", [("a/0.png", png("0")), ("b/1.png", b"junk")])
    refused(
        path,
        f"x{kind}/b/1.png: not a readable image; repair or delete it; or skip them with --broken skip",
    )


def test_damage_inside_a_zip_file(tmp_path):
    path = pack(tmp_path / "x.zip", [("a/0.png", png("0")), ("b/1.png", png("1"))])
    data = bytearray(path.read_bytes())
    data[60] ^= 255  # in the packed bytes of the first member
    path.write_bytes(data)
    refused(path, "x.zip/a/0.png: cannot be unpacked; download the archive again")


def test_a_zip_file_with_a_password(tmp_path):
    path = pack(tmp_path / "x.zip", [("a/0.png", png("0"))])
    data = bytearray(path.read_bytes())
    for start in (data.index(b"PK\1\2") + 8, 6):
        data[start] |= 1
    path.write_bytes(data)
    refused(path, "is encrypted; unpack it and pass the folder")


@pytest.mark.parametrize("kind", [".tgz", ".tbz2", ".txz"])
def test_a_compressed_tar_file_larger_than_memory(tmp_path, kind, monkeypatch):
    """The limit covers all members, not just images."""
    path = pack(
        tmp_path / f"x{kind}", [("a/0.png", png("0")), ("b/1.png", png("1")), ("zeros", bytes(10**7))]
    )
    assert len(open_dataset(str(path)).train) == 2 and os.path.getsize(path) < 20_000
    monkeypatch.setattr(archive, "memory_budget", lambda: 2**20)
    refused(path, "unpacks to more than the memory budget of .* GB; unpack it and pass the folder")


def test_a_member_with_a_huge_claimed_size(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 2**20)
    for kind in (".zip", ".tar", ".tgz"):
        path = pack(tmp_path / f"x{kind}", [("a/0.png", png("0")), ("b/1.png", bytes(2**22))])
        assert len(find(str(path)).train.records.data(1)) == 2**20 + 1


def test_names_that_are_not_utf_8(tmp_path):
    name = os.fsdecode(b"b/\xff\n.png")
    path = pack(tmp_path / "x.tar", [("a/0.png", png("0")), (name, b"junk")])
    refused(path, r"x.tar/b/.udcff.n.png: not a readable image")


@pytest.mark.parametrize("name", ["", ".", "./", "a/", "a//b/"])
def test_members_without_a_name(tmp_path, name):
    members = [(name, b""), ("a/0.png", png("0")), ("b/1.png", png("1"))]
    for kind in (".zip", ".tar"):
        assert len(open_dataset(str(pack(tmp_path / f"x{kind}", members))).train) == 2


def test_deep_folders(tmp_path):
    path = pack(tmp_path / "x.tar", [("a/" * 3000 + "0.png", png("0")), ("a/b/1.png", png("1"))])
    assert len(open_dataset(str(path)).train) == 2


def test_files_are_closed(tmp_path):
    """Python warns about unclosed files, and warnings are errors here."""
    paths = [pack(tmp_path / f"x{kind}", [("a/0.png", png("0")), ("b/1.png", b"x")]) for kind in KINDS]
    command = (
        "import sys\nfrom compare_gan.data.source import find\nfor path in sys.argv[1:]:\n    find(path)"
    )
    words = [sys.executable, "-W", "error::ResourceWarning", "-c", command, *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0 and not done.stderr
