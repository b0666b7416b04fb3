"""The names of a vision transformer's weights in public files."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from compare_gan.features.weights import Shapes, checked


@dataclasses.dataclass(frozen=True, eq=False)
class Naming:
    """How a file names the parts of `ViT.shapes`.

    In a name, {} stands for "weight" or "bias". Several names are parts that are stored separately and
    concatenated.
    """

    block: str  # prefix of block {}
    parts: Mapping[str, str | tuple[str, ...]]
    outputs_transposed: bool = False  # whether the last layer is stored as [D, E]

    def transposes(self, ours: str) -> bool:
        return self.outputs_transposed and ours == "outputs.weight"

    def names(self, ours: str) -> tuple[str, ...]:
        """The names of one of our weights."""
        block, part, kind = re.fullmatch(r"(?:blocks\.(\d+)\.)?(\w+)(?:\.(weight|bias))?", ours).groups()  # type: ignore[union-attr]
        theirs = self.parts[part]
        prefix = "" if block is None else self.block.format(block)
        return tuple(
            prefix + name.format(kind) for name in ((theirs,) if isinstance(theirs, str) else theirs)
        )


# https://github.com/facebookresearch/dinov2, and timm
DINOV2 = Naming(
    "blocks.{}.",
    {
        "token": "cls_token",
        "positions": "pos_embed",
        "patch": "patch_embed.proj.{}",
        "norm1": "norm1.{}",
        "qkv": "attn.qkv.{}",
        "out": "attn.proj.{}",
        "scale1": "ls1.gamma",
        "norm2": "norm2.{}",
        "fc1": "mlp.fc1.{}",
        "fc2": "mlp.fc2.{}",
        "scale2": "ls2.gamma",
        "norm": "norm.{}",
    },
)
# https://huggingface.co/facebook/dinov2-base
DINOV2_HUGGING_FACE = Naming(
    "encoder.layer.{}.",
    {
        "token": "embeddings.cls_token",
        "positions": "embeddings.position_embeddings",
        "patch": "embeddings.patch_embeddings.projection.{}",
        "norm1": "norm1.{}",
        "qkv": tuple(f"attention.attention.{part}.{{}}" for part in ("query", "key", "value")),
        "out": "attention.output.dense.{}",
        "scale1": "layer_scale1.lambda1",
        "norm2": "norm2.{}",
        "fc1": "mlp.fc1.{}",
        "fc2": "mlp.fc2.{}",
        "scale2": "layer_scale2.lambda1",
        "norm": "layernorm.{}",
    },
)
# https://github.com/openai/CLIP, and open_clip
CLIP = Naming(
    "visual.transformer.resblocks.{}.",
    {
        "token": "visual.class_embedding",
        "positions": "visual.positional_embedding",
        "patch": "visual.conv1.{}",
        "norm_first": "visual.ln_pre.{}",
        "norm1": "ln_1.{}",
        "qkv": "attn.in_proj_{}",
        "out": "attn.out_proj.{}",
        "norm2": "ln_2.{}",
        "fc1": "mlp.c_fc.{}",
        "fc2": "mlp.c_proj.{}",
        "norm": "visual.ln_post.{}",
        "outputs": "visual.proj",
    },
    outputs_transposed=True,
)
# https://huggingface.co/openai/clip-vit-large-patch14-336
CLIP_HUGGING_FACE = Naming(
    "vision_model.encoder.layers.{}.",
    {
        "token": "vision_model.embeddings.class_embedding",
        "positions": "vision_model.embeddings.position_embedding.weight",
        "patch": "vision_model.embeddings.patch_embedding.{}",
        "norm_first": "vision_model.pre_layrnorm.{}",
        "norm1": "layer_norm1.{}",
        "qkv": tuple(f"self_attn.{part}_proj.{{}}" for part in "qkv"),
        "out": "self_attn.out_proj.{}",
        "norm2": "layer_norm2.{}",
        "fc1": "mlp.fc1.{}",
        "fc2": "mlp.fc2.{}",
        "norm": "vision_model.post_layernorm.{}",
        "outputs": "visual_projection.{}",
    },
)


def naming_of(weights: Mapping[str, np.ndarray], namings: tuple[Naming, ...]) -> Naming | None:
    """The one of `namings` that a file uses."""
    return next((naming for naming in namings if naming.parts["token"] in weights), None)


def renamed(
    weights: Mapping[str, np.ndarray], shapes: Shapes, naming: Naming, what: str, source: str
) -> dict[str, np.ndarray]:
    """Weights of our names and `shapes` in float32, from those of a file. Others are ignored.

    Args:
      what: the network, and `source`: the file, for error messages.

    Raises:
      UserError: weights are missing or differ in shape.
    """
    stored: dict[str, tuple[int, ...]] = {}
    for ours, shape in shapes.items():
        theirs = naming.names(ours)
        parts = (shape[0] // len(theirs), *shape[1:])
        stored |= dict.fromkeys(theirs, parts[::-1] if naming.transposes(ours) else parts)
    flat = {name: _squeezed(weights[name], shape) for name, shape in stored.items() if name in weights}
    used = checked(flat, stored, what, source)
    found = {name: np.concatenate([used[part] for part in naming.names(name)]) for name in shapes}
    return {name: value.T if naming.transposes(name) else value for name, value in found.items()}


def _squeezed(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Without leading axes of size 1 that `shape` lacks: DINOv2 stores embeddings as [1, T, D]."""
    while array.ndim > len(shape) and len(array) == 1:
        array = array[0]
    return array
