"""Single layers, with their gradients where compare_gan recorded them.

What an output is, its name says: `a28_k5s2` is a 5x5 convolution of stride 2 of input a. Layers with
variables take the scopes of the case in order.
"""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from compare_gan.core.types import Cond, Tree
from compare_gan.nn import norms
from compare_gan.nn.attention import NonLocalBlock
from compare_gan.nn.blocks import ResNetBlock
from compare_gan.nn.images import quarter_turns
from compare_gan.nn.layers import LayerFactory, spectral_normalize
from compare_gan.nn.options import CondDims, NormFactory
from compare_gan.nn.rescale import average_pool, unpool
from compare_gan.nn.state import merge_module, net_state

from .. import build
from ..names import at, filled, inside
from ..reference import Case, Deviation, deviation, fill
from ..runner import handles
from .architecture import next_vectors

CLOSE = 2e-6  # of the largest value
NO_RULE = "{}: no rule for an output of this name"
UNEXACT = 5e-6  # compare_gan's variance is a difference of two means, and has an error of its own


def factory(case: Case, spectral_norm: bool = False, **options: Any) -> LayerFactory:
    return LayerFactory(build.parts(case).layers, nnx.Rngs(0), spectral_norm, **options)


def conditions(case: Case) -> tuple[Any, Any, CondDims]:
    """The vectors z and y of a case, None if it has none, and their lengths."""
    z, y = (case.arrays.get(f"input/{name}") for name in "zy")
    return z, y, CondDims(*(0 if x is None else x.shape[1] for x in (z, y)))


@handles("op")
def op(case: Case) -> Iterator[Deviation]:
    for name, value in case.named("variable/"):
        yield deviation(f"variable/{name}", fill(name, value.shape), value, 0)
    passes = sorted({key.split("/")[0] for key in case.arrays if key.startswith("output")})
    scopes = list(dict.fromkeys(scope_of(v[0]) for v in case.meta["variables"]))
    layers: dict[str, Any] = {}
    for number, outputs in enumerate(passes, 1):
        waiting = iter(scopes)
        for name, stored in case.named(f"{outputs}/"):
            for check in CHECKS:
                match = re.fullmatch(check[0], name)
                if match:
                    yield from check[1](case, layers, waiting, f"{outputs}/{name}", stored, number, match)
                    break
            else:
                raise KeyError(NO_RULE.format(f"{outputs}/{name}"))


def scope_of(name: str) -> str:
    """`g/c1/kernel/u_var` -> `g/c1/`; variables right below the first scope have that for theirs."""
    parts = name.split("/")
    return "/".join(parts[:1] if len(parts) == 2 else parts[:2]) + "/"


def built(case: Case, scope: str, module: nnx.Module) -> Any:
    """The module with the values of the case's variables below a scope."""

    def where(name: str) -> tuple[str | int, ...]:
        rest = name.removeprefix(scope)
        rest = rest.removesuffix("kernel/u_var") + "u" if rest.endswith("kernel/u_var") else rest
        return inside(rest, "op")

    state = filled(module, [v for v in case.meta["variables"] if scope_of(v[0]) == scope], where)
    made = merge_module(nnx.graphdef(module), state.params, state.extra)
    made.where = where
    return made


def left_behind(
    case: Case, layer: Any, scope: str, number: int, extra: Tree | None = None
) -> Iterator[Deviation]:
    """Spectral vectors and moving statistics after a pass: the layer's, or `extra`."""
    extra = net_state(layer).extra if extra is None else extra
    for name, value in case.named(f"after_pass{number}/"):
        if scope_of(name) == scope:
            ours = at(extra, layer.where(name))
            value, ours = (without_cancelling(x) if "moving" in name else x for x in (value, ours))
            yield deviation(f"after_pass{number}/{name}", value, ours, CLOSE)


def convolution(case, layers, waiting, what, stored, number, match) -> Iterator[Deviation]:
    scope, x = next(waiting), case.arrays[f"input/{match['given']}"]
    size, stride = int(match["size"]), int(match["stride"] or 1)
    bias = None if match["nobias"] else 0.0
    made = factory(case).conv(x.shape[-1], stored.shape[-1], size=size, stride=stride, bias=bias)
    yield deviation(what, stored, built(case, scope, made)(x), CLOSE)


def deconvolution(case, layers, waiting, what, stored, number, match) -> Iterator[Deviation]:
    scope, x = next(waiting), case.arrays[f"input/{match['given']}"]
    make, size, stride = factory(case, bool(match["sn"])), int(match["size"]), int(match["stride"])
    layer = built(case, scope, make.deconv(x.shape[-1], stored.shape[-1], size=size, stride=stride))
    yield deviation(what, stored, layer(x, stored.shape[1:3], train=True), CLOSE)
    yield from left_behind(case, layer, scope, number)


