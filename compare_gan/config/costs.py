"""Parameters, memory and FLOPs of a GAN, computed from shapes without running it."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Batch, GANState, Tree
from compare_gan.gans.gan import GAN
from compare_gan.gans.step import discriminator_step, train_step
from compare_gan.nn import convolution
from compare_gan.nn.rngs import random_streams
from compare_gan.nn.state import net_state


@dataclasses.dataclass(frozen=True)
class ParameterCount:
    """Number of trained and of untrained values in a submodule of a network."""

    name: str
    trained: int
    untrained: int  # batch statistics, spectral vectors


@dataclasses.dataclass(frozen=True)
class Costs:
    """Cost of networks and training. Memory is per device; `temporaries` is None unless compiled."""

    generator: tuple[ParameterCount, ...]
    discriminator: tuple[ParameterCount, ...]
    parameters: int  # bytes, like the next five
    statistics: int
    optimisers: int
    average: int
    images: int
    temporaries: int | None
    flops: float  # per step


def costs(gan: GAN, compiled: bool = False) -> Costs:
    """The costs of `gan`. With `compiled`, the step is compiled for `temporaries`, which may take minutes."""
    state = jax.eval_shape(gan.init, jax.random.key(0))
    memory = trace_step(gan, state).lower().compile().memory_analysis() if compiled else None
    return Costs(
        generator=parameter_counts(lambda: gan.generator(random_streams(0))),
        discriminator=parameter_counts(lambda: gan.discriminator(random_streams(0)).backbone)
        + parameter_counts(lambda: gan.discriminator(random_streams(0)).heads, "head: "),
        parameters=num_bytes((state.g.params, state.d.params)),
        statistics=num_bytes((state.g.extra, state.d.extra)),
        optimisers=num_bytes((state.g_opt, state.d_opt)),
        average=num_bytes(state.g_ema),
        images=num_bytes(batch(gan)),
        temporaries=memory.temp_size_in_bytes if memory else None,
        flops=flops(gan),
    )


def parameter_counts(make: Callable[[], object], prefix: str = "") -> tuple[ParameterCount, ...]:
    """Counts for the top-level submodules of a network, in order of creation."""
    names: list[str] = []

    def build() -> object:
        network = make()
        names.extend(vars(network))  # NNX does not keep the order
        return network

    state = net_state(nnx.eval_shape(build))
    return tuple(
        ParameterCount(
            f"{prefix}{name}", num_elements(state.params.get(name)), num_elements(state.extra.get(name))
        )
        for name in names
        if name in state.params or name in state.extra
    )


def num_elements(tree: Tree) -> int:
    """Number of values in all arrays of a tree."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def num_bytes(tree: Tree) -> int:
    """Size of all arrays of a tree in bytes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def batch(gan: GAN) -> Any:
    """Shapes of the images [S, B, H, W, C] and labels [S, B] of one step; S sub-batches."""
    leading = (gan.sub_batches, gan.batch_size)
    images = jax.ShapeDtypeStruct((*leading, *gan.spec.image_shape), jnp.uint8)
    return Batch(images, jax.ShapeDtypeStruct(leading, jnp.int32))  # type: ignore[arg-type]


def trace_step(gan: GAN, state: GANState) -> jax.stages.Traced:
    """The traced program of one step, for any platform. `state`: shapes."""
    return jax.jit(functools.partial(train_step, gan)).trace(state, batch(gan), jax.random.key(0))


def flops(gan: GAN) -> float:
    """Floating-point operations of one step, as XLA counts them in the TPU program.

    The result does not depend on the machine; on a CPU wide convolutions take fewer (`nn.winograd`). XLA
    counts the body of a loop once. So the discriminator updates after the first are added here, and
    gradient accumulation is disabled.
    """
    one = dataclasses.replace(gan, gradient_accumulation=1, disc_iters=1)
    state = jax.eval_shape(one.init, jax.random.key(0))
    with convolution.without_cpu(True):
        total = program_flops(trace_step(one, state))
        if gan.disc_iters > 1:
            update = jax.jit(functools.partial(discriminator_step, one))
            images = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batch(one))
            total += (gan.disc_iters - 1) * program_flops(update.trace(state, images, jax.random.key(0)))
    return total


def program_flops(program: jax.stages.Traced) -> float:
    """Floating-point operations of a program for a TPU."""
    analysis: Any = program.lower(lowering_platforms=("tpu",)).cost_analysis()
    return analysis["flops"]
