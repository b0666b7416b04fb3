"""Defaults of the library that the command line shows, here so that it need not load JAX for that."""

STATISTICS_EXAMPLES = 204_800  # images that compare_gan takes accumulated batch statistics from
