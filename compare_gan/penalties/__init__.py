"""Every module of this folder is loaded, and so registers itself."""

from compare_gan.core.registry import load_siblings

load_siblings(__name__)
