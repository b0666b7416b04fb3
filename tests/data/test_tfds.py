"""Data sets prepared by TensorFlow Datasets, read by name."""

import dataclasses
import io
import json
import pickle
import shutil

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.files import user_cache
from compare_gan.data import LoadOptions, open_dataset, preprocess
from compare_gan.data.facts import DATASET_INFO
from compare_gan.data.tfds import TfdsImages
from compare_gan.main import main
from tests.data.prepared_sets import decoded, encoded, pixels, prepare

tfds = pytest.importorskip("tensorflow_datasets", reason="the extra compare_gan[tfds] is not installed")
RNG = np.random.default_rng(0)
SIZES = [(400, 500), (399, 600), (450, 400), (120, 90), (128, 128), (640, 410)]  # of ImageNet's images
JPEGS = [encoded(pixels(i, *size), "jpeg") for i, size in enumerate(SIZES)]
JPEGS[4] = encoded(pixels(4, 128, 128, 1), "jpeg")  # a grey one among them
CIFAR = [pixels(i, 32, 32) for i in range(14)]
FACES = [pixels(i, 218, 178) for i in range(5)]
ROOMS = [pixels(i, 100 + 10 * (i % 7), 256) for i in range(100)]


def features(side, *more, channels=3, kind="png", classes=()):
    shape = (side, side, channels) if isinstance(side, int) else side
    image = tfds.features.Image(shape=shape, encoding_format=kind)
    labels = {"label": tfds.features.ClassLabel(names=list(classes))} if classes else {}
    return {"image": image} | labels | {key: tfds.features.Text() for key in more}


def rows(images, kind="png", labels=None, **more):
    """One row per image; `more` are functions of its index."""
    for i, image in enumerate(images):
        data = image if isinstance(image, bytes) else encoded(image, kind)
        row = {"image": io.BytesIO(data)} | {key: value(i) for key, value in more.items()}
        yield row if labels is None else row | {"label": labels[i]}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder of prepared data sets."""
    root = tmp_path_factory.mktemp("tensorflow_datasets")
    tfds.disable_progress_bar()

    def add(name, version, kinds, splits, **more):
        prepare(tfds, root, name, version, kinds, splits, **more)

    names = ["plane", "car", "bird"]
    labels = [i % 3 for i in range(20)]
    add(
        "cifar10",
        "3.0.2",
        features(32, "id", classes=names),
        {
            "train": rows(CIFAR[:10], labels=labels, id=lambda i: f"train_{i:05}"),
            "test": rows(CIFAR[10:], labels=labels[::-1], id=lambda i: f"test_{i:05}"),
        },
        supervised=("image", "label"),
    )
    digits = [pixels(i, 28, 28, 1) for i in range(4)]
    splits = {"train": rows(digits, labels=labels), "test": rows(digits, labels=labels)}
    add("mnist", "3.0.1", features(28, channels=1, classes="012"), splits)
    faces = features((218, 178, 3)) | {"attributes": {"Young": np.bool_}, "landmarks": {"nose_x": np.int64}}
    others = {"attributes": lambda i: {"Young": True}, "landmarks": lambda i: {"nose_x": i}}
    splits = {name: rows(FACES, **others) for name in ("train", "validation", "test")}
    add("celeb_a", "2.1.0", faces, splits)
    square = [pixels(i, 64, 64) for i in range(20)]
    splits = {"train": rows(square, **{"image/filename": lambda i: f"{i}.png"})}
    add("celeb_a_hq", "2.0.0", features(64, "image/filename"), splits, config="64")
    splits = {"train": rows(ROOMS, id=str), "validation": rows(ROOMS[:3], id=str)}
    add("lsun", "3.1.0", features((None, None, 3), "id"), splits, config="bedroom")
    big = [pixels(i, 96, 96) for i in range(6)]
    splits = {
        "train": rows(big[:2], labels=[2, 0]),
        "unlabelled": rows(big[2:], labels=[-1] * 4),
        "test": rows(big[:3], labels=[0, 1, 2]),
    }
    add("stl10", "1.0.0", features(96, classes=names), splits)
    synsets = [f"n{i:08}" for i in range(3)]
    image_kind = features((None, None, 3), "file_name", kind="jpeg", classes=synsets)
    splits = {
        "train": rows(JPEGS, labels=[2, 0, 1, 2, 0, 1], file_name=lambda i: f"n0_{i}.JPEG"),
        "validation": rows(JPEGS[::-1], labels=[1, 0, 2, 1, 0, 2], file_name=lambda i: f"val_{i}.JPEG"),
    }
    add("imagenet2012", "5.1.0", image_kind, splits)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shown(root, monkeypatch):
    """Opens a data set by name."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    return open_dataset


