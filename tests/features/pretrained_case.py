"""Recorded outputs of the original networks with pseudorandom weights, in small versions.

From the root of the repository: `python -m tests.features.pretrained_case` records them again. It needs
torch, transformers, efficientnet_lite_pytorch, and clones of facebookresearch/dinov2 and
layer6ai-labs/dgm-eval on the path.
"""

import dataclasses
import importlib
import math
import os
import sys
import tempfile
import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from compare_gan.features import clip, dinov2, efficientnet, swav
from compare_gan.features.vit import ViT
from compare_gan.features.vit_names import CLIP_HUGGING_FACE, DINOV2, DINOV2_HUGGING_FACE, Naming

CASE = Path(__file__).with_name("pretrained_case.npz")
COLUMNS = 64  # recorded outputs per image


def random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Weights for which activations neither vanish nor explode.

    Uniform numbers from raw bits, which are the same in every version of NumPy.
    """
    bits, weights = np.random.PCG64(seed), {}
    for name, shape in shapes.items():
        raw = bits.random_raw(math.prod(shape)).reshape(shape)
        unit = (raw >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - 1  # in [-1, 1)
        if len(shape) > 1 and name != "positions":
            weights[name] = unit * np.float32(math.sqrt(3 / math.prod(shape[1:])))
        elif name.endswith((".weight", "running_var")) or ".scale" in name:
            weights[name] = 1 + unit / 2
        else:
            weights[name] = unit / 8
    return weights


def stored(weights: Mapping[str, np.ndarray], naming: Naming) -> dict[str, np.ndarray]:
    """The file of a vision transformer with weights of our names."""
    found: dict[str, np.ndarray] = {}
    for name, value in weights.items():
        theirs = naming.names(name)
        parts = [part.T if naming.transposes(name) else part for part in np.split(value, len(theirs))]
        if name == "token" and naming in (DINOV2, DINOV2_HUGGING_FACE):
            parts = [value[None, None]]
        if name == "positions" and naming in (DINOV2, DINOV2_HUGGING_FACE):
            parts = [value[None]]
        found |= dict(zip(theirs, parts, strict=True))
    return found


def inputs(side: int) -> np.ndarray:
    """[2, side, side, 3] float32: two normalised images of noise with a slope."""
    raw = np.random.PCG64(side).random_raw(2 * side * side * 3).reshape(2, side, side, 3)
    noise = (raw >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - 1
    return noise + np.linspace(-1, 1, side, dtype=np.float32)[:, None]


def dinov2_reference(spec: ViT, weights: Mapping[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, ...]:
    """facebookresearch/dinov2, as its hub makes the network."""
    os.environ["XFORMERS_DISABLED"] = "1"
    transformer = importlib.import_module("dinov2.models.vision_transformer").DinoVisionTransformer
    network = transformer(
        img_size=spec.trained_grid * spec.patch,
        patch_size=spec.patch,
        embed_dim=spec.width,
        depth=spec.depth,
        num_heads=spec.heads,
        init_values=1.0,
        block_chunks=0,
    )
    return (
        _run(network, stored(weights, DINOV2) | {"mask_token": np.zeros((1, spec.width), np.float32)}, x),
    )


def dinov2_hugging_face(
    spec: ViT, weights: Mapping[str, np.ndarray], x: np.ndarray
) -> tuple[np.ndarray, ...]:
    """transformers. It resizes positional embeddings in another way, so `trained_grid` must be `grid`."""
    import transformers

    config = transformers.Dinov2Config(
        hidden_size=spec.width,
        num_hidden_layers=spec.depth,
        num_attention_heads=spec.heads,
        image_size=spec.trained_grid * spec.patch,
        patch_size=spec.patch,
    )
    state = stored(weights, DINOV2_HUGGING_FACE)
    state["embeddings.mask_token"] = np.zeros((1, spec.width), np.float32)
    return (_run_hugging_face(transformers.Dinov2Model, config, state, x, "pooler_output"),)


def clip_reference(spec: ViT, weights: Mapping[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, ...]:
    """transformers, with the normalisation of CMMD."""
    import transformers

    config = transformers.CLIPVisionConfig(
        hidden_size=spec.width,
        intermediate_size=4 * spec.width,
        num_hidden_layers=spec.depth,
        num_attention_heads=spec.heads,
        image_size=spec.grid * spec.patch,
        patch_size=spec.patch,
        projection_dim=spec.outputs,
    )
    network, state = transformers.CLIPVisionModelWithProjection, stored(weights, CLIP_HUGGING_FACE)
    found = _run_hugging_face(network, config, state, x, "image_embeds")
    return (found / np.linalg.norm(found, axis=1, keepdims=True),)


def swav_reference(
    spec: swav.ResNet, weights: Mapping[str, np.ndarray], x: np.ndarray
) -> tuple[np.ndarray, ...]:
    """dgm-eval. Only the file of the network, without torchvision, which it does not need."""
    folder = next(Path(found) for found in sys.path if Path(found, "dgm_eval").is_dir())
    package, torchvision = types.ModuleType("dgm_eval.models"), types.ModuleType("torchvision")
    package.__path__ = [str(folder / "dgm_eval" / "models")]
    torchvision.transforms = None  # type: ignore[attr-defined]
    stubs = {"dgm_eval.models": package, "torchvision": torchvision}
    sys.modules.update(stubs)
    try:
        module = importlib.import_module("dgm_eval.models.swav")
    finally:
        for name in stubs:
            del sys.modules[name]
    network = module.ResNet(module.Bottleneck, list(spec.blocks), width_per_group=spec.width)
    network.forward = network.forward_backbone
    return (_run(network, weights, x),)


def efficientnet_reference(
    spec: efficientnet.EfficientNet, weights: Mapping[str, np.ndarray], x: np.ndarray
) -> tuple[np.ndarray, ...]:
    """efficientnet_lite_pytorch."""
    model = importlib.import_module("efficientnet_lite_pytorch.model")
    utils = importlib.import_module("efficientnet_lite_pytorch.utils")
    widths = (32, *(stage.width for stage in spec.stages))
    blocks = [
        utils.BlockArgs(
            num_repeat=stage.blocks,
            kernel_size=stage.size,
            stride=[stage.stride],
            expand_ratio=stage.expand,
            input_filters=c_in,
            output_filters=stage.width,
            se_ratio=None,
            id_skip=True,
        )
        for stage, c_in in zip(spec.stages, widths, strict=False)
    ]
    _, options = utils.get_model_params("efficientnet-lite0", None)
    network = model.EfficientNet(blocks, options._replace(image_size=x.shape[1]))
    network.set_swish(memory_efficient=False)
    network._swish = importlib.import_module("torch").nn.ReLU6()
    for block in network._blocks:
        block._swish = network._swish
    logits = _run(network, weights, x)
    features = _run(network, weights, x, forward=lambda x: network.extract_features(x).mean((2, 3)))
    return features, logits


def _run(network, weights: Mapping[str, np.ndarray], x: np.ndarray, forward=None) -> np.ndarray:
    """Loads all weights, by the names of the network, and applies it to images [B, H, W, 3]."""
    import torch

    state = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()}
    counters = {
        name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")
    }
    network.load_state_dict(state | counters)
    network.eval()
    with torch.no_grad():
        return (forward or network)(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()


def _run_hugging_face(
    network, config, weights: Mapping[str, np.ndarray], x: np.ndarray, output: str
) -> np.ndarray:
    """Like `_run`, from a file with the public names, which are not those inside the newest versions."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        contiguous = {name: np.ascontiguousarray(value) for name, value in weights.items()}
        save_file(contiguous, Path(folder, "model.safetensors"), {"format": "pt"})
        loaded, about = network.from_pretrained(folder, output_loading_info=True)
    assert not any(about.values()), about
    with torch.no_grad():
        return loaded.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))[output].numpy()


