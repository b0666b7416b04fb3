"""A training step of StudioGAN, https://github.com/POSTECH-CVLab/PyTorch-StudioGAN: its networks and losses.

  python studiogan.py FOLDER MODEL BATCH_SIZE float32|mixed

The order of its worker: D on new fakes, then G on others. Without its loader, logs and averaged weights.
Like its loader, this lets cuDNN choose the fastest algorithms. Products of float32 may use TF32, as in JAX.
"""

import contextlib
import importlib.util
import logging
import os
import sys
import types

import torch
from packaging.version import parse
from turns import serve

CONFIGS = {"biggan32": "CIFAR10/BigGAN.yaml", "biggan128": "ImageNet/BigGAN-2048.yaml"}


def main():
    folder, model, batch_size, precision = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    source = os.path.join(folder, "src")
    sys.path.insert(0, source)
    if importlib.util.find_spec("pkg_resources") is None:  # newer setuptools are without it
        sys.modules["pkg_resources"] = types.ModuleType("pkg_resources")
        sys.modules["pkg_resources"].parse_version = parse
    from config import Configurations
    from models.model import load_generator_discriminator

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    config = Configurations(os.path.join(source, "configs", CONFIGS[model]))
    config.RUN.mixed_precision = precision == "mixed"
    config.define_modules()
    config.define_losses()
    parts = config.DATA, config.OPTIMIZATION, config.MODEL, config.STYLEGAN, config.MODULES, config.RUN
    made = load_generator_discriminator(*parts, device, logging)
    generator, discriminator = made[0], made[3]
    optimizers = [
        torch.optim.Adam(network.parameters(), 2e-4, betas=(0.0, 0.999))
        for network in (discriminator, generator)
    ]
    scaler = torch.amp.GradScaler(device, enabled=config.RUN.mixed_precision)
    side, classes = config.DATA.img_size, config.DATA.num_classes
    real = torch.rand(batch_size, 3, side, side, device=device) * 2 - 1

    def labels():
        return torch.randint(classes, (batch_size,), device=device)

    def precisely():
        if config.RUN.mixed_precision:
            return torch.autocast(device)
        return contextlib.nullcontext()

    def generate():
        y = labels()
        return generator(torch.randn(batch_size, config.MODEL.z_dim, device=device), y), y

    def update(optimizer, loss):
        optimizer.zero_grad()
        scaler.scale(loss()).backward()
        scaler.step(optimizer)
        scaler.update()

    def d_loss():
        with precisely():
            with torch.no_grad():
                fake, y = generate()
            seen, made = discriminator(real, labels()), discriminator(fake, y)
            return config.LOSS.d_loss(seen["adv_output"], made["adv_output"], DDP=False)

    def g_loss():
        with precisely():
            fake, y = generate()
            return config.LOSS.g_loss(discriminator(fake, y)["adv_output"], DDP=False)

    def step():
        for optimizer, loss in zip(optimizers, (d_loss, g_loss), strict=True):
            update(optimizer, loss)

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    serve(step, wait, torch=torch.__version__, device=device, precision=precision)


if __name__ == "__main__":
    main()
