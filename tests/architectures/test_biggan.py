"""BigGAN and BigGAN-deep: sizes as published, and what configurations may say of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.architectures import resnet_biggan, resnet_biggan_deep
from compare_gan.config.parse import parse
from compare_gan.core.errors import UserError
from compare_gan.core.origin import warn_once
from compare_gan.core.types import Cond, ImageSpec
from compare_gan.nn import norms
from compare_gan.nn.networks import NetSpec
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers, Weights
from compare_gan.nn.state import merge_module, net_state

IMAGENET = """
dataset.name = 'imagenet_128'
options.gan_class = @ModularGAN
options.batch_size = 8
options.training_steps = 1
ModularGAN.conditional = True
G.batch_norm_fn = @conditional_batch_norm
G.spectral_norm = True
D.spectral_norm = True
spectral_norm.singular_value = 'auto'
standardize_batch.use_moving_averages = False
"""
LAYERS = Layers(weights=Weights(stddev=0.3))
PAIRS = {"resnet_biggan": resnet_biggan, "resnet_biggan_deep": resnet_biggan_deep}
SIDES = (32, 64, 128, 256, 512)


def gan(architecture, side, classes, *bindings, z_dim=120):
    lines = [f"options.architecture = '{architecture}_arch'", f"options.z_dim = {z_dim}", *bindings]
    return parse([], [*IMAGENET.strip().splitlines(), *lines]).gan(ImageSpec((side, side, 3), classes))


def abstract(gan):
    return nnx.eval_shape(lambda: gan.generator(nnx.Rngs(0))), gan.abstract_d


def parameters(network):
    return sum(leaf.size for leaf in jax.tree.leaves(net_state(network).params))


@pytest.mark.parametrize(
    ("architecture", "side", "z_dim", "attention", "expected"),
    [
        ("resnet_biggan", 128, 120, ("B4", "B1"), (70_433_988, 87_982_370)),
        ("resnet_biggan", 256, 140, ("B5", "B2"), (82_097_604, 98_635_298)),
        ("resnet_biggan", 512, 160, ("B4", "B3"), (82_468_068, 98_801_378)),
        ("resnet_biggan_deep", 128, 128, None, (50_244_484, 34_590_210)),
    ],
)
def test_parameters_for_imagenet(architecture, side, z_dim, attention, expected):
    """As compare_gan's own tests count them."""
    owners = ("Generator", "Discriminator")
    bindings = [
        f"{architecture}.{owner}.blocks_with_attention = '{names}'"
        for owner, names in zip(owners, attention or (), strict=bool(attention))
    ]
    made = gan(architecture, side, 1000, *bindings, z_dim=z_dim)
    assert tuple(parameters(network) for network in abstract(made)) == expected


def generator(name, side=32, z_dim=12, y_dim=0, ch=2, norm=None, **given):
    net = NetSpec(ImageSpec((side, side, 3)), z_dim, y_dim, GeneratorOptions(norm), LAYERS)
    return lambda: PAIRS[name].Generator(net, ch=ch, rngs=nnx.Rngs(0), **given)


def discriminator(name, side=32, y_dim=0, ch=2, project_y=False, **given):
    net = NetSpec(ImageSpec((side, side, 3)), 0, y_dim, DiscriminatorOptions(), LAYERS)
    return lambda: PAIRS[name].Discriminator(net, ch=ch, project_y=project_y, rngs=nnx.Rngs(1), **given)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("side", SIDES)
def test_all_sizes_come_out_right(name, side):
    z = jnp.zeros((2, 4 * 5 * 6 * 7))
    images = jax.eval_shape(lambda: generator(name, side, z.shape[1])()(Cond(z, None, True)))
    assert images.shape == (2, side, side, 3)
    out = jax.eval_shape(lambda x: discriminator(name, side)()(x, Cond(train=True)), images)
    assert out.logits.shape == (2,)
    assert out.features.shape == (2, nnx.eval_shape(discriminator(name, side)).feature_dim)


@pytest.mark.parametrize("name", PAIRS)
def test_other_sizes_are_refused(name):
    for make in (generator(name, 48), discriminator(name, 16)):
        with pytest.raises(UserError, match=f"{name}_arch makes 32x32, .* or 512x512 images"):
            nnx.eval_shape(make)


@pytest.mark.parametrize("name", PAIRS)
def test_without_labels_there_is_nothing_to_embed_or_to_project(name):
    assert nnx.eval_shape(generator(name)).embed_y is None
    with pytest.raises(UserError, match=rf"{name}\.Discriminator\.project_y needs labels; set it to False"):
        nnx.eval_shape(discriminator(name, project_y=True))


def test_attention_stands_where_a_configuration_says():
    made = nnx.eval_shape(generator("resnet_biggan", 64, 15, ch=4, blocks_with_attention="B3, B4"))
    assert made.attention.after == (False, False, True, True)
    assert [block.theta.kernel.shape[2] for block in made.attention.blocks] == [8, 16]
    shared = nnx.eval_shape(generator("resnet_biggan", ch=4, blocks_with_attention="B1,B3"))
    assert (shared.attention.after, len(shared.attention.blocks)) == ((True, False, True), 1)
    none = nnx.eval_shape(discriminator("resnet_biggan", blocks_with_attention=""))
    assert not any(none.attention.after) and not none.attention.blocks