def small_vit(recipe, **changes) -> ViT:
    return dataclasses.replace(recipe.architecture, width=32, depth=2, heads=2, grid=2, **changes)


# Small versions, the side of their images, and their references.
SMALL = {
    "dinov2": (small_vit(dinov2.BASE, trained_grid=5), 28, dinov2_reference),
    "clip": (small_vit(clip.LARGE_336, trained_grid=2, outputs=24), 28, clip_reference),
    "swav": (swav.ResNet((1, 2, 1, 1)), 63, swav_reference),
    "efficientnet": (efficientnet.EfficientNet(efficientnet.STAGES[:3]), 63, efficientnet_reference),
}
FULL = {
    "dinov2_vitb14": (dinov2.BASE.architecture, 224, dinov2_reference),
    "dinov2_vitb14_hugging_face": (
        dataclasses.replace(dinov2.BASE.architecture, trained_grid=16),
        224,
        dinov2_hugging_face,
    ),
    "clip_vitl14_336": (clip.LARGE_336.architecture, 336, clip_reference),
    "resnet50_swav": (swav.RESNET50.architecture, 224, swav_reference),
    "efficientnet_lite0": (efficientnet.LITE0.architecture, 224, efficientnet_reference),
}

if __name__ == "__main__":
    arrays = {}
    for key, (spec, side, reference) in SMALL.items():
        outputs = reference(spec, random_weights(spec.shapes(), 0), inputs(side))
        arrays |= {f"{key}_{i}": output[:, :COLUMNS] for i, output in enumerate(outputs)}
    np.savez_compressed(CASE, **arrays)
