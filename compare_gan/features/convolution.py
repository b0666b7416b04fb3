"""Convolutions of trained networks, with their batch norm folded in."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from compare_gan.core.types import Array

# Full float32 on every device: the default of some is TF32 or bfloat16.
PRECISION = lax.Precision.HIGHEST


class FoldedConv(nnx.Module):
    """A convolution and the batch norm after it, of [B, H, W, c_in]."""

    def __init__(
        self,
        names: tuple[str, str],  # of convolution and batch norm in the weights file
        c_in: int,
        c_out: int,
        size: int | tuple[int, int],
        stride: int = 1,
        padding: int | str = 0,  # pixels at every edge, or "SAME" or "VALID", as in TensorFlow
        groups: int = 1,
        epsilon: float = 1e-5,
    ):
        self.names, self.stride, self.groups, self.epsilon = names, stride, groups, epsilon
        self.padding = padding if isinstance(padding, str) else ((padding, padding), (padding, padding))
        height, width = (size, size) if isinstance(size, int) else size
        self.kernel = nnx.Param(jnp.zeros((height, width, c_in // groups, c_out), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(c_out, jnp.float32))

    def __call__(self, x: Array) -> Array:
        x = lax.conv_general_dilated(
            x,
            self.kernel[...],
            (self.stride, self.stride),
            self.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
            precision=PRECISION,
        )
        return x + self.bias[...]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights in PyTorch layout."""
        h, w, c_in, c_out = self.kernel.shape
        conv, norm = self.names
        parts = {f"{norm}.{part}": (c_out,) for part in ("weight", "bias", "running_mean", "running_var")}
        return {f"{conv}.weight": (c_out, c_in, h, w), **parts}

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        kernel, gamma, beta, mean, variance = (weights[name].astype(np.float64) for name in self.shapes())
        scale = gamma / np.sqrt(variance + self.epsilon)
        self.kernel = nnx.Param(jnp.asarray(kernel.transpose(2, 3, 1, 0) * scale, jnp.float32))
        self.bias = nnx.Param(jnp.asarray(beta - mean * scale, jnp.float32))


def conv_shapes(network: nnx.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of all convolutions of a network."""
    return {name: shape for conv in _convolutions(network) for name, shape in conv.shapes().items()}


def load_convs(network: nnx.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Sets all convolutions of a network to the weights of `conv_shapes`."""
    for conv in _convolutions(network):
        conv.load(weights)


def _convolutions(network: nnx.Module) -> list[FoldedConv]:
    return [module for _, module in nnx.iter_modules(network) if isinstance(module, FoldedConv)]
