"""Multi-process (SPMD) runs: joining a cluster, and small collectives.

All processes run the same program and share the run folder. Only the main process, process 0, writes files
and prints progress.
"""

import os
import socket
import sys
import threading

import jax
import numpy as np

from compare_gan.core.errors import UserError

TIMEOUT_S = 300  # seconds to wait for all processes to connect


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Connects this process to the others. Call it before any JAX call that uses devices.

    All processes but the main one discard their standard output from here on.

    Args:
      coordinator: HOST:PORT of the main process. None, like the other two, where the environment describes
        the cluster (SLURM, Open MPI, Kubernetes, Cloud TPU).
      processes: the number of processes.
      process: the index of this process, from 0.
      timeout_s: seconds to wait for the others. After that the process exits with code 2.

    Raises:
      UserError: the arguments are inconsistent, no cluster is detected, or the coordinator is unreachable.
    """
    cluster = (coordinator, processes, process)
    if cluster != (None, None, None):
        _check(*cluster)
    where = f" at {coordinator}" if coordinator else ""
    # On a timeout JAX itself would abort the program with pages of output.
    timer = threading.Timer(
        timeout_s, _give_up, [f"timed out waiting for all processes{where} after {timeout_s:g} s"]
    )
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(*cluster, initialization_timeout=int(timeout_s) + 60)
    except ValueError:
        raise UserError(
            "--distributed: the environment describes no cluster; give --coordinator HOST:PORT --processes N "
            "--process I"
        ) from None
    except RuntimeError as error:
        reason = (str(error).splitlines() or ["unknown reason"])[0]
        raise UserError(f"--distributed: cannot start{where} ({reason}); is the port free?") from None
    finally:
        timer.cancel()
    if not is_main_process():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (to the end of the process)


def _check(coordinator: str | None, processes: int | None, process: int | None) -> None:
    if coordinator is None or processes is None or process is None:
        raise UserError("--distributed: give --coordinator, --processes and --process together, or none")
    if not 0 <= process < processes:
        raise UserError(
            f"--process is {process}; with --processes {processes} it must be from 0 to {processes - 1}"
        )
    host, colon, port = coordinator.rpartition(":")
    if not colon or not port.isdecimal():
        raise UserError(f"--coordinator is {coordinator!r}; it must be HOST:PORT of process 0")
    try:
        socket.getaddrinfo(host, int(port))
    except (OSError, OverflowError) as error:
        raise UserError(f"--coordinator {coordinator}: no such address ({error})") from None


def _give_up(message: str) -> None:
    print(f"compare-gan: --distributed: {message}; start all with the same coordinator", file=sys.stderr)
    sys.stderr.flush()
    os._exit(2)


def is_main_process() -> bool:
    """Whether this is process 0, the one that writes files."""
    return jax.process_index() == 0


def all_processes(flag: bool) -> bool:
    """Whether `flag` is true in all processes. Collective: all processes must call it."""
    return bool(_all_gather(flag).all())


def any_process(flag: bool) -> bool:
    """Whether `flag` is true in any process. Collective: all processes must call it."""
    return bool(_all_gather(flag).any())


def broadcast_from_main(number: float) -> float:
    """The main process's value of `number`. Collective: all processes must call it."""
    return float(_all_gather(number)[0])


def _all_gather(value: float) -> np.ndarray:
    if jax.process_count() == 1:
        return np.array([value], np.float64)
    from jax.experimental import multihost_utils

    bits = np.frombuffer(np.float64(value).tobytes(), np.uint32)  # devices have no double precision
    return np.frombuffer(multihost_utils.process_allgather(bits).tobytes(), np.float64)
