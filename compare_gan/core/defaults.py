"""Library defaults that the command line shows. They are here so that `--help` need not import JAX."""

DEFAULT_METRICS = ("frechet_distance", "class_agreement")
IMAGE_METRICS = ("frechet_distance",)  # where images are scored without a GAN
EVAL_RUNS, EVAL_SEED = 3, 42  # number of generated sets, as in compare_gan, and seed of the first
MIN_EVAL_IMAGES = 5000  # per generated set
STATISTICS_EXAMPLES = 204_800  # generated images for accumulated batch statistics, as in compare_gan
