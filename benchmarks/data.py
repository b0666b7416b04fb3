"""Images per second from each kind of source, compared with the consumption of training steps.

    python -m benchmarks.data --json out.json

All sources hold synthetic images in a temporary folder. Each is read through the complete input pipeline
into a compiled step that only sums the images. PyTorch's DataLoader reads the same folder with Pillow, if
torch is installed. `per core` counts images per second of processor time.
"""

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from compare_gan.core.allocator import keep_freed_memory

keep_freed_memory()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks.timing import interleaved  # noqa: E402
from compare_gan.config.parse import parse  # noqa: E402
from compare_gan.config.recipes import recipe  # noqa: E402
from compare_gan.core.placement import Placement  # noqa: E402
from compare_gan.core.types import ImageSpec  # noqa: E402
from compare_gan.data import LoadOptions, Split, open_dataset  # noqa: E402
from compare_gan.data.order import Order  # noqa: E402
from compare_gan.training.feed import Feed, HostFeed, open_feed  # noqa: E402
from compare_gan.training.gan import job_of  # noqa: E402
from compare_gan.training.loop import Job, compile_step  # noqa: E402

BATCH = 64
RESNET_CIFAR10 = [  # the settings of compare_gan's resnet_cifar10.gin
    "dataset.name = 'cifar10'",
    "options.architecture = 'resnet_cifar_arch'",
    "options.batch_size = 64",
    "options.gan_class = @ModularGAN",
    "options.training_steps = 40000",
    "options.disc_iters = 5",
    "options.z_dim = 128",
    "D.spectral_norm = True",
    "G.batch_norm_fn = @batch_norm",
]


