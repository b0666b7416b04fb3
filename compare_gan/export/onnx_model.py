"""The generator of a trained GAN as one ONNX file, https://onnx.ai, converted by jax2onnx.

Shape letters: B batch, H W C image, Z latent, K classes.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from compare_gan import __version__
from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError, reason
from compare_gan.core.sampler import one_hot
from compare_gan.core.types import Array, GANState
from compare_gan.export.card import title
from compare_gan.export.folder import ExportMetadata
from compare_gan.export.write import describe
from compare_gan.gans.gan import GAN
from compare_gan.gans.inference import compiled_sample, sample
from compare_gan.gans.sampling import latents
from compare_gan.gans.standing import describe_statistics, prepare_for_inference
from compare_gan.nn import kernels
from compare_gan.nn.convolution import on_cpu
from compare_gan.nn.options import Precision

NEEDED = ("jax2onnx", "onnx", "onnx_ir")
# jax2onnx 0.17.1 forbids the orbax-checkpoint that training needs, although it never imports it.
INSTALL = "`pip install --no-deps jax2onnx` and `pip install onnx-ir onnxruntime`"
OPSET = 21  # of January 2024; onnxruntime 1.20 and later read it
BATCHES = (3, 7)  # sizes of the batches that are compared
TOLERANCE = 1 / 255  # one step of an 8-bit pixel
PRODUCER = "compare_gan"


@dataclasses.dataclass(frozen=True)
class OnnxModel:
    """A generator: z [B, Z], and y [B, K] if conditional -> images [B, H, W, C] in [0, 1], all float32."""

    title: str
    content: bytes  # of the .onnx file, with the weights
    metadata: ExportMetadata
    difference: float | None  # largest one from our images, in onnxruntime; None: not compared


def check_converter() -> None:
    """Checks that jax2onnx is installed with what it needs, before any long work.

    Raises:
      UserError: it is not.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"an ONNX file needs {' and '.join(missing)}; run {INSTALL}")


def onnx_model(
    gan: GAN, state: GANState, run: Mapping[str, Any], statistics_examples: int = STATISTICS_EXAMPLES
) -> OnnxModel:
    """Converts a generator, with the weights and batch statistics that samples have, and compares images.

    Args:
      gan: the GAN with its evaluation prior.
      state: its weights.
      run: the contents of `run.json`.
      statistics_examples: number of generated images for accumulated batch statistics.

    Raises:
      UserError: jax2onnx is missing or cannot convert it, or images differ from ours.
    """
    check_converter()
    statistics = describe_statistics(gan, state, statistics_examples)
    metadata = describe(gan, state, run, statistics)
    state = prepare_for_inference(gan, state, statistics_examples)
    gan = in_float32(gan)
    content = convert(gan, state, metadata)
    return OnnxModel(title(metadata, run), content, metadata, difference(content, gan, state))


def in_float32(gan: GAN) -> GAN:
    """The GAN with convolutions in float32; onnxruntime has none in bfloat16 on a CPU or in a browser."""
    return dataclasses.replace(gan, layers=dataclasses.replace(gan.layers, precision=Precision()))


def convert(gan: GAN, state: GANState, metadata: ExportMetadata) -> bytes:
    """The file of a generator; `metadata` is in it as JSON, under the key "compare_gan".

    Raises:
      UserError: jax2onnx cannot convert it.
    """
    import jax2onnx

    inputs = [("B", gan.z_dim), ("B", gan.y_dim)] if gan.conditional else [("B", gan.z_dim)]
    # As for a platform other than a CPU, the program consists of few, common operations.
    with kernels.plain(True), on_cpu(False), _without_warnings():
        try:
            model = jax2onnx.to_onnx(
                functools.partial(sample, gan, state),
                inputs,
                model_name=f"{metadata.architecture}, {metadata.method}",
                opset=OPSET,
                input_names=["z", "y"][: len(inputs)],
                output_names=["images"],
            )
        except Exception as error:  # jax2onnx raises various types
            raise UserError(
                f"{metadata.architecture}: jax2onnx cannot convert it ({reason(error)})"
            ) from None
    model.producer_name, model.producer_version = PRODUCER, __version__
    entry = model.metadata_props.add()
    entry.key, entry.value = PRODUCER, json.dumps(dataclasses.asdict(metadata))
    return model.SerializeToString(deterministic=True)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Context manager: jax2onnx and its libraries log no warnings, such as of plugins for other libraries."""
    loggers = [logging.getLogger(name) for name in ("jax2onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def difference(content: bytes, gan: GAN, state: GANState) -> float | None:
    """The largest difference between our images and those of a file in onnxruntime; None without onnxruntime.

    Raises:
      UserError: onnxruntime cannot read the file, or the difference is more than `TOLERANCE`.
    """
    generate = in_onnxruntime(content)
    if generate is None:
        return None
    largest = 0.0
    for size in BATCHES:
        numbers = np.arange(size, dtype=np.int32)
        inputs = [np.asarray(latents(gan.prior, gan.z_dim, np.uint32(0), numbers))]
        if gan.conditional:
            inputs.append(one_hot(numbers % gan.y_dim, gan.y_dim))
        ours, theirs = compiled_sample(gan, state, *inputs), generate(*inputs)
        largest = max(largest, float(np.abs(np.asarray(ours) - theirs).max()))
    if not largest <= TOLERANCE:
        raise UserError(
            f"not written: images of the ONNX file differ from ours by up to {largest:.2g} in [0, 1]; "
            "use the export without --onnx and --page"
        )
    return largest


def in_onnxruntime(content: bytes) -> Callable[..., np.ndarray] | None:
    """A file as a function of z, and y if conditional, on the CPU; None if onnxruntime is not installed.

    Raises:
      UserError: onnxruntime cannot read the file.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime errors have no common base class
        raise UserError(
            f"not written: onnxruntime {onnxruntime.__version__} cannot read it ({reason(error)})"
        ) from None

    def generate(*inputs: Array) -> np.ndarray:
        names = [each.name for each in session.get_inputs()]
        return session.run(["images"], dict(zip(names, inputs, strict=True)))[0]

    return generate
