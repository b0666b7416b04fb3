"""Where the weights of the Inception network are looked for, and how they are fetched."""

import dataclasses
import functools
import hashlib
import http.server
import threading

import pytest

from compare_gan.core.download import download
from compare_gan.core.errors import UserError
from compare_gan.core.files import sha256_of
from compare_gan.features import public

CONTENT = bytes(range(256)) * 9000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Neither the user's files nor the internet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("COMPARE_GAN_INCEPTION", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    url = (tmp_path / public.INCEPTION.names[0]).as_uri()
    monkeypatch.setattr(public, "INCEPTION", dataclasses.replace(public.INCEPTION, url=url, sha256=SHA256))


@pytest.fixture
def served(tmp_path):
    """The URL of a server with a single file, `weights.pth`."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "weights.pth").write_bytes(CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def send_header(self, keyword, value):
            more = 10 if keyword == "Content-Length" and "cut" in self.path else 0
            super().send_header(keyword, str(int(value) + more) if more else value)

    handler = functools.partial(Handler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_is_downloaded_completely(served, tmp_path):
    path = tmp_path / "deep" / "er" / "x.pth"
    download(f"{served}/weights.pth", SHA256, path)
    assert path.read_bytes() == CONTENT and list(path.parent.iterdir()) == [path]


def test_the_wrong_file_is_not_kept(served, tmp_path):
    with pytest.raises(UserError, match=f"unexpected content .SHA-256 {SHA256}.; .*SHA-256 {'0' * 64}"):
        download(f"{served}/weights.pth", "0" * 64, tmp_path / "into" / "x.pth")
    assert not list((tmp_path / "into").iterdir())


@pytest.mark.parametrize("url", ["{served}/missing.pth", "http://127.0.0.1:1/x", "file:///no/such/file"])
def test_without_the_file_the_error_gives_instructions(served, tmp_path, url):
    path = tmp_path / "x.pth"
    with pytest.raises(UserError) as error:
        download(url.format(served=served), SHA256, path, ", or sing")
    words = str(error.value)
    assert "cannot be downloaded (" in words and words.endswith(
        f"put it at {path} (SHA-256 {SHA256}), or sing"
    )
    assert "\n" not in words and not path.exists()


def test_the_file_is_downloaded_once(served, monkeypatch, tmp_path):
    file = dataclasses.replace(public.INCEPTION, url=f"{served}/weights.pth")
    path = file.path()
    assert path == tmp_path / "cache" / "compare_gan" / "weights.pth" and path.read_bytes() == CONTENT
    (tmp_path / "served" / "weights.pth").unlink()
    assert file.path() == path


def test_the_pytorch_cache_is_found(monkeypatch, tmp_path):
    for home in (tmp_path / "cache" / "torch", tmp_path / "mine"):
        path = home / "hub" / "checkpoints" / public.INCEPTION.names[1]
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
        assert public.INCEPTION.path() == path
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "mine"))
        path.unlink() if home.name == "torch" else path.write_bytes(CONTENT[1:])
    with pytest.raises(UserError, match="damaged, its SHA-256 is .*; delete it"):
        public.INCEPTION.path()


def test_the_cache_of_clip_is_found(tmp_path, served):
    file = dataclasses.replace(public.CLIP_VITL14_336, sha256=SHA256)
    path = tmp_path / "cache" / "clip" / "ViT-L-14-336px.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert file.path() == path


def test_without_a_known_hash_only_the_size_is_checked(served, tmp_path):
    file = public.PublicFile("any", f"{served}/weights.pth", None)
    assert file.path().read_bytes() == CONTENT
    with pytest.raises(
        UserError, match=f"ended after {len(CONTENT)} of {len(CONTENT) + 10} bytes; try again, or"
    ):
        download(f"{served}/weights.pth?cut", None, tmp_path / "into" / "x.pth")
    assert not list((tmp_path / "into").iterdir())


def test_the_environment_variable_takes_precedence(monkeypatch, tmp_path):
    mine = tmp_path / "mine.safetensors"
    monkeypatch.setenv("COMPARE_GAN_INCEPTION", str(mine))
    with pytest.raises(UserError, match="COMPARE_GAN_INCEPTION is '.*mine.safetensors', which is not a file"):
        public.INCEPTION.path()
    mine.write_bytes(b"any")
    assert public.INCEPTION.path() == mine


def test_offline_the_error_gives_the_path(tmp_path):
    with pytest.raises(UserError) as error:
        public.INCEPTION.path()
    words = str(error.value)
    assert f"put it at {tmp_path}/cache/compare_gan/{public.INCEPTION.names[0]} (SHA-256 {SHA256})" in words
    assert words.endswith("or set $COMPARE_GAN_INCEPTION to a weights file") and "\n" not in words


def test_the_name_of_the_public_file_contains_its_hash(monkeypatch):
    monkeypatch.undo()
    assert all(public.INCEPTION.sha256[:8] in name for name in public.INCEPTION.names)
    assert public.CLIP_VITL14_336.sha256 in public.CLIP_VITL14_336.url


def test_hashes(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    assert sha256_of(tmp_path / "x") == SHA256
