"""Names that a configuration may not bind, or that mean nothing here."""

from typing import Any, NamedTuple

from compare_gan.gans.optimizers import OPTAX


class Ignored(NamedTuple):
    """A parameter of compare_gan that may be bound and changes nothing here."""

    default: Any
    why: str


_TPU = "it speaks of TPUs"
_LOCKING = {"use_locking": Ignored(False, "an update is never interrupted")}
_SEED = {"seed": Ignored(None, "run_config.tf_random_seed is the seed of all that is drawn")}
_RATE = {"learning_rate": "ModularGAN.g_lr or ModularGAN.d_lr"}
_OPTIMIZERS = ("Adam", "GradientDescent", "Momentum", "RMSProp", "Adagrad", "Adadelta")

IGNORED: dict[str, dict[str, Ignored]] = {
    "options": {
        "discriminator_normalization": Ignored(
            None, "compare_gan ignores it too; bind D.batch_norm_fn or D.spectral_norm"
        )
    },
    "dataset": {"seed": Ignored(547, "run_config.tf_random_seed decides over the order of the images too")},
    "run_config": {"single_core": Ignored(False, _TPU), "iterations_per_loop": Ignored(1000, _TPU)},
    "cross_replica_moments": {"parallel": Ignored(True, "it chose between two ways to the same sum")},
    "S3GAN": {"use_soft_labels": Ignored(False, "the label file says whether labels are soft")},
    "uniform": _SEED,
    "normal": _SEED,
    "truncated_normal": _SEED,
    **{f"{name}Optimizer": _LOCKING for name in _OPTIMIZERS},
}

# What configurations of compare_gan and its forks may name and is not here, by the end of the name.
_CONSTANT = (
    "compare_gan's rates are constant; to change them bind ModularGAN.lr_schedule, as to @cosine_decay"
)
MISSING: dict[str, str] = {
    "DiffAugment": "differentiable augmentation is not there yet",
    **{
        f"train.{name}": _CONSTANT
        for name in (
            "cosine_decay",
            "cosine_decay_restarts",
            "exponential_decay",
            "inverse_time_decay",
            "linear_cosine_decay",
            "natural_exp_decay",
            "noisy_linear_cosine_decay",
            "piecewise_constant",
            "polynomial_decay",
        )
    },
}

# Parameters that somebody else supplies, and the binding that decides over them.
BOUND_ELSEWHERE: dict[str, dict[str, str]] = {
    "ModularGAN": {
        "spec": "dataset.name",
        "make_generator": "options.architecture",
        "make_discriminator": "options.architecture",
        "loss": "loss.fn",
        "penalty": "penalty.fn",
        "penalty_weight": "options.lamba",
        "prior": "z.distribution_fn",
        "z_dim": "options.z_dim",
        "batch_size": "options.batch_size",
        "disc_iters": "options.disc_iters",
        "layers": "weights, standardize_batch, spectral_norm or cross_replica_moments",
        "g_options": "G.batch_norm_fn or G.spectral_norm",
        "d_options": "D.batch_norm_fn, D.layer_norm or D.spectral_norm",
    },
    "uniform": {"minval": "z.minval", "maxval": "z.maxval"},
    "normal": {"stddev": "z.stddev"},
    "truncated_normal": {"stddev": "z.stddev"},
    **{f"{name}Optimizer": _RATE for name in _OPTIMIZERS},
    **{name: _RATE for name in OPTAX},
}
