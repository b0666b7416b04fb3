"""Discriminator penalties. Importing this package runs the @register decorators of its modules."""

from compare_gan.core.registry import PENALTIES, load_siblings

__all__ = ["PENALTIES"]

load_siblings(__name__)
