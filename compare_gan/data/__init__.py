"""Image data sets. Importing this package imports its modules so that their @register decorators run."""

from compare_gan.core.registry import DATASETS, load_siblings
from compare_gan.data.base import UNLABELLED, ImageDataset, Origin, Split
from compare_gan.data.loading import LoadOptions
from compare_gan.data.source import open_dataset

__all__ = ["DATASETS", "UNLABELLED", "ImageDataset", "LoadOptions", "Origin", "Split", "open_dataset"]

load_siblings(__name__)
