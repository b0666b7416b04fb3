"""Records the averages and the term of LeCam over eight updates, and its gradients.

From google/lecam-gan at f9af948 (Apache 2.0), `biggan_cifar/losses.py` and `third_party/utils.py`; the
condition on the step is that of `third_party/train_fns.py`.
"""

import importlib.util

import numpy as np
import torch

from tests.authors.recording import checkout, definition, save

START, WEIGHT = 3, 0.3


def main() -> None:
    folder = checkout()
    spec = importlib.util.spec_from_file_location("losses", folder / "biggan_cifar/losses.py")
    assert spec is not None and spec.loader is not None
    losses = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(losses)
    averages = definition(folder / "third_party/utils.py", "ema_losses")(start_itr=START)
    rng, rows = np.random.default_rng(0), []
    logits = rng.normal([[[1.0]], [[-1.0]]], 1.5, (2, 8, 6)).astype(np.float32)
    gradients = np.zeros_like(logits)
    for step in range(8):
        real, fake = (torch.tensor(side[step], requires_grad=True) for side in logits)
        losses.loss_hinge_dis(fake, real, averages, step)
        term = torch.zeros([])
        if step > averages.start_itr:
            term = WEIGHT * losses.lecam_reg(real, fake, averages)
            term.backward()
            gradients[:, step] = np.stack([real.grad.numpy(), fake.grad.numpy()])
        rows.append([averages.D_real, averages.D_fake, term.item()])
    save("lecam_gan", {"logits": logits, "rows": np.array(rows), "gradients": gradients})


if __name__ == "__main__":
    main()
