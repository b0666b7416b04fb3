"""A tiny checkpoint of the original, 8x8 pixels, and the values that its variables must have here."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from . import writer

Z, CH, SIDE, COLORS, CLASSES, STEP = 4, 2, 8, 1, 3, 40
CONFIG = f"""
dataset.name = 'mine'
options.architecture = 'dcgan_arch'
options.batch_size = 8
options.gan_class = @ModularGAN
options.training_steps = 50
options.z_dim = {Z}
dcgan.Generator.ch = {CH}
dcgan.Discriminator.ch = {CH}
D.spectral_norm = True
ModularGAN.g_optimizer_fn = @tf.train.AdamOptimizer
tf.train.AdamOptimizer.beta1 = 0.0
z.distribution_fn = @tf.random.normal
z.stddev = 0.5
"""
PLAIN = "G.batch_norm_fn = @batch_norm\n"
CONDITIONAL = (
    "G.batch_norm_fn = @conditional_batch_norm\nModularGAN.conditional = True\n"
    "standardize_batch.use_moving_averages = False\n"
)
AVERAGED = "ModularGAN.g_use_ema = True\nModularGAN.ema_start_step = 0\n"


def variables(conditional: bool, discriminator: bool = True) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes as the original's source has them; those of the heads are not among them."""
    widths = [8 * CH, 4 * CH, 2 * CH, CH, COLORS]
    yield from _layer("generator/g_fc1", (Z, widths[0]))
    for i, width in enumerate(widths[:-1], 1):
        norm = f"generator/g_bn{i}"
        if conditional:
            yield from ((f"{norm}/condition/{part}/kernel", (CLASSES, width)) for part in ("gamma", "beta"))
            yield from ((f"{norm}/accu/accu_{part}", (width,)) for part in ("mean", "variance"))
            yield f"{norm}/accu/accu_counter", ()
            yield f"{norm}/accu/update_accus", ()
        else:
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            yield from ((f"{norm}/{part}", (width,)) for part in names)
        yield from _layer(f"generator/g_dc{i}", (5, 5, widths[i], width), widths[i])
    if discriminator:
        for i, (c_in, c_out) in enumerate(zip(widths[:0:-1], widths[-2::-1], strict=True), 1):
            yield from _layer(f"discriminator/d_conv{i}", (5, 5, c_in, c_out))
            yield f"discriminator/d_conv{i}/kernel/u_var", (25 * c_in, 1)
        yield from _layer("discriminator/d_fc4", (widths[0], 1))
        yield "discriminator/d_fc4/kernel/u_var", (widths[0], 1)


def _layer(scope: str, kernel: tuple[int, ...], out: int | None = None) -> Iterator[tuple[str, tuple]]:
    yield f"{scope}/kernel", kernel
    yield f"{scope}/bias", (out or kernel[-1],)


def is_trained(name: str) -> bool:
    return name.split("/")[-1] in ("kernel", "bias", "gamma", "beta")


def arrays(
    conditional: bool = False, *, averaged: bool = False, training: bool = True, counter: float = 1e-12
) -> dict[str, np.ndarray]:
    """Values of a training checkpoint; without `training` those of a module, which has no discriminator."""
    rng, found = np.random.default_rng(0), {}
    for name, shape in variables(conditional, training):
        value = np.asarray(rng.standard_normal(shape), np.float32)
        match name.split("/")[-1]:
            case "kernel":
                value /= np.float32(np.sqrt(np.prod(shape[:-1])))
            case "moving_variance" | "accu_variance":
                value = 1 + np.abs(value)
            case "accu_counter":
                value = np.array(counter, np.float32)
            case "update_accus":
                value = np.array(0, np.int32)
        found[name] = value
        opt = "g_opt" if name.startswith("generator") else "d_opt"
        if is_trained(name):
            if training:
                found[f"{name}/{opt}"] = np.asarray(rng.standard_normal(shape), np.float32)
                found[f"{name}/{opt}_1"] = np.asarray(rng.random(shape), np.float32)
            if averaged and opt == "g_opt":
                found[f"{name}/ExponentialMovingAverage"] = value + np.float32(0.1)
    if training:
        found["global_step"] = np.array(STEP, np.int64)
        found["global_step_disc"] = np.array(2 * STEP, np.int32)
        found |= {f"gen_step/beta{i}_power": np.array(0.0, np.float32) for i in (1, 2)}
    return found


def write_model_dir(
    folder: Path, values: Mapping[str, np.ndarray], config: str = CONFIG + PLAIN, step: int = STEP
) -> Path:
    writer.write_bundle(folder / f"model.ckpt-{step}", values)
    (folder / "operative_config-0.gin").write_text(config)
    (folder / "checkpoint").write_text('model_checkpoint_path: "/gone/model.ckpt-99"\n')
    return folder


def write_module(
    folder: Path, values: Mapping[str, np.ndarray], filled: Mapping[str, np.ndarray] | None = None, classes=0
) -> Path:
    writer.write_bundle(folder / "variables" / "variables", values)
    graph = writer.saved_model(Z, (SIDE, SIDE, COLORS), classes)
    (folder / "saved_model.pb").write_bytes(graph)
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    if filled is not None:
        named = {f"gen_module/{name}": value for name, value in filled.items()}
        writer.write_bundle(folder / "model-with-accu.ckpt", named)
    return folder
