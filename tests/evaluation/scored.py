"""Scores of an untrained GAN; run as a script, it prints them."""

import dataclasses
import json

import jax

from compare_gan.evaluation.evaluate import EvalSettings, evaluate
from compare_gan.features import open_extractor
from compare_gan.nn.options import Layers, StandardizeBatch
from tests.training.tiny import CONDITIONAL, blobs

METRICS = ("frechet_distance", "inception_score", "discriminator_accuracy", "jacobian_conditioning")


def scores() -> dict[str, float]:
    layers = Layers(batch=StandardizeBatch(use_moving_averages=False))
    gan = dataclasses.replace(CONDITIONAL, layers=layers)
    state = jax.jit(gan.init)(jax.random.key(0))
    how = EvalSettings(images=60, statistics_examples=128, metrics=METRICS)
    row = evaluate(gan, state, blobs(), open_extractor("random"), how)
    return {name: value for name, value in row.items() if isinstance(value, float)}


if __name__ == "__main__":
    print(json.dumps({"devices": jax.device_count(), **scores()}))
