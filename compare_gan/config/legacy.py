"""Names that a configuration may not bind, or that mean nothing here."""

from typing import Any

# Parameters of compare_gan with no effect here, by configurable, with their defaults.
IGNORED: dict[str, dict[str, Any]] = {
    "options": {"discriminator_normalization": None},
    "ModularGAN": {"deprecated_split_disc_calls": False, "experimental_joint_gen_for_disc": False},
    "S3GAN": {"use_soft_labels": False},  # the label file says whether labels are soft
    "AdamOptimizer": {"use_locking": False},
}

# Parameters that somebody else supplies, and the binding that decides over them.
ELSEWHERE: dict[str, dict[str, str]] = {
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
        "layers": "weights, standardize_batch or spectral_norm",
        "g_options": "G.batch_norm_fn or G.spectral_norm",
        "d_options": "D.batch_norm_fn, D.layer_norm or D.spectral_norm",
    },
    "AdamOptimizer": {"learning_rate": "ModularGAN.g_lr or ModularGAN.d_lr"},
    "uniform": {"minval": "z.minval", "maxval": "z.maxval"},
    "normal": {"stddev": "z.stddev"},
}
