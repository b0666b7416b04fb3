"""Single convolutions of one library, for `benchmarks.convolutions`.

  python -m benchmarks.contenders.convolutions ours|xla|torch

A line names a convolution, `{"case": [...], "operation": ..., "dtype": ...}`, or a matrix product,
`{"dtype": ...}`; the answer has the seconds of a call, the first ones left out. The line `"turn"` asks for
the seconds of a call of the same once more, averaged over as many calls as fit into `TURN_S`. On one core
these are processor seconds, which other work on the machine does not lengthen.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import PRODUCT, Case
from benchmarks.contenders.turns import listen
from compare_gan.core.allocator import keep_freed_memory

TURN_S = 0.03
Call = Callable[[], Any]  # begins the computation
Wait = Callable[[Any], Any]  # until the result of a call is there


def arrays(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, kernel and the gradient of the output."""
    rng = np.random.default_rng(0)
    shapes = (
        (case.batch, case.side, case.side, case.c_in),
        (case.kernel, case.kernel, case.c_in, case.c_out),
        (case.batch, case.side_out, case.side_out, case.c_out),
    )
    x, kernel, dy = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    return x, kernel, dy


def of_jax(native: bool) -> tuple[Callable[[Case, str, str], Call], Callable[[str], Call], Wait, dict]:
    """Ours, as the networks call it; or XLA's own convolution and its derivatives."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    from compare_gan.nn import kernels
    from compare_gan.nn.convolution import convolve
    from compare_gan.nn.rescale import convolve_rescaled, rescaled

    def xla(x: Any, kernel: Any, stride: int = 1) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=layout)

    def forward(scale: Any) -> Callable[[Any, Any], Any]:
        if scale == "stride 2":
            return lambda x, kernel: (xla if native else convolve)(x, kernel, 2)
        if not native:
            return lambda x, kernel: convolve_rescaled(x, kernel, scale)
        if scale == "down":
            return lambda x, kernel: rescaled(xla(x, kernel), scale)
        return lambda x, kernel: xla(rescaled(x, scale), kernel)

    def convolution(case: Case, operation: str, dtype: str) -> Call:
        x, kernel, dy = (jnp.asarray(a, dtype) for a in arrays(case))
        f = forward(case.scale)
        if operation == "forward":
            run = jax.jit(f)
            return lambda: run(x, kernel)
        # What the forward pass stores for the gradients is computed here, as in a training step.
        _, vjp = jax.jit(lambda x, kernel: jax.vjp(f, x, kernel))(x, kernel)
        wanted = 0 if operation == "input gradient" else 1
        gradient = jax.jit(lambda vjp, dy: vjp(dy)[wanted])
        return lambda: gradient(vjp, dy)

    def product(dtype: str) -> Call:
        a = jnp.asarray(np.random.default_rng(0).standard_normal((PRODUCT, PRODUCT)), dtype)
        run = jax.jit(lambda a: jnp.matmul(a, a, preferred_element_type=jnp.float32))
        return lambda: run(a)

    about = {"jax": jax.__version__}
    if not native:
        about["kernels"] = str(kernels.level_in_use())
    return convolution, product, jax.block_until_ready, about


def of_torch() -> tuple[Callable[[Case, str, str], Call], Callable[[str], Call], Wait, dict]:
    """PyTorch in channels-last layout."""
    import torch
    from torch.nn import functional as F

    def tensor(a: np.ndarray, axes: tuple[int, ...], dtype: str) -> Any:
        found = torch.tensor(a.transpose(axes).copy()).to(getattr(torch, dtype))
        return found.contiguous(memory_format=torch.channels_last)

    def forward(case: Case, x: Any, kernel: Any) -> Any:
        k = case.kernel
        match case.scale:
            case "stride 2":
                return F.conv2d(x, kernel, stride=2, padding=(k - 1) // 2)
            case "up":  # does not multiply by the zeros
                return F.conv_transpose2d(x, kernel, stride=2, padding=k // 2, output_padding=1)
            case "repeat":
                return F.conv2d(F.interpolate(x, scale_factor=2), kernel, padding=k // 2)
            case "down":
                return F.avg_pool2d(F.conv2d(x, kernel, padding=k // 2), 2)
            case _:
                return F.conv2d(x, kernel, padding=k // 2)

    def convolution(case: Case, operation: str, dtype: str) -> Call:
        x, kernel, dy = arrays(case)
        given = tensor(x, (0, 3, 1, 2), dtype)
        if case.scale == "up":  # the transpose of a convolution by the flipped kernel
            weight = tensor(kernel[::-1, ::-1], (2, 3, 0, 1), dtype)
        else:
            weight = tensor(kernel, (3, 2, 0, 1), dtype)
        if operation == "forward":

            def run() -> Any:
                with torch.no_grad():
                    return forward(case, given, weight)

            return run
        wanted = given if operation == "input gradient" else weight
        wanted.requires_grad_(True)
        y, dy = forward(case, given, weight), tensor(dy, (0, 3, 1, 2), dtype)
        return lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)

    def product(dtype: str) -> Call:
        a = torch.randn(PRODUCT, PRODUCT).to(getattr(torch, dtype))
        return lambda: a @ a

    return convolution, product, lambda result: result, {"torch": torch.__version__}


def main() -> None:
    library = sys.argv[1]
    keep_freed_memory()
    convolution, product, wait, about = of_torch() if library == "torch" else of_jax(library == "xla")
    clock = time.process_time if len(os.sched_getaffinity(0)) == 1 else time.perf_counter
    call: Call
    count = 1

    def timed() -> float:
        start = clock()
        for _ in range(count):
            result = call()
        wait(result)
        return (clock() - start) / count

    def handle(line: Any) -> dict[str, float]:
        nonlocal call, count
        if line != "turn":
            match line:
                case {"case": case, "operation": operation, "dtype": dtype}:
                    call = convolution(Case(*case), operation, dtype)
                case {"dtype": dtype}:
                    call = product(dtype)
            count = 1
            timed()  # compiles
            count = max(1, int(TURN_S / timed()))
        return {"seconds": timed()}

    listen(handle, **about)


if __name__ == "__main__":
    main()
