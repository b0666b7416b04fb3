"""Records the augmentation pipeline and the controller of ADA for given random numbers.

From NVlabs/stylegan2-ada-pytorch at d72cc7d (Nvidia Source Code License), `training/augment.py` and
`training/training_loop.py`.
"""

import importlib
import types
from pathlib import Path

import numpy as np
import torch

from tests.authors.recording import checkout, lines_after, numbers_for, save

OPERATIONS = (
    "xflip rotate90 xint scale rotate aniso xfrac brightness contrast lumaflip hue saturation cutout".split()
)
P = 0.7  # of the case with all operations


def main() -> None:
    folder = checkout()
    pipe_class = importlib.import_module("training.augment").AugmentPipe
    rng = np.random.default_rng(1)
    images = rng.uniform(-1, 1, (3, 8, 10, 3)).astype(np.float32)
    weights = rng.standard_normal(images.shape).astype(np.float32)
    arrays = {"images": images, "weights": weights}
    cases = {name: ({name: 1}, 1.0, 3) for name in OPERATIONS}
    everything = dict.fromkeys(OPERATIONS, 1)
    cases |= {"all": (everything, P, 3), "grey": (everything, P, 1)}
    for case, (operations, p, channels) in cases.items():
        pipe, used = pipe_class(**operations), list[np.ndarray]()
        pipe.p.fill_(p)
        x = torch.as_tensor(images[..., :channels]).permute(0, 3, 1, 2).requires_grad_()
        with numbers_for(torch, rng, used):
            result = pipe(x).permute(0, 2, 3, 1)
        (result * torch.as_tensor(weights[..., :channels])).sum().backward()
        arrays[case] = result.detach().numpy()
        arrays[f"{case} drawn"] = np.concatenate([numbers.reshape(len(images), -1) for numbers in used], 1)
        if case in ("all", "grey"):
            assert x.grad is not None
            arrays[f"{case} gradient"] = x.grad.permute(0, 2, 3, 1).numpy()
    save("stylegan2_ada", arrays | controlled(folder, "# Execute ADA heuristic.", "ada"))


class Statistics(dict):
    """The training statistics of an interval, which are given."""

    def update(self) -> None:
        pass


def controlled(folder: Path, comment: str, name: str) -> dict[str, np.ndarray]:
    """How p moves by the code of the training loop, with 5 kimg and batches of 10 images.

    Returns:
      The number of images with a positive logit in each interval of four updates, and p after it.
    """
    code = lines_after(folder / "training/training_loop.py", comment)
    positive = np.array([10] * 30 + [7] * 40 + [9, 9, 10, 0, 9, 5, 9, 10] * 4)
    pipe, history = types.SimpleNamespace(p=torch.zeros([])), []
    for count in positive:
        space = {
            f"{name}_stats": Statistics({"Loss/signs/real": (2 * count - 10) / 10}),
            f"{name}_target": 0.6,
            f"{name}_interval": 4,
            f"{name}_kimg": 5.0,
            "batch_idx": 4,
            "batch_size": 10,
            "augment_pipe": pipe,
            "np": np,
            "device": "cpu",
            "misc": types.SimpleNamespace(constant=lambda value, device: torch.tensor(float(value))),
        }
        exec(code, space)
        history.append(float(pipe.p))
    return {"positive": positive, "p": np.array(history)}


if __name__ == "__main__":
    main()
