"""Vision transformers: Dosovitskiy et al., https://arxiv.org/abs/2010.11929, as DINOv2 and CLIP use them.

Shape letters: B batch, P patches, T = 1 + P tokens, D width, N heads, E outputs.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from compare_gan.core.types import Array, Tree
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.features.vit_names import Naming, naming_of, renamed
from compare_gan.features.weights import Shapes

# Full float32 on every device: the default of some is TF32 or bfloat16.
PRECISION = lax.Precision.HIGHEST


def quick_gelu(x: Array) -> Array:
    """An approximation of GELU, which CLIP was trained with."""
    return x * jax.nn.sigmoid(1.702 * x)


@dataclasses.dataclass(frozen=True)
class ViT:
    """A vision transformer."""

    namings: tuple[Naming, ...]  # of its weights in public files
    width: int
    depth: int
    heads: int
    grid: int  # patches per side of the input
    trained_grid: int  # the same when it was trained, for which it has positional embeddings
    patch: int = 14
    epsilon: float = 1e-6  # of layer norms
    gelu: Callable[[Array], Array] = functools.partial(jax.nn.gelu, approximate=False)
    patch_bias: bool = True
    norm_first: bool = False  # whether tokens are normalised before the first block
    layer_scale: bool = True  # https://arxiv.org/abs/2103.17239
    outputs: int | None = None  # E of the linear layer after the last block; None: no such layer
    unit_length: bool = False  # whether features are divided by their Euclidean norm

    def network(self) -> "Network":
        return Network(self)

    def recognises(self, weights: Mapping[str, np.ndarray]) -> bool:
        """Whether a file has a class token of this width under one of the names."""
        naming = naming_of(weights, self.namings)
        return naming is not None and weights[naming.names("token")[0]].size == self.width

    def used(self, weights: Mapping[str, np.ndarray], what: str, source: str) -> dict[str, np.ndarray]:
        """The weights of `shapes`, from a file.

        Raises:
          UserError: weights are missing or differ in shape.
        """
        naming = naming_of(weights, self.namings) or self.namings[0]
        return renamed(weights, self.shapes(), naming, what, source)

    def shapes(self) -> Shapes:
        """Names and shapes of the weights that `params` reads, in PyTorch layout."""
        d = self.width
        shapes: dict[str, tuple[int, ...]] = {"token": (d,), "positions": (1 + self.trained_grid**2, d)}

        def add(part: str, *weight: int, bias: bool = True) -> None:
            shapes[f"{part}.weight"] = weight
            if bias:
                shapes[f"{part}.bias"] = weight[:1]

        add("patch", d, 3, self.patch, self.patch, bias=self.patch_bias)
        if self.norm_first:
            add("norm_first", d)
        for i in range(self.depth):
            at = f"blocks.{i}."
            add(at + "norm1", d)
            add(at + "qkv", 3 * d, d)
            add(at + "out", d, d)
            add(at + "norm2", d)
            add(at + "fc1", 4 * d, d)
            add(at + "fc2", d, 4 * d)
            if self.layer_scale:
                shapes[at + "scale1"] = shapes[at + "scale2"] = (d,)
        add("norm", d)
        if self.outputs:
            add("outputs", self.outputs, d, bias=False)
        return shapes

    def params(self, weights: Mapping[str, np.ndarray]) -> Tree:
        """The parameters of `Network` from weights of the names and shapes of `shapes`.

        The scales of a block become part of its linear layers, and the class token part of its positional
        embedding.
        """

        def linear(part: str) -> dict[str, np.ndarray]:
            return {"kernel": weights[f"{part}.weight"].T, "bias": weights[f"{part}.bias"]}

        def scaled(part: str, scale: str) -> dict[str, np.ndarray]:
            found = linear(part)
            if not self.layer_scale:
                return found
            return {name: value * weights[scale] for name, value in found.items()}

        def norm(part: str) -> dict[str, np.ndarray]:
            return {"scale": weights[f"{part}.weight"], "bias": weights[f"{part}.bias"]}

        def block(i: int) -> Tree:
            at = f"blocks.{i}."
            return {
                "norm1": norm(at + "norm1"),
                "qkv": linear(at + "qkv"),
                "out": scaled(at + "out", at + "scale1"),
                "norm2": norm(at + "norm2"),
                "fc1": linear(at + "fc1"),
                "fc2": scaled(at + "fc2", at + "scale2"),
            }

        patch = {"kernel": weights["patch.weight"].transpose(2, 3, 1, 0)}
        if self.patch_bias:
            patch["bias"] = weights["patch.bias"]
        first, *others = np.split(weights["positions"], [1])
        grid = resized_grid(others[0].reshape(self.trained_grid, self.trained_grid, -1), self.grid)
        tree: dict[str, Any] = {
            "patch": patch,
            "tokens": np.concatenate([first + weights["token"], grid.reshape(-1, self.width)]),
            "blocks": {i: block(i) for i in range(self.depth)},
            "norm": norm("norm"),
        }
        if self.norm_first:
            tree["norm_first"] = norm("norm_first")
        if self.outputs:
            tree["outputs"] = {"kernel": weights["outputs.weight"].T}
        return tree


def resized_grid(grid: np.ndarray, side: int) -> np.ndarray:
    """Positional embeddings [G, G, D] for another number of patches: [side, side, D].

    As in DINOv2: bicubic (a = -0.75) without antialiasing, and for a scale of (side + 0.1) / G, which was
    meant to prevent rounding errors but shifts all positions.
    """
    size = len(grid)
    if side == size:
        return grid
    at = (np.arange(side) + 0.5) * size / (side + 0.1) - 0.5
    base, matrix = np.floor(at).astype(int), np.zeros((side, size))
    for offset in (-1, 0, 1, 2):
        t = np.abs(at - base - offset)
        near, far = (1.25 * t - 2.25) * t * t + 1, ((-0.75 * t + 3.75) * t - 6) * t + 3
        np.add.at(matrix, (np.arange(side), (base + offset).clip(0, size - 1)), np.where(t <= 1, near, far))
    return np.einsum("ig,jh,ghd->ijd", matrix, matrix, grid.astype(np.float64), optimize=True).astype(
        np.float32
    )


class Block(nnx.Module):
    """Self-attention and a network of two layers, each after a layer norm and with a skip connection."""

    def __init__(self, spec: ViT, rngs: nnx.Rngs):
        linear = functools.partial(nnx.Linear, precision=PRECISION, rngs=rngs)
        self.heads, self.gelu, d = spec.heads, spec.gelu, spec.width
        self.norm1, self.norm2 = layer_norm(spec, rngs), layer_norm(spec, rngs)
        self.qkv, self.out = linear(d, 3 * d), linear(d, d)
        self.fc1, self.fc2 = linear(d, 4 * d), linear(4 * d, d)

    def __call__(self, x: Array) -> Array:
        x = x + self.out(self.attention(self.qkv(self.norm1(x))))
        return x + self.fc2(self.gelu(self.fc1(self.norm2(x))))

    def attention(self, qkv: Array) -> Array:
        """Attention of each head over all tokens: [B, T, 3D] to [B, T, D]."""
        b, t, d = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        q, k, v = jnp.moveaxis(qkv.reshape(b, t, 3, self.heads, d // self.heads), 2, 0)  # [B, T, N, D/N]
        logits = jnp.einsum("btnd,bsnd->bnts", q, k, precision=PRECISION) * (d // self.heads) ** -0.5
        mixed = jnp.einsum("bnts,bsnd->btnd", jax.nn.softmax(logits), v, precision=PRECISION)
        return mixed.reshape(b, t, d)


class Network(nnx.Module):
    """Maps normalised images [B, H, W, 3] of `grid * patch` pixels a side to features [B, D or E], no logits.

    Features are those of the class token after the last layer norm.
    """

    def __init__(self, spec: ViT):
        rngs, size = nnx.Rngs(0), (spec.patch, spec.patch)
        self.unit_length = spec.unit_length
        self.patch = nnx.Conv(
            3,
            spec.width,
            size,
            strides=size,
            padding="VALID",
            use_bias=spec.patch_bias,
            precision=PRECISION,
            rngs=rngs,
        )
        self.tokens = nnx.Param(jnp.zeros((1 + spec.grid**2, spec.width), jnp.float32))
        self.norm_first = layer_norm(spec, rngs) if spec.norm_first else None
        self.blocks = nnx.List([Block(spec, rngs) for _ in range(spec.depth)])
        self.norm = layer_norm(spec, rngs)
        self.outputs = (
            nnx.Linear(spec.width, spec.outputs, use_bias=False, precision=PRECISION, rngs=rngs)
            if spec.outputs
            else None
        )

    def __call__(self, images: Array) -> FeaturesAndClasses:
        patches = self.patch(images)  # [B, H / patch, W / patch, D]
        patches = patches.reshape(len(patches), -1, patches.shape[-1])
        x = jnp.pad(patches, ((0, 0), (1, 0), (0, 0))) + self.tokens[...]  # [B, T, D]
        if self.norm_first is not None:
            x = self.norm_first(x)
        for block in self.blocks:
            x = block(x)
        features = self.norm(x[:, 0])
        if self.outputs is not None:
            features = self.outputs(features)
        if self.unit_length:
            features /= jnp.linalg.norm(features, axis=-1, keepdims=True)
        return FeaturesAndClasses(features, jnp.zeros((len(features), 0)))


def layer_norm(spec: ViT, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Its variance is that of the centred numbers, as in PyTorch."""
    return nnx.LayerNorm(spec.width, epsilon=spec.epsilon, use_fast_variance=False, rngs=rngs)
