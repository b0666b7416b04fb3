"""Recorded outputs of torch-fidelity's Inception network with pseudorandom weights.

From the root of the repository: `python -m tests.features.inception_case` records them again.
"""

import importlib
import importlib.util
import math
import sys
import tempfile
import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flax import nnx

from compare_gan.features.inception_network import Network

CASE = Path(__file__).with_name("inception_case.npz")
NETWORK = "torch_fidelity.feature_extractor_inceptionv3"


def random_weights(seed: int) -> dict[str, np.ndarray]:
    """Weights for which activations neither vanish nor explode.

    Uniform numbers from raw bits, which are the same in every version of NumPy.
    """
    bits, weights = np.random.PCG64(seed), {}
    for name, shape in nnx.eval_shape(Network).shapes().items():
        raw = bits.random_raw(math.prod(shape)).reshape(shape)
        unit = (raw >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - 1  # in [-1, 1)
        if name.endswith(("conv.weight", "fc.weight")):
            weights[name] = unit * np.float32(math.sqrt(6 / math.prod(shape[1:])))
        elif name.endswith(("running_var", "bn.weight")):
            weights[name] = 1 + unit / 2
        else:
            weights[name] = unit / 8
    return weights


def pictures(height: int, width: int) -> np.ndarray:
    """[2, H, W, 3] uint8: a dim one with a bright corner, and noise."""
    raw = np.random.PCG64(height).random_raw(height * width * 3).reshape(1, height, width, 3)
    noise = (raw >> np.uint64(56)).astype(np.uint8)
    rows, columns, channels = np.ogrid[:height, :width, :3]
    slope = (255 * (rows / height) ** 2 * (columns / width) ** 2 * (channels + 1) / 3).astype(np.uint8)
    return np.concatenate([slope[None], noise])


SIZES = {"small": (32, 32), "tall": (320, 40)}  # upsampled, and downsampled along one axis


def reference(weights: Mapping[str, np.ndarray], images: np.ndarray) -> dict[str, np.ndarray]:
    """Features, logits without bias, and the features of sFID, of torch-fidelity.

    Raises:
      ImportError: torch or torch-fidelity is missing.
    """
    import torch

    network = _torch_fidelity()
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    state["fc.bias"] = torch.linspace(-1, 1, 1008)
    for name in weights:
        if name.endswith("running_var"):
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    with tempfile.NamedTemporaryFile(suffix=".pth") as file, torch.no_grad():
        torch.save(state, file.name)
        net = network("any", ["2048", "logits_unbiased"], feature_extractor_weights_path=file.name)
        inner: list[torch.Tensor] = []
        net.Mixed_6d.branch1x1.register_forward_hook(lambda module, inputs, output: inner.append(output))
        features, logits = net(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    # guided-diffusion: the first 7 channels, flattened from channels last.
    spatial = inner[0][:, :7].permute(0, 2, 3, 1).reshape(len(images), -1)
    return {"features": features.numpy(), "logits": logits.numpy(), "spatial": spatial.numpy()}


def _torch_fidelity() -> type:
    """Only the network: the full package also imports torchvision, which is not needed here."""
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("torch_fidelity is not installed")
    if "torch_fidelity" in sys.modules:
        return importlib.import_module(NETWORK).FeatureExtractorInceptionV3
    sys.modules["torch_fidelity"] = package = types.ModuleType("torch_fidelity")
    package.__path__ = list(spec.submodule_search_locations)
    try:
        return importlib.import_module(NETWORK).FeatureExtractorInceptionV3
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torch_fidelity"]:
            del sys.modules[name]


if __name__ == "__main__":
    arrays = {}
    for key, size in SIZES.items():
        outputs = reference(random_weights(0), pictures(*size))
        arrays |= {f"{key}_{name}": values for name, values in outputs.items()}
    np.savez_compressed(CASE, **arrays)
