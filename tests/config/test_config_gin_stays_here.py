"""Only `compare_gan.config` imports gin."""

import ast
from pathlib import Path

import compare_gan

ROOT = Path(compare_gan.__file__).parent


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_only_the_config_package_imports_gin():
    with_gin = {path for path in ROOT.rglob("*.py") if "gin" in imported(path)}
    assert with_gin
    assert {path.parent for path in with_gin} == {ROOT / "config"}
