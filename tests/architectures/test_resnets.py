"""resnet5, resnet30 and resnet_stl: what their recorded numbers do not show."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.architectures import resnet5, resnet30, resnet_stl
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec
from compare_gan.nn import norms
from compare_gan.nn.networks import NetSpec
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions
from compare_gan.nn.rescale import average_pool
from compare_gan.nn.state import net_state

SIDES = {resnet5: 64, resnet30: 128, resnet_stl: 48}


def networks(module, side, g_options=None, d_options=None, **widths):
    """The two networks without their arrays."""
    spec, widths = ImageSpec((side, side, 3)), {"ch": 2} | widths
    g_options, d_options = g_options or GeneratorOptions(), d_options or DiscriminatorOptions()

    def make(kind, z_dim, options):
        net = NetSpec(spec, z_dim, 0, options)
        return nnx.eval_shape(lambda: kind(net, rngs=nnx.Rngs(0), **widths))

    return make(module.Generator, 6, g_options), make(module.Discriminator, 0, d_options)


@pytest.mark.parametrize(
    ("module", "made"),
    [(resnet5, "4x4, 8x8, 16x16, 32x32, 64x64 or 128x128"), (resnet30, "128x128"), (resnet_stl, "48x48")],
)
def test_sizes_are_named_where_the_size_is_wrong(module, made):
    with pytest.raises(
        UserError, match=f"makes {made} images, the data set has 40x40; resize .*--image_size"
    ):
        networks(module, 40)


def test_channels_of_resnet5_are_multiples_of_ch():
    channels = [3, 2, 2, 1, 1, 1]
    g, d = networks(resnet5, 32, ch=4, channels=channels)
    for network in (g, d):
        assert [block.conv1.kernel.shape[2:] for block in network.blocks] == [
            (4 * c_in, 4 * c_out) for c_in, c_out in zip(channels[:-1], channels[1:], strict=True)
        ]
    with pytest.raises(UserError, match=r"resnet5.Generator.channels has 2 entries; give 6"):
        networks(resnet5, 32, channels=(2, 1))


@pytest.mark.parametrize(("side", "doublings"), [(4, 0), (16, 2), (128, 5)])
def test_resnet5_doubles_the_image_as_often_as_it_must(side, doublings):
    g, d = networks(resnet5, side)
    assert [block.shortcut.scale for block in g.blocks] == ["up"] * doublings + ["none"] * (5 - doublings)
    assert [block.shortcut.scale for block in (d.color_block, *d.blocks)] == ["down"] * 6


def test_resnet30_changes_size_and_width_together():
    for network, scale in zip(networks(resnet30, 128, ch=1), ("up", "down"), strict=True):
        widths = [block.conv1.kernel.shape[2:] for block in network.blocks]
        assert len(widths) == 35
        assert {width for width in widths if width[0] != width[1]} == {
            (2**i, 2 ** (i + 1)) if scale == "down" else (2 ** (i + 1), 2**i) for i in range(5)
        }
        changes = [block.shortcut.scale for block in network.blocks]
        assert [i for i, change in enumerate(changes) if change == scale] == [5, 11, 17, 23, 29]


@pytest.mark.parametrize("module", SIDES)
def test_which_layers_spectral_norm_reaches(module, monkeypatch):
    monkeypatch.setattr(resnet30, "BLOCKS", 1)  # in each group
    g, d = networks(
        module,
        SIDES[module],
        GeneratorOptions(norms.self_modulated_batch_norm, spectral_norm=True),
        DiscriminatorOptions(spectral_norm=True),
    )
    free = {"fc_noise", "final_conv", "color_conv"}
    for network in (g, d):
        state = net_state(network)
        assert state.params.keys() - state.extra.keys() == free & state.params.keys()
        layers = [layer for block in network.blocks for layer in (block.shortcut, block.conv1, block.conv2)]
        assert all(layer.u is not None for layer in layers)
    assert g.blocks[0].bn1.hidden.u is not None


@pytest.mark.parametrize("module", SIDES)
def test_layer_norm_is_in_every_block_of_the_discriminator(module):
    _, d = networks(module, SIDES[module], d_options=DiscriminatorOptions(layer_norm=True))
    assert not any(block.ln1 is None or block.ln2 is None for block in d.blocks)


def test_average_pool_of_an_odd_image_takes_what_there_is_of_the_last_squares():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_allclose(average_pool(x)[0, :, :, 0], [[2, 3.5], [6.5, 8]])
    np.testing.assert_array_equal(average_pool(x[:, :1, :1]), x[:, :1, :1])
