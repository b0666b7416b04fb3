"""Records SSGAN-LA: rotated images, and the losses of both players with their gradients in the logits.

From houliangict/ssgan-la at 43c307e (no licence; based on BigGAN-PyTorch, MIT), folder `BigGAN-PyTorch`: the
rotation of `BigGAN.py`, and the training function of `train_fns.py` with networks that return given logits.
"""

import importlib
import sys
import types

import numpy as np
import torch

from tests.authors.recording import checkout, save

IMAGES, CLASSES = 3, 8  # all of them in four rotations: 12 logits a side


class Nothing:
    """Accepts every use, as an optimiser or a network without effect."""

    def __getattr__(self, name):
        return self

    def __call__(self, *given, **named):
        return self

    def __getitem__(self, rows):
        return self


def losses(train_fns, logits: list[torch.Tensor], loss: str, multi_hinge: bool) -> dict[str, np.ndarray]:
    """One step on logits [12, 8] for fake and real images, and for those of the generator's update."""
    turns = torch.arange(4).repeat_interleave(IMAGES)
    fake, real, generated = (x.clone().requires_grad_() for x in logits)
    zero = torch.zeros(IMAGES * 4, 1, requires_grad=True)

    def networks(*_, train_G, **__):
        if train_G:
            return zero, zero, zero, zero, zero, generated, turns
        both = torch.cat([zero, zero])
        return zero, zero, both, both, both, both, torch.cat([fake, real]), torch.cat([turns, turns])

    config = dict(batch_size=IMAGES, toggle_grads=False, num_D_steps=1, num_D_accumulations=1, split_D=False)
    config |= dict(
        all_T=True, loss=loss, multi_hinge=multi_hinge, ss_d=0.7, ss_g=0.3, D_ortho=0.0, G_ortho=0.0
    )
    config |= dict(num_G_accumulations=1, ema=False)
    nothing, images = Nothing(), torch.zeros(IMAGES, 1)
    train = train_fns.GAN_training_function(nothing, nothing, networks, nothing, nothing, nothing, {}, config)
    out = train(images, images)
    gradients = {"fake": fake.grad, "real": real.grad, "generated": generated.grad}
    return {name: x.numpy() for name, x in gradients.items()} | {
        "d": np.float64(out["D_SS_loss"]),
        "g": np.float64(out["G_SS_loss"]),
    }


def main() -> None:
    sys.path.insert(0, str(checkout() / "BigGAN-PyTorch"))
    for name in ("torchvision", "utils"):  # need packages that the losses do not use
        sys.modules[name] = types.ModuleType(name)
    train_fns, biggan = importlib.import_module("train_fns"), importlib.import_module("BigGAN")
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3, 4 * IMAGES, CLASSES)).astype(np.float32)
    images = rng.uniform(size=(IMAGES, 4, 4, 2)).astype(np.float32)
    nchw = torch.as_tensor(images).permute(0, 3, 1, 2)
    rotated, turns = biggan.G_D(None, None)._rotate_batch_all(nchw)
    arrays = {"logits": logits, "images": images, "rotated": rotated.permute(0, 2, 3, 1).numpy()}
    arrays["turns"] = turns.numpy()
    for loss in ("ssgan_la", "ssgan_la_plus"):
        for multi_hinge in (False, True):
            found = losses(train_fns, list(torch.as_tensor(logits)), loss, multi_hinge)
            arrays |= {f"{loss}/{multi_hinge}/{name}": x for name, x in found.items()}
    save("ssgan_la", arrays)


if __name__ == "__main__":
    main()
