"""The configurations of the compare_gan fork of Zhao et al., https://arxiv.org/abs/2006.10738.

They are in mit-han-lab/data-efficient-gans, folder DiffAugment-biggan-imagenet/DiffAugment_configs.
"""

import pytest

from compare_gan.augmentations.diffaugment import DiffAugment
from compare_gan.config.explain import explain
from compare_gan.config.parse import parse
from compare_gan.data.facts import DATASET_INFO
from compare_gan.data.prepared import parse_request

FILES = {  # name -> (data set, policy, steps, learning rate of the discriminator)
    "biggan-imagenet128": ("imagenet_128", None, 250000, 0.0005),
    "biggan-imagenet128-0.5": ("imagenet_128_0.5", None, 150000, 0.0005),
    "biggan-imagenet128-0.25": ("imagenet_128_0.25", None, 60000, 0.0005),
    "DiffAugment-biggan-imagenet128": ("imagenet_128", "translation", 250000, 0.0004),
    "DiffAugment-biggan-imagenet128-0.5": ("imagenet_128_0.5", "translation", 150000, 0.0002),
    "DiffAugment-biggan-imagenet128-0.25": ("imagenet_128_0.25", "translation", 60000, 0.0002),
}
COMMON = """
train_imagenet_transform.crop_method = "zoomed"
options.z_dim = 120
options.architecture = "resnet_biggan_arch"
ModularGAN.conditional = True
options.batch_size = 2048
options.gan_class = @ModularGAN
options.lamba = 1
weights.initializer = "orthogonal"
spectral_norm.singular_value = "auto"
G.batch_norm_fn = @conditional_batch_norm
G.spectral_norm = True
ModularGAN.g_use_ema = True
resnet_biggan.Generator.hierarchical_z = True
resnet_biggan.Generator.embed_y = True
standardize_batch.decay = 0.9
standardize_batch.epsilon = 1e-5
standardize_batch.use_moving_averages = False
options.disc_iters = 2
D.spectral_norm = True
resnet_biggan.Discriminator.project_y = True
loss.fn = @hinge
penalty.fn = @no_penalty
ModularGAN.g_lr = 0.0001
ModularGAN.g_optimizer_fn = @tf.train.AdamOptimizer
ModularGAN.d_optimizer_fn = @tf.train.AdamOptimizer
tf.train.AdamOptimizer.beta1 = 0.0
tf.train.AdamOptimizer.beta2 = 0.999
z.distribution_fn = @tf.random.normal
eval_z.distribution_fn = @tf.random.normal
run_config.iterations_per_loop = 500
run_config.save_checkpoints_steps = 2500
"""


@pytest.fixture(params=FILES)
def file(request, tmp_path):
    data, policy, steps, rate = FILES[request.param]
    path = tmp_path / f"{request.param}.gin"
    augmentation = "" if policy is None else f'DiffAugment.policy = "{policy}"\n'
    path.write_text(
        f'{augmentation}dataset.name = "{data}"\noptions.training_steps = {steps}\n'
        f"ModularGAN.d_lr = {rate}\n{COMMON}"
    )
    return path


def test_they_are_read_as_they_are(file):
    data, policy, steps, rate = FILES[file.stem]
    parsed = parse([file])
    gan = parsed.base(spec=DATASET_INFO[data].spec)
    assert (parsed.dataset.name, parsed.options.training_steps, gan.d_lr) == (data, steps, rate)
    assert gan.augment == (None if policy is None else DiffAugment(policy))
    assert parsed.train_transform.crop_method == "zoomed" and parsed.eval_transform.crop_method == "middle"


@pytest.mark.slow  # counts the operations of BigGAN-128
def test_they_can_be_trained(file):
    """Two of their settings have no effect in compare_gan either, or only on TPUs."""
    explanation = explain([file])
    assert not explanation.errors and explanation.gan is not None
    assert {warning.partition(" (")[0] for warning in explanation.warnings} == {
        "standardize_batch.decay = 0.9",
        "run_config.iterations_per_loop = 500",
    }


def test_parts_of_imagenet_are_half_and_a_quarter_of_it():
    whole = 1_281_167
    for name, part in (("imagenet_128_0.5", 2), ("imagenet_128_0.25", 4)):
        assert parse_request(name).train_split == f"train[:{whole // part}]"
        assert DATASET_INFO[name].eval_images == DATASET_INFO["imagenet_128"].eval_images
