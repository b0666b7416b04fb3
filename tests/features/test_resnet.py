"""The residual networks against published counts, and against their formula written out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from compare_gan.core.errors import UserError
from compare_gan.core.types import Cond
from compare_gan.features.encoder import Encoder, EncoderSpec
from compare_gan.features.resnet import BODIES, LAYERS, Body, ResNet, Stage
from compare_gan.nn.options import Precision
from compare_gan.nn.state import net_state


def parameters(body, width, image_shape, classes):
    """Number of parameters, without the rotation head, and the features' shape; nothing is computed."""
    spec = EncoderSpec(image_shape, tuple(map(str, range(classes))), width, body)

    def shapes():
        encoder = Encoder(spec, nnx.Rngs(0))
        out = encoder(jnp.zeros((2, *image_shape), jnp.float32))
        return {k: v for k, v in net_state(encoder).params.items() if k != "turns"}, out

    params, out = nnx.eval_shape(shapes)
    assert out.classes.shape == (2, classes) and out.turns.shape == (2, 4)
    return sum(x.size for x in jax.tree.leaves(params)), out.features.shape


def test_resnet50_has_the_parameters_of_resnet50_v2():
    """The convolutions are those of v1, whose 25,557,032 parameters are well known; norms come before."""
    blocks = [(64, 3), (128, 4), (256, 6), (512, 3)]  # channels in the middle, how many
    after_each_convolution = 64 + sum(n * (6 * c) + 4 * c for c, n in blocks)
    convolutions = 25_557_032 - 2 * after_each_convolution - (2048 + 1) * 1000
    before_each_convolution, c_in = 2048, 64
    for c, n in blocks:
        for _ in range(n):
            before_each_convolution += c_in + 2 * c
            c_in = 4 * c
    expected = convolutions + 2 * before_each_convolution + (2048 + 1) * 1000
    assert parameters("resnet50", 64, (224, 224, 3), 1000) == (expected, (2, 2048))
    assert round(expected / 1e6, 1) == 25.5


def test_wide28_has_the_parameters_of_wrn_28_2():
    """Counted by hand, as of https://arxiv.org/abs/1605.07146 without biases and with norms."""
    total, c_in = 9 * 3 * 16, 16
    for c in (32, 64, 128):
        for _ in range(4):
            total += 9 * c_in * c + 9 * c * c + 2 * (c_in + c) + (c_in * c if c_in != c else 0)
            c_in = c
    total += 2 * 128 + 129 * 10
    assert parameters("wide28", 32, (32, 32, 3), 10) == (total, (2, 128))
    assert round(total / 1e6, 1) == 1.5


@pytest.mark.parametrize(("side", "dim"), [(8, 16), (16, 32), (32, 64), (64, 64), (3, 4)])
def test_the_small_network_fits_its_images(side, dim):
    assert parameters("small", 4, (side, side, 1), 2)[1] == (2, dim)


def test_the_halved_network_starts_at_half_the_size():
    body = BODIES["halved"]((32, 32, 3), 4)
    assert parameters("halved", 4, (32, 32, 3), 2)[1] == (2, body.feature_dim) == (2, 16)
    stem = nnx.eval_shape(lambda: ResNet(3, body, nnx.Rngs(0)).stem(jnp.zeros((1, 32, 32, 3))))
    assert stem.shape == (1, 16, 16, 4)


def written_out(params, x, body):
    """The features, from the formula: shortcut + convolutions of relu(norm(x)), statistics of the batch."""

    def norm(p, x):
        x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
        return np.maximum(p["gamma"] * x + p["beta"], 0)

    def conv(p, x, stride=1):
        layout = ("NHWC", "HWIO", "NHWC")
        return np.asarray(
            lax.conv_general_dilated(x, p["kernel"], (stride, stride), "SAME", None, None, layout)
        )

    x = conv(params["stem"], x, body.stem_stride)
    if body.pool:
        b, h, w, c = x.shape
        padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
        windows = [padded[:, i : i + h : 2, j : j + w : 2] for i in range(3) for j in range(3)]
        x = np.max([window[:, : h // 2, : w // 2] for window in windows], axis=0)
    strides = [stage.stride if i == 0 else 1 for stage in body.stages for i in range(stage.blocks)]
    for i, stride in enumerate(strides):
        p = params["blocks"][i]
        h = norm(p["norm1"], x)
        x = conv(p["shortcut"], h, stride) if "shortcut" in p else x
        if body.bottleneck:
            h = conv(p["conv2"], norm(p["norm2"], conv(p["conv1"], h)), stride)
            x = x + conv(p["conv3"], norm(p["norm3"], h))
        else:
            x = x + conv(p["conv2"], norm(p["norm2"], conv(p["conv1"], h, stride)))
    return norm(params["norm"], x).mean((1, 2))


@pytest.mark.parametrize(
    "body",
    [
        Body(4, (Stage(8), Stage(8, 2, stride=1))),
        Body(4, (Stage(8, 2, stride=1), Stage(16)), stem_size=7, stem_stride=2, pool=True, bottleneck=True),
    ],
    ids=["plain", "bottleneck"],
)
def test_blocks_match_the_paper(body):
    net = ResNet(3, body, nnx.Rngs(0))
    params = net_state(net).params
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: rng.standard_normal(p.shape).astype(np.float32) / 2, params)
    nnx.update(net, nnx.State(params))
    x = rng.standard_normal((3, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(
        net.features(x, Cond(train=True)), written_out(params, x, body), rtol=1e-3, atol=1e-3
    )


def test_an_unknown_network_is_refused():
    with pytest.raises(UserError, match="did you mean 'resnet50'"):
        dataclasses.replace(EncoderSpec((8, 8, 1), ("a",)), body="resnet_50")


def test_bfloat16_changes_features_by_its_rounding_only():
    """The same weights; features and logits are float32, rounded only inside the network."""
    spec, images = EncoderSpec((8, 8, 3), ("a", "b"), width=4), np.random.default_rng(0).random((4, 8, 8, 3))
    coarse = dataclasses.replace(LAYERS, precision=Precision("bfloat16"))
    exact, rounded = (Encoder(spec, nnx.Rngs(0), layers)(jnp.float32(images)) for layers in (LAYERS, coarse))
    for expected, actual in zip(exact, rounded, strict=True):
        assert actual.dtype == jnp.float32
        scale = np.abs(expected).max()
        assert 0 < np.abs(actual - expected).max() < 0.03 * scale
