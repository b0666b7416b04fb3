"""The memory that `explain --compile` predicts for a training step, beside what it takes. Linux, on a CPU.

    python -m benchmarks.memory

Each configuration has a process of its own, which compiles the loop that training runs, makes the state and
takes a step, twice. Measured is how far the second time the peak of its resident memory, as the kernel counts
it, lies above what it was without a state; predicted is the sum of explain's state, images and temporaries.
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
from compare_gan.train.feed import Feed
from compare_gan.train.gan import job_of
from compare_gan.train.loop import compile_init, compile_step

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
    """Bytes predicted, bytes measured."""
    gan = parse([recipe(name) for name in recipes], bindings).gan(ImageSpec((32, 32, 3), 10))
    told = costs(gan, compiled=True)
    state_bytes = told.parameters + told.statistics + told.optimisers + told.average
    placement = Placement.create(jax.devices()[:1])
    job = job_of(gan, False)
    init = compile_init(job, placement).lower(jax.random.key(0)).compile()
    images = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), batch(gan))
    shapes = jax.eval_shape(gan.init, jax.random.key(0))
    key = np.asarray(jax.random.key_data(jax.random.key(1)))
    train_step = compile_step(job, placement, Feed.select)
    step = train_step.lower(shapes, (), images, key).compile()  # type: ignore[attr-defined]
    for _ in range(2):  # the first time libraries are read in, too
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = resident("VmRSS")
        jax.block_until_ready(step(init(jax.random.key(0)), (), placement.make_global(images), key))
    return state_bytes + told.images + (told.temporaries or 0), resident("VmHWM") - before


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
