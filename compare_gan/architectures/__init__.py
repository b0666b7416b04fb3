"""Architectures. Importing this package imports its modules so that they register themselves."""

from compare_gan.core.registry import load_siblings

load_siblings(__name__)
