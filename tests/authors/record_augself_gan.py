"""Records AugSelf: what DiffAugment draws and does, and the losses of both players with their gradients.

From liang-hou/augself-gan at bb0760e (MIT), `augself-biggan/DiffAugment_pytorch.py` and `train_fns.py`: its
training function runs with networks that return given predictions.
"""

import importlib
import sys
import types
from unittest import mock

import numpy as np
import torch

from tests.authors.record_ssgan_la import Nothing
from tests.authors.recording import checkout, save

SIZES = {"color": 3, "translation": 2, "cutout": 2}
POLICY = ",".join(SIZES)
BATCH, SIDE = 4, 16
INTEGERS = [[-2, 2, 0, 1], [1, -1, 2, 0], [0, 16, 7, 9], [3, 15, 16, 8]]  # of translation and cutout


def augmented(module, images: np.ndarray, colors: np.ndarray) -> dict[str, np.ndarray]:
    """The augmented images, and the parameters that DiffAugment returns."""
    uniform, integers = iter(colors), iter(INTEGERS)
    with (
        mock.patch.object(
            torch, "rand", lambda *_, **__: torch.as_tensor(next(uniform)).reshape(-1, 1, 1, 1)
        ),
        mock.patch.object(
            torch, "randint", lambda *_, **__: torch.as_tensor(next(integers)).reshape(-1, 1, 1)
        ),
    ):
        x, parameters = module.DiffAugment(torch.as_tensor(images).permute(0, 3, 1, 2), POLICY)
    return {"augmented": x.permute(0, 2, 3, 1).numpy()} | {k: v.numpy() for k, v in parameters.items()}


def losses(train_fns, predictions: np.ndarray, parameters: np.ndarray) -> dict[str, np.ndarray]:
    """One step on predictions [3, B, 7]: for fake and real images, and for those of the generator's update.

    The adversarial logits are such that their hinge losses are 0.
    """
    given = [torch.tensor(x, requires_grad=True) for x in predictions]
    found = []

    def split(x):
        return dict(zip(SIZES, torch.split(x, list(SIZES.values()), 1), strict=True))

    def networks(*_, train_G, **__):
        ones, zero = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
        if train_G:
            return zero, split(given[2]), split(torch.tensor(parameters[0]))
        both = torch.cat([given[0], given[1]]), torch.tensor(np.concatenate(parameters))
        return (-ones, ones), *map(split, both)

    config = dict(
        batch_size=BATCH, toggle_grads=False, num_D_steps=1, num_D_accumulations=1, CR=0, CR_augment=""
    )
    config |= dict(DiffAugment=POLICY, augself=POLICY, D_augself=0.7, G_augself=0.3, D_ortho=0.0, G_ortho=0.0)
    config |= dict(num_G_accumulations=1, ema=False, fix_G=False)
    nothing, images = Nothing(), torch.zeros(BATCH, 1)
    backward = torch.Tensor.backward
    noted = lambda loss: (found.append(loss.item()), backward(loss))  # noqa: E731
    train = train_fns.GAN_training_function(nothing, nothing, networks, nothing, nothing, nothing, {}, config)
    with mock.patch.object(torch.Tensor, "backward", noted):
        train(images, images)
    gradients = [x.grad.numpy() for x in given]
    return {"losses": np.array(found)} | dict(zip(("fake", "real", "generated"), gradients, strict=True))


def main() -> None:
    sys.path.insert(0, str(checkout() / "augself-biggan"))
    for name in ("torchvision", "utils", "tqdm"):  # need packages that the losses do not use
        sys.modules[name] = types.ModuleType(name)
    sys.modules["tqdm"].tqdm = None
    module, train_fns = importlib.import_module("DiffAugment_pytorch"), importlib.import_module("train_fns")
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (BATCH, SIDE, SIDE, 3)).astype(np.float32)
    colors = rng.uniform(size=(3, BATCH)).astype(np.float32)
    predictions = rng.normal(size=(3, BATCH, 7)).astype(np.float32)
    parameters = rng.uniform(size=(2, BATCH, 7)).astype(np.float32)
    arrays = {"images": images, "colors": colors, "integers": np.array(INTEGERS)}
    arrays |= {"predictions": predictions, "parameters": parameters}
    save(
        "augself_gan", arrays | augmented(module, images, colors) | losses(train_fns, predictions, parameters)
    )


if __name__ == "__main__":
    main()
