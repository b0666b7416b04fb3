"""Records BigGAN's orthogonal regularization: `python -m tests.authors.record_biggan_pytorch CHECKOUT`.

CHECKOUT is a folder with https://github.com/ajbrock/BigGAN-PyTorch at commit
98459431a5d618d644d54cd1e9fceb1e5045648d, under the MIT License. Needs PyTorch.
"""

import sys
from pathlib import Path
from unittest import mock

import numpy as np


def record(checkout: Path) -> dict[str, np.ndarray]:
    import torch

    sys.path.insert(0, str(checkout))
    sys.modules["datasets"] = mock.MagicMock()  # of images, which are not needed
    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms", "tqdm"):
        sys.modules.setdefault(name, mock.MagicMock())
    import utils  # type: ignore[import-not-found]

    rng = np.random.RandomState(0)
    found = {}
    layers = {
        "linear": torch.nn.Linear(5, 7),  # more rows than columns, in PyTorch's order
        "conv": torch.nn.Conv2d(3, 4, 3),
        "grouped": torch.nn.Conv2d(6, 4, 3, groups=2),
        "deconv": torch.nn.ConvTranspose2d(4, 2, 3),
    }
    for name, layer in layers.items():
        weight = rng.standard_normal(layer.weight.shape).astype(np.float32)
        layer.weight.data = torch.tensor(weight)
        for parameter in layer.parameters():
            parameter.grad = torch.zeros_like(parameter)
        utils.ortho(layer, strength=0.1)
        found[f"{name}/weight"], found[f"{name}/gradient"] = weight, layer.weight.grad.numpy()
    return found


if __name__ == "__main__":
    cases = Path(__file__).parent / "cases"
    np.savez_compressed(cases / "biggan_pytorch.npz", **record(Path(sys.argv[1]).resolve()))  # type: ignore[arg-type]
