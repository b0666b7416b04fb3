"""Exported programs compute the same outputs as their networks, for any batch size."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save

from compare_gan.core.registry import ARCHITECTURES
from compare_gan.evaluation.evaluate import discriminator_of
from compare_gan.export import programs
from compare_gan.export.checks import find_side_effects
from compare_gan.export.loader import read_weights, runnable
from compare_gan.gans.inference import sample
from compare_gan.gans.sampling import normal, truncated_normal, uniform
from compare_gan.nn.norms import conditional_batch_norm
from tests.gans.tiny import random_state, tiny_gan
from tests.helpers.combinations import METHODS, combination
from tests.helpers.tiers import slow_unless


def inputs(gan, count):
    rng = np.random.RandomState(count)
    z = rng.standard_normal((count, gan.z_dim)).astype(np.float32)
    y = np.eye(gan.y_dim, dtype=np.float32)[rng.randint(gan.y_dim, size=count)] if gan.conditional else None
    return [z] if y is None else [z, y]


EXPORTED = ("dcgan_arch", "resnet_small_arch", "resnet_biggan_arch")  # deconvolutions, blocks, attention


@pytest.mark.usefixtures("shallow_resnet30")
@pytest.mark.parametrize(
    "i, architecture", slow_unless(lambda i, name: name in EXPORTED, enumerate(ARCHITECTURES))
)
def test_every_architecture_is_exported(i, architecture):
    method = list(METHODS)[i % len(METHODS)]
    norm = "@conditional_batch_norm" if method in ("conditional", "S3GAN") else "@self_modulated_batch_norm"
    gan = combination(architecture, norm, method)()
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), jax.eval_shape(gan.init, jax.random.key(0)))
    for made, shape in (
        (programs.generator(gan, state), gan.spec.image_shape),
        (programs.discriminator(gan, state), ()),
    ):
        exported = export.deserialize(bytearray(made.code))
        out = jax.tree.unflatten(exported.out_tree, exported.out_avals)
        out = out["logits"] if isinstance(out, dict) else out
        assert str(out.shape[0]) == "b" and out.shape[1:] == shape
        assert exported.platforms == ("cpu", "cuda", "tpu")
        assert find_side_effects(exported.mlir_module()) is None
        assert b".py" not in made.code and made.weights


REPRESENTATIVE = {
    "dcgan": combination("dcgan_arch", "@batch_norm", "unconditional"),
    "hierarchical": combination("resnet_cifar_arch", "@conditional_batch_norm", "conditional"),
    "biggan": combination("resnet_biggan_arch", "@conditional_batch_norm", "S3GAN"),  # with attention
    "tiny": lambda: tiny_gan(g_norm=conditional_batch_norm, conditional=True, g_use_ema=True),
}


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_a_program_agrees_with_its_network(name):
    gan = REPRESENTATIVE[name]()
    if name == "hierarchical":
        made = functools.partial(gan.make_generator, hierarchical_z=True)
        gan = dataclasses.replace(gan, make_generator=made)
    state = random_state(gan)
    generator = runnable(*programs.generator(gan, state))
    discriminator = runnable(*programs.discriminator(gan, state))
    judge = discriminator_of(gan, state)
    direct = jax.jit(functools.partial(sample, gan))
    for count in (1, 3, 64) if name == "tiny" else (3,):
        given = inputs(gan, count)
        images = generator(*given)
        wanted = direct(state, *given)
        assert np.std(images) > 0.01
        np.testing.assert_allclose(images, wanted, atol=2e-6)
        pixels = np.round(np.asarray(images) * 255).astype(np.uint8)
        outputs = discriminator(pixels.astype(np.float32) / 255, *given[1:])
        expected = judge(pixels, given[1].argmax(1) if gan.conditional else None)
        assert (
            outputs["heads"].keys()
            == expected.aux.keys()
            == set(programs.heads(programs.discriminator(gan, state)))
        )
        for found, other in ((outputs["logits"], expected.logits), (outputs["features"], expected.features)):
            np.testing.assert_allclose(found, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())
        for head, predictions in expected.aux.items():
            np.testing.assert_allclose(outputs["heads"][head], predictions, rtol=1e-4, atol=1e-3)


def test_averaged_weights_are_exported():
    gan = tiny_gan(g_use_ema=True)
    state = random_state(gan)
    weights = programs.generator(gan, state).weights
    np.testing.assert_array_equal(weights["fc.kernel"], state.g_ema["fc"]["kernel"])
    assert (weights["fc.kernel"] != state.g.params["fc"]["kernel"]).all()


def test_the_same_state_gives_the_same_bytes():
    gan = tiny_gan()
    state = random_state(gan)
    assert programs.generator(gan, state).code == programs.generator(tiny_gan(), state).code
    assert jax.config.jax_traceback_in_locations_limit != 0  # only while programs are made


@pytest.mark.parametrize("prior", [uniform, normal, functools.partial(truncated_normal, stddev=0.5)])
def test_a_latent_vector_depends_only_on_seed_and_index(prior):
    latents = runnable(*programs.sampler(tiny_gan(prior=prior)))
    numbers = np.array([4, 0, 70_000, 4], np.int32)
    z = np.asarray(latents(np.uint32(7), numbers))
    wanted = [prior(jax.random.fold_in(jax.random.key(7), n), (5,)) for n in numbers]
    np.testing.assert_array_equal(z, wanted)
    np.testing.assert_array_equal(latents(np.uint32(7), numbers[2:3]), z[2:3])
    assert (latents(np.uint32(8), numbers) != z).any()


def test_the_loader_reads_files_of_the_safetensors_library(tmp_path):
    weights = programs.generator(tiny_gan(), random_state(tiny_gan())).weights
    path = tmp_path / "x.safetensors"
    path.write_bytes(save(weights, {"of": "a test"}))
    found, library = read_weights(path), load_safetensors(path.read_bytes())
    assert found.keys() == library.keys() == weights.keys()
    for name in weights:
        np.testing.assert_array_equal(found[name], weights[name])


def test_programs_with_side_effects_are_detected():
    def text(f):
        return jax.jit(f).lower(jnp.ones(3)).as_text()

    def calls_back(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((3,), jnp.float32), x)

    assert find_side_effects(text(jnp.sin)) is None
    assert "custom_call" in find_side_effects(text(calls_back))
    assert "custom_call" in find_side_effects('%0 = "stablehlo.custom_call"(%1) <{call_target_name = "x"}>')
    assert find_side_effects('%2:2 = "stablehlo.infeed"(%1)')
    for line in ('%0 = "evil.op"(%1) : () -> ()', "  evil.op %1", "%0:2 = evil.op(%1)"):
        assert "evil.op" in find_side_effects(f"func.func public @main() {{\n{line}\n}}")
    assert find_side_effects("%2 = stablehlo.custom_call @shape_assertion_too(%1)")
