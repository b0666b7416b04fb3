"""Linear, convolution and its transpose, optionally under spectral normalisation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array
from compare_gan.nn.convolution import convolve, convolve_transpose
from compare_gan.nn.options import Layers
from compare_gan.nn.rescale import Scale, convolve_rescaled


class SpectralVector(nnx.Variable):
    """Running estimate of a kernel's first singular vector."""


def spectral_normalize(kernel: Array, u: Array, side: str, epsilon: float) -> tuple[Array, Array]:
    """Divides a kernel by its largest singular value, by one power iteration.

    Miyato et al., https://arxiv.org/abs/1802.05957. The singular vectors count as constants
    for the gradient, the singular value does not.

    Args:
      kernel: [..., columns]; all axes but the last are the rows of a matrix.
      u: the estimate so far: [rows, 1] for the "left" side, [1, columns] for the "right".
      side: "left" or "right".
      epsilon: floor under the squared length of a vector.

    Returns:
      The normalised kernel, and the estimate after the iteration.
    """
    w = kernel.reshape(-1, kernel.shape[-1])
    if side == "left":
        v = _unit(w.T @ u, epsilon)
        u = _unit(w @ v, epsilon)
        u, v = jax.lax.stop_gradient((u, v))
        sigma = u.T @ w @ v
    else:
        v = _unit(u @ w.T, epsilon)
        u = _unit(v @ w, epsilon)
        u, v = jax.lax.stop_gradient((u, v))
        sigma = v @ w @ u.T
    return kernel / sigma[0, 0], u


def _unit(v: Array, epsilon: float) -> Array:
    return v / jnp.sqrt(jnp.maximum(jnp.sum(v**2), epsilon))


class _Kernel(nnx.Module):
    """A kernel with what all layers share: initialiser, bias, spectral normalisation.

    Unlike `flax.nnx.SpectralNorm` this keeps the kernel as the optimiser made it. In training
    the singular vector moves at each pass; in evaluation it is read only.
    """

    def __init__(self, shape, outputs, *, layers: Layers, spectral_norm, bias, initializer, rngs):
        self.kernel = nnx.Param((initializer or layers.weights.make())(rngs.params(), shape, jnp.float32))
        self.bias = None if bias is None else nnx.Param(jnp.full(outputs, bias, jnp.float32))
        self.dtype = layers.dtype
        rows, columns = self.kernel.size // shape[-1], shape[-1]
        self.side, self.epsilon = layers.spectral.side(rows, columns), layers.spectral.epsilon
        size = (rows, 1) if self.side == "left" else (1, columns)
        self.u = (
            SpectralVector(jax.random.normal(rngs.params(), size, jnp.float32)) if spectral_norm else None
        )

    def weight(self, train: bool) -> Array:
        kernel = self.kernel[...]
        if self.u is None:
            return kernel
        kernel, u = spectral_normalize(kernel, self.u[...], self.side, self.epsilon)
        if train:
            self.u[...] = u
        return kernel

    def add_bias(self, x: Array) -> Array:
        return x if self.bias is None else x + self.bias[...].astype(x.dtype)


class Linear(_Kernel):
    """[B, d_in] -> [B, d_out] in float32. `bias` is its initial value, None for none."""

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        layers: Layers,
        spectral_norm: bool = False,
        bias: float | None = 0.0,
        initializer: Callable | None = None,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            (d_in, d_out),
            d_out,
            layers=layers,
            spectral_norm=spectral_norm,
            bias=bias,
            initializer=initializer,
            rngs=rngs,
        )

    def __call__(self, x: Array, *, train: bool = False) -> Array:
        return self.add_bias(x.astype(jnp.float32) @ self.weight(train))


class Conv(_Kernel):
    """[B, H, W, c_in] -> [B, ceil(H/stride), ceil(W/stride), c_out], "SAME" padding.

    Without a stride, `scale` "up" or "repeat" doubles the image before it, "down" halves it after.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        size: int = 3,
        stride: int = 1,
        scale: Scale = "none",
        layers: Layers,
        spectral_norm: bool = False,
        bias: float | None = 0.0,
        initializer: Callable | None = None,
        rngs: nnx.Rngs,
    ):
        self.stride, self.scale = stride, scale
        shape = (size, size, c_in, c_out)
        super().__init__(
            shape,
            c_out,
            layers=layers,
            spectral_norm=spectral_norm,
            bias=bias,
            initializer=initializer,
            rngs=rngs,
        )

    def __call__(self, x: Array, *, train: bool = False) -> Array:
        x, kernel = x.astype(self.dtype), self.weight(train).astype(self.dtype)
        if self.stride == 1:
            return self.add_bias(convolve_rescaled(x, kernel, self.scale))
        return self.add_bias(convolve(x, kernel, self.stride))


class Deconv(_Kernel):
    """[B, H, W, c_in] -> [B, h, w, c_out], where `size_out` = (h, w); kernel [k, k, c_out, c_in]."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        size: int,
        stride: int,
        layers: Layers,
        spectral_norm: bool = False,
        bias: float | None = 0.0,
        initializer: Callable | None = None,
        rngs: nnx.Rngs,
    ):
        self.stride = stride
        shape = (size, size, c_out, c_in)
        super().__init__(
            shape,
            c_out,
            layers=layers,
            spectral_norm=spectral_norm,
            bias=bias,
            initializer=initializer,
            rngs=rngs,
        )

    def __call__(self, x: Array, size_out: tuple[int, int], *, train: bool = False) -> Array:
        x, kernel = x.astype(self.dtype), self.weight(train).astype(self.dtype)
        return self.add_bias(convolve_transpose(x, kernel, size_out, self.stride))
