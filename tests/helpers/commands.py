"""Words for the command line: small configurations, and mistakes that must be one line."""

from pathlib import Path

from compare_gan.main import main

CONFIGS = Path(__file__).parents[2] / "compare_gan" / "configs"
TINY = [
    "options.batch_size = 8",
    "options.z_dim = 8",
    "resnet_small.Generator.ch = 4",
    "resnet_small.Discriminator.ch = 4",
    "weights.initializer = 'normal'",  # orthogonal kernels take seconds to compile
]


def bindings(*more: str) -> list[str]:
    """Options that make the networks of `config` tiny, and set what else is asked for."""
    return [word for line in (*TINY, *more) for word in ("--gin_bindings", line)]


def config(method: str = "no_labels") -> list[str]:
    """Options that name the packaged configuration of a method at its small size."""
    files = (CONFIGS / "small.gin", CONFIGS / "methods" / f"{method}.gin")
    return [word for path in files for word in ("--gin_config", str(path))]


def refused(capsys, words, *expected: str) -> None:
    """The command ends with code 2 and one line that contains what is expected."""
    try:
        code = main([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("compare-gan: ") and captured.err.count("\n") == 1, captured.err
    for word in expected:
        assert word in captured.err
    assert not captured.out
