"""The examples in the docstrings of public names."""

import dataclasses
import doctest
import functools
import inspect

import jax
import numpy as np
import pytest

import compare_gan as cg

SLOW = {"Run", "StudyResult", "infer_labels", "open_run", "open_sampler", "study", "train", "train_step"}
GLOBALS = {"cg": cg, "dataclasses": dataclasses, "functools": functools, "jax": jax, "np": np}


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
            for test in finder.find(item, full, globs=GLOBALS):
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


def test_every_public_name_has_an_example():
    without = [
        name
        for name in cg.__all__
        if name != "__version__" and ">>>" not in inspect.getdoc(getattr(cg, name))
    ]
    assert not without
