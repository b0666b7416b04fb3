"""Names of compare_gan that cannot be bound here, or that are ignored."""

from typing import Any, NamedTuple

from compare_gan.gans.optimizers import OPTAX


class Ignored(NamedTuple):
    """A parameter of compare_gan that may be bound and is ignored."""

    default: Any
    why: str


_TPU = "it applies only to TPUs"
_LOCKING = {"use_locking": Ignored(False, "updates are never concurrent")}
_SEED = {"seed": Ignored(None, "run_config.tf_random_seed seeds all random numbers")}
_RATE = {"learning_rate": "ModularGAN.g_lr or ModularGAN.d_lr"}
_OPTIMIZERS = (
    "Adadelta",
    "Adagrad",
    "AdagradDA",
    "Adam",
    "Ftrl",
    "GradientDescent",
    "Momentum",
    "ProximalAdagrad",
    "ProximalGradientDescent",
    "RMSProp",
)

IGNORED: dict[str, dict[str, Ignored]] = {
    "options": {
        "discriminator_normalization": Ignored(
            None, "compare_gan ignores it too; bind D.batch_norm_fn or D.spectral_norm"
        )
    },
    "dataset": {"seed": Ignored(547, "run_config.tf_random_seed also seeds the order of the images")},
    "run_config": {"single_core": Ignored(False, _TPU), "iterations_per_loop": Ignored(1000, _TPU)},
    "cross_replica_moments": {
        "parallel": Ignored(True, "it selected between two implementations of the same sum")
    },
    "S3GAN": {"use_soft_labels": Ignored(False, "the label file determines whether labels are soft")},
    **{name: _SEED for name in ("categorical", "gamma", "normal", "poisson", "truncated_normal", "uniform")},
    **{f"{name}Optimizer": _LOCKING for name in _OPTIMIZERS},
}

# Names of compare_gan, its forks and optax that are not implemented here, by their suffix.
MISSING: dict[str, str] = {
    "optax.exponential_decay": "use tf.train.exponential_decay",
    "optax.nadam": "use optax.adam and bind optax.adam.nesterov = True",
    "optax.nadamw": "use optax.adamw and bind optax.adamw.nesterov = True",
    "optax.optimistic_adam": "optax deprecates it; use optax.optimistic_adam_v2",
    "optax.piecewise_constant_schedule": "use tf.train.piecewise_constant",
}

# A binding of forks of compare_gan -> the binding that it implies here, unless its parameter is bound.
IMPLIED: dict[str, str] = {"DiffAugment.policy": "ModularGAN.augment = @DiffAugment()"}

# Former names of parameters, in configurations of earlier versions -> their names.
RENAMED: dict[str, dict[str, str]] = {
    "cosine_decay": {"steps": "decay_steps", "end": "alpha"},
    "exponential_decay": {"steps": "decay_steps", "rate": "decay_rate"},
    "polynomial_decay": {"steps": "decay_steps"},
}

# Parameters that the library supplies -> the binding that sets them.
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
    "categorical": {"num_samples": "options.z_dim"},
    "uniform": {"minval": "z.minval", "maxval": "z.maxval"},
    "normal": {"stddev": "z.stddev"},
    "truncated_normal": {"stddev": "z.stddev"},
    **{f"{name}Optimizer": _RATE for name in _OPTIMIZERS},
    **{name: _RATE for name in (*OPTAX, "scheduled_adam", "orthogonal_regularization")},
    "piecewise_constant": {"values": "piecewise_constant.factors, multiples of the learning rate"},
    "polynomial_decay": {"end_learning_rate": "polynomial_decay.end, a fraction of the learning rate"},
}
