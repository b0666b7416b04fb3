"""Trains the small networks that some metrics need."""

from collections.abc import Callable

import jax
import numpy as np
import optax

from compare_gan.core.progress import Progress
from compare_gan.core.types import Array, NetState, Tree

# State of a network, batch, key -> loss, new non-trainable state.
Objective = Callable[[NetState, Tree, Array], tuple[Array, Tree]]


def train_network(
    name: str,
    objective: Objective,
    net: NetState,
    batches: Callable[[int], Tree],
    *,
    tx: optax.GradientTransformation,
    steps: int,
    rng: Array,
) -> NetState:
    """Minimises an objective and returns the trained network.

    Args:
      name: label of the progress line.
      objective: the loss function.
      net: the initial network.
      batches: step -> batch; all batches have the same shapes.
      tx: the optimizer.
      steps: number of steps.
      rng: the key of a step is folded from this and the step.
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
