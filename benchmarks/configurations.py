"""Memory and time of the packaged configurations, as their headers state them. Nothing is run.

    python -m benchmarks.configurations [NAME ...]

Memory: the training state, gradients, and the arrays that JAX stores for the backward passes of generator and
discriminator, in float32 and before XLA merges and removes some of them; for the whole batch, whatever the
number of devices. Time: the operations that `explain` counts, at the rate below.
"""

import argparse
import sys
from typing import Any

import jax

from compare_gan.config.costs import batch, flops, num_bytes
from compare_gan.config.explain import image_spec
from compare_gan.config.parse import parse
from compare_gan.config.recipes import configurations
from compare_gan.core.types import Batch, GANState, Labeled, NetState
from compare_gan.gans.gan import GAN
from compare_gan.gans.step import both_losses, draw, generate_with_vjp

# Of a V100 in float32: BigGAN-PyTorch trains 150,000 steps of BigGAN with one discriminator update in 15 days
# on 8 of them (its README); `explain` counts 296 TFLOP in each.
TFLOPS = 4.0


def memory(gan: GAN) -> int:
    """Bytes of a training step."""

    def stored(state: GANState, data: Batch, rng: jax.Array) -> Any:
        drawn = draw(gan, data, rng, lambda x: x)
        images, generator_vjp, _ = generate_with_vjp(gan, state, drawn)
        fake = Labeled(images, drawn.y)

        def loss(params: Any) -> Any:
            d = NetState(params, state.d.extra)
            losses = both_losses(gan, d, drawn.real, fake, rng, together=True)
            return losses.pair.d, losses.extra

        _, discriminator_vjp, _ = jax.vjp(loss, state.d.params, has_aux=True)
        return generator_vjp, discriminator_vjp

    state = jax.eval_shape(gan.init, jax.random.key(0))
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batch(gan))
    activations = jax.eval_shape(stored, state, one, jax.random.key(0))
    return num_bytes(state) + num_bytes((state.g.params, state.d.params)) + num_bytes(activations)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="configurations; default: all")
    names = parser.parse_args().names
    for name, configuration in configurations().items():
        if names and name not in names:
            continue
        methods = [] if configuration.complete else ["no_labels"]
        parsed = parse([name, *methods])
        gan = parsed.gan(image_spec(parsed.dataset.name, None, None))
        total = flops(gan) * parsed.options.training_steps
        hours = total / (TFLOPS * 1e12) / 3600
        print(f"{name}: {memory(gan) / 1e9:.3g} GB; {total / 1e15:.3g} PFLOP, {hours:.3g} hours", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
