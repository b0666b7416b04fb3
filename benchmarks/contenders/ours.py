"""Our training step, as `compare-gan train` runs it."""

import sys
from typing import Any

from compare_gan.core.allocator import keep_freed_memory

keep_freed_memory()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.contenders.turns import serve  # noqa: E402
from benchmarks.models import gan_of  # noqa: E402
from compare_gan.config.costs import flops  # noqa: E402
from compare_gan.core.placement import Placement  # noqa: E402
from compare_gan.core.types import Batch  # noqa: E402
from compare_gan.gans.gan import GAN  # noqa: E402
from compare_gan.nn import kernels  # noqa: E402
from compare_gan.training.feed import Feed  # noqa: E402
from compare_gan.training.gan import job_of  # noqa: E402
from compare_gan.training.loop import compile_init, compile_step  # noqa: E402


class Training:
    """A GAN in training on random images. A call takes a step and waits for its end."""

    def __init__(self, gan: GAN):
        job, placement = job_of(gan, False), Placement.create()
        rng, lead = np.random.default_rng(0), (gan.sub_batches, gan.batch_size)
        images = rng.integers(0, 256, (*lead, *gan.spec.image_shape), np.uint8)
        labels = rng.integers(0, max(gan.spec.num_classes, 1), lead, np.int32)
        self.state = compile_init(job, placement)(jax.random.key(0))
        self.inputs = (
            (),
            Batch(jnp.asarray(images), jnp.asarray(labels)),
            jax.random.key_data(jax.random.key(1)),
        )
        step: Any = compile_step(job, placement, Feed.select)
        self.step = step.lower(self.state, *self.inputs).compile()

    def __call__(self) -> None:
        self.state, metrics = self.step(self.state, *self.inputs)
        jax.block_until_ready(metrics)


def main() -> None:
    name, batch_size, *bindings = sys.argv[1:]
    gan, device = gan_of(name, int(batch_size), *bindings), jax.devices()[0]
    serve(
        Training(gan),
        device=device.device_kind,
        platform=device.platform,
        flops=flops(gan),
        kernels=kernels.level_in_use(),
    )


if __name__ == "__main__":
    main()
