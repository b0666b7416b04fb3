"""Memory of a training step: the prediction of `explain --compile` and the measured one. Linux, on a CPU.

    python -m benchmarks.memory

Each configuration runs in its own process, which compiles the training step, creates the state and runs a
step, twice. The measurement is the peak of the resident memory in the second run minus the resident memory
before the state is created; the prediction is the sum of explain's state, images and temporaries.
"""

import argparse
import ctypes
import multiprocessing
import re
from pathlib import Path

import jax
import numpy as np

from compare_gan.config.costs import batch, costs
from compare_gan.config.parse import parse
from compare_gan.config.recipes import recipe
from compare_gan.core.placement import Placement
from compare_gan.core.types import ImageSpec
from compare_gan.training.feed import Feed
from compare_gan.training.gan import job_of
from compare_gan.training.loop import compile_init, compile_step

CIFAR = """
dataset.name = "cifar10"
options.architecture = "resnet_cifar_arch"
options.gan_class = @ModularGAN
options.training_steps = 1
options.batch_size = 64
loss.fn = @hinge
G.batch_norm_fn = @batch_norm
D.spectral_norm = True
resnet_cifar.Generator.ch = 32
resnet_cifar.Discriminator.ch = 32
"""
SMALL = "options.gan_class = @ModularGAN\noptions.batch_size = 128\ndataset.name = 'cifar10'"
PARTS = "ModularGAN.gradient_accumulation = 4"
CASES = {
    "small.gin, batch of 128": (["small"], [SMALL]),
    "the same in 4 parts": (["small"], [SMALL, PARTS]),
    "resnet_cifar, 32 channels, batch of 64": ([], [CIFAR]),
    "the same in 4 parts ": ([], [CIFAR, PARTS]),
}


def measure(recipes: list[str], bindings: list[str]) -> tuple[float, float]:
    """Predicted and measured bytes."""
    gan = parse([recipe(name) for name in recipes], bindings).gan(ImageSpec((32, 32, 3), 10))
    predicted = costs(gan, compiled=True)
    state_bytes = predicted.parameters + predicted.statistics + predicted.optimisers + predicted.average
    placement = Placement.create(jax.devices()[:1])
    job = job_of(gan, False)
    init = compile_init(job, placement).lower(jax.random.key(0)).compile()
    images = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), batch(gan))
    shapes = jax.eval_shape(gan.init, jax.random.key(0))
    key = np.asarray(jax.random.key_data(jax.random.key(1)))
    train_step = compile_step(job, placement, Feed.select)
    step = train_step.lower(shapes, (), images, key).compile()  # type: ignore[attr-defined]
    for _ in range(2):  # the first run also loads libraries
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = resident("VmRSS")
        jax.block_until_ready(step(init(jax.random.key(0)), (), placement.make_global(images), key))
    return state_bytes + predicted.images + (predicted.temporaries or 0), resident("VmHWM") - before


def resident(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    print("| configuration | predicted | measured | measured / predicted |\n|---|---|---|---|")
    spawn = multiprocessing.get_context("spawn")
    for name, case in CASES.items():
        with spawn.Pool(1) as pool:
            predicted, measured = pool.apply(measure, case)
        print(
            f"| {name.strip()} | {predicted / 1e6:.0f} MB | {measured / 1e6:.0f} MB "
            f"| {measured / predicted:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
