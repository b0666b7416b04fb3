"""Images per second of generators, drawn as `compare-gan sample` and evaluation draw them: by seed and index.

    python -m benchmarks.sampling [MODEL ...] --count 2000 --batches 50 500 --json out.json

A batch of 500 is what the sampler takes of small images; `--batches` compares others. Where PyTorch is
installed and `contenders/torch_networks.py` has a generator of the same layers, it takes turns with ours.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from compare_gan.core.allocator import keep_freed_memory

keep_freed_memory()

import jax  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.models import gan_of  # noqa: E402
from benchmarks.timing import interleaved  # noqa: E402
from compare_gan.core import sampler as core_sampler  # noqa: E402
from compare_gan.core.pictures import to_uint8  # noqa: E402
from compare_gan.core.sampler import BATCH  # noqa: E402
from compare_gan.gans.inference import sampler_of  # noqa: E402
from compare_gan.gans.standing import prepare_for_inference  # noqa: E402

Draw = Callable[[], int]


def ours(name: str, count: int, batch: int) -> Draw:
    gan = gan_of(name)
    state = prepare_for_inference(gan, jax.jit(gan.init)(jax.random.key(0)), examples=batch)
    sampler = sampler_of(gan, state)

    def draw() -> int:
        core_sampler.BATCH = batch
        try:
            return sum(len(images) for images, _ in sampler.batches(count, seed=0))
        finally:
            core_sampler.BATCH = BATCH

    return draw


def torch(name: str, count: int, batch: int) -> Draw | None:
    """None if there is no such network in PyTorch, or no PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    from benchmarks.contenders import torch_networks

    settings = torch_networks.MODELS.get(name)
    if settings is None:
        return None
    generator = torch_networks.networks(settings)[0].eval()
    random = np.random.default_rng(0)

    @torch.inference_mode()
    def draw() -> int:
        done = 0
        for start in range(0, count, batch):
            inputs = [torch.from_numpy(random.standard_normal((batch, settings.z_dim), np.float32))]
            if settings.classes:
                classes = np.arange(start, start + batch) % settings.classes
                inputs.append(torch.from_numpy(np.eye(settings.classes, dtype=np.float32)[classes]))
            done += len(to_uint8(generator(*inputs).permute(0, 2, 3, 1).numpy()[: count - start]))
        return done

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", default=["small8", "biggan32"])
    parser.add_argument("--count", type=int, default=10_000, help="images in each turn")
    parser.add_argument("--batches", type=int, nargs="+", default=[BATCH], help="batch sizes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    report = {}
    for name in arguments.models:
        contenders: dict[str, Draw] = {}
        for batch in arguments.batches:
            contenders[f"ours, batches of {batch}"] = ours(name, arguments.count, batch)
            if other := torch(name, arguments.count, batch):
                contenders[f"PyTorch, batches of {batch}"] = other
        report[name] = {
            which: rate._asdict() for which, rate in interleaved(contenders, arguments.rounds).items()
        }
        print(f"{name}, {arguments.count} images")
        for which, rate in report[name].items():
            print(f"  {which:<30}{rate['per_second']:>10,.0f} images/s", end="")
            print(f"{rate['per_cpu_second']:>10,.0f} images per processor second", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
