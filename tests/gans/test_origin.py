"""Tasks that use latent vectors, other generated images or the augmentation; weights of generated images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from compare_gan.augmentations.adaptive import ADA, APA
from compare_gan.augmentations.diffaugment import DiffAugment
from compare_gan.config.parse import parse
from compare_gan.core.errors import UserError
from compare_gan.core.types import DiscriminatorOut, ImageSpec, Labeled, Logits, Origin, SideOutputs
from compare_gan.gans.step import (
    adversarial_loss,
    augmented,
    draw,
    generate,
    image_keys,
    train_step,
)
from compare_gan.losses.relativistic import relativistic
from compare_gan.losses.standard import hinge, least_squares, non_saturating, wasserstein
from compare_gan.losses.top_k import TopK
from compare_gan.nn.state import merge_module
from compare_gan.tasks.augself import AugSelf
from compare_gan.tasks.information import InfoGANCodes, MutualInformation
from compare_gan.tasks.label_augmentation import LabelAugmentation
from compare_gan.tasks.latent_consistency import LatentConsistency

from .tiny import batch, tiny_gan

KEY = jax.random.key(0)
FULL = DiffAugment("color,translation,cutout")
CODES = InfoGANCodes((3,), 1)


def close(found, expected, tolerance):
    for (path, a), b in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=jax.tree_util.keystr(path))


def every_task(**more):
    return tiny_gan(
        loss=hinge,
        g_norm=None,  # no batch statistics
        g_optimizer_fn=optax.sgd,
        augment=FULL,
        prior=CODES,
        tasks=(LabelAugmentation(4), AugSelf(), LatentConsistency(), MutualInformation(CODES)),
        **more,
    )


def trained(gan, steps=2):
    state, step = gan.init(KEY), jax.jit(functools.partial(train_step, gan))
    for i in range(steps):
        state, metrics = step(state, batch(i, gan.sub_batches), jax.random.fold_in(KEY, i))
    return (state.d.params, state.g.params), metrics


@pytest.mark.slow
def test_microbatches_change_nothing_but_the_order_of_sums():
    (whole, metrics), (parts, _) = (trained(every_task(gradient_accumulation=n)) for n in (1, 2))
    close(whole, parts, 1e-4)
    assert float(metrics["latent_consistency/distance"]) > 0


@pytest.mark.slow
def test_one_generator_pass_for_all_updates_changes_nothing():
    """Without batch statistics; every update has its own latent vectors and other images."""
    unrolled = functools.partial(every_task, disc_iters=2, experimental_force_graph_unroll=True)
    close(trained(unrolled())[0], trained(unrolled(experimental_joint_gen_for_disc=True))[0], 1e-4)


def test_both_batches_of_images_train_the_generator():
    """The generator's update is the gradient of the loss written as a function of its parameters."""
    task = LatentConsistency(sigma=0.3, g_weight=0.7)
    gan = tiny_gan(loss=hinge, g_norm=None, spectral_norm=False, g_optimizer_fn=optax.sgd, tasks=(task,))
    before, data = gan.init(KEY), batch(0)
    after, _ = jax.jit(functools.partial(train_step, gan))(before, data, KEY)
    only = jax.tree.map(lambda x: x[0], data)
    z, _, others = draw(gan, only, jax.random.split(KEY, 1)[0], lambda x: x).latents
    noise = np.asarray(others[task.name] - z) / 0.3
    assert abs(np.corrcoef(noise.ravel(), np.asarray(z).ravel())[0, 1]) < 0.5

    def loss(params):
        one, two = (generate(gan, params, before.g.extra, x, None)[0] for x in (z, others[task.name]))
        discriminator = merge_module(gan.d_def, after.d.params, after.d.extra)
        logits = discriminator(one, None, (), train=True).logits
        return -logits.mean() - 0.7 * jnp.mean((2 * one - 2 * two) ** 2)

    gradient = jax.jit(jax.grad(loss))(before.g.params)
    expected = jax.tree.map(lambda p, g: p - gan.g_lr * g, before.g.params, gradient)
    close(after.g.params, expected, 1e-6)


def test_an_image_and_its_others_are_augmented_alike():
    task = LatentConsistency()
    gan = tiny_gan(augment=FULL, tasks=(task,))
    images = batch(0).images[0]
    fake = Labeled(images, None, {task.name: images}, Origin(jnp.zeros((8, 5))))
    seen = augmented(gan, {}, Labeled(images, None), fake, image_keys(gan, KEY, "d"))[1]
    np.testing.assert_array_equal(seen.images, seen.others[task.name])
    assert np.abs(np.asarray(seen.images - images)).max() > 0.1
    np.testing.assert_array_equal(seen.origin.images, images)


def test_pseudo_augmentation_and_augmentation_are_independent():
    """The choice of replaced images has nothing to do with what is done to them."""
    gan = tiny_gan(
        batch_size=2000, augment=DiffAugment("color"), pseudo_augmentation=APA(), tasks=(AugSelf("color"),)
    )
    zeros = Labeled(jnp.zeros((2000, 4, 4, 1)), None)
    ones = zeros._replace(images=1 + zeros.images)
    real, _ = augmented(gan, {"apa": {"p": jnp.float32(0.5)}}, zeros, ones, image_keys(gan, KEY, "d"))
    replaced = np.asarray(real.origin.images[:, 0, 0, 0])
    for parameter in np.asarray(real.origin.augmentation["color"]).T:
        assert abs(np.corrcoef(replaced, parameter)[0, 1]) < 0.1


