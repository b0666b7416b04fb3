"""A training loop of one's own around `train_step`, which is a pure function.

    python own_loop.py --steps 500 --out samples.png

`train_step(gan, state, batch, rng)` takes the complete state and returns the next one, so it can be compiled,
mapped over several states, or used in another program. Checkpoints, logs and resuming are then up to that
program. A batch holds the images of all updates of one step, S = `gan.sub_batches`: one batch for each update
of the discriminator, and one more if the generator has its own (`experimental_force_graph_unroll`).

    images  [S, B, H, W, C]  uint8 in 0..255, or float32 in [0, 1]
    labels  [S, B]           int32, -1 for an image without a label
            [S, B, K]        or float32: probabilities of the K classes

B is `gan.batch_size`.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import compare_gan as cg
from compare_gan.gans.inference import sample

PER_CLASS = 8


def train(gan: cg.GAN, split: cg.Split, steps: int, seed: int = 0) -> cg.GANState:
    """The state after `steps` generator updates."""
    root, rng = jax.random.key(seed), np.random.default_rng(seed)
    # Donating the state lets XLA update it in place: there is one copy of it in memory instead of two.
    step = jax.jit(partial(cg.train_step, gan), donate_argnums=0)
    state = gan.init(root)
    for number in range(1, steps + 1):
        rows = rng.integers(len(split), size=(gan.sub_batches, gan.batch_size))  # [S, B]
        batch = cg.Batch(split.images[rows], split.labels[rows])
        state, metrics = step(state, batch, jax.random.fold_in(root, number))
        if number % 100 == 0:  # reading a metric waits for the device
            print(f"step {number}: " + ", ".join(f"{k} {float(v):.3f}" for k, v in sorted(metrics.items())))
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains S3GAN on the digits in a loop of its own.")
    parser.add_argument("--steps", type=int, default=500, help="generator updates")
    parser.add_argument(
        "--out", type=Path, default=Path("samples.png"), help="picture of samples, a row a class"
    )
    arguments = parser.parse_args()

    data = cg.open_dataset("digits")
    gan = cg.s3gan(cg.presets.small(data.spec), rotated_batch_fraction=4, project_y=True)
    state = train(gan, data.train, arguments.steps)

    classes, (h, w, _) = data.spec.num_classes, data.spec.image_shape
    z = gan.prior(jax.random.key(1), (classes * PER_CLASS, gan.z_dim))
    y = jax.nn.one_hot(jnp.repeat(jnp.arange(classes), PER_CLASS), classes)
    images = np.asarray(jax.jit(partial(sample, gan))(state, z, y))  # [B, H, W, 1] in [0, 1]
    grid = images.reshape(classes, PER_CLASS, h, w).swapaxes(1, 2).reshape(classes * h, PER_CLASS * w)
    Image.fromarray((grid * 255).round().astype(np.uint8)).save(arguments.out)
    print(f"samples: {arguments.out}")


if __name__ == "__main__":
    main()
