"""Auxiliary tasks. Importing this package imports its modules so that their @register decorators run."""

from compare_gan.core.registry import TASKS, load_siblings

__all__ = ["TASKS"]

load_siblings(__name__)
