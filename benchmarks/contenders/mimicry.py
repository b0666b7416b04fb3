"""A training step of mimicry, https://github.com/kwotsin/mimicry: its networks, losses and optimisers.

  python mimicry.py FOLDER MODEL BATCH_SIZE

Its own `train_step` of either network is called, without its loader and its logs.
"""

import importlib
import os
import sys
import types

import torch
from turns import serve

NETWORKS = {  # method and side; its SNGANs are ResNets
    "resnet_cifar": ("sngan", 32),
    "resnet_cifar_5": ("sngan", 32),
    "ssgan_cifar": ("ssgan", 32),
    "resnet_stl": ("sngan", 48),
    "sndcgan32": ("sngan", 32),
    "sndcgan64": ("sngan", 64),
}


class Log:
    """Takes what its steps report, and drops it."""

    def add_metric(self, name, value, **given):
        pass


def main():
    folder, model, batch_size = sys.argv[1:4]
    # Packages without their __init__, which import metrics and logs, TensorFlow and torchvision with them.
    for name in ("torch_mimicry", "torch_mimicry.nets"):
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(folder, *name.split("."))]
        sys.modules[name] = package
    method, side = NETWORKS[model]
    module = importlib.import_module(f"torch_mimicry.nets.{method}.{method}_{side}")
    Generator, Discriminator = (
        getattr(module, f"{method.upper()}{network}{side}") for network in ("Generator", "Discriminator")
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator, discriminator = Generator().to(device), Discriminator().to(device)
    d_optimizer, g_optimizer = (
        torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999))
        for network in (discriminator, generator)
    )
    real = torch.rand(int(batch_size), 3, side, side, device=device) * 2 - 1, None
    disc_iters = 5 if model.endswith("_5") else 1

    def step():
        given = dict(real_batch=real, log_data=Log(), global_step=0, device=device)
        for _ in range(disc_iters):
            discriminator.train_step(netG=generator, optD=d_optimizer, **given)
        generator.train_step(netD=discriminator, optG=g_optimizer, **given)
        if device.type == "cuda":
            torch.cuda.synchronize()

    serve(step, torch=torch.__version__, device=str(device))


if __name__ == "__main__":
    main()
