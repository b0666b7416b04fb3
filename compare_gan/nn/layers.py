"""Linear, convolution and its transpose, optionally under spectral normalisation."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array, Norm
from compare_gan.nn import kernels
from compare_gan.nn.convolution import convolve, convolve_grouped, convolve_transpose
from compare_gan.nn.options import CondDims, Layers, NormFactory
from compare_gan.nn.rescale import Scale, convolve_rescaled


class SpectralVector(nnx.Variable):
    """Running estimate of a kernel's first singular vector."""


@functools.partial(jax.jit, static_argnames=("side", "epsilon"))  # traced once for each shape
def spectral_normalize(kernel: Array, u: Array, side: str, epsilon: float) -> tuple[Array, Array]:
    """Divides a kernel by its largest singular value, estimated by one power iteration.

    Miyato et al., https://arxiv.org/abs/1802.05957. The gradient treats the singular vectors as constants,
    but not the singular value.

    Args:
      kernel: [..., columns]; all axes but the last are the rows of a matrix.
      u: the previous estimate: [rows, 1] if `side` is "left", [1, columns] if "right".
      side: "left" or "right".
      epsilon: lower bound of the squared length of a vector.

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
    """A kernel with bias and spectral normalisation, the base of all layers.

    Unlike `flax.nnx.SpectralNorm` this stores the unnormalised kernel. The singular vector is updated at each
    training pass and is constant in evaluation.
    """

    def __init__(self, make: "LayerFactory", shape: tuple[int, ...], outputs: int, bias: float | None):
        layers, rngs = make.layers, make.rngs
        initializer = make.initializer or layers.weights.make()
        self.kernel = nnx.Param(initializer(rngs.params(), shape, jnp.float32))
        self.bias = None if bias is None else nnx.Param(jnp.full(outputs, bias, jnp.float32))
        self.dtype = layers.dtype
        rows, columns = self.kernel.size // shape[-1], shape[-1]
        self.side, self.epsilon = layers.spectral.side(rows, columns), layers.spectral.epsilon
        size = (rows, 1) if self.side == "left" else (1, columns)
        self.u = (
            SpectralVector(jax.random.normal(rngs.params(), size, jnp.float32))
            if make.spectral_norm
            else None
        )

    def weight(self, train: bool) -> Array:
        kernel = self.kernel[...]
        if self.u is None:
            return kernel
        kernel, u = spectral_normalize(kernel, self.u[...], self.side, self.epsilon)
        if train:
            self.u.set_value(u)
        return kernel

    def add_bias(self, x: Array) -> Array:
        """Adds in float32, so that also the gradient, a sum over all pixels, is taken in it."""
        if self.bias is None:
            return x
        return (x.astype(jnp.float32) + self.bias[...]).astype(x.dtype)


class Linear(_Kernel):
    """[B, d_in] -> [B, d_out] in float32."""

    def __init__(self, make: "LayerFactory", d_in: int, d_out: int, *, bias: float | None):
        super().__init__(make, (d_in, d_out), d_out, bias)

    def __call__(self, x: Array, *, train: bool = False) -> Array:
        return self.add_bias(x.astype(jnp.float32) @ self.weight(train))


class Conv(_Kernel):
    """[B, H, W, c_in] -> [B, ceil(H/stride), ceil(W/stride), c_out], "SAME" padding.

    With stride 1, `scale` "up" or "repeat" doubles the image before the convolution, "down" halves it after.
    With `groups` each of as many equal parts of the channels is convolved alone, at stride 1 and one scale.
    """

    def __init__(
        self,
        make: "LayerFactory",
        c_in: int,
        c_out: int,
        *,
        size: int,
        stride: int,
        scale: Scale,
        groups: int,
        bias: float | None,
    ):
        assert groups == 1 or (stride == 1 and scale == "none")
        self.stride, self.scale, self.groups = stride, scale, groups
        super().__init__(make, (size, size, c_in // groups, c_out), c_out, bias)

    def __call__(self, x: Array, *, train: bool = False) -> Array:
        x, kernel = x.astype(self.dtype), self.weight(train).astype(self.dtype)
        with kernels.only_in_training(train):
            if self.groups > 1:
                return self.add_bias(convolve_grouped(x, kernel, self.groups))
            if self.stride == 1:
                return self.add_bias(convolve_rescaled(x, kernel, self.scale))
            return self.add_bias(convolve(x, kernel, self.stride))


class Deconv(_Kernel):
    """[B, H, W, c_in] -> [B, h, w, c_out], where `size_out` = (h, w); kernel [k, k, c_out, c_in]."""

    def __init__(self, make: "LayerFactory", c_in: int, c_out: int, *, size: int, stride: int):
        self.stride = stride
        super().__init__(make, (size, size, c_out, c_in), c_out, bias=0.0)

    def __call__(self, x: Array, size_out: tuple[int, int], *, train: bool = False) -> Array:
        x, kernel = x.astype(self.dtype), self.weight(train).astype(self.dtype)
        with kernels.only_in_training(train):
            return self.add_bias(convolve_transpose(x, kernel, size_out, self.stride))


@dataclasses.dataclass(frozen=True)
class LayerFactory:
    """Creates the layers of a network from shared settings. Each layer draws its weights from `rngs`.

    The methods' `bias` is the initial value of a layer's bias; None creates a layer without bias.
    """

    layers: Layers
    rngs: nnx.Rngs
    spectral_norm: bool = False
    batch_norm_fn: NormFactory | None = None
    layer_norm: bool = False  # whether residual blocks have layer norms
    dims: CondDims = CondDims()  # lengths of the vectors that condition norms
    initializer: Callable[..., Array] | None = None  # of kernels; None: that of `layers`

    @property
    def plain(self) -> "LayerFactory":
        """The same without spectral normalisation."""
        return dataclasses.replace(self, spectral_norm=False)

    def conditioned(self, dims: CondDims) -> "LayerFactory":
        """The same for norms that are conditioned by vectors of these lengths."""
        return dataclasses.replace(self, dims=dims)

    def linear(self, d_in: int, d_out: int, *, bias: float | None = 0.0) -> Linear:
        """[B, d_in] -> [B, d_out]."""
        return Linear(self, d_in, d_out, bias=bias)

    def conv(
        self,
        c_in: int,
        c_out: int,
        *,
        size: int = 3,
        stride: int = 1,
        scale: Scale = "none",
        groups: int = 1,
        bias: float | None = 0.0,
    ) -> Conv:
        """[B, H, W, c_in] -> [B, H', W', c_out], by a kernel of `size` x `size`."""
        return Conv(self, c_in, c_out, size=size, stride=stride, scale=scale, groups=groups, bias=bias)

    def deconv(self, c_in: int, c_out: int, *, size: int, stride: int) -> Deconv:
        """The transpose of a convolution that maps c_out to c_in channels."""
        return Deconv(self, c_in, c_out, size=size, stride=stride)

    def norm(self, features: int) -> Norm | None:
        """The configured batch norm for `features` channels, or None.

        Raises:
          UserError: the norm needs a label or latent vector that this network does not have.
        """
        return None if self.batch_norm_fn is None else self.batch_norm_fn(self, features)
