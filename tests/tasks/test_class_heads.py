"""AC, D2DCE, MH and OSSGAN in closed form, with unlabelled images and soft labels, and in every method."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import log_softmax, softmax

from compare_gan.config.parse import parse
from compare_gan.core.errors import UserError
from compare_gan.core.types import DiscriminatorOut, ImageSpec, Labeled, SideOutputs
from compare_gan.data.base import ImageDataset, Split
from compare_gan.gans.s3gan import s3gan
from compare_gan.gans.ssgan import ssgan
from compare_gan.gans.step import both_losses
from compare_gan.losses.standard import hinge
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.options import Layers, Weights
from compare_gan.runs import train
from compare_gan.tasks.classifier import AC, double
from compare_gan.tasks.d2d_ce import D2DCE
from compare_gan.tasks.multi_hinge import MH
from compare_gan.tasks.ossgan import OSSGAN, entropy
from compare_gan.tasks.projection import Projection
from tests.gans.tiny import batch, tiny_gan

FEATURES, CLASSES, KEY = 5, 3, jax.random.key(0)
SOFT = [[1, 0, 0], [0, 0, 0], [0.2, 0.7, 0.1], [0, 0, 1], [0, 0, 0], [0, 1, 0], [0.5, 0, 0.5]]
REAL_Y, FAKE_Y = np.array(SOFT, np.float32), np.eye(CLASSES, dtype=np.float32)[[2, 0, 0, 1, 2, 1, 0]]
LABELLED = [0, 2, 3, 5, 6]
REAL, FAKE = (
    np.random.RandomState(seed).standard_normal((len(SOFT), FEATURES)).astype(np.float32) for seed in (0, 1)
)
HEADS = [
    *(kind(aux_cls_type=aux) for kind in (AC, D2DCE) for aux in ("W/O", "TAC", "ADC")),
    AC(fake_lambda=1.0),
    MH(),
]


def short(task):
    return f"{task.name} {getattr(task, 'aux_cls_type', '')} {getattr(task, 'fake_lambda', '')}"


def outputs(task, features, head):
    logits = jnp.asarray(features.sum(1))
    return SideOutputs(
        task.score(head, DiscriminatorOut(logits, jnp.asarray(features), {}), None, True), None
    )


def sides(task, real=REAL, fake=FAKE):
    make = LayerFactory(Layers(weights=Weights(stddev=0.5)), nnx.Rngs(0))
    head = task.make_head(make, FEATURES, CLASSES)
    return outputs(task, real, head), outputs(task, fake, head)


def cross_entropy(logits, y):
    return -(log_softmax(np.float64(logits), 1) * y).sum(1)


def test_ac():
    """The discriminator learns from labelled images, and from generated ones as in the paper if asked to."""
    task = AC(cond_lambda=2.0, fake_lambda=0.5)
    real, fake = sides(task)
    pair, metrics = task.loss(real, fake, REAL_Y, FAKE_Y)
    on_real = cross_entropy(real.batch.aux["ac"], REAL_Y)[LABELLED].mean()
    on_fake = cross_entropy(fake.batch.aux["ac"], FAKE_Y).mean()
    assert float(pair.d) == pytest.approx(2 * on_real + 0.5 * on_fake, rel=1e-5)
    assert float(pair.g) == pytest.approx(2 * on_fake, rel=1e-5)
    right = np.asarray(real.batch.aux["ac"]).argmax(1) == REAL_Y.argmax(1)
    assert float(metrics["accuracy/ac"]) == pytest.approx(right[LABELLED].mean())


def test_adc_numbers_its_classes_as_its_authors():
    y = np.eye(CLASSES)[[2, 0]]
    assert double(y, is_real=True).argmax(1).tolist() == [4, 0]
    assert double(y, is_real=False).argmax(1).tolist() == [5, 1]


def test_d2d_ce():
    """Two loops over images; a soft label counts by the probability that the classes differ."""
    task = D2DCE(cond_lambda=1.0, temperature=0.3, m_p=0.9, d_embed_dim=4)
    real, fake = sides(task)
    losses = []
    cosines, f = (np.float64(real.batch.aux[name]) for name in ("d2dce", "d2dce_embedding"))
    np.testing.assert_allclose(np.linalg.norm(f, axis=1), 1, rtol=1e-6)
    for i in LABELLED:
        attraction = max(0.9 - cosines[i] @ REAL_Y[i], 0) / 0.3
        repulsion = sum(
            (1 - REAL_Y[i] @ REAL_Y[j]) * np.exp(max(f[i] @ f[j] + 0.9 - 1, 0) / 0.3)
            for j in LABELLED
            if j != i
        )
        losses.append(-np.log(np.exp(-attraction) / (np.exp(-attraction) + repulsion)))
    pair, _ = task.loss(real, fake, REAL_Y, FAKE_Y)
    assert float(pair.d) == pytest.approx(np.mean(losses), rel=1e-5)


def lacking(f, k):
    return max(0, 1 + max(np.delete(f, k)) - f[k])


def test_multi_hinge():
    """Class K means "generated"; an unlabelled real image must resemble some class more."""
    task = MH(mh_lambda=0.5)
    real, fake = sides(task)
    f_real, f_fake = (np.float64(side.batch.aux["mh"]) for side in (real, fake))
    np.testing.assert_allclose(f_real[:, CLASSES], -REAL.sum(1), rtol=1e-5)
    on_real = [
        lacking(f, y.argmax()) if y.any() else max(0, 1 + f[CLASSES] - max(f[:CLASSES]))
        for f, y in zip(f_real, REAL_Y, strict=True)
    ]
    on_fake = [lacking(f, CLASSES) for f in f_fake]
    pair, metrics = task.loss(real, fake, REAL_Y, FAKE_Y)
    d_loss = hinge(real.batch.logits, fake.batch.logits).d + pair.d
    assert float(d_loss) == pytest.approx(np.mean(on_real) + np.mean(on_fake), rel=1e-5)
    on_fake = [lacking(f, y.argmax()) for f, y in zip(f_fake, FAKE_Y, strict=True)]
    assert float(pair.g) == pytest.approx(0.5 * np.mean(on_fake), rel=1e-5)
    right = f_real[:, :CLASSES].argmax(1) == REAL_Y.argmax(1)
    assert float(metrics["accuracy/mh"]) == pytest.approx(right[LABELLED].mean())


def test_ossgan():
    task, classifier = OSSGAN(cross_entropy_lambda=0.5, classifier="ac"), AC()
    real, fake = sides(classifier)
    pair, _ = task.loss(real, fake, REAL_Y, FAKE_Y)
    share = len(LABELLED) / len(REAL_Y)
    logits = [np.float64(side.batch.aux["ac"]) for side in (real, fake)]
    entropies = [-(softmax(x, 1) * log_softmax(x, 1)).sum(1).mean() / np.log(CLASSES) for x in logits]
    on_fake = cross_entropy(logits[1], FAKE_Y).mean()
    expected = share * on_fake - entropies[0] - share * entropies[1]
    assert float(pair.d) == pytest.approx(0.5 * expected, rel=1e-5)
    assert float(pair.g) == 0
    np.testing.assert_allclose(entropy(jnp.array([[7.0, 7, 7], [1e3, 0, 0]])), [1, 0], atol=1e-6)


@pytest.mark.parametrize("others", [(), (AC(aux_cls_type="ADC"),), (D2DCE(name="another"),)])
def test_ossgan_refuses_a_gan_without_its_classifier(others, tmp_path):
    """Before training; a GAN may be made before a method adds the classifier."""
    gan = tiny_gan(conditional=True, tasks=(OSSGAN(classifier="ac"), *others))
    message = "OSSGAN.classifier is 'ac', but no task of this name predicts the classes; set S3GAN"
    with pytest.raises(UserError, match=message):
        gan.validate()
    split = Split(np.zeros((8, *gan.spec.image_shape), np.uint8), np.zeros(8, np.int32))
    data = ImageDataset("zeros", split, split, tuple(map(str, range(gan.spec.num_classes))))
    with pytest.raises(UserError, match=message):
        train(gan, data, tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "others", [(Projection(use_predictor=True, name="ac"),), (AC(),), (D2DCE(name="ac"),)]
)
def test_ossgan_finds_its_classifier(others):
    tiny_gan(conditional=True, tasks=(OSSGAN(classifier="ac"), *others)).validate()


@pytest.mark.parametrize("task", HEADS, ids=short)
def test_images_without_label_take_no_part(task):
    """Nothing is lost or learned if nothing is labelled, and no gradient is NaN."""
    fake, nobody = sides(task)[1], jnp.zeros_like(REAL_Y)

    @jax.jit
    def gradient_and_losses(real_y, fake_y):
        def losses(real_features):
            pair = task.loss(sides(task, real_features)[0], fake, real_y, fake_y)[0]
            return pair.d, pair

        return jax.grad(losses, has_aux=True)(REAL)

    gradient, pair = gradient_and_losses(nobody, nobody)
    assert float(pair.d) == float(pair.g) == 0
    np.testing.assert_array_equal(gradient, 0)
    gradient = np.abs(gradient_and_losses(REAL_Y, FAKE_Y)[0]).sum(1)
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient[[1, 4]] == 0) and np.any(gradient[LABELLED] > 0)


METHODS = {
    "ModularGAN": lambda gan: gan,
    "SSGAN": lambda gan: ssgan(gan, rotated_batch_size=4),
    "S3GAN": lambda gan: s3gan(
        gan, rotated_batch_fraction=2, project_y=True, use_predictor=True, use_soft_pred=True
    ),
}


def losses_of(gan):
    real, fake = (Labeled(jnp.asarray(batch(seed).images[0]), None) for seed in (1, 2))
    y = jax.nn.one_hot(batch(1).labels[0], CLASSES)
    real, fake = real._replace(y=y), fake._replace(y=jnp.eye(CLASSES)[jnp.arange(len(y)) % CLASSES])
    return lambda d: both_losses(gan, d, real, fake, KEY)


@pytest.mark.parametrize("task", [*HEADS, Projection(project_y=False, use_predictor=True)], ids=short)
def test_heads_work_in_every_method(task):
    for method in METHODS.values():
        gan = method(tiny_gan(conditional=True, loss=hinge, tasks=(dataclasses.replace(task, name="own"),)))
        state = jax.eval_shape(gan.init, KEY)
        assert "own" in state.d.params["heads"]
        losses = jax.eval_shape(losses_of(gan), state.d)
        assert losses.pair.d.shape == losses.pair.g.shape == ()


def test_all_heads_together_learn_from_few_labels():
    """In S3GAN, whose predictor OSSGAN finds although it comes later."""
    tasks = (AC(aux_cls_type="TAC"), D2DCE(aux_cls_type="ADC", d_embed_dim=4), MH(), OSSGAN())
    gan = METHODS["S3GAN"](tiny_gan(conditional=True, loss=hinge, tasks=tasks))
    d, losses = gan.init(KEY).d, losses_of(gan)

    @jax.jit
    def gradient(params):
        return jax.grad(lambda params: losses(dataclasses.replace(d, params=params)).pair.d)(params)

    for path, leaf in jax.tree.leaves_with_path(gradient(d.params)["heads"]):
        assert np.all(np.isfinite(leaf)) and np.any(leaf), jax.tree_util.keystr(path)


def test_heads_are_configured_by_name():
    lines = [
        "dataset.name = 'noise'",
        "options.gan_class = @ModularGAN",
        "options.architecture = 'resnet_small_arch'",
        "options.batch_size = 4",
        "options.training_steps = 1",
        "options.z_dim = 4",
        "loss.fn = @hinge",
        "ModularGAN.conditional = True",
        "ModularGAN.tasks = (@AC(), @D2DCE(), @MH(), @OSSGAN())",
        "AC.aux_cls_type = 'TAC'",
        "D2DCE.temperature = 0.25",
        "MH.mh_lambda = 0.1",
        "OSSGAN.classifier = 'ac'",
    ]
    gan = parse([], lines).gan(ImageSpec((8, 8, 1), CLASSES))
    expected = (AC(aux_cls_type="TAC"), D2DCE(temperature=0.25), MH(0.1), OSSGAN(classifier="ac"))
    assert gan.tasks == expected


def test_what_heads_refuse():
    for task in (AC(), D2DCE(), MH(), OSSGAN(), Projection()):
        with pytest.raises(UserError, match="needs labels; set ModularGAN.conditional = True"):
            tiny_gan(tasks=(task,))
    with pytest.raises(UserError, match="MH generalises the hinge loss"):
        tiny_gan(tasks=(MH(),), conditional=True)
    for make, message in (
        (functools.partial(AC, aux_cls_type="tac"), "AC.aux_cls_type is 'tac'; use W/O, TAC or ADC"),
        (functools.partial(AC, cond_lambda=-1.0), "AC.cond_lambda is -1.0; it must not be negative"),
        (
            functools.partial(D2DCE, fake_lambda=1.0, aux_cls_type="ADC"),
            "D2DCE.fake_lambda is 1.0; it must be 0",
        ),
        (functools.partial(D2DCE, temperature=0.0), "D2DCE.temperature is 0.0"),
        (functools.partial(D2DCE, m_p=1.5), "D2DCE.m_p is 1.5"),
        (functools.partial(D2DCE, d_embed_dim=0), "D2DCE.d_embed_dim is 0"),
        (functools.partial(MH, mh_lambda=-0.1), "MH.mh_lambda is -0.1"),
        (functools.partial(OSSGAN, cross_entropy_lambda=-0.1), "OSSGAN.cross_entropy_lambda is -0.1"),
    ):
        with pytest.raises(UserError, match=message):
            make()
