"""Several processes that do one work, all running the same program.

The first writes files and tells how far the work has come; they share the folder that it writes to.
"""

import os
import socket
import sys
import threading

import jax
import numpy as np

from compare_gan.core.errors import UserError

TIMEOUT_S = 300  # seconds that processes wait for each other to come


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    patience: float = TIMEOUT_S,
) -> None:
    """Joins the other processes, before anything asks for devices. Only the first goes on talking.

    Args:
      coordinator: HOST:PORT of the first process; like the others, None where the environment tells (SLURM,
        Open MPI, Kubernetes, Cloud TPU).
      processes: how many there are.
      process: which one this is, from 0.
      patience: seconds to wait for the others.

    Raises:
      UserError: the three do not fit, there is no cluster, or its coordinator is not to be had.
    """
    given = (coordinator, processes, process)
    if given != (None, None, None):
        _check(*given)
    where = f" at {coordinator}" if coordinator else ""
    # JAX ends the whole program when they do not come, with pages of its own.
    late = threading.Timer(patience, _give_up, [f"not all processes came{where} within {patience:g} s"])
    late.daemon = True
    late.start()
    try:
        jax.distributed.initialize(*given, initialization_timeout=int(patience) + 60)
    except ValueError:
        raise UserError(
            "--distributed: the environment tells of no cluster; give --coordinator HOST:PORT --processes N "
            "--process I"
        ) from None
    except RuntimeError as error:
        reason = (str(error).splitlines() or ["no reason is known"])[0]
        raise UserError(f"--distributed: cannot begin{where} ({reason}); is the port free?") from None
    finally:
        late.cancel()
    if not is_main_process():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (to the end of the process)


def _check(coordinator: str | None, processes: int | None, process: int | None) -> None:
    if coordinator is None or processes is None or process is None:
        raise UserError("--distributed: give --coordinator, --processes and --process together, or none")
    if not 0 <= process < processes:
        raise UserError(
            f"--process is {process}; of --processes {processes} it is one from 0 to {processes - 1}"
        )
    host, colon, port = coordinator.rpartition(":")
    if not colon or not port.isdecimal():
        raise UserError(f"--coordinator is {coordinator!r}; it is HOST:PORT of the first process")
    try:
        socket.getaddrinfo(host, int(port))
    except (OSError, OverflowError) as error:
        raise UserError(f"--coordinator {coordinator}: no such address ({error})") from None


def _give_up(told: str) -> None:
    print(f"compare-gan: --distributed: {told}; start all of them, with one coordinator", file=sys.stderr)
    sys.stderr.flush()
    os._exit(2)


def is_main_process() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def all_processes(flag: bool) -> bool:
    """Whether all processes say so. All have to ask."""
    return bool(_gathered(flag).all())


def any_process(flag: bool) -> bool:
    """Whether any process says so. All have to ask."""
    return bool(_gathered(flag).any())


def broadcast_from_main(number: float) -> float:
    """What the first process has. All have to ask."""
    return float(_gathered(number)[0])


def _gathered(value: float) -> np.ndarray:
    if jax.process_count() == 1:
        return np.array([value], np.float64)
    from jax.experimental import multihost_utils

    bits = np.frombuffer(np.float64(value).tobytes(), np.uint32)  # devices have no double precision
    return np.frombuffer(multihost_utils.process_allgather(bits).tobytes(), np.float64)
