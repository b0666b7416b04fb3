"""Single layers, with their gradients where compare_gan recorded them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.core.types import Cond
from compare_gan.nn import norms
from compare_gan.nn.blocks import ResNetBlock, average_pool, unpool
from compare_gan.nn.images import quarter_turns
from compare_gan.nn.layers import Conv, Deconv, Linear, spectral_normalize
from compare_gan.nn.norms import CondDims
from compare_gan.nn.options import Layers
from compare_gan.nn.state import bind, net_state

from .names import at, filled, inside
from .reference import Case, check, deviation, fill, load

LAYERS = Layers()
CLOSE = 2e-6  # of the largest value


def built(case: Case, scope: str, module: nnx.Module, drop: tuple[str, ...] = ()) -> nnx.Module:
    """The module with the values of the case's variables below a scope."""
    variables = [v for v in case.meta["variables"] if v[0].startswith(scope) and v[0] not in drop]
    state = filled(module, variables, lambda name: inside_layer(name.removeprefix(scope)))
    return bind(nnx.graphdef(module), state.params, state.extra)


def inside_layer(rest: str) -> tuple[str | int, ...]:
    if rest.endswith("kernel/u_var"):
        rest = rest.removesuffix("kernel/u_var") + "u"
    return inside(rest, "resnet_block")


def test_the_fill_rule():
    for name in ("op_norms_train", "op_deconv2d", "op_spectral_norm_right"):
        for variable, value in load(name).named("variable/"):
            np.testing.assert_array_equal(fill(variable, value.shape), value)


@pytest.mark.parametrize("side", ["left", "right"])
def test_spectral_norm(side):
    case, found = load(f"op_spectral_norm_{side}"), []

    @jax.jit
    def both(kernel, u, weight):
        def total(kernel):
            normalised, after = spectral_normalize(kernel, u, side, 1e-12)
            return jnp.sum(normalised * weight), (normalised, after)

        return jax.grad(total, has_aux=True)(kernel)

    for name, kernel in case.named("variable/g/"):
        if name.endswith("u_var"):
            continue
        short, u = name.removesuffix("/kernel"), case.arrays[f"variable/g/{name}/u_var"]
        weight = np.random.RandomState(8).standard_normal(kernel.shape).astype(np.float32)
        for turn in (1, 2, 3):
            gradient, (normalised, u) = both(kernel, u, weight)
            label = f"{side} {short} pass {turn}"
            outputs = f"output_pass{turn}/{short}"
            found.append(deviation(label, case.arrays[outputs], normalised, CLOSE))
            found.append(deviation(label + " gradient", case.arrays[outputs + "_grad"], gradient, 1e-5))
            found.append(deviation(label + " u", case.arrays[f"after_pass{turn}/g/{name}/u_var"], u, CLOSE))
    check(found)


@pytest.mark.parametrize(
    ("output", "given", "name", "size", "stride"),
    [
        ("a28_k5s2", "a", "c1", 5, 2),
        ("b7_k5s2", "b", "c2", 5, 2),
        ("b7_k4s2", "b", "c3", 4, 2),
        ("c8_k4s2", "c", "c4", 4, 2),
        ("c8_k3s1_nobias", "c", "c5", 3, 1),
        ("c8_k1", "c", "c6", 1, 1),
    ],
)
def test_convolution(output, given, name, size, stride):
    case = load("op_conv2d_pool_linear")
    x, bias = case.arrays[f"input/{given}"], None if "nobias" in output else 0.0
    new = Conv(x.shape[-1], 3, size=size, stride=stride, layers=LAYERS, bias=bias, rngs=nnx.Rngs(0))
    check([deviation(output, case.arrays[f"output/{output}"], built(case, f"g/{name}/", new)(x), CLOSE)])


