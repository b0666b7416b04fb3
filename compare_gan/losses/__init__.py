"""GAN losses. Importing this package imports its modules so that their @register decorators run."""

from compare_gan.core.registry import LOSSES, load_siblings

__all__ = ["LOSSES"]

load_siblings(__name__)
