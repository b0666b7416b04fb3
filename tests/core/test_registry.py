"""Names, mistyped names, and files that register themselves."""

import sys

import pytest

import compare_gan.losses
from compare_gan.core import registry
from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import LOSSES, Registry, expose, load_siblings


@pytest.fixture(autouse=True)
def exposed(monkeypatch):
    """What a test exposes is gone after it."""
    monkeypatch.setattr(registry, "EXPOSED", dict(registry.EXPOSED))
    return registry.EXPOSED


def test_a_registered_thing_is_found_and_unchanged(exposed):
    shelf = Registry("fruit")

    def apple():
        return 1

    assert shelf.register("apple", module="orchard")(apple) is apple
    shelf.register("pear")("not callable")
    assert shelf["apple"] is apple and shelf["pear"] == "not callable"
    assert "apple" in shelf and "plum" not in shelf
    assert list(shelf) == ["apple", "pear"]
    assert exposed["orchard.apple"].target is apple
    assert not any(key.endswith(".pear") for key in exposed)


def test_an_unknown_name():
    shelf = Registry("fruit")
    shelf.register("apple")(1)
    shelf.register("pear")(2)
    with pytest.raises(UserError, match="unknown fruit 'aple'; did you mean 'apple'?"):
        shelf["aple"]
    with pytest.raises(UserError, match="unknown fruit 'zzz'; known: apple, pear"):
        shelf["zzz"]
    assert did_you_mean("x", []) == "; known: "
    assert did_you_mean("x", [f"{i:02}" for i in range(40)]).endswith(", 28, 29 and 10 more")


def test_a_name_is_given_once(exposed):
    shelf = Registry("fruit")
    shelf.register("apple", module="orchard")(len)
    with pytest.raises(ValueError, match="fruit 'apple' is registered twice"):
        shelf.register("apple")(len)
    with pytest.raises(ValueError, match=r"orchard\.apple is exposed twice"):
        expose("apple", module="orchard")(max)
    assert exposed["orchard.apple"].target is len


def test_a_new_file_registers_itself(tmp_path, monkeypatch):
    (tmp_path / "brand_new.py").write_text(
        "from compare_gan.core.registry import LOSSES\n"
        "from compare_gan.core.types import LossPair\n"
        "@LOSSES.register('brand_new')\n"
        "def brand_new(real_logits, fake_logits):\n"
        "    return LossPair(real_logits.mean(), fake_logits.mean())\n"
    )
    (tmp_path / "_private.py").write_text("raise RuntimeError('not to be loaded')\n")
    monkeypatch.setattr(LOSSES, "_items", dict(LOSSES._items))
    monkeypatch.setattr(compare_gan.losses, "__path__", [*compare_gan.losses.__path__, str(tmp_path)])
    try:
        load_siblings("compare_gan.losses")
        assert LOSSES["brand_new"].__module__ == "compare_gan.losses.brand_new"
    finally:
        sys.modules.pop("compare_gan.losses.brand_new", None)
        vars(compare_gan.losses).pop("brand_new", None)


@pytest.mark.parametrize(
    ("family", "typo", "meant"),
    [
        ("LOSSES", "hing", "hinge"),
        ("PENALTIES", "wgan_penalty", "wgangp_penalty"),
        ("ARCHITECTURES", "resnet_cifar", "resnet_cifar_arch"),
        ("GAN_METHODS", "SGAN", "SSGAN"),
        ("TASKS", "Rotate", "Rotation"),
    ],
)
def test_every_family_knows_what_was_meant(family, typo, meant):
    for package in ("losses", "penalties", "architectures", "gans", "tasks"):
        __import__(f"compare_gan.{package}")
    with pytest.raises(UserError, match=f"did you mean '{meant}'"):
        getattr(registry, family)[typo]
