"""Loads a GAN that `compare-gan export` wrote. Needs jax and flatbuffers, nothing of compare_gan."""

import json
from pathlib import Path

import jax
import numpy as np
from jax import export


def read_weights(path):
    content = memoryview(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8:start]))
    header.pop("__metadata__", None)
    at = {name: slice(*(start + end for end in about["data_offsets"])) for name, about in header.items()}
    return {name: np.frombuffer(content[at[name]], "<f4").reshape(header[name]["shape"]) for name in at}


def runnable(program, weights):
    run, weights = jax.jit(export.deserialize(bytearray(program)).call), jax.device_put(weights)
    return lambda *inputs: run(weights, *inputs)


def load(folder, name):
    """The "generator", "discriminator" or "sampler" of an export, as a function of arrays."""
    program, weights = (Path(folder, name + suffix) for suffix in (".jax", ".safetensors"))
    return runnable(program.read_bytes(), read_weights(weights) if weights.exists() else {})
