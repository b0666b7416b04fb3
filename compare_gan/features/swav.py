"""A ResNet-50 (He et al., https://arxiv.org/abs/1512.03385) trained without labels by SwAV: Caron et al.,
https://arxiv.org/abs/2006.09882.

Images are resized and normalised as in dgm-eval, and features are those of its encoder `swav`.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from compare_gan.core.registry import EXTRACTORS
from compare_gan.core.types import Array, Tree
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.features.convolution import FoldedConv, conv_shapes, load_convs
from compare_gan.features.preprocessing import IMAGENET, Preprocessing
from compare_gan.features.pretrained import Pretrained, Recipe
from compare_gan.features.public import RESNET50_SWAV
from compare_gan.features.weights import Shapes, checked, read_weights
from compare_gan.nn.state import net_state

PREFIX = "module."  # of all names in SwAV's files, but not in torchvision's


class Bottleneck(nnx.Module):
    """Three convolutions, the second with the stride, and a skip connection."""

    def __init__(self, name: str, c_in: int, width: int, stride: int):
        def names(i: int) -> tuple[str, str]:
            return f"{name}.conv{i}", f"{name}.bn{i}"

        self.conv1 = FoldedConv(names(1), c_in, width, 1)
        self.conv2 = FoldedConv(names(2), width, width, 3, stride, 1)
        self.conv3 = FoldedConv(names(3), width, 4 * width, 1)
        fits = stride == 1 and c_in == 4 * width
        skip = f"{name}.downsample.0", f"{name}.downsample.1"
        self.skip = None if fits else FoldedConv(skip, c_in, 4 * width, 1, stride)

    def __call__(self, x: Array) -> Array:
        h = self.conv3(nnx.relu(self.conv2(nnx.relu(self.conv1(x)))))
        return nnx.relu(h + (x if self.skip is None else self.skip(x)))


class Network(nnx.Module):
    """Maps normalised images [B, H, W, 3] to features [B, 32 * width], no logits."""

    def __init__(self, spec: "ResNet"):
        self.stem, blocks, c_in = FoldedConv(("conv1", "bn1"), 3, spec.width, 7, 2, 3), [], spec.width
        for stage, count in enumerate(spec.blocks):
            for i in range(count):
                width, stride = spec.width << stage, 2 if i == 0 and stage > 0 else 1
                blocks.append(Bottleneck(f"layer{stage + 1}.{i}", c_in, width, stride))
                c_in = 4 * width
        self.blocks = nnx.List(blocks)

    def __call__(self, images: Array) -> FeaturesAndClasses:
        x = nnx.relu(self.stem(images))
        edges = ((0, 0), (1, 1), (1, 1), (0, 0))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), edges)
        for block in self.blocks:
            x = block(x)
        return FeaturesAndClasses(x.mean((1, 2)), jnp.zeros((len(x), 0)))


@dataclasses.dataclass(frozen=True)
class ResNet:
    """A residual network of bottlenecks, by the number of blocks in its four stages."""

    blocks: tuple[int, int, int, int]
    width: int = 64

    def network(self) -> Network:
        return Network(self)

    def shapes(self) -> Shapes:
        """Names and shapes of the weights in PyTorch layout."""
        return conv_shapes(nnx.eval_shape(self.network))

    def recognises(self, weights: Mapping[str, np.ndarray]) -> bool:
        return not {PREFIX + "layer4.0.conv3.weight", "layer4.0.conv3.weight"}.isdisjoint(weights)

    def used(self, weights: Mapping[str, np.ndarray], what: str, source: str) -> dict[str, np.ndarray]:
        plain = {name.removeprefix(PREFIX): value for name, value in weights.items()}
        return checked(plain, self.shapes(), what, source)

    def params(self, used: Mapping[str, np.ndarray]) -> Tree:
        network = nnx.eval_shape(self.network)
        load_convs(network, used)
        return net_state(network).params


RESNET50 = Recipe(
    "resnet50_swav",
    ResNet((3, 4, 6, 3)),
    Preprocessing(224, *IMAGENET, filter="bilinear", fit="shorter"),
    32,
)


@EXTRACTORS.register("resnet50_swav")
def resnet50_swav() -> Pretrained:
    """Features [N, 2048] of images of any size."""
    path = RESNET50_SWAV.path()
    return RESNET50.extractor(read_weights(path), str(path))
