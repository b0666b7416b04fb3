"""What holds for every architecture that is registered, at a width of a few channels."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import compare_gan.architectures  # noqa: F401  (registers them)
from compare_gan.core.errors import UserError
from compare_gan.core.registry import ARCHITECTURES
from compare_gan.core.types import Cond, ImageSpec
from compare_gan.nn import norms
from compare_gan.nn.networks import NetSpec
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers, Weights
from compare_gan.nn.state import merge_module, net_state
from tests.helpers.tiers import slow_unless

pytestmark = pytest.mark.usefixtures("shallow_resnet30")
BATCH, Z, CLASSES, WIDTH = 3, 60, 4, 4
SAME, CHANGED = 1e-6, 1e-5  # pixels: rounding, and well above it
LAYERS = Layers(weights=Weights(stddev=0.3))
SIDES = (4, 8, 16, 28, 30, 32, 48, 64, 128)
NORMS = (norms.batch_norm, norms.conditional_batch_norm, norms.no_batch_norm)
WITHOUT_NORM = ["r3gan_arch"]
WITHOUT_D_NORM = ["resnet_small_arch", "sndcgan_arch", *WITHOUT_NORM]
WITHOUT_CONDITION = ["infogan_arch"]  # its generator's norms are plain, whatever is asked for
LABEL_BESIDE_Z = ["resnet_biggan_deep_arch", "r3gan_arch"]  # what gets z gets the label too
DEEP = ["resnet30_arch", "resnet_biggan_deep_arch"]
PROJECTING = ["resnet_biggan_arch", "resnet_biggan_deep_arch"]  # by default


def networks(name, spec, norm=None, y_dim=0, spectral_norm=False, **d_options):
    """Functions that make the two networks."""
    make_g, make_d = ARCHITECTURES[name]
    g_options = GeneratorOptions(batch_norm_fn=norm, spectral_norm=spectral_norm)
    d_options = DiscriminatorOptions(spectral_norm=spectral_norm, **d_options)
    given = {"project_y": False} if name in PROJECTING and not y_dim else {}
    g_net, d_net = NetSpec(spec, Z, y_dim, g_options, LAYERS), NetSpec(spec, 0, y_dim, d_options, LAYERS)
    return (
        lambda: make_g(g_net, ch=WIDTH, rngs=nnx.Rngs(0)),
        lambda: make_d(d_net, ch=WIDTH, rngs=nnx.Rngs(1), **given),
    )


def fits(name, side):
    try:
        nnx.eval_shape(networks(name, ImageSpec((side, side, 3)))[0])
    except UserError:
        return False
    return True


@functools.cache
def sides(name):
    return [side for side in SIDES if fits(name, side)]


def drawn(make):
    """A network's definition, and random arrays for it."""
    abstract, rng = nnx.eval_shape(make), np.random.RandomState(0)

    def draw(x):
        normal = rng.standard_normal(x.shape)  # positive where it may be a variance
        return jnp.asarray(np.abs(normal) if x.ndim == 1 else 2 * normal / np.sqrt(np.prod(x.shape[:-1])))

    state = jax.tree.map(lambda x: draw(x).astype(x.dtype), net_state(abstract))
    return nnx.graphdef(abstract), state


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_shapes(name):
    assert sides(name)
    for side, colors in [*((side, 3) for side in sides(name)), (sides(name)[0], 1)]:
        make_g, make_d = networks(name, ImageSpec((side, side, colors)))
        images = jax.eval_shape(lambda z, make=make_g: make()(Cond(z, None, True)), jnp.zeros((BATCH, Z)))
        assert (images.shape, images.dtype) == ((BATCH, side, side, colors), jnp.float32)
        out = jax.eval_shape(lambda x, make=make_d: make()(x, Cond(None, None, True)), images)
        width = nnx.eval_shape(make_d).feature_dim
        assert (out.logits.shape, out.features.shape) == ((BATCH,), (BATCH, width))
        assert out.aux == {}


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_sizes_that_do_not_fit_are_refused_with_advice(name):
    for side in set(SIDES) - set(sides(name)):
        with pytest.raises(UserError, match="resize|use resnet"):
            nnx.eval_shape(networks(name, ImageSpec((side, side, 3)))[0])


