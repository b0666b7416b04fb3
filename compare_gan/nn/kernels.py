"""Convolutions on a CPU by the optional package `compare_gan_cpu`, which is written in C++.

`compare_gan.nn.convolution` uses them where the package is installed. They have no derivatives of their own.
A result has the same bits for any number of threads, and that of an image for any batch.

Set the environment variable COMPARE_GAN_CPU to "off" to do without them, or to the instruction set to use:
"generic", "v3", "v4", "v4_bf16" or "v4_amx"; by default the best that the processor has.
"""

import functools
import importlib.util
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array
from compare_gan.nn.winograd import Padding

VARIABLE = "COMPARE_GAN_CPU"
log = logging.getLogger(__name__)

# Programs traced in `with plain(True):` consist of XLA's own operations, so that they can be stored.
plain = jax.make_user_context(False)

Map = Callable[[Array, Array], Array]


def only_in_training(train: bool) -> AbstractContextManager:
    """Inference does without kernels, so that images and scores do not depend on them, as in exports."""
    return plain(plain.value or not train)


def supports(dtype: Any) -> bool:
    """Whether a program that is traced now can convolve arrays of this type by a kernel on a CPU.

    Raises:
      UserError: COMPARE_GAN_CPU names something that is not there.
    """
    if plain.value or dtype not in (jnp.float32, jnp.bfloat16):
        return False
    package, level = _package(), level_in_use()
    return package is not None and level is not None and (dtype == jnp.float32 or level in package.BFLOAT16)


def has_tiles(dtype: Any) -> bool:
    """Whether programs here multiply arrays of this type in AMX tiles, where products are cheap."""
    if dtype != jnp.bfloat16 or jax.default_backend() != "cpu":
        return False
    return supports(dtype) and level_in_use() == "v4_amx"


@functools.cache
def level_in_use() -> str | None:
    """The instruction set of the kernels; None without kernels.

    Raises:
      UserError: COMPARE_GAN_CPU names something that is not there.
    """
    package, wanted = _package(), os.environ.get(VARIABLE, "")
    levels: tuple[str, ...] = () if package is None else package.levels()
    if wanted not in ("", "off", *levels):
        choices = ", ".join(("off", *levels))
        raise UserError(f"the environment variable {VARIABLE} is {wanted!r}; here it can be {choices}")
    if package is None or wanted == "off":
        return None
    level = wanted or levels[-1]
    try:
        package.register(level)
    except Exception as error:  # compiled for another version of XLA's interface
        log.warning(
            "compare_gan_cpu does not work with jax %s, so convolutions are slower; install it again (%s)",
            jax.__version__,
            str(error).splitlines()[0],
        )
        return None
    return level


def versions() -> dict[str, str]:
    """Version and instruction set of the kernels, for the record of a run; empty without kernels."""
    package, level = _package(), level_in_use()
    return {} if package is None or level is None else {"compare_gan_cpu": f"{package.__version__} {level}"}


@functools.cache
def _package() -> ModuleType | None:
    if importlib.util.find_spec("compare_gan_cpu") is None:
        return None
    return importlib.import_module("compare_gan_cpu")