def test_linear_pooling_and_leak():
    case = load("op_conv2d_pool_linear")
    x = case.arrays["input/c"]
    linear = built(case, "g/l1/", Linear(128, 5, layers=LAYERS, rngs=nnx.Rngs(0)))
    check(
        [
            deviation("linear", case.arrays["output/linear_flat_c8"], linear(x.reshape(2, -1)), CLOSE),
            deviation("leak", case.arrays["output/lrelu_c8_0.2"], nnx.leaky_relu(x, 0.2), CLOSE),
        ]
    )


@pytest.mark.parametrize(
    ("output", "name", "size", "stride"),
    [
        ("a4_to_7_k5s2", "d1", 5, 2),
        ("b7_to_14_k5s2", "d2", 5, 2),
        ("b7_to_13_k4s2", "d3", 4, 2),
        ("c4_to_8_k4s2", "d4", 4, 2),
        ("c4_to_4_k3s1", "d5", 3, 1),
        ("a4_to_8_k5s2_sn", "d6", 5, 2),
    ],
)
def test_transposed_convolution(output, name, size, stride):
    case = load("op_deconv2d")
    x, expected = case.arrays[f"input/{output[0]}"], case.arrays[f"output/{output}"]
    spectral = output.endswith("sn")
    new = Deconv(2, 3, size=size, stride=stride, layers=LAYERS, spectral_norm=spectral, rngs=nnx.Rngs(0))
    layer = built(case, f"g/{name}/", new)
    check([deviation(output, expected, layer(x, expected.shape[1:3], train=True), CLOSE)])
    if spectral:
        check([deviation("u", case.arrays[f"after_pass1/g/{name}/kernel/u_var"], layer.u[...], CLOSE)])


def test_unpool_and_rotation():
    case = load("op_unpool")
    np.testing.assert_array_equal(unpool(case.arrays["input/x"]), case.arrays["output/y"])
    case = load("op_rotate_images")
    np.testing.assert_array_equal(quarter_turns(case.arrays["input/x"]), case.arrays["output/all4"])
    np.testing.assert_array_equal(
        quarter_turns(case.arrays["input/x"], (1, 2, 3)), case.arrays["output/only123"]
    )


