"""The networks written by hand in PyTorch are those that they are compared with."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks.models import gan_of
from benchmarks.train import BY_HAND
from compare_gan.core.types import Cond
from compare_gan.nn.state import merge_module, net_state
from compare_gan.tasks.rotation import Rotation

PARAMETERS = {  # of generator and discriminator
    "small8": (66433, 108101),
    "small28": (144097, 127461),
    "small32": (540419, 729029),
    "dcgan32": (4572163, 4308609),
    "dcgan64": (5364739, 4314753),
    "sndcgan32": (3828739, 5860865),
    "sndcgan64": (7048195, 5885441),
}


def test_every_network_by_hand_is_counted():
    assert set(PARAMETERS) == set(BY_HAND)


@pytest.mark.parametrize("name", BY_HAND)
def test_ours_have_the_recorded_numbers_of_parameters(name):
    state = jax.eval_shape(gan_of(name).init, jax.random.key(0))
    sizes = (sum(leaf.size for leaf in jax.tree.leaves(net.params)) for net in (state.g, state.d))
    assert tuple(sizes) == PARAMETERS[name]


@pytest.mark.parametrize("name", BY_HAND)
def test_those_in_torch_have_the_recorded_numbers_of_parameters(name):
    by_hand = pytest.importorskip("benchmarks.contenders.torch_networks", exc_type=ImportError)
    networks = by_hand.networks(by_hand.MODELS[name])
    sizes = (sum(p.numel() for p in network.parameters()) for network in networks)
    assert tuple(sizes) == PARAMETERS[name]


@pytest.mark.parametrize("name", BY_HAND)
def test_settings_of_training_are_equal(name):
    by_hand = pytest.importorskip("benchmarks.contenders.torch_networks", exc_type=ImportError)
    s, ours = by_hand.MODELS[name], gan_of(name)
    rotated = [task.num_images for task in ours.tasks if isinstance(task, Rotation)]
    assert (s.side, s.side, s.colors) == ours.spec.image_shape
    assert (s.z_dim, [s.rotated] if s.rotated else []) == (ours.z_dim, rotated)
    assert s.classes == ours.y_dim
    assert s.hinge == (ours.loss.__name__ == "hinge")
    assert s.rates == (ours.g_lr, ours.g_lr if ours.d_lr is None else ours.d_lr)
    assert (ours.disc_iters, ours.gradient_accumulation) == (1, 1)
    assert s.ema_decay == (ours.ema_decay if ours.g_use_ema else None)
    moments = by_hand.EPSILON, 1 - by_hand.MOMENTUM
    assert (ours.layers.batch.epsilon, ours.layers.batch.decay) == moments


def copy_weights(params, network):
    """Copies our parameters to the layers of the same names; their singular vectors become exact."""
    import torch

    modules = dict(network.named_modules())
    for path, value in jax.tree.leaves_with_path(params):
        *owner, kind = (str(key.key) for key in path)
        name = ".".join(owner)
        for part in ("backbone.", "heads.", "class."):
            name = name.replace(part, "")
        layer, value = modules[name], np.asarray(value)
        if kind == "kernel":
            value = value.T if value.ndim == 2 else value.transpose(3, 2, 0, 1)
        attribute = {"kernel": "weight", "gamma": "weight", "beta": "bias"}.get(kind, kind)
        normalised = attribute == "weight" and hasattr(layer, "parametrizations")
        target = layer.parametrizations.weight.original if normalised else getattr(layer, attribute)
        with torch.no_grad():
            target.copy_(torch.tensor(value.copy()))
        if normalised:
            u, _, v = np.linalg.svd(value.reshape(len(value), -1), full_matrices=False)
            layer.parametrizations.weight[0]._u.copy_(torch.tensor(u[:, 0]))
            layer.parametrizations.weight[0]._v.copy_(torch.tensor(v[0]))


def with_exact_singular_vectors(net):
    """The state with the singular vectors of each normalised kernel in place of estimates."""

    def exact(path, u):
        if path[-1].key != "u":
            return u
        kernel = net.params
        for key in path[:-1]:
            kernel = kernel[key.key]
        kernel = np.asarray(kernel["kernel"])
        left, _, right = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), full_matrices=False)
        return jnp.asarray(left[:, :1] if u.shape[1] == 1 else right[:1])

    return dataclasses.replace(net, extra=jax.tree.map_with_path(exact, net.extra))


@pytest.mark.parametrize("name", ["small8", "sndcgan32"])
def test_the_same_weights_give_the_same_images_and_logits(name):
    by_hand = pytest.importorskip("benchmarks.contenders.torch_networks", exc_type=ImportError)
    import torch

    ours, rng = gan_of(name), np.random.default_rng(0)
    g = net_state(ours.generator(nnx.Rngs(0)))
    d = with_exact_singular_vectors(net_state(ours.discriminator(nnx.Rngs(1))))
    generator, discriminator = by_hand.networks(by_hand.MODELS[name])
    copy_weights(g.params, generator)
    copy_weights(d.params, discriminator)
    z = rng.standard_normal((8, ours.z_dim)).astype(np.float32)
    y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 8)] if ours.conditional else None
    images = jax.jit(lambda z, y: merge_module(ours.g_def, g.params, g.extra)(Cond(z, y, train=True)))(z, y)
    out = jax.jit(
        lambda x, y: merge_module(ours.d_def, d.params, d.extra)(x, y, ours.microbatch_tasks, train=True)
    )(images, y)
    with torch.no_grad():
        given = None if y is None else torch.tensor(y)
        theirs = generator(torch.tensor(z), given)
        logits, rotation = discriminator(torch.tensor(np.array(images)).permute(0, 3, 1, 2), given)
    np.testing.assert_allclose(theirs.permute(0, 2, 3, 1), images, atol=2e-5)
    np.testing.assert_allclose(logits, out.logits, rtol=1e-4, atol=1e-4)
    if rotation is not None:
        np.testing.assert_allclose(rotation, out.aux["rotation"], rtol=1e-4, atol=1e-4)
