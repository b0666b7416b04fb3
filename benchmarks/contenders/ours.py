"""Our training step, as `compare-gan train` runs it."""

import sys

from compare_gan.core.allocator import keep_freed_memory

keep_freed_memory()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.contenders.turns import serve  # noqa: E402
from benchmarks.models import MODELS  # noqa: E402
from compare_gan.config.costs import flops  # noqa: E402
from compare_gan.config.parse import parse  # noqa: E402
from compare_gan.core.placement import Placement  # noqa: E402
from compare_gan.core.types import Batch  # noqa: E402
from compare_gan.training.feed import Feed  # noqa: E402
from compare_gan.training.gan import job_of  # noqa: E402
from compare_gan.training.loop import compile_init, compile_step  # noqa: E402


def main() -> None:
    name, batch_size, *more = sys.argv[1:]
    model, size = MODELS[name], int(batch_size)
    gan = parse([], [*model.settings(size), *more]).gan(model.spec)
    job, placement = job_of(gan, False), Placement.create()
    rng = np.random.default_rng(0)
    lead = (job.sub_batches, size)
    images = rng.integers(0, 256, (*lead, *model.spec.image_shape), np.uint8)
    labels = rng.integers(0, model.spec.num_classes, lead, np.int32)
    batch = Batch(jnp.asarray(images), jnp.asarray(labels))
    state = compile_init(job, placement)(jax.random.key(0))
    train_step = compile_step(job, placement, Feed.select)
    key = jax.random.key_data(jax.random.key(1))

    def step() -> None:
        nonlocal state
        state, metrics = train_step(state, (), batch, key)
        jax.block_until_ready(metrics)

    device = jax.devices()[0]
    serve(step, device=device.device_kind, platform=device.platform, flops=flops(gan))


if __name__ == "__main__":
    main()
