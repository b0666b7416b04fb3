"""Images per second of the feature extractors of photographs, with random weights.

    python -m benchmarks.extractors --images 64 dinov2_vitb14 resnet50_swav

The time includes resizing but not compiling. Hours for 10,000 images are an extrapolation.
"""

import argparse
import time
from collections.abc import Mapping

import numpy as np
from flax import nnx

from compare_gan.features import RECIPES, Extractor
from compare_gan.features.inception import inception_of
from compare_gan.features.inception_network import Network
from compare_gan.features.pretrained import Pretrained


def random_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Positive for the variances of batch norms."""
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}


def extractor_of(name: str) -> Extractor:
    """The extractor with random weights."""
    if name == "inception":
        return inception_of(random_weights(nnx.eval_shape(Network).shapes()), name)
    (recipe,) = (recipe for recipe in RECIPES if recipe.name == name)
    architecture, preprocessing = recipe.architecture, recipe.preprocessing
    params = architecture.params(random_weights(architecture.shapes()))
    return Pretrained(name, architecture, params, preprocessing, "", recipe.batch)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=["inception", *(recipe.name for recipe in RECIPES)])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--side", type=int, default=64, help="of the images, before they are resized")
    parser.add_argument("--batch_size", type=int, help="default: that of the extractor")
    args = parser.parse_args()
    shape = (args.images, args.side, args.side, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for name in args.names:
        extractor = extractor_of(name)
        extractor(images[:1], args.batch_size)
        start, cpu = time.perf_counter(), time.process_time()
        extractor(images, args.batch_size)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(
            f"{name}: {args.images / wall:.2f} images per second of wall time, {args.images / cpu:.2f} of "
            f"processor time; 10,000 images: {10_000 * wall / args.images / 3600:.2f} hours",
            flush=True,
        )


if __name__ == "__main__":
    main()
