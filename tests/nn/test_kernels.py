"""The optional kernels for a CPU against XLA's own convolutions."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare_gan.core.errors import UserError
from compare_gan.nn import kernels
from compare_gan.nn.convolution import convolve, same_padding
from tests.helpers.tiers import slow_unless

needed = pytest.mark.skipif(
    kernels.level_in_use() is None, reason="compare_gan_cpu is not installed, or switched off"
)
SIZES = [  # height, width, kernel height and width, stride
    (6, 7, 3, 3, 1),
    (5, 8, 4, 5, 1),
    (8, 5, 1, 1, 2),
    (8, 8, 4, 4, 2),
    (2, 3, 3, 5, 2),
    (1, 1, 3, 3, 2),
    (5, 40, 3, 3, 1),
    (33, 17, 5, 5, 3),
    (8, 8, 1, 1, 1),
    (33, 30, 3, 3, 1),
    (21, 34, 4, 4, 2),
    (21, 34, 5, 5, 2),
    (4, 3, 5, 5, 2),
    (2, 2, 3, 3, 1),
]
FAST = {
    (6, 7, 3, 3, 1),
    (8, 8, 4, 4, 2),
    (4, 3, 5, 5, 2),
    (8, 8, 1, 1, 1),
    (5, 8, 4, 5, 1),
}  # a size of each kind
CHANNELS = [(1, 1), (3, 4), (16, 16), (3, 70), (70, 3), (20, 33), (48, 64)]
BFLOAT16 = pytest.param(
    jnp.bfloat16, marks=pytest.mark.skipif(not kernels.supports(jnp.bfloat16), reason="no bfloat16 here")
)


def numbers(*shape: int, dtype=jnp.float32, seed: int = 0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def in_turn(x, kernel, dy, stride, padding):
    """The three maps."""
    return (
        kernels.convolve(x, kernel, stride, padding),
        kernels.convolve_transpose(dy, kernel, x.shape[1:3], stride, padding),
        kernels.kernel_gradient(x, dy, kernel.shape[:2], stride, padding),
    )


@needed
@pytest.mark.parametrize("dtype", [jnp.float32, BFLOAT16])
@pytest.mark.parametrize("h, w, kh, kw, stride", slow_unless(lambda *size: size in FAST, SIZES))
def test_the_maps_of_xla(h, w, kh, kw, stride, dtype):
    """In float64, of the same numbers. A sum of bfloat16 products is rounded once, at its end."""
    padding = tuple(same_padding(n, k, stride) for n, k in ((h, kh), (w, kw)))
    for c, o in CHANNELS:
        x, kernel = numbers(3, h, w, c, dtype=dtype), numbers(kh, kw, c, o, dtype=dtype, seed=1)
        dy = numbers(3, -(-h // stride), -(-w // stride), o, dtype=dtype, seed=2)

        def plain(x, kernel):
            layout = ("NHWC", "HWIO", "NHWC")
            return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=layout)  # noqa: B023

        with jax.enable_x64(True):
            wide = [jnp.asarray(np.asarray(a, np.float64)) for a in (x, kernel, dy)]
            y, pull_back = jax.vjp(plain, *wide[:2])
            expected = [np.asarray(a) for a in (y, *pull_back(wide[2]))]
        for name, found, wanted in zip(
            ("convolve", "transpose", "gradient"),
            in_turn(x, kernel, dy, stride, padding),
            expected,
            strict=True,
        ):
            assert found.dtype == dtype
            tolerance = 4e-6 if dtype == jnp.float32 else 2**-8
            off = np.abs(np.asarray(found, np.float64) - wanted).max() / max(np.abs(wanted).max(), 1e-30)
            assert off < tolerance, (name, c, o, off)


@needed
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((0, 2), (2, 1)), ((-1, 3), (2, -2))])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_padding(stride, padding):
    """Between 16 and 32 channels by Winograd's products if the stride is 1, else by plain ones."""
    for c, o in ((16, 32), (5, 7)):
        x, kernel = numbers(2, 9, 8, c), numbers(3, 3, c, o, seed=1)

        def plain(x, kernel):
            layout = ("NHWC", "HWIO", "NHWC")
            return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=layout)

        y, pull_back = jax.vjp(plain, x, kernel)
        dy = numbers(*y.shape, seed=2)
        for found, wanted in zip(in_turn(x, kernel, dy, stride, padding), (y, *pull_back(dy)), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=4e-6 * np.abs(wanted).max())


