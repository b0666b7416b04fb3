"""Records CR, bCR, zCR, InfoGAN's loss and top-k.

From POSTECH-CVLab/PyTorch-StudioGAN at 947b35e (MIT): `src/utils/cr.py`, functions of `src/utils/losses.py`,
and the lines of `src/worker.py` that combine them, which run on given outputs of the networks.
"""

import importlib
import sys
import types
from collections import defaultdict
from unittest import mock

import numpy as np
import torch

from tests.authors.recording import checkout, lines_after, save

BATCH, CLASSES, CONTINUOUS = 6, 4, 3
SETTINGS = dict(
    apply_cr=True, apply_bcr=True, apply_zcr=True, cr_lambda=10.0, real_lambda=3.0, fake_lambda=7.0
)
SETTINGS |= dict(d_lambda=20.0, g_lambda=0.5, infoGAN_loss_discrete_lambda=0.8, infoGAN_loss_conti_lambda=0.1)
D_LOSSES = {
    "cr": "# if LOSS.apply_cr is True",
    "bcr": "# if LOSS.apply_bcr is True",
    "zcr_d": "# if LOSS.apply_zcr is True",
}
G_LOSSES = {
    "zcr_g": "# apply latent consistency regularization for generating diverse images",
    "information": "# compute infomation loss for InfoGAN",
}


def moved(module, images: torch.Tensor, flips: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Images [B, H, W, C] after the augmentation of CR, for given random numbers."""
    uniform = types.SimpleNamespace(uniform_=lambda *_: torch.as_tensor(flips[:, None]))
    integers = iter(torch.as_tensor(shifts).reshape(2, -1, 1, 1))
    with (
        mock.patch.object(torch, "FloatTensor", lambda *_: uniform),
        mock.patch.object(torch, "randint", lambda *_, **__: next(integers)),
    ):
        return module.apply_cr_aug(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()


def main() -> None:
    source = checkout() / "src"
    sys.path.insert(0, str(source))
    sys.modules["utils.style_ops"] = types.ModuleType("utils.style_ops")  # needs a compiler
    sys.modules["utils.style_ops"].conv2d_gradfix = None
    cr, losses = (importlib.import_module(f"utils.{name}") for name in ("cr", "losses"))
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    arrays = {"images": normal(4, 16, 24, 3), "flips": np.float32([0.1, 0.9, 0.4, 0.6])}
    arrays["shifts"] = np.array([[-2, 2, 0, 1], [3, -3, 1, 0]])
    arrays["moved"] = moved(cr, torch.as_tensor(arrays["images"]), arrays["flips"], arrays["shifts"])

    inputs = {name: normal(BATCH) for name in ("real", "fake", "real_copy", "fake_copy", "eps")}
    inputs |= {"fake_images": normal(BATCH, 3, 4, 4), "fake_images_eps": normal(BATCH, 3, 4, 4)}
    inputs |= {"logits": normal(BATCH, 2 * CLASSES), "means": normal(BATCH, CONTINUOUS)}
    codes = {"classes": rng.integers(0, CLASSES, (BATCH, 2)), "values": normal(BATCH, CONTINUOUS)}
    arrays |= inputs | codes | {name: np.float64(x) for name, x in SETTINGS.items()}
    given = {name: torch.as_tensor(x) for name, x in (inputs | codes).items()}
    outputs = {"real copies": "real_copy", "fake copies": "fake_copy", "eps": "eps"}

    def discriminator(images, labels, adc_fake=False):
        return {"adv_output": given[outputs[images if isinstance(images, str) else "eps"]]}

    worker = types.SimpleNamespace(
        LOSS=types.SimpleNamespace(**SETTINGS),
        MODEL=types.SimpleNamespace(
            d_cond_mtd="PD", info_type="both", info_dim_discrete_c=CLASSES, info_num_discrete_c=2
        ),
        AUG=types.SimpleNamespace(parallel_augment=lambda images: f"{images} copies"),
        Dis=discriminator,
        l2_loss=torch.nn.MSELoss(),
        ce_loss=torch.nn.CrossEntropyLoss(),
        adc_fake=False,
    )
    space = defaultdict(lambda: None, self=worker, losses=losses, real_images="real", fake_images="fake")
    space |= {"fake_images_eps": given["fake_images_eps"], "range": range}
    space |= {"misc": types.SimpleNamespace(enable_allreduce=lambda outputs: 0.0)}
    space |= {"real_dict": {"adv_output": given["real"]}, "info_discrete_c": given["classes"]}
    space |= {"info_conti_c": given["values"]}
    space["fake_dict"] = {
        "adv_output": given["fake"],
        "info_discrete_c_logits": given["logits"],
        "info_conti_mu": given["means"],
        "info_conti_var": torch.ones(BATCH, CONTINUOUS),
    }
    for total, blocks in (("dis_acml_loss", D_LOSSES), ("gen_acml_loss", G_LOSSES)):
        if blocks is G_LOSSES:
            space["fake_images"] = given["fake_images"]
        for name, comment in blocks.items():
            space[total] = torch.zeros(())
            exec(lines_after(source / "worker.py", comment), space)
            arrays[f"loss/{name}"] = space[total].numpy()

    k, counts = 64.0, []
    for _ in range(80):  # epochs
        counts.append(int(k))
        k = losses.adjust_k(k, topk_gamma=0.98, inf_k=int(64 * 0.4))
    scores = torch.tensor(rng.normal(size=64).astype(np.float32), requires_grad=True)
    arrays |= {"counts": np.array(counts), "scores": scores.detach().numpy()}
    for k in (64, 40, 25):
        loss = losses.g_hinge(torch.topk(scores, k).values, False)
        arrays[f"top {k}"] = loss.detach().numpy()
        arrays[f"top {k} gradient"] = torch.autograd.grad(loss, scores)[0].numpy()
    save("studiogan_selfsup", arrays)


if __name__ == "__main__":
    main()