def linear(case, layers, waiting, what, stored, number, match) -> Iterator[Deviation]:
    x = case.arrays[f"input/{match['given']}"]
    x = x.reshape(len(x), -1)
    layer = built(case, next(waiting), factory(case).linear(x.shape[1], stored.shape[1]))
    yield deviation(what, stored, layer(x), CLOSE)


def plain(of: Callable[[Any, re.Match], Any], tolerance: float = CLOSE) -> Callable[..., Iterator[Deviation]]:
    """A check of a function of one input, without variables."""

    def check(case, layers, waiting, what, stored, number, match) -> Iterator[Deviation]:
        given = match.groupdict().get("given", "x")
        yield deviation(what, stored, of(case.arrays[f"input/{given}"], match), tolerance)

    return check


def same_average_pool(x: np.ndarray, _: re.Match) -> Any:
    """Ours halves even images only; TensorFlow's averages what is there of the last row and column."""
    h, w = x.shape[1:3]
    even = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    there = jnp.pad(jnp.ones_like(x), ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    return average_pool(even) / average_pool(there)


@functools.partial(jax.jit, static_argnums=(3, 4))
def normalised(kernel, u, weight, side: str, epsilon: float):
    """The gradient of a weighted sum of the normalised kernel; the kernel itself and the new vector."""

    def total(kernel):
        normal, after = spectral_normalize(kernel, u, side, epsilon)
        return jnp.sum(normal * weight), (normal, after)

    return jax.grad(total, has_aux=True)(kernel)


def spectral(case, layers, waiting, what, stored, number, match) -> Iterator[Deviation]:
    if match["grad"]:  # checked with the kernel it belongs to
        return
    scope = f"g/{match['name']}/"
    if scope not in {scope_of(name) for name, *_ in case.meta["variables"]}:
        raise KeyError(NO_RULE.format(what))
    kernel_name = f"{scope}kernel"
    kernel, start = (fill(name, case_shape(case, name)) for name in (kernel_name, f"{kernel_name}/u_var"))
    options = build.parts(case).layers.spectral
    rows, columns = kernel.size // kernel.shape[-1], kernel.shape[-1]
    weight = np.random.RandomState(8).standard_normal(kernel.shape).astype(np.float32)
    u = layers.get(scope, start)
    gradient, (normal, layers[scope]) = normalised(
        kernel, u, weight, options.side(rows, columns), options.epsilon
    )
    yield deviation(what, stored, normal, CLOSE)
    yield deviation(f"{what}_grad", case.arrays[f"{what}_grad"], gradient, 1e-5)
    after = f"after_pass{number}/{kernel_name}/u_var"
    yield deviation(after, case.arrays[after], layers[scope], CLOSE)


def case_shape(case: Case, name: str) -> list[int]:
    return next(shape for variable, shape, _ in case.meta["variables"] if variable == name)


CANCELS = 3  # channel of x4 whose mean is so large that float32 has no digits left of E[x^2] - E[x]^2


def without_cancelling(array: Any) -> np.ndarray:
    array = np.asarray(array)
    return np.delete(array, CANCELS, axis=-1) if array.shape[-1:] == (4,) else array


def norm(
    scope: str,
    kind: NormFactory | str,
    given: str,
    spectral: bool = False,
    seen: Callable[[np.ndarray], np.ndarray] = lambda stored: stored,
) -> Callable[..., Iterator[Deviation]]:
    """A check of a norm, ours or one of compare_gan by name; `seen` takes what is comparable from what is
    stored."""

    def check(case, layers, waiting, what, stored, number, match) -> Iterator[Deviation]:
        x, (z, labels, dims) = case.arrays[f"input/{given}"], conditions(case)
        if scope not in layers:
            make = build.norm(case, kind) if isinstance(kind, str) else kind
            layers[scope] = built(case, scope, make(factory(case, spectral, dims=dims), x.shape[-1]))
        layer, train = layers[scope], what.startswith("output_pass")
        before = net_state(layer).extra
        y = layer(x, Cond(z, labels, train))
        yield deviation(what, without_cancelling(seen(stored)), without_cancelling(y), UNEXACT)
        if train:
            yield from left_behind(case, layer, scope, number)
        else:
            still = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), before, net_state(layer).extra)
            yield Deviation(f"{what}, statistics unchanged", max(jax.tree.leaves(still), default=0.0), 0.0)
            moved = next_vectors(net_state(layer))  # as an evaluation pass of compare_gan moves them
            yield from left_behind(case, layer, scope, number, moved)

    return check


