"""Penalties of the discriminator alone, and their gradients in its variables."""

from collections.abc import Iterator

import jax
import numpy as np

from compare_gan.core.types import PenaltyInputs, Tree
from compare_gan.nn.state import merge_module

from .. import build, tensorflow
from ..names import at, filled, place
from ..reference import Case, Deviation, deviation, uniform
from ..runner import handles


@handles("penalty")
def penalty(case: Case) -> Iterator[Deviation]:
    gan = build.gan(case)
    state = filled(
        gan.abstract_d, case.meta["D_variables"], lambda name: place(name, case.meta["architecture"])
    )

    @jax.jit
    def value_and_gradient(params: Tree, real, fake):
        def value(params):
            def discriminator(images):
                return merge_module(gan.d_def, params, state.extra)(
                    images, case.labels(), (), train=True
                ).logits

            return gan.penalty(PenaltyInputs(discriminator, params, real, fake, jax.random.key(0)))

        return jax.value_and_grad(value)(params)

    with tensorflow.given_coefficients(), tensorflow.layer_norm_moments():
        value, gradient = value_and_gradient(state.params, case.images, case.generated)
    yield deviation("penalty", case.arrays["penalty"], value, 1e-6)
    if "random_coefficients" in case.arrays:
        coefficients = case.arrays["random_coefficients"]
        yield deviation("random_coefficients", coefficients, uniform(77, coefficients.shape), 0)
    lengths = case.meta["grad_l2_norms"]
    longest = max(lengths.values(), default=0.0)  # floats near zero count beside the longest
    for name, stored in case.named("grad/"):
        ours = at(gradient, place(name, case.meta["architecture"]))
        yield deviation(f"grad/{name}", stored, ours, 1e-5, 1e-7 * longest)
    for name, length in lengths.items():
        ours = np.linalg.norm(np.ravel(at(gradient, place(name, case.meta["architecture"]))))
        yield deviation(f"length of grad/{name}", length, ours, 1e-5, 1e-6 * longest)
