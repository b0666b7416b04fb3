"""Reads the files of onnxruntime-web, an npm package that runs ONNX files in browsers, for pages."""

import hashlib
import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_bytes, regular

VERSION = "1.30.0"
ARCHIVE, FOLDER = f"onnxruntime-web-{VERSION}.tgz", "node_modules/onnxruntime-web"
SCRIPT, WASM = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
SHA256 = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
MAX_FILE_BYTES = 2**25
GET = f"run `npm pack onnxruntime-web@{VERSION}`, which downloads {ARCHIVE}"


class Runtime(NamedTuple):
    """onnxruntime-web with its WebAssembly backend."""

    script: bytes  # a JavaScript module
    wasm: bytes


def find(path: Path | None) -> Path:
    """The folder or archive of the package: `path`, or one of the usual names in the current folder.

    Raises:
      UserError: there is none.
    """
    if path is None:
        found = next((each for each in map(Path, (ARCHIVE, FOLDER)) if each.exists()), None)
        if found is None:
            raise UserError(f"--page needs onnxruntime-web {VERSION}: {GET}, here, or give its --ort_web")
        return found
    if not path.exists():
        raise UserError(f"{path}: does not exist; {GET}")
    return path


def read(path: Path) -> Runtime:
    """Reads the folder or the .tgz archive of the package, and checks the SHA-256 of both files.

    Raises:
      UserError: a file is missing, or is not that of version `VERSION`.
    """
    files = _from_folder(path) if path.is_dir() else _from_archive(path)
    for name, expected in SHA256.items():
        if name not in files:
            raise UserError(f"{path}: has no {name}, so it is not onnxruntime-web {VERSION}; {GET}")
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise UserError(
                f"{path}: its {name} is not that of onnxruntime-web {VERSION} (SHA-256 differs); {GET}"
            )
    return Runtime(files[SCRIPT], files[WASM])


def _from_folder(path: Path) -> dict[str, bytes]:
    return {name: read_bytes(path / name, MAX_FILE_BYTES) for name in SHA256 if (path / name).exists()}


def _from_archive(path: Path) -> dict[str, bytes]:
    """Reads one member at a time, and none that is too large."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(regular(path), "r:gz") as archive:
            for member in archive:
                name = member.name.removeprefix("package/")
                if name in SHA256 and member.isfile() and member.size <= MAX_FILE_BYTES:
                    file = archive.extractfile(member)
                    assert file is not None  # a regular file
                    found[name] = file.read()
                if len(found) == len(SHA256):
                    break
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{path}: not a folder or .tgz archive of npm ({error}); {GET}") from None
    return found
