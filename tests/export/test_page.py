"""Pages that draw images: what is embedded, the policy, what is refused before any work."""

import base64
import dataclasses
import functools
import gzip
import hashlib
import io
import json
import tarfile
from html.parser import HTMLParser

import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.outputs import is_ours
from compare_gan.export import onnx_model, ort_web
from compare_gan.export.folder import ExportMetadata
from compare_gan.export.onnx_model import OnnxModel
from compare_gan.export.ort_web import Runtime
from compare_gan.export.page import page
from compare_gan.gans.sampling import describe_prior, gamma, normal
from tests.helpers.commands import refused

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'<!-- $title"
METADATA = ExportMetadata(
    architecture="resnet_small_arch",
    method="S3GAN",
    step=4,
    image_shape=(8, 8, 3),
    z_dim=8,
    num_classes=2,
    class_names=("cat", HOSTILE),
    averaged_weights=True,
    batch_statistics="none",
    heads=(),
    versions={"compare_gan": "1"},
    prior=describe_prior(normal),
)
MODEL = OnnxModel(HOSTILE, b"an ONNX file", METADATA, None)
RUNTIME = Runtime(b"a module", b"WebAssembly")


class Elements(HTMLParser):
    """The elements of a page as (name, attributes, text up to the next tag), and its whole text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text, self.opened = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])
        self.opened = True

    def handle_endtag(self, tag):
        self.opened = False

    def handle_data(self, data):
        self.text += data
        if self.opened:
            self.found[-1][2] += data


@pytest.fixture(scope="module")
def parsed():
    return Elements(page(MODEL, RUNTIME))


@pytest.fixture
def elements(parsed):
    return parsed.found


def one(elements, name, **attributes):
    (found,) = (e for e in elements if e[0] == name and attributes.items() <= e[1].items())
    return found


def test_a_page_contains_generator_and_runtime(elements):
    for name, data in (
        ("model", MODEL.content),
        ("runtime-script", b"a module"),
        ("runtime-wasm", b"WebAssembly"),
    ):
        text = one(elements, "script", id=name)[2]
        assert gzip.decompress(base64.b64decode(text, validate=True)) == data
    about = json.loads(one(elements, "script", id="about")[2])
    assert about["class_names"] == ["cat", HOSTILE] and about["image_shape"] == [8, 8, 3]
    assert about["prior"] == {"name": "normal", "stddev": 1.0, "mean": 0.0}
    assert page(MODEL, RUNTIME) == page(MODEL, RUNTIME)


def test_what_a_page_embeds_is_escaped(elements):
    assert one(elements, "title")[2].strip() == HOSTILE
    assert one(elements, "h1")[2].strip() == HOSTILE
    assert not [e for e in elements if e[0] in ("img", "iframe", "object", "base")]
    assert not [name for e in elements for name in e[1] if name.startswith("on") or name == "style"]


def test_the_policy_allows_the_script_and_the_style_of_the_page_only(elements):
    policy = one(elements, "meta", **{"http-equiv": "Content-Security-Policy"})[1]["content"]
    rules = {name: sources for name, *sources in (rule.split() for rule in policy.split(";"))}
    (script,) = (e[2] for e in elements if e[0] == "script" and "type" not in e[1])
    style = one(elements, "style")[2]
    hashed = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in (script, style)]
    assert rules["script-src"] == [f"'sha256-{hashed[0]}'", "blob:", "'wasm-unsafe-eval'"]
    assert rules["style-src"] == [f"'sha256-{hashed[1]}'"] and rules["img-src"] == ["blob:"]
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == ["'none'"]
    assert not [e for e in elements if "src" in e[1] or e[0] == "link"]


def test_a_page_has_the_licence_of_the_runtime(parsed):
    text = " ".join(parsed.text.split())
    assert f"ONNX Runtime Web {ort_web.VERSION}" in text and "Copyright (c) Microsoft Corporation" in text
    assert "The above copyright notice and this permission notice shall be included" in text


def test_our_pages_and_onnx_files_are_recognised(tmp_path):
    onnx = pytest.importorskip("onnx")
    (tmp_path / "ours.html").write_text(page(MODEL, RUNTIME))
    for name in ("ours", "theirs"):
        graph = onnx.helper.make_graph([], "g", [], [])
        model = onnx.helper.make_model(
            graph, producer_name=onnx_model.PRODUCER if name == "ours" else "other"
        )
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())
    assert is_ours(tmp_path / "ours.html") and is_ours(tmp_path / "ours.onnx")
    assert not is_ours(tmp_path / "theirs.onnx")


def test_latent_vectors_that_a_page_cannot_draw_are_refused():
    prior = describe_prior(functools.partial(gamma, alpha=2.0))
    model = dataclasses.replace(MODEL, metadata=dataclasses.replace(METADATA, prior=prior))
    with pytest.raises(UserError, match="those of this GAN are from gamma; use --onnx"):
        page(model, RUNTIME)


@pytest.fixture
def stub(monkeypatch):
    """A runtime of two short files."""
    files = {ort_web.SCRIPT: RUNTIME.script, ort_web.WASM: RUNTIME.wasm}
    sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    monkeypatch.setattr(ort_web, "SHA256", sha256)
    return files


def write_archive(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_the_runtime_is_read_from_a_folder_and_from_an_archive(stub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="npm pack onnxruntime-web@"):
        ort_web.find(None)
    for name, data in stub.items():
        path = tmp_path / ort_web.FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert ort_web.read(ort_web.find(None)) == RUNTIME
    write_archive(tmp_path / ort_web.ARCHIVE, {"package.json": b"{}", **stub})
    assert ort_web.find(None).name == ort_web.ARCHIVE
    assert ort_web.read(ort_web.find(None)) == RUNTIME


def test_another_runtime_is_refused(stub, tmp_path):
    path = tmp_path / "x.tgz"
    write_archive(path, {**stub, ort_web.WASM: b"other"})
    with pytest.raises(
        UserError, match=r"its dist/ort-wasm.* is not that of onnxruntime-web .*SHA-256 differs"
    ):
        ort_web.read(path)
    write_archive(path, {ort_web.SCRIPT: b"a module"})
    with pytest.raises(UserError, match="has no dist/ort-wasm"):
        ort_web.read(path)
    path.write_bytes(b"not gzip")
    with pytest.raises(UserError, match="not a folder or .tgz archive"):
        ort_web.read(path)
    path.write_bytes(gzip.compress(b"x" * 2000)[:-4])
    with pytest.raises(UserError, match="not a folder or .tgz archive|has no"):
        ort_web.read(path)


def test_errors_are_one_line_before_any_work(stub, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.html").write_text("mine")
    run = ["export", tmp_path / "run"]
    refused(capsys, [*run, "--onnx", "x.txt"], "x.txt: --onnx must end in .onnx")
    refused(capsys, [*run, "--page", "x.onnx"], "x.onnx: --page must end in .html")
    refused(capsys, [*run, "--onnx", "x.onnx", "--ort_web", "y"], "--ort_web is for --page")
    refused(capsys, [*run, "--page", "mine.html"], "compare_gan did not write it")
    monkeypatch.setattr(onnx_model, "NEEDED", ("jax2onnx_missing",))
    for option, name in (("--onnx", "x.onnx"), ("--page", "x.html")):
        refused(
            capsys,
            [*run, option, name],
            "needs jax2onnx_missing; run `pip install --no-deps jax2onnx` and `pip",
        )
    monkeypatch.setattr(onnx_model, "NEEDED", ("json",))
    refused(capsys, [*run, "--page", "x.html"], f"npm pack onnxruntime-web@{ort_web.VERSION}")
    refused(
        capsys, [*run, "--page", "x.html", "--ort_web", "none.tgz"], "none.tgz: does not exist; run `npm pack"
    )
    refused(capsys, [*run, "--onnx", "x.onnx"], "not a run folder")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.html"]
