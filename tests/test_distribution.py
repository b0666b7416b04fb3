"""The sdist and the wheel hold what the library needs, and a wheel runs without the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import compare_gan

ROOT = Path(compare_gan.__file__).parents[1]
SOURCES = ("CHANGELOG.md", "LICENSE", "MANIFEST.in", "NOTICE", "README.md", "pyproject.toml", "compare_gan")

pytestmark = pytest.mark.slow


def build(kind: str, source: Path, out: Path) -> Path:
    """Builds `sdist` or `wheel` from the folder `source`, as pip does but without a build environment."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(out)], cwd=source, check=True, stdout=subprocess.DEVNULL)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    (source / "tests").mkdir()
    (source / "tests" / "test_something.py").touch()  # setuptools adds such files unless they are excluded
    return build("sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the contents of the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def package_files() -> set[str]:
    """Every file of the package in the checkout."""
    files = (path for path in (ROOT / "compare_gan").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    info = f"compare_gan-{compare_gan.__version__}.dist-info"
    assert {name for name in names if not name.startswith(f"{info}/")} == package_files()
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= set(names)
    assert "compare_gan/py.typed" in names


def test_the_sdist_has_the_package_and_what_builds_it(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    assert package_files() | {"CHANGELOG.md", "LICENSE", "NOTICE", "README.md", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith(("benchmarks/", "docs/", "examples/", "tests/"))]


def test_the_console_command_of_the_wheel_is_main(installed):
    (info,) = installed.glob("*.dist-info")
    assert "compare-gan = compare_gan.main:run" in (info / "entry_points.txt").read_text().splitlines()


def test_the_demo_runs_from_the_wheel(installed, tmp_path):
    """The folder of the wheel precedes the checkout on the path, and the demo writes its report."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    where = "import compare_gan; print(compare_gan.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(installed)
    command = [sys.executable, "-m", "compare_gan.main", "demo", "--quick", "--model_dir", "demo"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
    report = (tmp_path / "demo" / "report.html").read_text()
    assert "data:image/png;base64," in report
