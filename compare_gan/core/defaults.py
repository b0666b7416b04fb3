"""Library defaults that the command line shows. They are here so that `--help` need not import JAX."""

STATISTICS_EXAMPLES = 204_800  # generated images for accumulated batch statistics, as in compare_gan