def test_augself_in_closed_form():
    """A layer 2 x + b is right if half of w - b is added to the features."""

    class Layer:
        bias = jnp.array([0.1, 0.2, 0.3])

        def __call__(self, x, train):
            return 2 * x + self.bias

    task, parameters = AugSelf("color"), jax.random.uniform(KEY, (8, 3))
    before = jnp.ones((8, 3))
    after = before + (parameters - Layer.bias) / 2
    seen, plain = (
        task.score({"color": Layer()}, DiscriminatorOut(x[:, 0], x, {}), None, True) for x in (after, before)
    )
    side = SideOutputs(seen, plain, Origin(augmentation={"color": parameters}))
    assert float(task.error(side, 1)) == pytest.approx(0, abs=1e-10)
    assert float(task.error(side, -1)) == pytest.approx(float(jnp.mean((2 * parameters) ** 2)), rel=1e-5)


@pytest.mark.parametrize("loss", [hinge, least_squares, non_saturating, relativistic, wasserstein])
def test_top_k_is_the_loss_on_the_best_images(loss):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 8)).astype(np.float32)
    gan = tiny_gan(loss=loss, generator_weights=TopK(interval=5, gamma=0.9, nu=0.5))
    for step, k in ((0, 8), (4, 8), (5, 7), (14, 6), (10_000, 4)):
        best = np.argsort(-fake)[:k]
        pair = adversarial_loss(gan, Logits(jnp.asarray(real), jnp.asarray(fake), step))
        assert float(pair.g) == pytest.approx(float(loss(real[best], fake[best]).g), rel=1e-5)
        assert float(pair.d) == float(loss(jnp.asarray(real), jnp.asarray(fake)).d)


def test_codes_are_one_hot_and_uniform():
    codes = InfoGANCodes((3, 2), 1)
    z = np.asarray(codes(KEY, (4000, 10)))
    first, second, values = codes.split(z)
    for part, classes in ((first, 3), (second, 2)):
        np.testing.assert_array_equal(np.sort(part, 1), np.eye(classes)[[-1] * 4000])
        assert np.all(np.abs(part.mean(0) - 1 / classes) < 4 * np.sqrt(0.25 / 4000))
    for part in (values, z[:, :4]):
        assert part.min() >= -1 and part.max() < 1 and abs(part.mean()) < 0.05
    assert codes(KEY, (10,)).shape == (10,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            lambda: AugSelf("colour"),
            "AugSelf.policy has an unknown operation 'colour'; did you mean 'color'?",
        ),
        (lambda: tiny_gan(tasks=(AugSelf(),)), "set ModularGAN.augment = @DiffAugment()"),
        (
            lambda: tiny_gan(tasks=(AugSelf(),), augment=FULL, augment_probability=ADA()),
            "no ModularGAN.augment_probability",
        ),
        (
            lambda: tiny_gan(tasks=(AugSelf(),), augment=DiffAugment("color")),
            "AugSelf.policy has 'translation', but DiffAugment.policy does not",
        ),
        (lambda: LatentConsistency(sigma=0.0), "LatentConsistency.sigma is 0.0; it must be more than 0"),
        (lambda: LatentConsistency(d_weight=-1.0), "must not be negative"),
        (lambda: tiny_gan(tasks=(MutualInformation(),)), "set z.distribution_fn = @InfoGANCodes()"),
        (lambda: tiny_gan(prior=InfoGANCodes()).validate(), "options.z_dim is 5; it must be more than 12"),
        (lambda: InfoGANCodes((), 0), "at least one code"),
        (lambda: InfoGANCodes((1,)), "numbers of classes from 2"),
        (
            lambda: tiny_gan(tasks=(LabelAugmentation(9),)),
            "LabelAugmentation.num_images is 9; it must be from 1 to",
        ),
        (lambda: TopK(0), "TopK.interval is 0"),
        (lambda: TopK(1, gamma=1.0), "TopK.gamma is 1.0; it must be between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(UserError) as error:
        given()
    assert message in str(error.value) and "\n" not in str(error.value)


def test_codes_and_top_k_in_a_configuration():
    """One binding describes the codes for the prior, its evaluation and the task."""
    bindings = [
        "z.distribution_fn = @InfoGANCodes()",
        "eval_z.distribution_fn = @InfoGANCodes()",
        "InfoGANCodes.categorical = (3, 2)",
        "ModularGAN.tasks = (@MutualInformation(), @LatentConsistency())",
        "MutualInformation.codes = @InfoGANCodes()",
        "ModularGAN.generator_weights = @TopK()",
        "TopK.interval = 100",
    ]
    parsed = parse(["small.gin", "s3gan.gin"], bindings)
    for each in (parsed, parse([], parsed.operative_config.splitlines())):
        gan = each.gan(ImageSpec((32, 32, 3), 10))
        codes = InfoGANCodes((3, 2), 2)
        assert gan.prior == each.eval_prior == codes and gan.generator_weights == TopK(100)
        assert {MutualInformation(codes), LatentConsistency()} < set(gan.tasks)
