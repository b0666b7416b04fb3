"""Objectives of label inference. Importing this package runs the @register decorators of its modules."""

from compare_gan.core.registry import PRETRAINING, load_siblings

__all__ = ["PRETRAINING"]

load_siblings(__name__)