def refused(source, *words, data_dir=None, **how):
    with pytest.raises(UserError) as caught:
        open_dataset(source, reading=LoadOptions(data_dir=str(data_dir) if data_dir else None, **how))
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_pixels_labels_and_names(shown):
    data = shown("cifar10")
    assert data.name == "cifar10" and data.class_names == ("plane", "car", "bird") and data.fit == "as stored"
    np.testing.assert_array_equal(data.train.images, CIFAR[:10])
    np.testing.assert_array_equal(data.test.images, CIFAR[10:])
    assert data.train.labels.tolist() == [i % 3 for i in range(10)] and data.train.labels.dtype == np.int32
    assert data.test.labels.tolist() == [i % 3 for i in range(20)][::-1][:4]
    assert list(data.train.names) == [f"train_{i:05}" for i in range(10)]
    assert data.test.names[-1] == "test_00003"


def test_locations_of_prepared_data(root, tmp_path, monkeypatch):
    by_argument = open_dataset("cifar10", reading=LoadOptions(data_dir=str(root)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    (tmp_path / "tensorflow_datasets").symlink_to(root)
    by_default = open_dataset("cifar10")
    np.testing.assert_array_equal(by_default.train.images, by_argument.train.images)


def test_grey_images_stay_grey(shown):
    data = shown("mnist")
    assert data.spec.image_shape == (28, 28, 1) and data.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(data.train.images[3], pixels(3, 28, 28, 1))


@pytest.mark.parametrize("name, size", [("celeb_a", 64), ("celeb_a_128", 128)])
def test_faces_match_compare_gan(shown, name, size, monkeypatch):
    monkeypatch.setitem(DATASET_INFO, name, dataclasses.replace(DATASET_INFO[name], eval_images=3))
    data = shown(name)
    assert data.spec.image_shape == (size, size, 3) and data.class_names == ()
    assert (data.train.labels == -1).all() and (data.test.labels == -1).all()
    assert (len(data.train), len(data.test)) == (5, 3)  # of five test images the first that scores are about
    for face, image in zip(FACES, data.train.images, strict=True):
        theirs = preprocess.resized(preprocess.scaled(preprocess.crop_or_pad(face, 160)), size)
        assert np.abs(image - 255 * theirs).max() <= 0.5 + 1e-3


def test_slices_of_a_split(shown):
    data = shown("lsun-bedroom")
    assert (len(data.train), len(data.test)) == (99, 1) and data.spec.num_classes == 0
    for split, rooms in ((data.train, ROOMS[:99]), (data.test, ROOMS[99:])):
        theirs = [np.rint(255 * preprocess.lsun(room)) for room in rooms]
        np.testing.assert_array_equal(split.images, theirs)
    assert data.test.names[0] == "99"


def test_one_configuration_per_size(shown):
    data = shown("celeb_a_hq_64")
    assert (len(data.train), len(data.test)) == (18, 2)
    np.testing.assert_array_equal(data.test.images[0], pixels(18, 64, 64))
    assert list(data.test.names) == ["18.png", "19.png"]


def test_partly_labelled_images(shown):
    data = shown("stl10")
    assert data.train.labels.tolist() == [1, 0, -1, -1, -1, -1]  # no training image has the second class
    assert data.test.labels.tolist() == [0, -1, 1] and data.spec.num_classes == 2
    assert data.spec.image_shape == (48, 48, 3)
    again = open_dataset("tfds:stl10:unlabelled", reading=LoadOptions(image_size=48))
    np.testing.assert_array_equal(again.train.images, data.train.images[2:])


def test_photographs_are_cropped_at_random_each_time(shown):
    data = shown("imagenet_128")
    assert data.spec.image_shape == (128, 128, 3) and data.class_names[2] == "n00000002"
    assert data.train.labels.tolist() == [2, 0, 1, 2, 0, 1]
    assert list(data.test.names) == [f"val_{i}.JPEG" for i in range(6)]
    one, other = (data.train.images.read(0, np.random.default_rng(seed)) for seed in (0, 1))
    assert (one != other).any()
    for i, data_of in enumerate(JPEGS[::-1]):
        theirs = preprocess.imagenet(decoded(data_of), 128, "middle", RNG)
        assert np.abs(data.test.images[i] - 255 * theirs).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("size", [64, 256])
def test_photographs_at_other_sizes(shown, size):
    assert shown(f"imagenet_{size}").spec.image_shape == (size, size, 3)


def test_large_photographs_only(shown):
    data = shown("imagenet_512_hq400")
    assert [name for name in data.train.names] == ["n0_0.JPEG", "n0_2.JPEG", "n0_5.JPEG"]
    assert data.train.labels.tolist() == [2, 1, 1] and len(data.test) == 6
    middle = np.rint(255 * preprocess.imagenet(decoded(JPEGS[2]), 512, "middle", RNG))
    how = LoadOptions(train_crop="middle", like="imagenet_512_hq400")
    np.testing.assert_array_equal(open_dataset("imagenet_512_hq400", reading=how).train.images[1], middle)


def test_no_image_is_large_enough(shown, monkeypatch):
    huge = dataclasses.replace(DATASET_INFO["imagenet_512_hq400"], min_side=1000)
    monkeypatch.setitem(DATASET_INFO, "imagenet_512_hq400", huge)
    refused("imagenet_512_hq400", "no training image has a shorter side of at least 1000 pixels")


def test_one_class_for_all(shown, monkeypatch):
    monkeypatch.setattr(TfdsImages, "_scan_row", None)  # so labels that do not count are not read
    data = shown("single_class_imagenet_128")
    assert data.train.labels.tolist() == [0] * 6 and data.spec.num_classes == 1


def test_random_classes_are_drawn_once(shown):
    """compare_gan draws a new crop per read, or would if it did not raise."""
    one, other = shown("random_class_imagenet_128"), shown("random_class_imagenet_128")
    np.testing.assert_array_equal(one.train.labels, other.train.labels)
    assert one.spec.num_classes == 3 and 0 <= one.train.labels.min() and one.train.labels.max() < 3
    assert one.train.labels.tolist() != [2, 0, 1, 2, 0, 1]


def test_half_of_the_photographs_matches_the_fork():
    train = 1_281_167
    assert DATASET_INFO["imagenet_128_0.5"].train_split == f"train[:{train // 2}]"
    assert DATASET_INFO["imagenet_128_0.25"].train_split == f"train[:{train // 4}]"


@pytest.fixture(scope="module")
def others(root):
    """A data set without a preset, in two configurations with different feature names."""
    shapes = tfds.features.ClassLabel(names=["round", "square"])
    kinds = {"photo": tfds.features.Image(shape=(8, 8, 3)), "shape": shapes, "weight": np.float32}

    def rows_of(count):
        for i in range(count):
            yield {"photo": io.BytesIO(encoded(pixels(i, 8, 8), "png")), "shape": i % 2, "weight": i}

    for version, count in (("1.0.0", 4), ("1.10.0", 10), ("1.9.0", 6)):
        splits = {"train": rows_of(count), "validation": rows_of(6)}
        prepare(tfds, root, "stones", version, kinds, splits, config="river")
    prepare(tfds, root, "stones", "1.0.0", kinds, {"train": rows_of(10)}, config="sea")
    return root


def test_any_data_set_of_images(others, shown):
    data = shown("tfds:stones/river")
    assert len(data.train) == 10, "the newest version is the tenth, not the ninth"
    assert len(data.test) == 6 and data.class_names == ("round", "square") and not any(data.train.names)
    np.testing.assert_array_equal(data.train.images[7], pixels(7, 8, 8))
    assert len(shown("tfds:stones/river/1.0.0").train) == 4
    half = shown("tfds:stones/river:train[:50%]")
    assert (len(half.train), len(half.test)) == (5, 6)
    assert len(shown("tfds:stones/sea").test) == 2  # a fifth of each class is held out
    other = shown("tfds:stones/river:validation")
    assert (len(other.train), len(other.test)) == (4, 2), "no image is for training and for tests"


def test_choice_of_the_configuration(others, shown):
    refused("tfds:stones", "several configurations", "tfds:stones/river or tfds:stones/sea")
    assert len(shown("tfds:celeb_a_hq").train) == 16  # there is one only


@pytest.mark.parametrize(
    "source, words",
    [
        ("svhn", ["svhn: not prepared in", "run: compare-gan prepare svhn --tfds_data_dir"]),
        ("tfds:flowers", ["tfds:flowers: not prepared in", "run: compare-gan prepare tfds:flowers"]),
        ("celeb_a_hq_256", ["put data256x256.tar from https://", "downloads/manual, then run: compare-gan"]),
        ("lsun-cat", ["lsun-cat: not prepared", "tensorflow-io", "--data"]),
        ("tfds:", ["no data set is called 'tfds:'", "tfds:NAME/CONFIG"]),
        ("cifr10", ["neither a known data set nor an existing path", "did you mean 'cifar10'?"]),
        ("tfds:cifar10:trian", ["cifar10/3.0.2: has no images for 'trian'", "Should be one of ["]),
        ("tfds:cifar10:train[", ["has no images for 'train['"]),
        ("tfds:lsun/bedroom", ["set image_size"]),
    ],
)
def test_names_that_cannot_be_opened(root, source, words):
    refused(source, *words, data_dir=root)


def test_a_folder_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "svhn").mkdir()
    refused("svhn", "not prepared in", "use ./svhn for the local path", data_dir=tmp_path)


def test_manual_downloads(tmp_path):
    refused("imagenet_64", "put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar", data_dir=tmp_path)
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / "ILSVRC2012_img_train.tar").touch()
    refused("imagenet_64", "put ILSVRC2012_img_val.tar from", f"into {manual}", data_dir=tmp_path)
    (manual / "ILSVRC2012_img_val.tar").touch()
    refused("imagenet_64", "not prepared in", "; run: compare-gan prepare imagenet_64", data_dir=tmp_path)


