"""Comparison with numbers that compare_gan itself computed, see `cases/README.md`."""