@pytest.mark.parametrize(
    ("names", "ignored", "after"),
    [("B5", "B5", ()), ("b1", "b1", ()), ("B1;B2", "B1;B2", ()), ("B0,B3,B7", "B0, B7", (2,))],
)
def test_names_that_no_block_has_are_ignored_with_a_warning(names, ignored, after, caplog):
    warn_once.cache_clear()
    for _ in range(2):
        made = nnx.eval_shape(discriminator("resnet_biggan", blocks_with_attention=names))
    assert made.attention.after == tuple(block in after for block in range(4))
    assert caplog.messages == [
        f"resnet_biggan.Discriminator.blocks_with_attention is {names!r}; ignored {ignored}: for images of "
        "this size the blocks are B1, B2, B3, B4, separated by commas"
    ]


def test_the_default_attention_of_larger_images_is_left_out_of_small_ones(caplog):
    assert nnx.eval_shape(generator("resnet_biggan", 32)).attention.after == (False,) * 3
    assert nnx.eval_shape(generator("resnet_biggan", 128)).attention.after[3]
    assert not caplog.messages


@pytest.mark.parametrize(
    ("side", "in_g", "in_d"),
    [(32, None, None), (64, 8, None), (128, 8, 2), (256, 8, 4), (512, 8, 6)],
)
def test_deep_networks_attend_at_64_pixels(side, in_g, in_d):
    for make, before in ((generator, in_g), (discriminator, in_d)):
        trunk = nnx.eval_shape(make("resnet_biggan_deep", side, ch=8)).trunk
        assert (trunk.attention is None) == (before is None)
        assert before in (None, trunk.before)


def test_a_discriminator_block_has_a_shortcut_where_its_width_changes():
    """In 128 pixel networks the last block has none."""
    blocks = nnx.eval_shape(discriminator("resnet_biggan", 128)).blocks
    assert [block.shortcut is not None for block in blocks] == [True] * 5 + [False]
    assert [block.conv2.scale for block in blocks] == ["down"] * 5 + ["none"]


def test_a_configuration_may_take_the_shortcuts_from_the_generator():
    generator, discriminator = abstract(
        gan("resnet_biggan", 128, 10, "BigGanResNetBlock.add_shortcut = False")
    )
    assert all(block.shortcut is None for block in generator.blocks)
    assert discriminator.backbone.blocks[0].shortcut is not None
    assert gan("resnet_biggan", 128, 10, "BigGanResNetBlock.add_shortcut = True") == gan(
        "resnet_biggan", 128, 10
    )


def test_chunks_of_z_have_one_length():
    with pytest.raises(
        UserError, match="options.z_dim is 10; with hierarchical_z it must be a multiple of 4"
    ):
        nnx.eval_shape(generator("resnet_biggan", z_dim=10))
    flat = nnx.eval_shape(generator("resnet_biggan", z_dim=10, hierarchical_z=False))
    assert flat.fc_noise.kernel.shape[0] == 10
    assert nnx.eval_shape(generator("resnet_biggan", z_dim=12)).fc_noise.kernel.shape[0] == 3


@pytest.mark.parametrize("hierarchical", [True, False])
@pytest.mark.parametrize("embed_y", [True, False])
def test_what_conditions_a_block_of_biggan(hierarchical, embed_y):
    norm, given = norms.conditional_batch_norm, dict(hierarchical_z=hierarchical, embed_y=embed_y)
    made = nnx.eval_shape(generator("resnet_biggan", z_dim=12, y_dim=5, norm=norm, embed_y_dim=7, **given))
    assert made.blocks[0].bn1.gamma.kernel.shape[0] == (7 if embed_y else 5) + (3 if hierarchical else 0)


def test_z_and_label_condition_every_block_of_biggan_deep():
    """A norm that answers to z alone gets the label with it, as in compare_gan."""
    for norm, layer in ((norms.conditional_batch_norm, "gamma"), (norms.self_modulated_batch_norm, "hidden")):
        made = nnx.eval_shape(generator("resnet_biggan_deep", z_dim=12, y_dim=5, norm=norm, embed_y_dim=7))
        assert made.fc_noise.kernel.shape[0] == 12 + 7
        assert getattr(made.trunk.blocks[3].conv2.norm, layer).kernel.shape[0] == 12 + 7


def test_embeddings_have_a_bias_if_asked_for_and_are_never_spectrally_normalised():
    bindings = ["embed_z = True", "embed_bias = True"]
    made, _ = abstract(
        gan("resnet_biggan", 32, 10, *(f"resnet_biggan.Generator.{line}" for line in bindings))
    )
    for layer in (made.embed_z, made.embed_y):
        assert layer.bias is not None and layer.u is None
    plain, _ = abstract(gan("resnet_biggan", 32, 10))
    assert plain.embed_y.bias is None and plain.embed_y.kernel.shape == (10, 128)


def test_the_fast_last_convolution_keeps_its_first_channels():
    fast = generator("resnet_biggan_deep", experimental_fast_conv_to_rgb=True)()
    slow = generator("resnet_biggan_deep")()
    wide, extra = net_state(fast).params, net_state(fast).extra
    assert wide["to_image"]["final_conv"]["kernel"].shape == (3, 3, 8, 128)
    convolution = {name: value[..., :3] for name, value in wide["to_image"]["final_conv"].items()}
    narrow = wide | {"to_image": wide["to_image"] | {"final_conv": convolution}}
    cond = Cond(np.random.RandomState(0).standard_normal((2, 12)).astype(np.float32), None, False)

    def images(network, params):
        return jax.jit(lambda params, extra: merge_module(nnx.graphdef(network), params, extra)(cond))(
            params, extra
        )

    np.testing.assert_allclose(images(fast, wide), images(slow, narrow), atol=1e-6)