def test_without_tensorflow_datasets(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)
    refused("cifar10", "pip install 'compare_gan[tfds]'", data_dir=tmp_path)


@pytest.fixture
def own(root, tmp_path):
    """A copy of a prepared data set, to be corrupted."""
    shutil.copytree(root / "cifar10", tmp_path / "own" / "cifar10")
    return tmp_path / "own" / "cifar10" / "3.0.2"


def spoil(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("dataset_info.json", lambda data: data[:20], ["cannot be read", "remove it, then run: compare-gan"]),
        ("features.json", lambda data: b"{", ["cannot be read"]),
        (
            "dataset_info.json",
            lambda data: data.replace(b"array_record", b"tfrecord"),
            [
                "prepared as tfrecord",
                "tfds convert_format",
                "move it away, then run: compare-gan prepare cifar10",
            ],
        ),
        ("cifar10-train.array_record-00000-of-00001", lambda data: b"", ["train, image 0: cannot be read"]),
        (
            "cifar10-train.array_record-00000-of-00001",
            lambda data: data[: len(data) // 2],
            ["train, image 0: cannot be read", "prepare"],
        ),
    ],
)
def test_damaged_data(own, name, change, words):
    spoil(own / name, change)
    refused("cifar10", str(own), *words, data_dir=own.parents[1])


