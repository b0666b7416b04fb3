"""A data set that TensorFlow Datasets can prepare without a download. Nothing if it is not installed."""

import importlib.util
import io

NAME = "compare_gan_kill"
INSTALLED = importlib.util.find_spec("tensorflow_datasets") is not None


def rows():
    from tests.data.prepared_sets import encoded, pixels

    for i in range(200):
        yield {"image": io.BytesIO(encoded(pixels(i, 8, 8), "png")), "label": i % 2}


def register() -> None:
    """Makes the data set known by its name."""
    import tensorflow_datasets as tfds

    from tests.data.prepared_sets import builder_class

    features = {
        "image": tfds.features.Image(shape=(8, 8, 3)),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
    }
    builder_class(tfds, NAME, "1.0.0", features, {"train": rows, "test": rows})
