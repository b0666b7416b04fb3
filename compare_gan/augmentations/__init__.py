"""Augmentation of what the discriminator sees. Importing this package runs the @register decorators."""

from compare_gan.core.registry import AUGMENTATIONS, load_siblings

__all__ = ["AUGMENTATIONS"]

load_siblings(__name__)