def test_converted_data(own):
    """The converter of TensorFlow Datasets keeps the old files and records the new ones next to them."""
    other = b'"alternativeFileFormats": ["array_record"], "fileFormat": "tfrecord"'
    spoil(own / "dataset_info.json", lambda data: data.replace(b'"fileFormat": "array_record"', other))
    data = open_dataset("cifar10", reading=LoadOptions(data_dir=str(own.parents[1])))
    np.testing.assert_array_equal(data.train.images, CIFAR[:10])


def test_incomplete_data(own):
    (own / "cifar10-train.array_record-00000-of-00001").unlink()
    refused("cifar10", "train, image 0: cannot be read", data_dir=own.parents[1])
    (own / "dataset_info.json").unlink()
    refused("cifar10", "not prepared in", data_dir=own.parents[1])


def test_a_broken_image(root, tmp_path):
    names = {"id": lambda i: str(i)}
    images = [encoded(pixels(i, 32, 32), "png") for i in range(4)]
    images[2] = images[2][:60]
    splits = {
        "train": rows(images, labels=[0, 1, 0, 1], **names),
        "test": rows(images[:2], labels=[0, 1], **names),
    }
    prepare(tfds, tmp_path, "cifar10", "3.0.2", features(32, "id", classes="ab"), splits)
    refused("cifar10", "train, image 2: not a readable image", "--broken skip", data_dir=tmp_path)
    data = open_dataset("cifar10", reading=LoadOptions(data_dir=str(tmp_path), broken="skip"))
    assert data.train.labels.tolist() == [0, 1, 1] and list(data.train.names) == ["0", "1", "3"]


