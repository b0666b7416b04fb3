"""Training the small networks that some metrics are made of."""

from collections.abc import Callable

import jax
import numpy as np
import optax

from compare_gan.core.progress import Progress
from compare_gan.core.types import Array, NetState, Tree

# A network, a batch and a key -> a loss, and the network's new statistics.
Objective = Callable[[NetState, Tree, Array], tuple[Array, Tree]]


def trained(
    name: str,
    objective: Objective,
    net: NetState,
    batches: Callable[[int], Tree],
    *,
    tx: optax.GradientTransformation,
    steps: int,
    rng: Array,
) -> NetState:
    """The network after so many steps against an objective.

    Args:
      name: what the progress line says.
      objective: what becomes less.
      net: the network before.
      batches: what a step gets, by its number; all of one shape.
      tx: how gradients become updates.
      steps: how many.
      rng: the key of a step is folded from it and the step's number.
    """

    @jax.jit
    def step(net: NetState, opt: optax.OptState, batch: Tree, rng: Array):
        def loss(params: Tree) -> tuple[Array, Tree]:
            return objective(NetState(params, net.extra), batch, rng)

        (value, extra), gradients = jax.value_and_grad(loss, has_aux=True)(net.params)
        updates, opt = tx.update(gradients, opt, net.params)
        return NetState(optax.apply_updates(net.params, updates), extra), opt, value

    opt, progress = tx.init(net.params), Progress(name, steps, show_after_s=5.0)
    for i in range(steps):
        net, opt, value = step(net, opt, batches(i), jax.random.fold_in(rng, np.uint32(i)))
        progress.update(i + 1, {"loss": float(value)})
    return net
