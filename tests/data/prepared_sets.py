"""Data sets in the format of TensorFlow Datasets, prepared by it from synthetic images.

They have the names and features of the real ones and a few images each, stored in order. No
TensorFlow is needed, because the images are files already.
"""

import io

import numpy as np
from PIL import Image


def pixels(seed, height, width, channels=3):
    """An image, [height, width, channels] uint8, smooth enough for JPEG."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (3, 3, channels), np.uint8).squeeze())
    return np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR)).reshape(height, width, -1)


def encoded(image, kind):
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, kind)
    return file.getvalue()


def decoded(data):
    """Decodes with Pillow, [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def builder_class(tfds, called, version, features, splits, config=None, supervised=None):
    """A data set that TensorFlow Datasets knows by name; `splits` maps names to functions that make rows."""

    class Builder(tfds.core.GeneratorBasedBuilder):
        name = called
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config, version=version)] if config else []

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=supervised,
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(make) for split, make in splits.items()}

        def _generate_examples(self, make):
            yield from enumerate(make())

    return Builder


def prepare(tfds, root, name, version, features, splits, **more):
    """Writes a data set; returns its folder."""
    with tfds.core.registered.skip_registration():
        made = builder_class(
            tfds, name, version, features, {k: lambda v=v: v for k, v in splits.items()}, **more
        )
    builder = made(data_dir=str(root), file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return builder.data_dir
