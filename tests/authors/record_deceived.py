"""Records what APA shows as real images for given random numbers, and how its probability moves.

From EndlessSora/DeceiveD at 042c5c4 (Nvidia Source Code License), `training/loss.py` and
`training/training_loop.py`.
"""

import importlib
import types

import numpy as np
import torch

from tests.authors.record_stylegan2_ada import controlled
from tests.authors.recording import checkout, numbers_for, save

P = 0.4


def main() -> None:
    folder, rng, used = checkout(), np.random.default_rng(0), list[np.ndarray]()
    loss = importlib.import_module("training.loss").StyleGAN2Loss
    real, fake = rng.uniform(-1, 1, (2, 8, 3, 4, 4)).astype(np.float32)
    state = types.SimpleNamespace(
        device="cpu", augment_pipe=types.SimpleNamespace(p=P), pseudo_data=torch.as_tensor(fake)
    )
    with numbers_for(torch, rng, used):
        shown = loss.adaptive_pseudo_augmentation(state, torch.as_tensor(real)).numpy()
    arrays = {name: x.transpose(0, 2, 3, 1) for name, x in (("real", real), ("fake", fake), ("shown", shown))}
    arrays |= {"drawn": used[0].ravel()} | controlled(folder, "# Execute APA heuristic.", "apa")
    save("deceived", arrays)


if __name__ == "__main__":
    main()