CONDITIONAL = (norms.conditional_batch_norm, norms.self_modulated_batch_norm)


def in_default_tier(norm, name):
    """One conditional norm for all but the deepest, and both for the smallest."""
    return name == "resnet_small_arch" or (norm is norms.conditional_batch_norm and name not in DEEP)


@pytest.mark.parametrize(
    ("norm", "name"), slow_unless(in_default_tier, itertools.product(CONDITIONAL, ARCHITECTURES))
)
def test_generated_images_lie_between_zero_and_one_and_obey_z_and_y(name, norm):
    side = sides(name)[0]
    definition, state = drawn(
        networks(name, ImageSpec((side, side, 3)), norm, CLASSES, spectral_norm=True)[0]
    )

    @jax.jit
    def generate(state, z, y):
        return merge_module(definition, state.params, state.extra)(Cond(z, y, False))

    z = np.random.RandomState(0).standard_normal((BATCH, Z)).astype(np.float32)
    y = np.eye(CLASSES, dtype=np.float32)[:BATCH]
    images = np.asarray(generate(state, z, y))
    assert images.min() >= 0 and images.max() <= 1 and images.std() > 1e-4
    relabelled = np.abs(images - generate(state, z, y[[0, 2, 2]])).max((1, 2, 3))
    assert relabelled[0] < SAME and relabelled[2] < SAME
    labelled = norm is norms.conditional_batch_norm or name in LABEL_BESIDE_Z
    obeys = labelled and name not in WITHOUT_CONDITION
    assert (relabelled[1] > CHANGED) == obeys
    other = np.abs(images - generate(state, z[[1, 1, 2]], y)).max((1, 2, 3))
    assert other[0] > CHANGED and other[1] < SAME


def normalised_channels(make):
    """How many channels of a network have moving averages."""
    leaves = jax.tree.leaves_with_path(net_state(nnx.eval_shape(make)).extra)
    return sum(x.size for path, x in leaves if path[-1].key == "moving_mean")


@pytest.mark.parametrize("name", slow_unless(lambda name: name not in DEEP, ARCHITECTURES))
def test_every_norm_drops_in(name):
    """Whatever the norm, images and logits have their shape, and all norms but none the same channels."""
    side = sides(name)[0]
    spec, y = ImageSpec((side, side, 3)), jnp.zeros((BATCH, CLASSES))
    found = {}
    for norm in NORMS:
        make_g, _ = networks(name, spec, norm, CLASSES)
        images = jax.eval_shape(lambda z, make=make_g: make()(Cond(z, y, True)), jnp.zeros((BATCH, Z)))
        assert images.shape == (BATCH, side, side, 3)
        _, make_d = networks(name, spec, y_dim=CLASSES, batch_norm_fn=norm, layer_norm=True)
        out = jax.eval_shape(lambda x, make=make_d: make()(x, Cond(None, y, True)), images)
        assert (out.logits.shape, out.features.shape[0]) == ((BATCH,), BATCH)
        found[norm] = normalised_channels(make_g), normalised_channels(make_d)
    (in_g, in_d), (own_in_g, own_in_d) = found[norms.batch_norm], found[norms.no_batch_norm]
    assert found[norms.conditional_batch_norm] == (in_g, in_d)
    assert (in_g > own_in_g) == (name not in (*WITHOUT_CONDITION, *WITHOUT_NORM))
    assert (own_in_g > 0) == (name in (*WITHOUT_CONDITION, *PROJECTING))  # the last norm of BigGAN is plain
    assert (in_d > 0) == (name not in WITHOUT_D_NORM) and own_in_d == 0


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_outputs_do_not_depend_on_other_images(name):
    side = sides(name)[0]
    definition, state = drawn(networks(name, ImageSpec((side, side, 3)), spectral_norm=True)[1])
    discriminate = jax.jit(
        lambda state, x: merge_module(definition, state.params, state.extra)(x, Cond(None, None, True)).logits
    )
    x = np.random.RandomState(1).uniform(size=(BATCH, side, side, 3)).astype(np.float32)
    logits = np.asarray(discriminate(state, x))
    np.testing.assert_allclose(discriminate(state, x[::-1]), logits[::-1], rtol=1e-5, atol=1e-5)
    x[0] = 0
    changed = np.asarray(discriminate(state, x))
    np.testing.assert_allclose(changed[1:], logits[1:], rtol=1e-5, atol=1e-5)
    assert abs(changed[0] - logits[0]) > 1e-4


