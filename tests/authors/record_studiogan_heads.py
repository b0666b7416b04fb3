"""Records the losses of class heads: AC, D2DCE, each with TAC and ADC, and MH.

From POSTECH-CVLab/PyTorch-StudioGAN at 947b35e (MIT): the discriminator of `src/models/resnet.py`, the losses
of `src/utils/losses.py`, and the lines of `src/worker.py` that combine them.

Two things are changed, see docs/differences.md: TAC's second loss gets the outputs of the second classifier,
and D2DCE subtracts no maximum. The case "D2DCE as is" subtracts it.
"""

import contextlib
import re
import sys
import textwrap
import types
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from tests.authors.recording import checkout, save

K, BATCH, EMBED = 3, 8, 5
LAMBDAS = dict(cond_lambda=0.7, tac_dis_lambda=0.4, tac_gen_lambda=0.3, mh_lambda=0.05)
CASES = [(kind, aux) for kind in ("AC", "D2DCE") for aux in ("W/O", "TAC", "ADC")] + [("MH", "W/O")]


def blocks(file: Path, comment: str) -> list[str]:
    """The code after each occurrence of a comment, up to an empty line."""
    text = file.read_text()
    starts = [text.rindex("\n", 0, match.start()) + 1 for match in re.finditer(re.escape(comment), text)]
    return [textwrap.dedent(text[start : text.index("\n\n", start)]) for start in starts]


def without_maximum(x, dim, keepdim):
    return torch.zeros(len(x), 1), None


def main() -> None:
    source = checkout() / "src"
    sys.path.insert(0, str(source))
    for name in ("utils.misc", "utils.style_ops"):  # need packages that these losses do not use
        sys.modules[name] = types.ModuleType(name)
    sys.modules["utils.misc"].dummy_context_mgr = contextlib.nullcontext
    sys.modules["utils.style_ops"].conv2d_gradfix = None
    from models.resnet import Discriminator
    from utils import losses

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    images = [torch.tensor(rng.normal(size=(BATCH, 3, 32, 32)), dtype=torch.float32) for _ in range(2)]
    labels = [torch.tensor(rng.integers(0, K, BATCH)) for _ in range(2)]
    arrays = {"real/labels": labels[0].numpy(), "fake/labels": labels[1].numpy()}
    arrays |= {name: np.float64(value) for name, value in LAMBDAS.items()}
    modules = types.SimpleNamespace(
        d_conv2d=torch.nn.Conv2d,
        d_linear=torch.nn.Linear,
        d_embedding=torch.nn.Embedding,
        d_act_fn=torch.nn.ReLU(),
    )

    def record(kind: str, aux: str, case: str) -> None:
        d = Discriminator(
            32, 2, True, False, [], kind, aux, EMBED, kind == "D2DCE", K, False, "N/A", False, modules,
            types.SimpleNamespace(info_type="N/A"),
        )  # fmt: skip
        classes = 2 * K if aux == "ADC" else K
        loss = {
            "AC": losses.CrossEntropyLoss(),
            "D2DCE": losses.Data2DataCrossEntropyLoss(classes, 0.5, 0.98, "cpu", DDP=False),
        }.get(kind)

        def twin_loss(**out):
            return loss(out["mi_cls_output"], label=out["label"]) if kind == "AC" else loss(
                out["mi_embed"], out["mi_proxy"], out["label"]
            )  # fmt: skip

        worker = types.SimpleNamespace(
            MODEL=types.SimpleNamespace(d_cond_mtd=kind, aux_cls_type=aux),
            MISC=types.SimpleNamespace(classifier_based_GAN=["AC", "2C", "D2DCE"]),
            LOSS=types.SimpleNamespace(
                **LAMBDAS,
                adv_loss=kind,
                d_loss=losses.crammer_singer_loss,
                g_loss=losses.crammer_singer_loss,
            ),
            cond_loss=loss, cond_loss_mi=twin_loss, Dis=d, DDP=False, adc_fake=aux == "ADC",
            lossy=torch.full((BATCH,), K),
        )  # fmt: skip
        names = {
            "self": worker, "misc": types.SimpleNamespace(), "dis_acml_loss": 0.0, "gen_acml_loss": 0.0,
            "real_dict": d(images[0], labels[0]),
            "fake_dict": d(images[1], labels[1], adc_fake=aux == "ADC"),
            "fake_images_": images[1], "fake_labels": labels[1],
        }  # fmt: skip
        comment = (
            'adversarial loss defined by "LOSS.adv_loss"' if kind == "MH" else 'loss defined by "MODEL.d_c'
        )
        for_d, for_g = blocks(source / "worker.py", comment)
        exec(for_d, names)
        names["dis_acml_loss"].backward()
        d_gradient = (d.linear1 if kind == "MH" else d.linear2).weight.grad.numpy().copy()
        real, fake = names["real_dict"], names["fake_dict"]
        names["fake_dict"] = d(images[1], labels[1])
        exec(for_g, names)
        found = {
            "d_loss": names["dis_acml_loss"],
            "g_loss": names["gen_acml_loss"],
            "real/h": real["h"],
            "fake/h": fake["h"],
        }
        if kind == "MH":
            found |= {"linear.weight": d.linear1.weight, "linear.bias": d.linear1.bias}
        for head in ("linear2", "embedding", "linear_mi", "embedding_mi"):
            if hasattr(d, head):
                found |= {f"{head}.{name}": value for name, value in getattr(d, head).named_parameters()}
        arrays.update({f"{case}/{name}": value.detach().numpy() for name, value in found.items()})
        arrays[f"{case}/d_gradient"] = d_gradient

    for kind, aux in CASES:
        with (
            mock.patch.object(torch, "max", without_maximum) if kind == "D2DCE" else contextlib.nullcontext()
        ):
            record(kind, aux, f"{kind} {aux}")
    record("D2DCE", "W/O", "D2DCE as is")
    save("studiogan_heads", arrays)


if __name__ == "__main__":
    main()
