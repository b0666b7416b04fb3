"""A training step of mimicry, https://github.com/kwotsin/mimicry: its networks, losses and optimisers.

  python mimicry.py FOLDER MODEL BATCH_SIZE

Its own `train_step` of either network is called, without its loader and its logs.
"""

import os
import sys
import types

import torch
from turns import serve

NETWORKS = {"resnet_cifar": "sngan", "resnet_cifar_5": "sngan", "ssgan_cifar": "ssgan"}


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
    if NETWORKS[model] == "sngan":
        from torch_mimicry.nets.sngan.sngan_32 import SNGANDiscriminator32 as Discriminator
        from torch_mimicry.nets.sngan.sngan_32 import SNGANGenerator32 as Generator
    else:
        from torch_mimicry.nets.ssgan.ssgan_32 import SSGANDiscriminator32 as Discriminator
        from torch_mimicry.nets.ssgan.ssgan_32 import SSGANGenerator32 as Generator

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator, discriminator = Generator().to(device), Discriminator().to(device)
    d_optimizer, g_optimizer = (
        torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999))
        for network in (discriminator, generator)
    )
    real = torch.rand(int(batch_size), 3, 32, 32, device=device) * 2 - 1, None
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
