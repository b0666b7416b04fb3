"""FreezeD: the first blocks of a discriminator keep their parameters, and nothing else does."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import compare_gan.architectures  # noqa: F401  (registers them)
from compare_gan.core.errors import UserError
from compare_gan.core.registry import ARCHITECTURES
from compare_gan.core.types import ImageSpec
from compare_gan.gans.freeze import frozen_parameters
from compare_gan.gans.step import train_step
from compare_gan.nn import norms
from compare_gan.nn.networks import NetSpec, Staged
from compare_gan.nn.options import DiscriminatorOptions

from .tiny import Discriminator, batch, tiny_gan

KEY = jax.random.key(0)
LAST = {"basis", "final_fc", "embedding_fc", "fc1", "fc4", "head"}  # layers after the blocks
SIDES = {"resnet30_arch": 128, "resnet_stl_arch": 48, "resnet_biggan_deep_arch": 64, "resnet_biggan_arch": 64}


class StagedDiscriminator(Discriminator):
    @property
    def stages(self):
        return [(self.conv, self.norm)]


def frozen_gan(blocks=1, **more):
    return dataclasses.replace(
        tiny_gan(**more), make_discriminator=StagedDiscriminator, freeze_d_layers=blocks
    )


def names(tree):
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


@pytest.mark.usefixtures("shallow_resnet30")
@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_the_blocks_of_every_architecture_are_all_but_its_last_layers(name):
    side = SIDES.get(name, 32)
    net = NetSpec(ImageSpec((side, side, 3)), 0, 2, DiscriminatorOptions(norms.batch_norm))
    d = nnx.eval_shape(lambda: ARCHITECTURES[name][1](net, ch=4, rngs=nnx.Rngs(0)))
    assert isinstance(d, Staged)
    counts = []
    for blocks in range(1, len(d.stages) + 1):
        frozen = names(frozen_parameters(d, d, blocks))
        counts.append(sum(frozen.values()))
    assert {path.split("/")[0] for path, stays in frozen.items() if not stays} <= LAST
    assert all(counts[i] < counts[i + 1] for i in range(len(counts) - 1)) and counts[0] > 0
    first = {path.split("/")[0] for path, stays in names(frozen_parameters(d, d, 1)).items() if stays}
    assert first & {"blocks", "convs", "conv1", "color_block", "color_conv", "initial_conv", "from_image"}
    with pytest.raises(UserError, match=f"is {len(d.stages) + 1}; it must be from 0 to {len(d.stages)}"):
        frozen_parameters(d, d, len(d.stages) + 1)


def test_attention_after_a_frozen_block_is_frozen_with_it():
    net = NetSpec(ImageSpec((64, 64, 3)), 0, 2, DiscriminatorOptions())
    make = functools.partial(ARCHITECTURES["resnet_biggan_arch"][1], blocks_with_attention="B2")
    d = nnx.eval_shape(lambda: make(net, ch=8, rngs=nnx.Rngs(0)))
    stays = [any(s for n, s in names(frozen_parameters(d, d, k)).items() if "attention" in n) for k in (1, 2)]
    assert stays == [False, True]


@pytest.mark.parametrize("optimizer", [optax.sgd, functools.partial(optax.adamw, weight_decay=0.1)])
def test_frozen_parameters_stay_and_others_train_as_before(optimizer):
    frozen = frozen_gan(d_norm=norms.batch_norm, d_optimizer_fn=optimizer)
    trained = dataclasses.replace(frozen, freeze_d_layers=0)
    state = frozen.init(KEY)
    one, other = (
        jax.jit(functools.partial(train_step, gan))(state, batch(0), KEY)[0].d for gan in (frozen, trained)
    )
    for name, before in names(state.d.params).items():
        moved = names(other.params)[name]
        assert np.any(moved != before)
        if "conv" in name or "norm" in name:
            np.testing.assert_array_equal(names(one.params)[name], before, err_msg=name)
        else:
            np.testing.assert_allclose(names(one.params)[name], moved, rtol=1e-5, atol=1e-7, err_msg=name)


def test_statistics_of_frozen_blocks_go_on():
    """A spectral vector converges to the exact singular vector of the constant kernel."""
    gan = frozen_gan(d_norm=norms.batch_norm)
    state, step = gan.init(KEY), jax.jit(functools.partial(train_step, gan))
    before = names(state.d.extra)
    for i in range(12):
        state, _ = step(state, batch(i), jax.random.fold_in(KEY, i))
    kernel = np.asarray(state.d.params["backbone"]["conv"]["kernel"])
    exact = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[0][:, 0]
    found = np.ravel(state.d.extra["backbone"]["conv"]["u"])
    assert abs(found @ exact) == pytest.approx(1, abs=1e-3)
    moving = "backbone/norm/standardize/moving_mean"
    assert np.any(names(state.d.extra)[moving] != before[moving])


def test_wrong_numbers_and_discriminators_without_blocks_are_refused():
    for blocks in (2, -1):
        with pytest.raises(UserError, match=f"freeze_d_layers is {blocks}; it must be from 0 to 1"):
            frozen_gan(blocks).validate()
    with pytest.raises(UserError, match="Discriminator does not list its blocks"):
        tiny_gan(freeze_d_layers=1).validate()
