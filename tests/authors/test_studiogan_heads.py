"""The losses of AC, D2DCE (with TAC and ADC) and MH are those of PyTorch-StudioGAN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.losses.standard import hinge
from compare_gan.tasks.classifier import AC
from compare_gan.tasks.d2d_ce import D2DCE, d2d_cross_entropy, unit_rows
from compare_gan.tasks.multi_hinge import MH
from tests.helpers.tiers import slow_unless

from .heads import empty_head, give, one_hot, recorded, side

ALL = recorded("studiogan_heads")
CLASSES = 3
REAL_Y, FAKE_Y = (one_hot(ALL[f"{side}/labels"], CLASSES) for side in ("real", "fake"))


def case(name):
    return {key.removeprefix(f"{name}/"): x for key, x in ALL.items() if key.startswith(f"{name}/")}


def head_of(task, recorded):
    head = empty_head(task, recorded["real/h"].shape[1], CLASSES)
    for ours, theirs in ((head.classifier, ""), (head.twin, "_mi")):
        weight = recorded.get(f"linear{theirs or 2}.weight")
        if ours is None:
            assert weight is None
        elif isinstance(task, AC):
            give(ours, weight)
        else:
            give(ours.embedding, weight, recorded[f"linear{theirs or 2}.bias"])
            give(ours.proxies, recorded[f"embedding{theirs}.weight"].T)
    return head


def unlabelled(h, y, rows=5):
    """The same batch with some images without label in front."""
    more = np.random.RandomState(0).standard_normal((rows, h.shape[1])).astype(np.float32)
    return np.concatenate([more, h]), jnp.concatenate([jnp.zeros((rows, y.shape[1])), y])


@pytest.mark.parametrize("aux", ["W/O", "TAC", "ADC"])
@pytest.mark.parametrize("kind", slow_unless(lambda kind: kind is AC, [AC, D2DCE]))
def test_classifiers(kind, aux):
    theirs = case(f"{kind.__name__} {aux}")
    weights = {key: float(ALL[key]) for key in ("cond_lambda", "tac_gen_lambda", "tac_dis_lambda")}
    task = kind(aux_cls_type=aux, **weights, **({"d_embed_dim": 5} if kind is D2DCE else {}))
    definition, state = nnx.split(head_of(task, theirs))

    def losses(state, real_h, real_y):
        head = nnx.merge(definition, state)
        sides = [
            side([task], [head], h, np.zeros(len(h), np.float32), y)
            for h, y in ((real_h, real_y), (theirs["fake/h"], FAKE_Y))
        ]
        return task.loss(*sides, real_y, FAKE_Y)[0]

    for real in ((theirs["real/h"], REAL_Y), unlabelled(theirs["real/h"], REAL_Y)):
        pair, gradient = losses(state, *real), jax.grad(lambda s, real=real: losses(s, *real).d)(state)
        np.testing.assert_allclose([pair.d, pair.g], [theirs["d_loss"], theirs["g_loss"]], rtol=1e-5)
        kernel = gradient["classifier"] if kind is AC else gradient["classifier"]["embedding"]
        np.testing.assert_allclose(kernel["kernel"][...].T, theirs["d_gradient"], rtol=1e-4, atol=1e-6)


def test_d2d_ce_as_it_is_in_their_code():
    """The terms of other images, but not that of the proxy, are divided by the largest of all images."""
    theirs, labels = case("D2DCE as is"), ALL["real/labels"]
    f = unit_rows(theirs["real/h"] @ theirs["linear2.weight"].T + theirs["linear2.bias"])
    proxies = unit_rows(theirs["embedding.weight"])[labels]
    exponents = (f @ f.T + 0.98 - 1) / 0.5
    largest = jnp.where(jnp.eye(len(f), dtype=bool), -jnp.inf, exponents).max(1, keepdims=True)
    others = (labels[:, None] != labels) * jnp.exp(-largest)
    loss = d2d_cross_entropy(jnp.sum(f * proxies, 1), f @ f.T, others, 0.5, 0.98).mean()
    assert float(ALL["cond_lambda"] * loss) == pytest.approx(float(theirs["d_loss"]), rel=1e-5)


def test_multi_hinge():
    theirs, task = case("MH W/O"), MH(mh_lambda=float(ALL["mh_lambda"]))
    weight, bias = theirs["linear.weight"], theirs["linear.bias"]
    head = empty_head(task, weight.shape[1], CLASSES)
    give(head, weight[:-1], bias[:-1])
    definition, state = nnx.split(head)

    def losses(state):
        sides = [
            side([task], [nnx.merge(definition, state)], h, -(h @ weight[-1] + bias[-1]), y)
            for h, y in ((theirs["real/h"], REAL_Y), (theirs["fake/h"], FAKE_Y))
        ]
        own = task.loss(*sides, REAL_Y, FAKE_Y)[0]
        return hinge(*(each.batch.logits for each in sides)).d + own.d, own.g

    np.testing.assert_allclose(losses(state), [theirs["d_loss"], theirs["g_loss"]], rtol=1e-5)
    gradient = jax.grad(lambda s: losses(s)[0])(state)["kernel"][...]
    np.testing.assert_allclose(gradient.T, theirs["d_gradient"][:-1], rtol=1e-4, atol=1e-5)
