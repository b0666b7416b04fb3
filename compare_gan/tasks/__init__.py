"""Auxiliary tasks. Importing this package imports its modules so that their @register decorators run."""

from compare_gan.core.registry import load_siblings

load_siblings(__name__)
