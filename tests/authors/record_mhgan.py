"""Records the discriminator's multi-hinge loss with unlabelled images.

From ilyakava/BigGAN-PyTorch at 4392d09 (MIT): the functions of `losses.py`, combined as in
`GAN_training_function_with_unlabeled` of `train_fns.py`.
"""

import numpy as np
import torch

from tests.authors.recording import checkout, save

K, BATCH = 4, 6


def main() -> None:
    checkout()
    import losses

    rng = np.random.default_rng(0)
    parts = ("labelled", "unlabelled", "fake")
    logits = {part: rng.normal(0, 1.5, (BATCH, K + 1)).astype(np.float32) for part in parts}
    labels = rng.integers(0, K, BATCH)
    labelled, unlabelled, fake = (torch.tensor(logits[part]) for part in parts)
    generated = torch.full((BATCH,), K)
    real_loss = losses.crammer_singer_criterion(labelled, torch.tensor(labels))
    real_loss += losses.crammer_singer_complement_criterion(unlabelled, generated)
    d_loss = real_loss / 2 + losses.crammer_singer_criterion(fake, generated)
    save("mhgan", {**logits, "labels": labels, "d_loss": d_loss.numpy()})


if __name__ == "__main__":
    main()
