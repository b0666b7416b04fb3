"""Records StudioGAN's maximum gradient penalty, vanilla loss and minibatch standard deviation.

`python -m tests.authors.record_studiogan_small CHECKOUT`. CHECKOUT is a folder with
https://github.com/POSTECH-CVLab/PyTorch-StudioGAN at commit 947b35e9835b67860fdce44d337f6d7fee7c8db3, under
the MIT License; its StyleGAN2 is NVIDIA's, under the Nvidia Source Code License. Needs PyTorch.
"""

import sys
from pathlib import Path
from unittest import mock

import numpy as np


def record(checkout: Path) -> dict[str, np.ndarray]:
    import torch

    sys.path.insert(0, str(checkout / "src"))
    # neither are needed by the parts that are recorded
    for name in ("torchvision", "torchvision.transforms", "utils.misc", "utils.style_misc", "utils.ops"):
        sys.modules[name] = mock.MagicMock()
    sys.modules["utils.style_ops"] = mock.MagicMock()
    from models.stylegan2 import MinibatchStdLayer  # type: ignore[import-not-found]
    from utils import losses  # type: ignore[import-not-found]

    rng = np.random.RandomState(0)
    real, fake = rng.uniform(-1, 1, (2, 6, 2, 3, 4)).astype(np.float32)
    alpha, weight = rng.uniform(size=6).astype(np.float32), rng.standard_normal((2, 3, 4)).astype(np.float32)
    logits, features = rng.standard_normal((2, 7)).astype(np.float32), rng.standard_normal((8, 5))

    def discriminator(images, labels, eval):
        return {"adv_output": torch.tanh(images * torch.tensor(weight)).sum((1, 2, 3))}

    images = torch.tensor(real), torch.tensor([0] * 6), torch.tensor(fake)
    with mock.patch("torch.rand", lambda *shape: torch.tensor(alpha).reshape(shape)):
        penalty = losses.cal_maxgrad_penalty(*images, discriminator, "cpu")
    std = MinibatchStdLayer(group_size=4)(torch.tensor(features)[:, :, None, None])[:, -1, 0, 0]
    return {
        "real": real,
        "fake": fake,
        "alpha": alpha,
        "weight": weight,
        "maxgp": penalty.detach().numpy(),
        "logits": logits,
        "vanilla": losses.d_vanilla(*torch.tensor(logits), DDP=False).numpy(),
        "features": features,
        "std": std.numpy(),
    }


if __name__ == "__main__":
    cases = Path(__file__).parent / "cases"
    np.savez_compressed(cases / "studiogan_small.npz", **record(Path(sys.argv[1]).resolve()))  # type: ignore[arg-type]
