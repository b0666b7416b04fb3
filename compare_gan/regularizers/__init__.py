"""Regularizers of the discriminator with a state. Importing this package runs the @register decorators."""

from compare_gan.core.registry import REGULARIZERS, load_siblings

__all__ = ["REGULARIZERS"]

load_siblings(__name__)