def test_average_pool_is_the_mean_of_squares_of_four():
    x = np.random.RandomState(0).standard_normal((2, 4, 6, 3)).astype(np.float32)
    expected = (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4
    np.testing.assert_allclose(average_pool(x), expected, atol=1e-6)


NORMS = {
    "bn4": ("generator/bn4/", norms.batch_norm, "x4", False),
    "bn2": ("generator/bn2/", norms.batch_norm, "x2", False),
    "selfmod": ("generator/sm/", norms.self_modulated_batch_norm, "x4", False),
    "selfmod_sn": ("generator/smsn/", norms.self_modulated_batch_norm, "x4", True),
    "cbn": ("generator/cb/", norms.conditional_batch_norm, "x4", False),
    "cbn_sn": ("generator/cbsn/", norms.conditional_batch_norm, "x4", True),
}
CANCELS = 3  # channel of x4 with mean 100 and deviation 0.01: float32 has no digits left of E[x^2] - E[x]^2


def norm_of(case: Case, output: str) -> tuple[nnx.Module, np.ndarray, str]:
    scope, factory, given, spectral = NORMS[output]
    x = case.arrays[f"input/{given}"]
    new = factory(x.shape[-1], CondDims(8, 4), layers=LAYERS, spectral_norm=spectral, rngs=nnx.Rngs(0))
    return built(case, scope, new), x, scope


def kept(array) -> np.ndarray:
    """Without the channel that cancels, where there is one."""
    array = np.asarray(array)
    return np.delete(array, CANCELS, axis=-1) if array.shape[-1] == 4 else array


@pytest.mark.parametrize("output", NORMS)
def test_norms_in_training(output):
    case, found = load("op_norms_train"), []
    norm, x, scope = norm_of(case, output)
    for turn in (1, 2):
        y = norm(x, Cond(case.arrays["input/z"], case.arrays["input/y"], True))
        # Their variance is a difference of two means of squares, so it has an error of its own.
        found.append(
            deviation(
                f"{output} pass {turn}", kept(case.arrays[f"output_pass{turn}/{output}"]), kept(y), 5e-6
            )
        )
        extra = net_state(norm).extra
        for name, value in case.named(f"after_pass{turn}/{scope}"):
            ours = at(extra, inside_layer(name))
            pair = (kept(value), kept(ours)) if "moving" in name else (value, ours)
            found.append(deviation(f"{output} pass {turn} {name}", *pair, CLOSE))
    check(found)


@pytest.mark.parametrize("output", NORMS)
def test_norms_in_evaluation(output):
    case = load("op_norms_eval")
    norm, x, _ = norm_of(case, output)
    before = net_state(norm).extra
    y = norm(x, Cond(case.arrays["input/z"], case.arrays["input/y"], False))
    check([deviation(output, case.arrays[f"output/{output}"], y, CLOSE)])
    jax.tree.map(np.testing.assert_array_equal, net_state(norm).extra, before)


def test_a_variance_beside_a_large_mean_is_right_here_and_noise_in_compare_gan():
    case = load("op_norms_train")
    x = case.arrays["input/x4"][..., CANCELS].astype(np.float64)
    norm, x4, _ = norm_of(case, "bn4")
    y = norm(x4, Cond(None, None, True))
    gamma, beta = (case.arrays[f"variable/generator/bn4/{name}"][CANCELS] for name in ("gamma", "beta"))
    exact = (x - x.mean()) / np.sqrt(x.var() + 1e-3) * gamma + beta
    assert np.abs(np.asarray(y)[..., CANCELS] - exact).max() < 2e-3

    theirs = (case.arrays["output_pass1/bn4"][..., CANCELS] - beta) / gamma
    assert np.abs(theirs * gamma + beta - exact).max() > 0.02
    # Their output is explained by a variance that is a small multiple of float32's step at E[x^2].
    slope = np.polyfit(x.ravel(), theirs.ravel(), 1)[0]
    implied = 1 / slope**2 - 1e-3
    step = float(np.spacing(np.float32((x**2).mean())))
    assert implied / step == pytest.approx(round(implied / step), abs=0.1)
    assert abs(implied - x.var()) > 0.2 * step


@pytest.mark.parametrize(("output", "given"), [("layer_norm4", "x4"), ("layer_norm2", "x2")])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_layer_norm(output, given, mode):
    case = load(f"op_norms_{mode}")
    x = case.arrays[f"input/{given}"]
    # compare_gan trains scale and offset only if it first builds the layer for training.
    norm = built(load("op_norms_train"), f"generator/ln{output[-1]}/", norms.LayerNorm(x.shape[-1]))
    check([deviation(output, case.arrays[f"output{'_pass1' * (mode == 'train')}/{output}"], norm(x), CLOSE)])


@pytest.mark.parametrize(
    ("output", "scope", "scale"),
    [
        ("gen_up", "generator/GB_up/", "up"),
        ("gen_none", "generator/GB_none/", "none"),
        ("disc_down", "generator/DB_down/", "down"),
        ("disc_none", "generator/DB_none/", "none"),
    ],
)
def test_resnet_block(output, scope, scale):
    case = load("op_resnet_block")
    generates = output.startswith("gen")
    new = ResNetBlock(
        4,
        6,
        scale,
        batch_norm_fn=norms.batch_norm if generates else None,
        layer_norm=not generates,
        layers=LAYERS,
        spectral_norm=not generates,
        rngs=nnx.Rngs(0),
    )
    block = built(case, scope, new)
    y = block(case.arrays["input/x"], Cond(None, None, True))
    found = [deviation(output, case.arrays[f"output/{output}"], y, CLOSE)]
    for name, value in case.named(f"after_pass1/{scope}"):
        found.append(
            deviation(f"{output} {name}", value, at(net_state(block).extra, inside_layer(name)), CLOSE)
        )
    check(found)