def convolve(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    """[B, H, W, C], [kh, kw, C, O] -> [B, h, w, O]."""
    h, w = ((x.shape[1 + i] + sum(padding[i]) - kernel.shape[i]) // stride + 1 for i in range(2))
    return _map_images("convolve", (h, w, kernel.shape[3]), stride, padding)(x, kernel)


def convolve_transpose(
    y: Array, kernel: Array, size: tuple[int, int], stride: int, padding: Padding
) -> Array:
    """[B, h, w, O], [kh, kw, C, O] -> [B, H, W, C], where `size` is (H, W)."""
    return _map_images("convolve_transpose", (*size, kernel.shape[2]), stride, padding)(y, kernel)


def kernel_gradient(x: Array, dy: Array, size: tuple[int, int], stride: int, padding: Padding) -> Array:
    """[B, H, W, C], [B, h, w, O] -> [kh, kw, C, O], where `size` is (kh, kw)."""
    return _sum_images(size, stride, padding)(x, dy)


def _call(name: str, shape: tuple[int, ...], stride: int, padding: Padding) -> Map:
    package, level = _package(), level_in_use()
    assert package is not None and level is not None

    def call(a: Array, b: Array) -> Array:
        out = jax.ShapeDtypeStruct(shape, a.dtype)
        attributes = {"stride": stride, "top": padding[0][0], "left": padding[1][0]}
        target = package.register(level)[name]
        return jax.ffi.ffi_call(target, out)(a, b, **{key: np.int64(v) for key, v in attributes.items()})

    return call


@functools.cache
def _map_images(name: str, shape: tuple[int, ...], stride: int, padding: Padding) -> Map:
    """A map of images and a kernel to images; devices with a part of the images compute that part."""

    @custom_partitioning
    def divided(images: Array, kernel: Array) -> Array:
        return _call(name, (images.shape[0], *shape), stride, padding)(images, kernel)

    def partition(mesh: Any, args: Any, result: Any) -> Any:
        images = _batch_only(mesh, args[0].sharding)
        return mesh, divided.fun, images, (images, NamedSharding(mesh, PartitionSpec()))

    divided.def_partition(
        partition,
        sharding_rule="b h w c, i j k o -> b y x p",
        need_replication_factors=tuple("hwcijkoyxp"),
    )

    @custom_vmap
    def mapped(images: Array, kernel: Array) -> Array:
        return divided(images, kernel)

    @mapped.def_vmap
    def batched(size: int, axes: list[bool], images: Array, kernel: Array) -> tuple[Array, bool]:
        if axes[1]:
            images = images if axes[0] else jnp.broadcast_to(images, (size, *images.shape))
            return lax.map(lambda pair: mapped(*pair), (images, kernel)), True
        merged = mapped(images.reshape(-1, *images.shape[2:]), kernel)
        return merged.reshape(*images.shape[:2], *shape), True

    return mapped


@functools.cache
def _sum_images(size: tuple[int, int], stride: int, padding: Padding) -> Map:
    """The kernel gradient; devices with a part of the images add up what they compute."""

    @custom_partitioning
    def divided(x: Array, dy: Array) -> Array:
        shape = (*size, x.shape[-1], dy.shape[-1])
        return _call("kernel_gradient", shape, stride, padding)(x, dy)

    def partition(mesh: Any, args: Any, result: Any) -> Any:
        images = _batch_only(mesh, args[0].sharding)

        def add_up(x: Array, dy: Array) -> Array:
            part = divided.fun(x, dy)
            return part if images.spec[0] is None else lax.psum(part, images.spec[0])

        return mesh, add_up, NamedSharding(mesh, PartitionSpec()), (images, images)

    divided.def_partition(
        partition,
        sharding_rule="b h w c, b y x o -> i j k p",
        reduction_factors=("b",),
        need_replication_factors=tuple("hwcyxoijkp"),
    )

    @custom_vmap
    def mapped(x: Array, dy: Array) -> Array:
        return divided(x, dy)

    @mapped.def_vmap
    def batched(size: int, axes: list[bool], x: Array, dy: Array) -> tuple[Array, bool]:
        both = (
            a if present else jnp.broadcast_to(a, (size, *a.shape))
            for a, present in zip((x, dy), axes, strict=True)
        )
        return lax.map(lambda pair: mapped(*pair), tuple(both)), True

    return mapped


def _batch_only(mesh: Any, sharding: Any) -> NamedSharding:
    """The first axis as it is, all others in full."""
    spec = sharding.spec if isinstance(sharding, NamedSharding) else ()
    return NamedSharding(mesh, PartitionSpec(spec[0] if spec else None, None, None, None))
