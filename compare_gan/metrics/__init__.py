"""Importing this package imports its modules, so that their `@metric` decorators run."""

from compare_gan.core.registry import METRICS, load_siblings

__all__ = ["METRICS"]

load_siblings(__name__)