class Offset(nnx.Module):
    """A batch norm without scale, which no network of compare_gan has."""

    def __init__(self, make, features):
        self.standardize = norms.Standardize(features, make.layers)
        self.beta = nnx.Param(jnp.zeros(features, jnp.float32))

    def __call__(self, x, cond):
        return self.standardize(x, cond) + self.beta[...]


class Bare(nnx.Module):
    """Standardisation alone."""

    def __init__(self, make, features):
        self.standardize = norms.Standardize(features, make.layers)

    def __call__(self, x, cond):
        return self.standardize(x, cond)


class LayerNorm(norms.LayerNorm):
    """Called as batch norms are."""

    def __init__(self, make, features):
        super().__init__(features)

    def __call__(self, x, cond):
        return super().__call__(x)


def block(case, layers, waiting, what, stored, number, match) -> Iterator[Deviation]:
    scope, generates = next(waiting), match["player"] == "gen"
    x = case.arrays["input/x"]
    gan, (z, y, dims) = build.parts(case), conditions(case)
    chosen = gan.g_options if generates else gan.d_options
    make = factory(
        case,
        chosen.spectral_norm,
        batch_norm_fn=chosen.batch_norm_fn,
        layer_norm=chosen.layer_norm,
        dims=dims,
    )
    made = ResNetBlock(make, x.shape[-1], stored.shape[-1], match["scale"])
    layer = built(case, scope, made)
    yield deviation(what, stored, layer(x, Cond(z, y, train=True)), CLOSE)
    yield from left_behind(case, layer, scope, number)


def non_local(case, layers, waiting, what, stored, number, match) -> Iterator[Deviation]:
    scope, x = next(waiting), case.arrays["input/x"]
    made = NonLocalBlock(factory(case, bool(match["sn"])), x.shape[-1])
    layer = built(case, scope, made)
    yield deviation(what, stored, layer(x, train=True), CLOSE)
    yield from left_behind(case, layer, scope, number)


def diagonal(stored: np.ndarray) -> np.ndarray:
    """There a conditional norm of [B, F] gives [B, 1, B, F]: each row under each label. Ours are its own."""
    rows = np.arange(len(stored))
    return stored[rows, 0, rows]


CHECKS: list[tuple[str, Callable[..., Iterator[Deviation]]]] = [
    (r"(?P<given>[a-z])\d+_to_\d+_k(?P<size>\d)s(?P<stride>\d)(?P<sn>_sn)?", deconvolution),
    (r"(?P<given>[a-z])\d+_k(?P<size>\d)(?:s(?P<stride>\d))?(?P<nobias>_nobias)?", convolution),
    (r"linear_flat_(?P<given>[a-z])\d+", linear),
    (r"avgpool_same_(?P<given>[a-z])\d+", plain(same_average_pool)),
    (r"lrelu_(?P<given>[a-z])\d+_(?P<leak>[\d.]+)", plain(lambda x, m: nnx.leaky_relu(x, float(m["leak"])))),
    (r"y", plain(lambda x, _: unpool(x), 0)),
    (r"all4", plain(lambda x, _: quarter_turns(x), 0)),
    (r"only123", plain(lambda x, _: quarter_turns(x, (1, 2, 3)), 0)),
    (r"(?P<player>gen|disc)_(?P<scale>up|down|none)", block),
    (r"plain|(?P<sn>sn)", non_local),
    (r"bn4", norm("generator/bn4/", "batch_norm", "x4")),
    (r"bn2", norm("generator/bn2/", "batch_norm", "x2")),
    (r"bn4_noscale", norm("generator/bn4n/", Offset, "x4")),
    (r"standardize", norm("generator/", Bare, "x4")),
    (r"selfmod", norm("generator/sm/", "self_modulated_batch_norm", "x4")),
    (r"selfmod_sn", norm("generator/smsn/", "self_modulated_batch_norm", "x4", True)),
    (r"cbn", norm("generator/cb/", "conditional_batch_norm", "x4")),
    (r"cbn_sn", norm("generator/cbsn/", "conditional_batch_norm", "x4", True)),
    (
        r"cbn_rank2_input_gives_rank4",
        norm("generator/cb2/", "conditional_batch_norm", "x2", seen=diagonal),
    ),
    (r"layer_norm4", norm("generator/ln4/", LayerNorm, "x4")),
    (r"layer_norm2", norm("generator/ln2/", LayerNorm, "x2")),
    (r"(?P<name>\w+?)(?P<grad>_grad)?", spectral),
]
