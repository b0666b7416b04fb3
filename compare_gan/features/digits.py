"""The classifier that scores the digits data set, shipped with the package so that scores are comparable.

Trained on all training labels by the command below; the file contains its provenance.

  compare-gan classifier --data digits --width 16 --steps 800 --out digits.npz
"""

from pathlib import Path

from compare_gan.core.registry import EXTRACTORS
from compare_gan.features.encoder import TrainedEncoder, load_encoder


@EXTRACTORS.register("digits")
def digits_classifier() -> TrainedEncoder:
    """Features [N, 64] and class logits [N, 10] of 8x8 grey images."""
    return load_encoder(Path(__file__).with_suffix(".npz"), "digits")