@pytest.mark.skipif(not kernels.has_tiles(jnp.bfloat16), reason="the processor or its kernels have no AMX")
@pytest.mark.parametrize(
    ("batch", "h", "w", "size", "stride", "c", "o"),
    [
        (2, 40, 36, 3, 1, 64, 48),  # images are cut into groups of rows
        (33, 4, 4, 5, 2, 130, 70),  # a group is several images
        (9, 7, 5, 4, 2, 6, 3),
        (2, 30, 30, 1, 1, 40, 20),
        (5, 1, 1, 3, 1, 16, 16),
    ],
)
def test_products_of_tiles_are_those_of_vectors(monkeypatch, batch, h, w, size, stride, c, o):
    """With and without AMX; float32 has the same bits."""
    padding = tuple(same_padding(n, size, stride) for n in (h, w))
    for dtype in (jnp.bfloat16, jnp.float32):
        x, kernel = numbers(batch, h, w, c, dtype=dtype), numbers(size, size, c, o, dtype=dtype, seed=1)
        dy = numbers(batch, -(-h // stride), -(-w // stride), o, dtype=dtype, seed=2)
        by_level = []
        for level in ("v4_amx", "v4_bf16"):
            monkeypatch.setattr(kernels, "level_in_use", lambda level=level: level)
            kernels._map_images.cache_clear()
            kernels._sum_images.cache_clear()
            by_level.append(in_turn(x, kernel, dy, stride, padding))
        for tiles, vectors in zip(*by_level, strict=True):
            tiles, vectors = (np.asarray(a, np.float32) for a in (tiles, vectors))
            off = np.abs(tiles - vectors).max() / np.abs(vectors).max()
            assert off <= (2**-8 if dtype == jnp.bfloat16 else 0), off


@needed
@pytest.mark.parametrize("dtype", [jnp.float32, BFLOAT16])
@pytest.mark.parametrize(("c", "o"), [(20, 36), (32, 48)])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (5, 2)])
def test_an_image_has_the_same_bits_in_any_batch(c, o, size, stride, dtype):
    x, kernel, dy = (
        numbers(7, 9, 10, c, dtype=dtype),
        numbers(size, size, c, o, dtype=dtype),
        numbers(7, -(-9 // stride), 10 // stride, o, dtype=dtype),
    )
    padding = tuple(same_padding(n, size, stride) for n in (9, 10))
    whole = in_turn(x, kernel, dy, stride, padding)[:2]
    for i in range(7):
        alone = in_turn(x[i : i + 1], kernel, dy[i : i + 1], stride, padding)[:2]
        for a, b in zip(whole, alone, strict=True):
            np.testing.assert_array_equal(a[i], b[0])


BITS = """
import hashlib, jax, numpy as np, jax.numpy as jnp
from compare_gan.nn import kernels
from compare_gan.nn.convolution import convolve
rng = np.random.default_rng(0)
found = []
for dtype in filter(kernels.supports, (jnp.float32, jnp.bfloat16)):
    for c, o in ((24, 40), (32, 48)):
        x, k = (jnp.asarray(rng.standard_normal(s), dtype) for s in ((9, 24, 12, c), (3, 3, c, o)))
        found += jax.jit(lambda x, k: jax.vjp(convolve, x, k)[1](jnp.ones((9, 24, 12, o), dtype)))(x, k)
print(hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in found)).hexdigest())
"""


@needed
def test_the_number_of_threads_does_not_change_the_bits():
    digests = set()
    for count in {1, os.cpu_count() or 1}:
        environment = {**os.environ, "XLA_FLAGS": "", "NPROC": str(count)}
        run = subprocess.run([sys.executable, "-c", BITS], capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stderr
        digests.add(run.stdout)
    assert len(digests) == 1


def loss(x, kernel):
    """Convolutions in a loop, with second derivatives."""

    def body(total, scale):
        slope = jax.grad(lambda x: jnp.sum(jnp.sin(convolve(jnp.sin(convolve(x, scale * kernel)), kernel))))(
            x
        )
        return total + jnp.sum(slope**2), None

    return lax.scan(body, 0.0, jnp.array([1.0, 0.5]))[0]


@needed
def test_programs_use_them_unless_they_must_be_plain():
    x, kernel = numbers(2, 6, 6, 3), numbers(3, 3, 3, 3)
    fast = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).as_text()
    with kernels.plain(True):
        plain = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).as_text()
    assert "compare_gan_cpu" in fast and "compare_gan_cpu" not in plain


@needed
def test_derivatives_of_programs_are_those_of_plain_ones():
    x, kernel = numbers(2, 6, 6, 3), numbers(3, 3, 3, 3)
    found = jax.jit(jax.grad(loss, (0, 1)))(x, kernel)
    with kernels.plain(True):
        wanted = jax.jit(jax.grad(loss, (0, 1)))(x, kernel)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


@needed
def test_they_can_be_mapped_over_images_and_kernels():
    images, many = numbers(4, 2, 6, 6, 3), numbers(2, 3, 3, 3, 5)
    mapped = jax.vmap(jax.vmap(convolve, (0, None)), (None, 0))(images, many)
    for i in range(2):
        for j in range(4):
            np.testing.assert_allclose(mapped[i, j], convolve(images[j], many[i]), atol=1e-5)
    gradients = jax.vmap(lambda x: jax.grad(lambda k: jnp.sum(convolve(x, k) ** 2))(many[0]))(images)
    one = jax.grad(lambda k: jnp.sum(convolve(images[1], k) ** 2))(many[0])
    np.testing.assert_allclose(gradients[1], one, rtol=1e-4, atol=1e-4)


SHARDED = """
import jax, numpy as np, jax.numpy as jnp
from compare_gan.core.placement import Placement
from compare_gan.nn.convolution import convolve
placement = Placement.create(fsdp=2)
rng = np.random.default_rng(0)
x, k = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in ((16, 8, 8, 4), (3, 3, 4, 5)))
loss = lambda x, k: jnp.sum(jnp.sin(convolve(jnp.sin(convolve(x, k)), k.swapaxes(2, 3))))
gradients = jax.jit(jax.grad(loss, (0, 1)))
spread = jax.device_put(x, placement.batch_sharding), jax.device_put(k, placement.replicated)
for a, b in zip(gradients(*spread), gradients(x, k)):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(b).max())
text = gradients.lower(*spread).compile().as_text()
calls = [line for line in text.splitlines() if "custom-call" in line and "compare_gan_cpu" in line]
assert calls and all("f32[16," not in line for line in calls), calls
assert gradients(*spread)[0].sharding.is_equivalent_to(placement.batch_sharding, 4)
"""


@needed
def test_devices_convolve_their_own_images():
    """Of 16 images each of 8 devices has 2; none computes the whole batch."""
    flags = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    run = subprocess.run([sys.executable, "-c", SHARDED], capture_output=True, text=True, env=flags)
    assert run.returncode == 0, run.stderr


def test_a_level_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, "v9")
    with pytest.raises(UserError, match="COMPARE_GAN_CPU is 'v9'; here it can be off"):
        kernels.level_in_use.__wrapped__()
    monkeypatch.setenv(kernels.VARIABLE, "off")
    assert kernels.level_in_use.__wrapped__() is None
