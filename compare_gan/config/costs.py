"""Parameters, memory and FLOPs of a GAN, computed from shapes without running it."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from compare_gan.core.types import Batch, GANState, NetState, Tree
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


class Outline(NamedTuple):
    """The shapes of a training state, and the names of submodules in order of creation."""

    state: GANState
    generator: list[str]
    backbone: list[str]  # of the discriminator
    heads: list[str]


def costs(gan: GAN, compiled: bool = False) -> Costs:
    """The costs of `gan`. With `compiled`, the step is compiled for `temporaries`, which may take minutes."""
    state, generator, backbone, heads = outline(gan)
    memory = trace_step(gan, state).lower().compile().memory_analysis() if compiled else None
    return Costs(
        generator=parameter_counts(generator, state.g),
        discriminator=parameter_counts(backbone, part(state.d, "backbone"))
        + parameter_counts(heads, part(state.d, "heads"), "head: "),
        parameters=num_bytes((state.g.params, state.d.params)),
        statistics=num_bytes((state.g.extra, state.d.extra)),
        optimisers=num_bytes((state.g_opt, state.d_opt)),
        average=num_bytes(state.g_ema),
        images=num_bytes(batch(gan)),
        temporaries=memory.temp_size_in_bytes if memory else None,
        flops=flops(gan),
    )


@functools.lru_cache(maxsize=32)
def outline(gan: GAN) -> Outline:
    """Traces the construction of both networks once: for a deep network it takes long."""
    names: list[list[str]] = []

    def init() -> GANState:
        g, d = gan.generator(random_streams(0)), gan.discriminator(random_streams(0))
        names.extend(list(vars(module)) for module in (g, d.backbone, d.heads))  # NNX loses their order
        return gan.initial_state(net_state(g), net_state(d))

    return Outline(jax.eval_shape(init), *names)


def part(network: NetState, name: str) -> NetState:
    """The state of one submodule of a network."""
    return NetState(network.params.get(name, {}), network.extra.get(name, {}))


def parameter_counts(names: Sequence[str], network: NetState, prefix: str = "") -> tuple[ParameterCount, ...]:
    """Counts for the submodules `names` that have parameters or state."""
    return tuple(
        ParameterCount(
            f"{prefix}{name}", num_elements(network.params.get(name)), num_elements(network.extra.get(name))
        )
        for name in names
        if name in network.params or name in network.extra
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
    one, state = dataclasses.replace(gan, gradient_accumulation=1, disc_iters=1), outline(gan).state
    with convolution.on_cpu(False):
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
