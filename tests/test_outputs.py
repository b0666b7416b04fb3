"""What commands may write: never over an input, nor over a file that compare_gan did not write."""

import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from compare_gan.config.reader import config_sha256
from compare_gan.core.errors import UserError
from compare_gan.core.files import sha256_of, write_csv, write_json
from compare_gan.core.outputs import check_output, check_run_folder, is_ours
from compare_gan.core.pictures import FORMATS, write_picture
from compare_gan.evaluation.compare import table
from compare_gan.features import load_encoder
from compare_gan.main import main
from compare_gan.report.scores import scores_page
from tests.helpers.commands import bindings, config, refused

PIXELS = np.arange(64 * 5, dtype=np.uint8).reshape(5, 8, 8, 1)


@pytest.fixture
def images(tmp_path):
    """A data set of five images in an .npz file."""
    path = tmp_path / "own.npz"
    np.savez(path, images=PIXELS, labels=np.array([0, 1, 0, 1, 0]))
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_pictures_are_recognised_by_what_is_in_them(tmp_path, suffix):
    write_picture(tmp_path / f"ours{suffix}", PIXELS[:4], 2, 2)
    Image.fromarray(PIXELS[0, ..., 0]).save(tmp_path / f"theirs{suffix}")
    assert is_ours(tmp_path / f"ours{suffix}") and not is_ours(tmp_path / f"theirs{suffix}")
    with Image.open(tmp_path / f"ours{suffix}") as image:
        assert image.size == (16, 16)


def test_pages_and_tables_are_recognised_by_what_is_in_them(tmp_path):
    header, body = table([{"run": "a", "step": "1", "fid": "2.0", "scored": "fid", "fingerprint": "f"}])
    write_csv(tmp_path / "ours.csv", [dict(zip(header, cells, strict=True)) for cells in body])
    (tmp_path / "ours.html").write_text(scores_page(header, body, []))
    write_csv(tmp_path / "theirs.csv", [{"run": "a", "loss": 1}])
    (tmp_path / "theirs.html").write_text("<!doctype html><meta charset=utf-8><title>compare_gan</title>")
    for suffix in (".csv", ".html"):
        assert is_ours(tmp_path / f"ours{suffix}") and not is_ours(tmp_path / f"theirs{suffix}")
    for name, value in {"list": [], "other": {"scored": 1}, "nested": [[1]], "run": {"data": {}}}.items():
        write_json(tmp_path / f"{name}.json", value)
        assert not is_ours(tmp_path / f"{name}.json")
    (tmp_path / "broken.npz").write_bytes(b"PK\3\4 not a zip file")
    (tmp_path / "empty.png").touch()
    assert not is_ours(tmp_path / "broken.npz") and not is_ours(tmp_path / "empty.png")


def test_an_input_is_never_replaced(tmp_path):
    write_picture(tmp_path / "in.png", PIXELS[:1], 1, 1)
    (tmp_path / "link.png").symlink_to(tmp_path / "in.png")
    os.link(tmp_path / "in.png", tmp_path / "hard.png")
    for name in ("in.png", "link.png", "hard.png"):
        with pytest.raises(UserError, match="is read by this command; choose another --out"):
            check_output(tmp_path / name, "--out", [tmp_path / "in.png"], overwrite=True)
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run" / "run.json", {})
    with pytest.raises(UserError, match="is read by this command"):
        check_output(tmp_path / "run" / "run.json", "--json", [tmp_path / "run"], overwrite=True)
    check_output(tmp_path / "run" / "new.json", "--json", [tmp_path / "run"])


def test_a_data_set_is_not_replaced_by_its_classifier(images, capsys):
    before = images.read_bytes()
    words = ["classifier", "--data", images, "--out", images]
    refused(capsys, [*words, "--overwrite"], f"{images}: is read by this command; choose another --out")
    assert images.read_bytes() == before