def test_a_worker_process_can_read(shown):
    records = shown("imagenet_128").train.images.records
    other = pickle.loads(pickle.dumps(records))
    np.testing.assert_array_equal(other[3], records[3])
    assert other.name(3) == "n0_3.JPEG" and other.where(3) == records.where(3)


def test_an_error_in_a_worker_process_is_one_line(tmp_path, monkeypatch):
    splits = {name: rows(CIFAR[:3], labels=[0, 1, 0], id=str) for name in ("train", "test")}
    prepare(tfds, tmp_path, "cifar10", "3.0.2", features(32, "id", classes="ab"), splits)
    records = open_dataset(
        "cifar10", reading=LoadOptions(data_dir=str(tmp_path), memory=0)
    ).train.images.records
    content = pickle.dumps(records)
    shutil.rmtree(tmp_path / "cifar10")
    with pytest.raises(UserError, match="cifar10.*: a worker process cannot open it") as caught:
        pickle.loads(content)
    assert "\n" not in str(caught.value)


def reads(monkeypatch):
    """Indices of the images whose labels are read from now on."""
    seen, about = [], TfdsImages._scan_row
    monkeypatch.setattr(TfdsImages, "_scan_row", lambda self, i: (seen.append(i), about(self, i))[1])
    return seen


def test_labels_are_read_once(own, monkeypatch):
    seen, how = reads(monkeypatch), LoadOptions(data_dir=str(own.parents[1]))
    first = open_dataset("cifar10", reading=how)
    assert len(seen) == 14
    second = open_dataset("cifar10", reading=how)
    assert len(seen) == 14
    np.testing.assert_array_equal(first.train.labels, second.train.labels)
    assert list(first.test.names) == list(second.test.names)
    shard = own / "cifar10-train.array_record-00000-of-00001"
    shard.touch()
    open_dataset("cifar10", reading=how)
    assert len(seen) == 28, "files that changed are read again"


@pytest.mark.parametrize(
    "change",
    [
        lambda file: spoil(file, lambda data: data[:100]),
        lambda file: spoil(file, lambda data: b""),
        lambda file: np.savez(file, labels=np.zeros(3, np.int32)),
        lambda file: np.savez(file, labels=np.zeros(3), names=np.zeros(3, "S1"), sizes=np.zeros((3, 2), int)),
    ],
)
def test_a_damaged_cache_is_rebuilt(own, change, monkeypatch):
    how = LoadOptions(data_dir=str(own.parents[1]))
    labels = open_dataset("cifar10", reading=how).train.labels
    kept = list((user_cache() / "scans").iterdir())
    assert len(kept) == 2
    for file in kept:
        change(file)
    seen = reads(monkeypatch)
    np.testing.assert_array_equal(open_dataset("cifar10", reading=how).train.labels, labels)
    assert len(seen) == 14
    open_dataset("cifar10", reading=how)
    assert len(seen) == 14


