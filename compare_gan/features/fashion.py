"""The classifier that scores the data set fashion, shipped with the package so that scores are comparable.

Trained by the commands below on the 50,000 training images of Fashion-MNIST that are not in the data set, so
that neither a GAN nor its reference has seen its images; the file contains its provenance.

  python -m benchmarks.fashion_subset FOLDER --rest rest.npz
  compare-gan classifier --data rest.npz --encoder halved --width 16 --steps 2500 --out fashion.npz
"""

from pathlib import Path

from compare_gan.core.registry import EXTRACTORS
from compare_gan.features.encoder import TrainedEncoder, load_encoder


@EXTRACTORS.register("fashion")
def fashion_classifier() -> TrainedEncoder:
    """Features [N, 64] and class logits [N, 10] of 28x28 grey images of clothes."""
    return load_encoder(Path(__file__).with_suffix(".npz"), "fashion")
