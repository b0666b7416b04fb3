"""Records the transition to conditional training: its strength, and gradients of both players' losses.

From mshahbazi72/transitional-cGAN at b879226 (NVIDIA Source Code License), `training/training_loop.py` and
`training/loss.py`, whose loss runs with networks that return given logits.
"""

import contextlib
import importlib
import sys
import types
from unittest import mock

import numpy as np
import torch

from tests.authors.recording import checkout, lines_after, save

BATCH, STRENGTHS = 6, (0.0, 0.3, 1.0)
KIMG = (2, 4)  # start and end of the transition
IMAGES = 64  # of a step


class Discriminator:
    """Returns given logits in turn."""

    def __init__(self, strength: float, logits: list):
        self.transition, self.logits = strength, iter(logits)

    def __call__(self, images, labels):
        return next(self.logits)


def gradients(loss, real: np.ndarray, fake: np.ndarray, strength: float) -> dict[str, np.ndarray]:
    """Gradients [B, 2] with respect to the unconditional and the conditional logits."""
    latents, images = torch.zeros(BATCH, 1), torch.zeros(BATCH, 3, 4, 4)
    found = {}
    for phase in ("Gmain", "Dmain"):
        given = [torch.tensor(x, requires_grad=True) for x in (fake, real)]
        d = Discriminator(strength, given)
        part = loss.StyleGAN2Loss(
            "cpu", lambda z, c: z, lambda ws: images, d, style_mixing_prob=0, r1_gamma=0, pl_weight=0
        )
        part.accumulate_gradients(phase, images, None, latents, None, True, 1, 1)
        found[f"{phase}_fake"] = given[0].grad.numpy()
        if phase == "Dmain":
            found["Dmain_real"] = given[1].grad.numpy()
    return found


def strengths(folder) -> np.ndarray:
    """The strength after each step, from the start of training to the end of the transition."""
    nets = (
        types.SimpleNamespace(transition=torch.zeros([])),
        types.SimpleNamespace(transition=torch.zeros([])),
    )
    space = dict(
        torch=torch,
        training_set_kwargs=types.SimpleNamespace(use_labels=True),
        training_stats=mock.MagicMock(),
        D=nets[0],
        G=types.SimpleNamespace(mapping=nets[1]),
        old_nimg=0,
        t_start_kimg=KIMG[0],
        t_end_kimg=KIMG[1],
    )
    code = lines_after(folder / "training" / "training_loop.py", "# Log and update the transition value")
    found = []
    for step in range(1, 1 + 5000 // IMAGES):
        space["cur_nimg"] = step * IMAGES
        exec(code, space)
        found.append(float(nets[0].transition))
        assert nets[0].transition == nets[1].transition
    return np.array(found, np.float32)


def main() -> None:
    folder = checkout()
    for name in ("torch_utils", "torch_utils.ops"):
        sys.modules[name] = mock.MagicMock()
    sys.modules["torch_utils"].misc.ddp_sync = lambda *_: contextlib.nullcontext()
    loss = importlib.import_module("training.loss")
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0, 1, (2, BATCH, 2)).astype(np.float32)
    arrays = {"real": real, "fake": fake, "rise": strengths(folder), "images": IMAGES, "kimg": KIMG}
    arrays["strengths"] = STRENGTHS
    for i, strength in enumerate(STRENGTHS):
        arrays |= {f"{name}_{i}": x for name, x in gradients(loss, real, fake, strength).items()}
    save("transitional_cgan", arrays)


if __name__ == "__main__":
    main()