@pytest.mark.parametrize("name", ["resnet_cifar_arch", "resnet_small_arch", *PROJECTING])
def test_projection_adds_the_inner_product_of_label_and_features(name):
    def make(y_dim):
        net = NetSpec(ImageSpec((32, 32, 3)), 0, y_dim, DiscriminatorOptions(), LAYERS)
        return ARCHITECTURES[name][1](net, ch=WIDTH, project_y=True, rngs=nnx.Rngs(0))

    with pytest.raises(UserError, match="project_y needs labels"):
        nnx.eval_shape(lambda: make(0))
    definition, state = drawn(lambda: make(CLASSES))
    x = np.random.RandomState(1).uniform(size=(CLASSES, 32, 32, 3)).astype(np.float32)
    discriminate = jax.jit(
        lambda state, y: merge_module(definition, state.params, state.extra)(x, Cond(None, y, False))
    )
    nothing = discriminate(state, np.zeros((CLASSES, CLASSES), np.float32))
    projected = discriminate(state, np.eye(CLASSES, dtype=np.float32)).logits - nothing.logits
    embedding = state.params.get("head", state.params)["embedding_fc"]["kernel"]
    expected = np.sum(embedding * nothing.features, 1)
    np.testing.assert_allclose(projected, expected, atol=2e-6 * np.abs(nothing.logits).max(), rtol=1e-5)


def test_hierarchical_z_needs_chunks_of_one_length():
    def make(z_dim):
        net = NetSpec(ImageSpec((32, 32, 3)), z_dim, 0, GeneratorOptions(), LAYERS)
        return ARCHITECTURES["resnet_cifar_arch"][0](net, ch=WIDTH, hierarchical_z=True, rngs=nnx.Rngs(0))

    with pytest.raises(UserError, match="multiple of 4"):
        nnx.eval_shape(lambda: make(10))
    assert nnx.eval_shape(lambda: make(12)).fc_noise.kernel.shape[0] == 3


@pytest.mark.parametrize("embed", ["embed_z", "embed_y"])
def test_embeddings_are_linear_layers_before_everything(embed):
    make_g, _ = ARCHITECTURES["resnet_cifar_arch"]
    options = GeneratorOptions(norms.conditional_batch_norm)

    def make(y_dim, **given):
        net = NetSpec(ImageSpec((32, 32, 3)), Z, y_dim, options, LAYERS)
        return make_g(net, ch=WIDTH, rngs=nnx.Rngs(0), **given)

    definition, state = drawn(lambda: make(CLASSES, **{embed: True}))
    z = np.random.RandomState(0).standard_normal((2, Z)).astype(np.float32)
    y = np.eye(CLASSES, dtype=np.float32)[:2]
    params = dict(state.params)
    layer = params.pop(embed)
    embedded = (z if embed == "embed_z" else y) @ layer["kernel"] + layer["bias"]
    given = Cond(embedded, y, False) if embed == "embed_z" else Cond(z, embedded, False)
    without = nnx.graphdef(nnx.eval_shape(lambda: make(Z if embed == "embed_y" else CLASSES)))
    wanted = jax.jit(lambda params, extra: merge_module(without, params, extra)(given))(params, state.extra)
    found = jax.jit(lambda state: merge_module(definition, state.params, state.extra)(Cond(z, y, False)))(
        state
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)
