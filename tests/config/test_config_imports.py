"""Which modules a configuration may import."""

import sys

import pytest

from compare_gan.config.parse import parse
from compare_gan.core.errors import UserError

GOOD = """
dataset.name = "cifar10"
options.architecture = "resnet_cifar_arch"
options.batch_size = 8
options.gan_class = @ModularGAN
options.training_steps = 10
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A package `recorded` with a submodule; importing it is visible in `sys.modules`."""
    (tmp_path / "recorded").mkdir()
    (tmp_path / "recorded" / "__init__.py").touch()
    (tmp_path / "recorded" / "inner.py").touch()
    (tmp_path / "other_recorded.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ran():
        del sys.modules[name]


def ran() -> list[str]:
    return [name for name in sys.modules if "recorded" in name]


def refusal(files, bindings=(), allow_imports=()) -> str:
    with pytest.raises(UserError) as error:
        parse(files, bindings, allow_imports)
    assert len(str(error.value).splitlines()) == 1 and not ran()
    return str(error.value)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("import recorded", "recorded"),
        ("import recorded.inner", "recorded.inner"),
        ("import recorded as harmless", "recorded"),
        ("from recorded import inner", "recorded.inner"),
        ("from recorded import inner as harmless", "recorded.inner"),
        ("import compare_gan_recorded", "compare_gan_recorded"),
    ],
)
def test_a_module_that_is_not_allowed_is_named_and_not_imported(module, statement, name):
    path = module / "run.gin"
    path.write_text(f"{GOOD}{statement}\n")
    error = refusal([path])
    assert error.startswith(f"{path}:7: the configuration imports {name}, which")
    assert error.endswith(f"`--allow_imports {name}`")


def test_all_refused_modules_are_named_also_those_of_included_files_and_bindings(module):
    (module / "inner.gin").write_text("import recorded.inner\nimport recorded.inner\n")
    (module / "run.gin").write_text(f"{GOOD}include 'inner.gin'\nloss.fn = @recorded.loss\n")
    error = refusal([module / "run.gin"], ["import other_recorded"])
    assert error.startswith(f"{module / 'inner.gin'}:1: ")
    assert error.endswith("`--allow_imports recorded.inner other_recorded`")


def test_a_reference_never_imports_its_module(module):
    error = refusal([], [GOOD, "loss.fn = @recorded.loss"], None)
    assert error.startswith("binding 'loss.fn = @recorded.loss': nothing is named 'recorded.loss'")


@pytest.mark.parametrize(
    ("allow_imports", "statement"),
    [
        (["recorded"], "import recorded"),
        (["recorded"], "import recorded.inner"),
        (["other", "recorded.inner"], "from recorded import inner"),
        (None, "import recorded.inner"),
    ],
)
def test_an_allowed_module_is_imported_with_its_submodules(module, allow_imports, statement):
    parsed = parse([], [GOOD, statement], allow_imports)
    assert "recorded" in ran() and parsed.operative_config.startswith(f"{statement}\n")


def test_only_whole_names_are_allowed(module):
    assert "imports recorded," in refusal([], [GOOD, "import recorded"], ["recorded.inner", "record"])


def test_the_modules_of_the_library_are_always_allowed():
    text = f"{GOOD}import compare_gan.losses.standard\nfrom compare_gan.losses import standard\n"
    assert parse([], [text], allow_imports=()).options == parse([], [GOOD]).options
