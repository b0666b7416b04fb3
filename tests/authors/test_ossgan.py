"""The losses of a GAN with Projection and OSSGAN are those of the authors on a batch with few labels."""

import jax
import numpy as np
from flax import nnx

from compare_gan.losses.standard import hinge
from compare_gan.tasks.ossgan import OSSGAN
from compare_gan.tasks.projection import Projection

from .heads import empty_head, give, one_hot, recorded, side


def test_ossgan():
    theirs = recorded("ossgan")
    classes, features = theirs["linear4.weight"].shape
    weight = float(theirs["weight"])
    tasks = OSSGAN(weight), Projection(True, True, True, class_weight=weight)
    heads = [empty_head(task, features, classes) for task in tasks]
    give(heads[1].predictor, theirs["linear4.weight"], theirs["linear4.bias"])
    give(heads[1].projection, theirs["embedding.weight"])
    definition, state = nnx.split(heads[1])
    y = {name: one_hot(theirs[f"{name}/labels"], classes) for name in ("real", "fake")}

    def losses(state):
        sides = [
            side(
                tasks,
                [heads[0], nnx.merge(definition, state)],
                *(theirs[f"{name}/{each}"] for each in ("features", "logits")),
                y[name],
            )
            for name in ("real", "fake")
        ]
        pair = hinge(*(each.batch.logits for each in sides))
        for task in tasks:
            pair += task.loss(*sides, y["real"], y["fake"])[0]
        return pair

    np.testing.assert_allclose(losses(state), [theirs["d_loss"], theirs["g_loss"]], rtol=1e-5)
    gradient = jax.grad(lambda s: losses(s).d)(state)["predictor"]["kernel"][...]
    np.testing.assert_allclose(gradient.T, theirs["d_gradient"], rtol=1e-4, atol=1e-6)
