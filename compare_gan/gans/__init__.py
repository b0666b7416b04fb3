"""GANs and the training step. Importing this package runs the @register decorators of its modules."""

from compare_gan.core.registry import load_siblings

load_siblings(__name__)
