"""Records what the authors' code of R3GAN computes: `python -m tests.authors.record_r3gan CHECKOUT`.

CHECKOUT is a folder with https://github.com/brownvc/R3GAN at commit 19a7ddf463fbac2bd39b4c1c73d63f1c441c7403.
Parts of it are NVIDIA's, under the Nvidia Source Code License; the rest has no licence. None of it is copied
here. Needs PyTorch; its own operations have reference implementations for a CPU.
"""

import sys
import types
from pathlib import Path

import numpy as np

PRESETS = {"CIFAR10": 10, "FFHQ-64": 0, "ImageNet-64": 1000}  # and classes
SCHEDULES = ("ema", "lr", "gamma", "beta2")
STEPS, BATCH, CLASSES, Z = 3, 4, 3, 6
WIDTHS, GROUPS, EMBEDDING = [8, 4], [4, 2], 5  # of images of 8x8
EPSILON = (
    1e-4  # of Adam; with theirs, 1e-8, gradients that are zero but for rounding make steps of full length
)
# (start, end) of the schedules of the recorded steps, which end after twice as many
RATES = {"ema": (0, 40), "lr": (2e-3, 5e-4), "gamma": (0.5, 0.05), "beta2": (0.9, 0.99)}


def record(checkout: Path) -> dict[str, np.ndarray]:
    sys.path.insert(0, str(checkout))
    from packaging.version import parse

    # which newer setuptools do not have
    sys.modules["pkg_resources"] = types.SimpleNamespace(parse_version=parse)  # type: ignore[assignment]
    return {**presets(), **schedule(), **training()}


def presets() -> dict[str, np.ndarray]:
    """The options of the presets in their train.py, and the parameters of both networks."""
    import torch
    import train  # type: ignore[import-not-found]
    from R3GAN import Networks  # type: ignore[import-not-found]

    options = {}
    for name, classes in PRESETS.items():
        train.init_dataset_kwargs = lambda data: (train.dnnlib.EasyDict(use_labels=True), "images")
        train.launch_training = lambda c, name=name, **_: options.update({name: c})
        given = [
            "--outdir=x",
            "--data=x",
            "--gpus=1",
            "--batch=4",
            f"--preset={name}",
            f"--cond={classes > 0}",
        ]
        train.main(given, standalone_mode=False)
    found = {}
    for name, c in options.items():
        with torch.device("meta"):
            for side, make in (("G", Networks.Generator), ("D", Networks.Discriminator)):
                given = {
                    k: v for k, v in c[f"{side}_kwargs"].items() if k not in ("class_name", "FP16Stages")
                }
                network = make(**given, ConditionDimension=PRESETS[name] or None)
                found[f"preset/{name}/{side}"] = np.array(sum(p.numel() for p in network.parameters()))
        for kind in SCHEDULES:
            each = c[f"{kind}_scheduler"]
            row = [each["base_value"], each["final_value"], each["total_nimg"]]
            found[f"preset/{name}/{kind}"] = np.array(row)
        found[f"preset/{name}/z"] = np.array(c.G_kwargs.NoiseDimension)
    return found


def schedule() -> dict[str, np.ndarray]:
    """One of their schedules at several steps."""
    from training.training_loop import cosine_decay_with_warmup  # type: ignore[import-not-found]

    steps = np.array([0, 1, 7, 50, 99, 100, 130])
    values = [
        cosine_decay_with_warmup(step, base_value=2.0, final_value=0.2, total_nimg=100) for step in steps
    ]
    return {"schedule/steps": steps, "schedule/values": np.array(values)}


def training() -> dict[str, np.ndarray]:
    """Steps of a small conditional GAN, with their networks, losses and schedules, and PyTorch's Adam."""
    import torch
    from R3GAN.Networks import Discriminator, Generator  # type: ignore[import-not-found]
    from R3GAN.Trainer import AdversarialTraining  # type: ignore[import-not-found]
    from training.training_loop import cosine_decay_with_warmup  # type: ignore[import-not-found]

    rng = np.random.RandomState(0)
    blocks = [1] * len(WIDTHS)
    g = Generator(Z, WIDTHS, GROUPS, blocks, 2, CLASSES, EMBEDDING)
    d = Discriminator(WIDTHS[::-1], GROUPS[::-1], blocks, 2, CLASSES, WIDTHS[0])
    average = Generator(Z, WIDTHS, GROUPS, blocks, 2, CLASSES, EMBEDDING)
    for parameter in (*g.parameters(), *d.parameters()):
        fan_in = max(np.prod(parameter.shape[1:]), 1)
        parameter.data = torch.tensor(rng.standard_normal(parameter.shape) / np.sqrt(fan_in)).float()
    average.load_state_dict(g.state_dict())
    inputs = {
        "z": rng.standard_normal((BATCH, Z)).astype(np.float32),
        "images": rng.randint(0, 256, (STEPS, 2, BATCH, 8, 8, 3)).astype(np.uint8),  # of D, then of G
        "labels": rng.randint(0, CLASSES, (STEPS, 2, BATCH)).astype(np.int32),
    }
    found = {f"training/{name}": value for name, value in inputs.items()}
    for side, net in (("G", g), ("D", d)):
        net.requires_grad_(False)
        found |= {f"start/{side}/{name}": x.numpy().copy() for name, x in net.named_parameters()}
    z = torch.tensor(inputs["z"])
    trainer = AdversarialTraining(g, d)
    optimisers = {net: torch.optim.Adam(net.parameters(), betas=(0.0, 0.0), eps=EPSILON) for net in (d, g)}
    for step in range(STEPS):
        now = {
            name: cosine_decay_with_warmup(step * BATCH, start, total_nimg=2 * STEPS * BATCH, final_value=end)
            for name, (start, end) in RATES.items()
        }
        for net, images, labels in zip((d, g), inputs["images"][step], inputs["labels"][step], strict=True):
            real = torch.tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1
            y = torch.nn.functional.one_hot(torch.tensor(labels).long(), CLASSES).float()
            if step == 0 and net is d:
                fake = g(z, y)
                found["training/fake"] = fake.permute(0, 2, 3, 1).numpy()
                found["training/logits"] = torch.stack([d(real, y), d(fake, y)]).numpy()
            net.requires_grad_(True)
            optimisers[net].zero_grad()
            if net is d:
                results = trainer.AccumulateDiscriminatorGradients(z, real, y, now["gamma"])
            else:
                results = trainer.AccumulateGeneratorGradients(z, real, y)
            found |= {f"step{step}/{'DG'[net is g]}{i}": x.numpy() for i, x in enumerate(results)}
            if step == 0 and net is d:
                found |= {f"gradient/D/{name}": x.grad.numpy().copy() for name, x in net.named_parameters()}
            net.requires_grad_(False)
            for group in optimisers[net].param_groups:
                group["lr"], group["betas"] = now["lr"], (0.0, now["beta2"])
            optimisers[net].step()
        decay = 0.5 ** (BATCH / max(now["ema"], 1e-8))
        for old, new in zip(average.parameters(), g.parameters(), strict=True):
            old.data = new.data.lerp(old.data, decay)
    for side, net in (("G", g), ("D", d), ("average", average)):
        found |= {f"end/{side}/{name}": x.detach().numpy() for name, x in net.named_parameters()}
    return found


if __name__ == "__main__":
    cases = Path(__file__).parent / "cases"
    np.savez_compressed(cases / "r3gan.npz", **record(Path(sys.argv[1]).resolve()))  # type: ignore[arg-type]
