"""Train, evaluate and compare GANs in JAX, above all when labels are scarce."""

__version__ = "0.1.0"
