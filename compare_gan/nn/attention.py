"""Self-attention over the positions of an image.

The non-local block of Wang et al., https://arxiv.org/abs/1711.07971, as used in SAGAN by Zhang et al.,
https://arxiv.org/abs/1805.08318. As in compare_gan it differs from SAGAN: keys and values are max-pooled
to a quarter of the positions, values have half the channels and pass through one more convolution after
attention, and no convolution has a bias.

Shape letters: B batch, H W image, C channels.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array
from compare_gan.nn.layers import Conv, LayerFactory


class NonLocalBlock(nnx.Module):
    """Adds the attention output to each position, times a learned gate that is initialised to zero.

    `theta` computes the queries, `phi` the keys, `g` the values; queries and keys have an eighth of
    the channels.
    """

    def __init__(self, make: LayerFactory, channels: int):
        def conv(c_in: int, c_out: int) -> Conv:
            return make.conv(c_in, c_out, size=1, bias=None)

        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.theta, self.phi = conv(channels, narrow), conv(channels, narrow)
        self.g, self.attn_g = conv(channels, half), conv(half, channels)
        self.sigma = nnx.Param(jnp.zeros((), jnp.float32))

    def __call__(self, x: Array, *, train: bool = False) -> Array:  # [B, H, W, C], H and W even
        queries = positions(self.theta(x, train=train))
        keys = positions(max_pool(self.phi(x, train=train)))
        values = positions(max_pool(self.g(x, train=train)))
        attention = jax.nn.softmax(jnp.einsum("bqc,bkc->bqk", queries, keys).astype(jnp.float32))
        attention = attention.astype(values.dtype)
        attended = jnp.einsum("bqk,bkc->bqc", attention, values).reshape(*x.shape[:3], -1)
        return x + self.sigma[...].astype(x.dtype) * self.attn_g(attended, train=train)


def positions(x: Array) -> Array:
    """[B, H, W, C] -> [B, H*W, C]."""
    return x.reshape(x.shape[0], -1, x.shape[-1])


def max_pool(x: Array) -> Array:
    """[B, H, W, C] -> [B, H/2, W/2, C]: largest of each square of four."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))
