"""Programs of the networks of a trained GAN, each with its weights.

A program is a function serialised by `jax.export`: StableHLO for CPU, CUDA and TPU and for any batch size.
Weights are arguments, by name: XLA would spend minutes on constant folding if they were constants.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from compare_gan.core.types import Array, Cond, GANState, NetState
from compare_gan.gans.gan import GAN
from compare_gan.gans.inference import eval_params
from compare_gan.gans.sampling import latents
from compare_gan.nn import kernels
from compare_gan.nn.state import merge_module

PLATFORMS = ("cpu", "cuda", "tpu")


class Program(NamedTuple):
    code: bytes  # serialised; maps weights and inputs to outputs
    weights: dict[str, np.ndarray]  # float32, with names such as "block1.conv1.kernel"


def generator(gan: GAN, state: GANState) -> Program:
    """z [B, Z], and y [B, K] if conditional -> images [B, H, W, C] in [0, 1], with averaged weights if any.

    Accumulated batch statistics must be present: see `gans.standing.with_standing_stats`.
    """
    net = NetState(eval_params(state), state.g.extra)
    (b,) = export.symbolic_shape("b")

    def run(net: NetState, z: Array, y: Array | None = None) -> Array:
        y = gan.generator_labels(y, state.step)
        return merge_module(gan.g_def, net.params, net.extra)(Cond(z, y, train=False))

    return program(run, net, floats(b, gan.z_dim), *labels(gan, b))


def discriminator(gan: GAN, state: GANState) -> Program:
    """images [B, H, W, C] in [0, 1], and y [B, K] if conditional -> outputs of the discriminator.

    The outputs are a dictionary of logits [B], features [B, F], and heads: name -> [B, N].
    """
    (b,) = export.symbolic_shape("b")

    def run(net: NetState, images: Array, y: Array | None = None) -> dict[str, Any]:
        out = merge_module(gan.d_def, net.params, net.extra)(images, y, gan.tasks, train=False)
        return {"logits": out.logits, "features": out.features, "heads": out.aux}

    return program(run, state.d, floats(b, *gan.spec.image_shape), *labels(gan, b))


def heads(discriminator: Program) -> tuple[str, ...]:
    """Names of the heads of a discriminator program."""
    exported = export.deserialize(bytearray(discriminator.code))
    return tuple(jax.tree.unflatten(exported.out_tree, exported.out_avals)["heads"])


def sampler(gan: GAN) -> Program:
    """A seed and image indices [B] -> latent vectors [B, Z].

    The latent vector of an image depends only on the seed and its index, not on the batch.
    """
    (b,) = export.symbolic_shape("b")

    def run(net: NetState, seed: Array, indices: Array) -> Array:
        del net
        return latents(gan.prior, gan.z_dim, seed, indices)

    seed, indices = jax.ShapeDtypeStruct((), jnp.uint32), jax.ShapeDtypeStruct((b,), jnp.int32)
    return program(run, NetState({}, {}), seed, indices)


def floats(*shape: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def labels(gan: GAN, b: Any) -> list[jax.ShapeDtypeStruct]:
    return [floats(b, gan.y_dim)] if gan.conditional else []


def program(run: Callable[..., Any], net: NetState, *inputs: jax.ShapeDtypeStruct) -> Program:
    """`run(net, *inputs)` as a program whose arguments are a flat dictionary of weights, and the inputs."""
    leaves, structure = jax.tree.flatten_with_path((net.params, net.extra))
    names = [".".join(str(key.key) for key in path[1:]) for path, _ in leaves]

    def flat(weights: dict[str, Array], *inputs: Array) -> Any:
        return run(NetState(*jax.tree.unflatten(structure, [weights[name] for name in names])), *inputs)

    weights = {name: np.asarray(leaf) for name, (_, leaf) in zip(names, leaves, strict=True)}
    shapes = {name: floats(*array.shape) for name, array in weights.items()}
    with kernels.plain(True), without_source_locations():
        exported = export.export(jax.jit(flat), platforms=PLATFORMS)(shapes, *inputs)
    return Program(bytes(exported.serialize()), weights)


@contextlib.contextmanager
def without_source_locations() -> Iterator[None]:
    """Context manager: programs exported inside it contain no paths of source files."""
    before = jax.config.jax_traceback_in_locations_limit  # type: ignore[attr-defined]
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)
