"""The rate of large matrix products, as the limit that a device reaches in practice.

  python -m benchmarks.contenders.products SIDE

A line of input is "float32" or "bfloat16"; the answer has the floating-point operations of a second. The
factors are random: products of zeros are faster on some devices. float32 has the default precision of the
device, which on NVIDIA's is TF32; sums are float32.
"""

import functools
import sys
import time

import jax
import jax.numpy as jnp

from benchmarks.contenders.turns import listen

SECONDS = 0.5  # of products


@functools.partial(jax.jit, donate_argnums=0)
def product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, preferred_element_type=jnp.float32).astype(a.dtype)


def rate(side: int, dtype: str) -> float:
    """Floating-point operations a second in products of square matrices."""
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (side, side), dtype) for key in keys)
    b = b / side**0.5  # so that repeated products neither grow nor vanish
    a = jax.block_until_ready(product(product(a, b), b))  # compiles
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < SECONDS:
        for _ in range(4):
            a = product(a, b)
        jax.block_until_ready(a)
        count += 4
    return 2 * side**3 * count / took


def main() -> None:
    side, device = int(sys.argv[1]), jax.devices()[0]

    def handle(dtype: str) -> dict[str, float]:
        return {"flops_per_second": rate(side, dtype)}

    listen(handle, device=device.device_kind, platform=device.platform)


if __name__ == "__main__":
    main()
