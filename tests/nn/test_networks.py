"""How an architecture is registered."""

import pytest

from compare_gan.core import registry
from compare_gan.core.registry import Registry
from compare_gan.nn import networks


def test_a_pair(monkeypatch: pytest.MonkeyPatch):
    architectures, exposed = Registry("architecture"), {}
    monkeypatch.setattr(networks, "ARCHITECTURES", architectures)
    monkeypatch.setattr(registry, "EXPOSED", exposed)
    networks.register_pair("mine", int, str, module="mine_arch")
    assert architectures["mine"] == (int, str)
    assert exposed["mine_arch.Generator"].target is int and exposed["mine_arch.Discriminator"].target is str
