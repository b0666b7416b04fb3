"""Records the operations of DiffAugment for given random numbers.

From mit-han-lab/data-efficient-gans at 0b63395 (BSD 2-clause), `DiffAugment_pytorch.py`.
"""

import importlib
from unittest import mock

import numpy as np
import torch

from tests.authors.recording import checkout, save

CALLS = {  # operation -> the function that it draws with, and what it draws for each of four images
    "rand_brightness": ("rand", [[0.1, 0.9, 0.5, 0.33]]),
    "rand_saturation": ("rand", [[0.8, 0.0, 0.5, 0.21]]),
    "rand_contrast": ("rand", [[0.3, 0.7, 1.0, 0.0]]),
    "rand_translation": ("randint", [[-1, 1, 0, 1], [2, -1, -2, 0]]),
    "rand_cutout": ("randint", [[0, 8, 4, 9], [0, 12, 5, 7]]),
}


def main() -> None:
    checkout()
    module = importlib.import_module("DiffAugment_pytorch")
    images = np.random.default_rng(0).uniform(-1, 1, (4, 9, 12, 3)).astype(np.float32)
    arrays = {"images": images}
    x = torch.as_tensor(images).permute(0, 3, 1, 2)
    for name, (source, drawn) in CALLS.items():
        numbers = iter(drawn)

        def given(*size, numbers=numbers, **options):
            shape = options.get("size", size)
            return torch.as_tensor(next(numbers)).reshape([4] + [1] * (len(shape) - 1))

        if source == "randint":
            given = (lambda f: lambda low, high, size, **_: f(size=size))(given)
        with mock.patch.object(torch, source, given):
            arrays[name] = getattr(module, name)(x).permute(0, 2, 3, 1).numpy()
        arrays[f"{name} drawn"] = np.array(drawn)
    save("data_efficient_gans", arrays)


if __name__ == "__main__":
    main()
