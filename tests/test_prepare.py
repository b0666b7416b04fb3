"""The command `compare-gan prepare`."""

import io
import sys

import pytest

from compare_gan.data import LoadOptions, open_dataset
from compare_gan.main import main
from tests.data.prepared_sets import builder_class, encoded, pixels

tfds = pytest.importorskip("tensorflow_datasets", reason="the extra compare_gan[tfds] is not installed")


def rows():
    for i in range(6):
        yield {"image": io.BytesIO(encoded(pixels(i, 8, 8), "png")), "label": i % 2}


def stopped():
    yield from rows()
    raise KeyboardInterrupt


def needy():
    import tensorflow

    yield tensorflow.constant(0)


def failing():
    yield from rows()
    raise AssertionError("put the tar files\n   into a folder")


class Source:
    """The source of the data sets below."""

    rows = staticmethod(rows)


def registered(name, **more):
    features = {
        "image": tfds.features.Image(shape=(8, 8, 3)),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
    }
    return builder_class(tfds, name, "1.0.0", features, {"train": lambda: Source.rows()}, **more)


BUILDER = "compare_gan_test_prepare"
registered(BUILDER)
NAME = f"tfds:{BUILDER}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tfds.disable_progress_bar()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "sets"


def run(root, name=NAME):
    return main(["prepare", name, "--tfds_data_dir", str(root)])


def refused(capsys, root, name, *words):
    assert run(root, name) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("compare-gan: ") and captured.err.count("\n") == 1 and not captured.out, (
        captured
    )
    assert all(word in captured.err for word in words), captured.err


def test_prepared_data_is_found_by_its_name(root, capsys):
    assert run(root) == 0
    folder = root / BUILDER / "1.0.0"
    assert capsys.readouterr().out == f"prepared: {folder}\n"
    data = open_dataset(NAME, reading=LoadOptions(data_dir=str(root)))
    images = {image.tobytes() for split in (data.train, data.test) for image in split.images}
    assert images == {pixels(i, 8, 8).tobytes() for i in range(6)} and data.class_names == ("a", "b")


def test_prepared_data_is_kept(root, capsys):
    assert run(root) == 0
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert run(root) == 0
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert capsys.readouterr().out.count("prepared: ") == 2


def test_data_prepared_by_other_means(root, capsys):
    assert run(root) == 0
    file = root / BUILDER / "1.0.0" / "dataset_info.json"
    file.write_text(file.read_text().replace("array_record", "tfrecord"))
    capsys.readouterr()
    refused(capsys, root, NAME, "prepared as tfrecord", "tfds convert_format --out_file_format=array_record")


def test_stopped_and_continued(root, capsys, monkeypatch):
    monkeypatch.setattr(Source, "rows", staticmethod(stopped))
    assert run(root) == 130
    assert "stopped; downloaded files are kept; rerun the same command to resume" in capsys.readouterr().out
    assert not list(root.rglob("*.array_record*"))
    monkeypatch.setattr(Source, "rows", staticmethod(rows))
    assert run(root) == 0 and (root / BUILDER / "1.0.0" / "dataset_info.json").exists()


def test_leftovers_of_a_killed_run_are_ignored(root):
    folder = root / BUILDER
    (folder / "incomplete.ABCDEF_1.0.0").mkdir(parents=True)
    (folder / "incomplete.ABCDEF_1.0.0" / "dataset_info.json").write_text("{}")
    assert run(root) == 0 and (folder / "1.0.0").is_dir()


@pytest.mark.parametrize(
    "make, words",
    [
        (needy, [NAME, "needs tensorflow to prepare it", "pip install 'compare_gan[prepare]'"]),
        (failing, [NAME, "cannot be prepared in", "(put the tar files into a folder)"]),
    ],
)
def test_failures_while_preparing(root, capsys, monkeypatch, make, words):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr(Source, "rows", staticmethod(make))
    refused(capsys, root, NAME, *words)
    assert not list(root.rglob("1.0.0"))


def test_data_that_needs_tensorflow_is_refused_before_the_download(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    refused(capsys, tmp_path, "cifar10", "cifar10: TensorFlow Datasets needs tensorflow", "[prepare]")
    refused(capsys, tmp_path, "tfds:fashion_mnist", "needs tensorflow", "[prepare]")
    assert not list(tmp_path.iterdir())


def test_required_manual_downloads(tmp_path, capsys):
    manual = tmp_path / "downloads" / "manual"
    refused(
        capsys, tmp_path, "imagenet_128", "ILSVRC2012_img_train.tar", "https://image-net.org", f"{manual}"
    )
    refused(capsys, tmp_path, "celeb_a_hq_128", "put data128x128.tar from", str(manual))
    refused(capsys, tmp_path, "lsun-bedroom", "tensorflow-io", "--data")


def test_unknown_names(tmp_path, capsys):
    refused(capsys, tmp_path, "cifr10", "called 'cifr10'", "tfds:NAME", "did you mean 'cifar10'?")
    refused(
        capsys, tmp_path, "tfds:no_such_set", "tfds:no_such_set: TensorFlow Datasets has no such data set"
    )
    refused(capsys, tmp_path, "tfds:food_101", "has no such data set; did you mean 'food101'?")
    refused(capsys, tmp_path, "tfds:", "no data set is called 'tfds:'")


def test_without_the_library(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    refused(
        capsys, tmp_path, "cifar10", "cifar10: needs TensorFlow Datasets; pip install 'compare_gan[tfds]'"
    )