def test_a_file_of_the_user_is_replaced_only_with_overwrite(images, tmp_path, capsys):
    words = ["dataset", images, "--out", tmp_path / "sheet.png", "--json", tmp_path / "report.json"]
    assert main([str(word) for word in words]) == 0
    assert main([str(word) for word in words]) == 0  # ours are replaced
    capsys.readouterr()
    Image.fromarray(PIXELS[0, ..., 0]).save(tmp_path / "sheet.png")
    before = (tmp_path / "sheet.png").read_bytes()
    refused(capsys, words, "sheet.png: exists, and compare_gan did not write it", "give --overwrite")
    assert (tmp_path / "sheet.png").read_bytes() == before
    (tmp_path / "report.json").write_text('{"mine": 1}')
    assert main([*map(str, words), "--overwrite"]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["path"] == str(images)
    assert is_ours(tmp_path / "sheet.png")


def test_a_classifier_replaces_an_older_one(images, tmp_path):
    words = ["classifier", "--data", images, "--out", tmp_path / "new.npz", "--width", "4", "--steps", "1"]
    words += ["--encoder", "halved"]
    assert main([str(word) for word in words]) == 0
    with zipfile.ZipFile(tmp_path / "new.npz") as file:
        assert "about.npy" in file.namelist()
    assert load_encoder(tmp_path / "new.npz").spec.body == "halved"
    first = (tmp_path / "new.npz").read_bytes()
    assert main([str(word) for word in words]) == 0
    assert (tmp_path / "new.npz").read_bytes() == first


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("folder.npz", "folder.npz: is a folder; --out must name a file"),
        ("a.run", "a.run: --out must end in .npz"),
        ("run", "run: --out must end in .npz"),
        ("own.npz/x.npz", "own.npz: it or a parent is a file; choose another folder"),
        ("pipe.npz", "pipe.npz: is a pipe or a device; --out must name a file"),
    ],
)
def test_what_is_no_file_is_refused_before_the_work(images, tmp_path, capsys, out, message):
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "pipe.npz")
    refused(capsys, ["classifier", "--data", images, "--out", tmp_path / out], message)


def test_an_unknown_encoder_is_refused(images, tmp_path, capsys):
    words = ["classifier", "--data", images, "--out", tmp_path / "new.npz", "--encoder", "smal"]
    refused(capsys, words, "did you mean 'small'")


def test_nothing_is_written_into_a_data_set(tmp_path, capsys):
    for i, pixels in enumerate(PIXELS):
        write_picture(tmp_path / "set" / f"{i}.png", pixels[None], 1, 1)
    words = ["dataset", tmp_path / "set", "--out", tmp_path / "set" / "contact.png"]
    refused(capsys, words, "is inside the data set")
    words = ["dataset", tmp_path / "set", "--out", tmp_path / "x.png", "--json", tmp_path / "x.png"]
    refused(capsys, words, "x.png: is given for both --out and --json; choose two files")


def test_a_folder_of_the_user_does_not_become_a_run(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text("mine")
    words = ["train", *config(), *bindings(), "--data", "blobs", "--model_dir", tmp_path]
    refused(capsys, words, "already contains metrics.jsonl, which compare_gan would replace; choose another")
    assert (tmp_path / "metrics.jsonl").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "report.html").write_text("mine")
    words = ["few-labels", "--data", "digits", "--quick", "--model_dir", tmp_path]
    refused(capsys, words, "already contains report.html")
    (tmp_path / "run.json").write_text("{}")
    check_run_folder(tmp_path)  # a run


def test_the_digest_of_a_configuration_covers_the_files_that_it_includes(tmp_path):
    (tmp_path / "inner.gin").write_text("options.z_dim = 8\n")
    (tmp_path / "mine.gin").write_text("include 'inner.gin'\ninclude 'small.gin'\n")
    first = config_sha256(tmp_path / "mine.gin")
    assert config_sha256(tmp_path / "inner.gin") == sha256_of(tmp_path / "inner.gin")
    (tmp_path / "inner.gin").write_text("options.z_dim = 9\n")
    assert config_sha256(tmp_path / "mine.gin") != first
    (tmp_path / "inner.gin").write_text("options.z_dim = 8\ninclude 'mine.gin'\n")  # ends, too
    assert config_sha256(tmp_path / "mine.gin") != first
