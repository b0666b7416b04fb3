"""Our heads with recorded weights and features."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from compare_gan.core.types import DiscriminatorOut, SideOutputs
from compare_gan.nn.layers import LayerFactory, Linear
from compare_gan.nn.options import Layers
from tests.authors.recording import CASES


def recorded(name):
    with np.load(CASES / f"{name}.npz") as arrays:
        return dict(arrays)


def empty_head(task, features, classes):
    return task.make_head(LayerFactory(Layers(), nnx.Rngs(0)), features, classes)


def give(layer: Linear, weight, bias=None):
    """Sets a layer's weight [outputs, inputs], as PyTorch has it, and its bias."""
    layer.kernel.set_value(jnp.asarray(weight.T))
    if layer.bias is not None:
        layer.bias.set_value(jnp.asarray(bias))


def one_hot(labels, classes):
    """Label -1 becomes a row of zeros."""
    return jax.nn.one_hot(labels, classes)


def side(tasks, heads, features, logits, y):
    """The outputs for a batch with the heads applied in turn."""
    out = DiscriminatorOut(jnp.asarray(logits), jnp.asarray(features), {})
    for task, head in zip(tasks, heads, strict=True):
        out = task.score(head, out, y, train=True)
    return SideOutputs(out, None)
