"""The examples in the docstrings of public names."""

import doctest
import inspect

import pytest

import compare_gan as cg

SLOW = {"infer_labels", "train"}


def examples() -> list:
    finder = doctest.DocTestFinder(recurse=False)
    found = []
    for name in cg.__all__:
        part = getattr(cg, name)
        owned = {name: part}
        if inspect.isclass(part):
            owned |= {f"{name}.{method}": f for method, f in vars(part).items() if inspect.isfunction(f)}
        if inspect.ismodule(part):
            functions = inspect.getmembers(part, inspect.isfunction)
            owned |= {f"{name}.{key}": f for key, f in functions if f.__module__ == part.__name__}
        for full, item in owned.items():
            if full.rpartition(".")[2].startswith("_") or not inspect.getdoc(item):
                continue
            for test in finder.find(item, full, globs={"cg": cg}):
                if test.examples:
                    marks = [pytest.mark.slow] if full.partition(".")[0] in SLOW else []
                    found.append(pytest.param(test, id=full, marks=marks))
    return found


@pytest.mark.parametrize("test", examples())
def test_examples_in_docstrings_run(test, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=output.append)
    assert not runner.failures, "".join(output)