def test_a_cache_that_cannot_be_written(own, cache, caplog):
    cache.write_text("a file, where a folder would be")
    assert len(open_dataset("cifar10", reading=LoadOptions(data_dir=str(own.parents[1]))).train) == 10
    assert "cannot be written" in caplog.text


def test_unlabelled_images_are_not_scanned(shown, monkeypatch):
    seen = reads(monkeypatch)
    data = shown("celeb_a_hq_64")
    assert not seen and data.train.names[1] == "1.png" and len(seen) == 18


def test_the_limit_of_open_files_is_raised(shown):
    resource = pytest.importorskip("resource", reason="this system has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        shown("cifar10")
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


GAN = (
    "options.gan_class = @ModularGAN",
    "options.batch_size = 2",
    "options.training_steps = 1",
)


@pytest.fixture
def train(root, tmp_path, monkeypatch):
    """Runs `train` up to the start of training; returns the training data."""
    seen = []
    monkeypatch.setattr("compare_gan.runs.train_gan", lambda gan, split, **_: seen.append((gan, split)))

    def run(name, *more, architecture="resnet5_arch", code=0):
        chosen = (f"dataset.name = {name!r}", f"options.architecture = {architecture!r}")
        lines = [word for line in (*GAN, *chosen) for word in ("--gin_bindings", line)]
        words = ["train", "--model_dir", tmp_path / "run", "--tfds_data_dir", root, *lines, *more]
        assert main([str(word) for word in words]) == code
        return seen.pop() if code == 0 else None

    return run


def test_a_configuration_selects_its_images(train, tmp_path):
    gan, split = train("cifar10", architecture="resnet_cifar_arch")
    np.testing.assert_array_equal(split.images, CIFAR[:10])
    assert gan.spec.image_shape == (32, 32, 3) and gan.spec.num_classes == 3
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["data"] == "cifar10" and about["reading"]["like"] == "cifar10"


def test_images_that_are_not_prepared(train, tmp_path, capsys):
    train("svhn", code=2)
    err = capsys.readouterr().err
    assert err.startswith("compare-gan: svhn: not prepared in") and err.count("\n") == 1
    assert "run: compare-gan prepare svhn" in err and not (tmp_path / "run").exists()


def test_named_data_sets_use_their_presets(train):
    gan, _ = train("cifar10", "--data", "stl10", architecture="resnet_stl_arch")
    assert gan.spec.image_shape == (48, 48, 3)


def test_labelled_photographs_only(train, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("file_name,label\nn0_4.JPEG,1\nn0_1.JPEG,\nn0_2.JPEG,2\n")
    _, split = train("labeled_only_imagenet_128", "--labels", file)
    assert list(split.names) == ["n0_2.JPEG", "n0_4.JPEG"]
    assert split.labels.tolist() == [1, 0]  # of three classes the two that the file labels are left


def test_all_photographs_are_initially_labelled(train):
    _, split = train("labeled_only_imagenet_128")
    assert split.labels.tolist() == [2, 0, 1, 2, 0, 1]


def test_soft_labels_come_from_a_file(train, tmp_path, capsys):
    train("soft_labeled_imagenet_128", code=2)
    assert "soft_labeled_imagenet_128: needs a label file; give --labels or" in capsys.readouterr().err
    file = tmp_path / "soft.npz"
    np.savez(file, index=np.arange(6), label=np.full((6, 3), 1 / 3, np.float32))
    binding = f"replace_labels.file_pattern = {str(file)!r}"
    _, split = train("soft_labeled_imagenet_128", "--gin_bindings", binding)
    np.testing.assert_allclose(split.labels, np.full((6, 3), 1 / 3))
