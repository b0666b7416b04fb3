"""The discriminator's loss of MH, with unlabelled images, is that of the authors."""

import jax.numpy as jnp
import numpy as np

from compare_gan.core.types import DiscriminatorOut, SideOutputs
from compare_gan.losses.standard import hinge
from compare_gan.tasks.multi_hinge import MH, margin

from .heads import one_hot, recorded


def test_a_batch_with_as_many_unlabelled_as_labelled_images():
    theirs, task = recorded("mhgan"), MH()
    classes = theirs["fake"].shape[1] - 1
    labels = np.concatenate([theirs["labels"], np.full(len(theirs["unlabelled"]), -1)])

    def side(logits):
        logits = jnp.asarray(logits)
        return SideOutputs(DiscriminatorOut(margin(logits), logits, {"mh": logits}), None)

    real, fake = side(np.concatenate([theirs["labelled"], theirs["unlabelled"]])), side(theirs["fake"])
    own, _ = task.loss(real, fake, one_hot(labels, classes), one_hot(theirs["labels"], classes))
    d_loss = hinge(real.batch.logits, fake.batch.logits).d + own.d
    np.testing.assert_allclose(d_loss, theirs["d_loss"], rtol=1e-6)
