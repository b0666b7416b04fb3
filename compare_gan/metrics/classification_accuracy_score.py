"""Classification accuracy score, CAS: train on generated images, test on real ones.

Ravuri and Vinyals, https://arxiv.org/abs/1905.10887; GAN-train in Shmelkov et al.,
https://arxiv.org/abs/1807.09499. The first paper uses a ResNet-50; here it is a small residual network that
is trained for minutes. So scores are comparable only with each other.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from compare_gan.core.types import Array, NetState, Tree
from compare_gan.data.base import Images
from compare_gan.features.encoder import Encoder, EncoderSpec, TrainedEncoder
from compare_gan.metrics.agreement import agreement
from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.learning import train_network
from compare_gan.nn.images import random_shift
from compare_gan.nn.rngs import random_streams
from compare_gan.nn.state import merge_module, net_state

STEPS = 2000
BATCH = 128
WIDTH = 32
MAX_SHIFT = 1  # pixels


def fit_classifier(
    images: Images, labels: np.ndarray, num_classes: int, seed: int, steps: int = STEPS, width: int = WIDTH
) -> TrainedEncoder:
    """A classifier trained on uint8 images [N, H, W, C] and labels [N]; -1 = unlabelled, ignored."""
    h, w, c = images.shape[1:]
    spec = EncoderSpec((h, w, c), tuple(map(str, range(num_classes))), width)
    definition = nnx.graphdef(nnx.eval_shape(lambda: Encoder(spec, random_streams(0))))
    init_rng, train_rng = jax.random.split(jax.random.key(seed))
    labelled = np.flatnonzero(labels >= 0)

    def batch(step: int) -> Tree:
        drawn = np.random.default_rng((seed, step)).integers(len(labelled), size=BATCH)
        chosen = labelled[np.sort(drawn)]
        return images[chosen], labels[chosen]

    def objective(net: NetState, batch: Tree, rng: Array) -> tuple[Array, Tree]:
        x, y = batch
        encoder = merge_module(definition, net.params, net.extra)
        logits = encoder(random_shift(rng, x.astype(jnp.float32) / 255, MAX_SHIFT), train=True).classes
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return loss, net_state(encoder).extra

    tx = optax.adamw(optax.cosine_decay_schedule(2e-3, steps), weight_decay=1e-3)
    net = net_state(Encoder(spec, random_streams(init_rng)))
    name = "classification_accuracy_score"
    return TrainedEncoder(
        spec, train_network(name, objective, net, batch, tx=tx, steps=steps, rng=train_rng), "classifier"
    )


@metric("classification_accuracy_score", needs={"images", "labels", "real_labels"}, higher_is_better=True)
def classification_accuracy_score(ctx: EvalContext) -> Scores:
    """Accuracy on labelled held-out real images; None without classes."""
    real, fake = ctx.real.labels, ctx.fake.labels
    if real is None or fake is None or not (real >= 0).any() or not (fake >= 0).any():
        return {"classification_accuracy_score": None}
    num_classes = int(max(real.max(), fake.max())) + 1
    classifier = fit_classifier(ctx.fake.images, fake, num_classes, ctx.seed)
    labelled = np.flatnonzero(real >= 0)
    found = agreement(classifier(ctx.real.images[labelled]).classes, real[labelled])
    return {"classification_accuracy_score": found}