def picture(rng: np.random.Generator, side: int) -> Image.Image:
    """Coloured clouds with some grain: compresses about as a photograph does."""
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((side, side))
    noise = rng.normal(0, 8, (side, side, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "jpeg", quality=90)
    return file.getvalue()


def write_sources(folder: Path, count: int) -> None:
    """A parquet file of small JPEGs, a folder of large ones, and the small ones as TFDS keeps them."""
    rng = np.random.default_rng(0)
    small = [picture(rng, 32) for _ in range(count)]
    labels = np.arange(count) % 2
    pq.write_table(pa.table({"image": [jpeg(each) for each in small], "label": labels}), folder / "x.parquet")
    for i in range(count):
        (folder / "large" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        (folder / "large" / str(i % 2) / f"{i}.jpg").write_bytes(jpeg(picture(rng, 256)))
    with contextlib.suppress(ImportError):
        write_tfds(folder / "tfds", small, labels)


def write_tfds(folder: Path, images: list[Image.Image], labels: np.ndarray) -> None:
    import tensorflow_datasets as tfds

    class Clouds(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=2),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            del dl_manager
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield i, {"image": io.BytesIO(jpeg(image)), "label": int(label)}

    Clouds(data_dir=str(folder), file_format="array_record").download_and_prepare()


def reading(feed: Feed, steps: int) -> Callable[[], int]:
    """Reads the batches of some steps; a step adds up the pixels."""

    def step(state: Any, batch: Any, rng: Any, shard: Any) -> tuple[Any, dict[str, Any]]:
        del rng, shard
        total = jnp.sum(batch.images.astype(jnp.float32))
        return state._replace(step=state.step + 1), {"sum": total}

    add_up = compile_step(Job("read", lambda key: None, step, BATCH), feed.placement, feed.select)
    state = Counter(jnp.int32(0))
    key = jax.random.key_data(jax.random.key(0))

    def call() -> int:
        nonlocal state
        start = int(state.step)
        for i in range(start, start + steps):
            state, _ = add_up(state, feed.data, feed.batch(i), key)
        jax.block_until_ready(state)
        return steps * BATCH

    return call


class Counter(NamedTuple):
    """The state of a job that does nothing."""

    step: Any


def feed_of(split: Split, kind: type | None = None) -> Feed:
    placement = Placement.create()
    if kind is not None:
        return kind(split, Order(len(split), BATCH, 0), 1, placement)
    job = Job("read", lambda key: None, lambda *args: (None, {}), BATCH)
    return open_feed(split, job, steps=10**6, seed=0, placement=placement)


class Folder:
    """The large images for PyTorch's DataLoader, with the crop and resize that ours has."""

    def __init__(self, folder: Path):
        self.files = sorted(folder.glob("*/*.jpg"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        with Image.open(self.files[i]) as image:
            small = image.convert("RGB").resize((128, 128), Image.Resampling.LANCZOS)
            return np.array(small), int(self.files[i].parent.name)


def torch_loader(folder: Path, length: int, workers: int) -> Callable[[], int] | None:
    """Batches of PyTorch's DataLoader; None where torch is not installed."""
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        return None

    def endless() -> Iterator[Any]:
        context = "spawn" if workers else None  # a fork of a process with JAX in it may hang
        loader = DataLoader(
            Folder(folder),  # type: ignore[arg-type]
            BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            multiprocessing_context=context,
            persistent_workers=bool(workers),
        )
        while True:
            yield from loader

    batches = endless()

    def call() -> int:
        for _ in range(length):
            next(batches)[0].float().sum()
        return length * BATCH

    return call


def training(recipes: list[str], bindings: list[str], spec: ImageSpec) -> Callable[[], int]:
    """Steps of a GAN on noise; a call returns how many images they took."""
    parsed = parse([recipe(name) for name in recipes], bindings)
    gan = parsed.gan(spec)
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (512, *spec.image_shape), np.uint8), np.zeros(512, np.int32))
    placement = Placement.create()
    job = job_of(gan, False)
    feed = open_feed(split, job, steps=10**6, seed=0, placement=placement)
    train_step = compile_step(job, placement, feed.select)
    state = jax.jit(gan.init, out_shardings=placement.replicated)(jax.random.key(0))
    key = jax.random.key_data(jax.random.key(1))
    steps = 20 if spec.image_shape[0] <= 8 else 1

    def call() -> int:
        nonlocal state
        for i in range(steps):
            state, metrics = train_step(state, feed.data, feed.batch(i), key)
        jax.block_until_ready(metrics)
        return steps * gan.sub_batches * gan.batch_size

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="images of each source")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sources(folder, arguments.images)
        pixels = np.random.default_rng(0).integers(0, 256, (50_000, 32, 32, 3), np.uint8)
        memory = Split(pixels, np.zeros(len(pixels), np.int32))
        streamed = {
            "parquet, JPEG 32": (str(folder / "x.parquet"), LoadOptions(memory=0)),
            "folder, JPEG 256 to 128": (str(folder / "large"), LoadOptions(128, memory=0)),
        }
        if (folder / "tfds").exists():
            how = LoadOptions(memory=0, data_dir=str(folder / "tfds"))
            streamed["TFDS array_record, JPEG 32"] = ("tfds:clouds", how)
        contenders: dict[str, Callable[[], int]] = {
            "on the device, 32": reading(feed_of(memory), 50),
            "in memory, 32": reading(feed_of(memory, HostFeed), 50),
        }
        for title, (source, how) in streamed.items():
            contenders[title] = reading(feed_of(open_dataset(source, reading=how).train), 10)
        for workers in (0, 2):
            call = torch_loader(folder / "large", 10, workers)
            if call is not None:
                contenders[f"PyTorch DataLoader, JPEG 256 to 128, {workers} workers"] = call
        consumers = {
            "demo (S3GAN, 8x8)": training(["small", "s3gan"], [], ImageSpec((8, 8, 1), 10)),
            "resnet_cifar10": training([], RESNET_CIFAR10, ImageSpec((32, 32, 3), 10)),
        }
        contenders |= {f"step of {title}": call for title, call in consumers.items()}
        rates = interleaved(contenders, arguments.rounds)
    print(f"{'images a second':<50} {'wall':>10} {'per core':>10}")
    for title, rate in rates.items():
        print(f"{title:<50} {rate.per_second:>10,.0f} {rate.per_cpu_second:>10,.0f}")
    needed = {title: rates[f"step of {title}"].per_second for title in consumers}
    ratios = {
        f"{source} / {title}": rates[source].per_second / need
        for title, need in needed.items()
        for source in rates
        if not source.startswith("step of")
    }
    print("\nread by this source / consumed by this step")
    for title, ratio in ratios.items():
        print(f"{title:<75} {ratio:>8.1f}")
    if arguments.json:
        figures = {"rates": {name: rate._asdict() for name, rate in rates.items()}, "ratios": ratios}
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
