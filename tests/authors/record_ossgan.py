"""Records the discriminator's loss of OSSGAN on a batch with few labels.

From raven38/OSSGAN at e1304ad (MIT): the head of `src/utils/model_ops.py`, the losses of
`src/utils/losses.py`, and the lines of `src/worker.py` that combine them.
"""

import sys
import types

import numpy as np
import torch

from tests.authors.recording import checkout, lines_after, save

K, BATCH, FEATURES, WEIGHT = 4, 10, 6, 0.2


def main() -> None:
    source = checkout() / "src"
    sys.path.insert(0, str(source))
    from utils import losses
    from utils.model_ops import ConditionalHead

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    head = ConditionalHead(FEATURES, False, "OSSSGAN", 0, K, False, False, 0)
    real, fake = (torch.tensor(rng.normal(size=(BATCH, FEATURES)), dtype=torch.float32) for _ in range(2))
    real_labels = torch.tensor([2, -1, -1, 0, -1, -1, 3, -1, -1, -1])
    fake_labels = torch.tensor(rng.integers(0, K, BATCH))
    names = dict(zip(("cls_out_real", "dis_out_real"), head(real, real_labels), strict=True))
    names |= dict(zip(("cls_out_fake", "dis_out_fake"), head(fake, fake_labels), strict=True))
    worker = types.SimpleNamespace(
        conditional_strategy="OSSSGAN",
        D_loss=losses.loss_hinge_dis,
        ce_loss=torch.nn.CrossEntropyLoss(),
        ent_loss=losses.HLoss(),
        cross_entropy_lambda=WEIGHT,
        batch_size=BATCH,
    )
    names |= {"self": worker, "torch": torch, "real_labels": real_labels, "fake_labels": fake_labels}
    exec(lines_after(source / "worker.py", "dis_acml_loss = self.D_loss(dis_out_real, dis_out_fake)"), names)
    names["dis_acml_loss"].backward()
    found = {
        "d_loss": names["dis_acml_loss"],
        "g_loss": losses.loss_hinge_gen(names["dis_out_fake"]),
        "d_gradient": head.linear4.weight.grad,
        "weight": torch.tensor(WEIGHT),
        "real/features": real,
        "fake/features": fake,
        "real/labels": real_labels,
        "fake/labels": fake_labels,
        "real/logits": head.linear1(real)[:, 0],
        "fake/logits": head.linear1(fake)[:, 0],
        **dict(head.named_parameters()),
    }
    save("ossgan", {name: value.detach().numpy() for name, value in found.items()})


if __name__ == "__main__":
    main()
