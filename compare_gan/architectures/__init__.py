"""Architectures. Importing this package imports its modules so that they register themselves."""

from compare_gan.core.registry import ARCHITECTURES, load_siblings

__all__ = ["ARCHITECTURES"]

load_siblings(__name__)
