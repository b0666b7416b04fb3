"""Tasks on the workers of a `dask.distributed` cluster, each in a child process of a worker.

The child process (`fewlabels.child`) keeps JAX out of the worker, and ends with it. Dask chooses the worker
of a task, and gives the task to another one if the worker is lost; the task resumes from its files, in the
folder that all machines share.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import pickle
import signal
import socket
import time
import urllib.parse
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from compare_gan.core.child import stop
from compare_gan.core.errors import UserError
from compare_gan.core.files import temporary_folder
from compare_gan.core.interrupt import Interrupted, stop_requested
from compare_gan.core.remote import Terms, difference, do, unfit, versions
from compare_gan.fewlabels.child import STOPPED, Question, open_platform
from compare_gan.fewlabels.execute import DIED, Call, Outcome, cache_options

CHILD = "compare_gan.fewlabels.child"
CONNECT_S = 20.0
POLL_S = 0.2
RETRY_S = 30.0  # until a task that another process does is tried again
STOP_S = 120.0  # for tasks to save their progress, one step of training at most
PASSED_ON = ("XLA_FLAGS",)  # variables that results depend on


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A connection to the scheduler of a cluster."""

    client: Any  # distributed.Client
    address: str

    def check(self, terms: Terms) -> int:
        """Checks the workers that are there now, and returns how many. A task checks its worker again.

        Raises:
          UserError: one does not fit.
        """
        found = self.client.run(unfit, terms, on_error="return")
        for worker, reason in found.items():
            if isinstance(reason, Exception):
                reason = f"cannot be used ({describe(reason)}); is compare_gan installed there?"
            if reason is not None:
                raise UserError(f"--dask {self.address}: worker {worker}: {reason}")
        return len(found)

    def submit(self, open_call: Callable[[], Call], task: Any, terms: Terms, owner: str) -> Any:
        """Sends a task to the cluster; returns its `distributed.Future`."""
        question = pickle.dumps(Question(open_call, task, cache_options()))
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        kind = getattr(task, "kind", "task")  # Dask expects tasks of one name to take equally long
        key = f"{kind}-{uuid.uuid4().hex}"
        return self.client.submit(do, terms, CHILD, question, owner, environment, key=key, pure=False)

    def outcome(self, future: Any, task: Any) -> Outcome:
        """The outcome of a task whose future is done.

        Raises:
          UserError: its worker does not fit, or the connection was lost.
        """
        from distributed import KilledWorker

        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                lost = error.allowed_failures + 1
                return Outcome(task, error=f"{lost} workers died while they did it; rerun to resume")
            reason = str(error) if isinstance(error, UserError) else f"a worker failed ({describe(error)})"
            raise UserError(f"--dask {self.address}: {reason}")
        if future.status != "finished":
            raise UserError(
                f"--dask {self.address}: lost the connection to the scheduler; progress is saved, rerun the "
                "same command to resume"
            )
        answer, code = future.result()
        if answer is None:
            stopped = code == -signal.SIGTERM
            return Outcome(task, error=STOPPED if stopped else DIED, again=stopped)
        outcome = pickle.loads(answer)
        if isinstance(outcome, UserError):
            raise UserError(f"--dask {self.address}: a worker cannot open the study: {outcome}")
        return outcome

    def platform(self, say: Callable[[str], None]) -> str:
        """The platform of JAX on a worker, such as "gpu". Waits until there is a worker.

        Raises:
          UserError: JAX does not start there, or the worker does not fit.
          Interrupted: Ctrl-C or SIGTERM.
        """
        terms = Terms(versions())
        if not self.check(terms):
            say(f"{self.address}: waiting for a worker")
        future = self.submit(open_platform, None, terms, uuid.uuid4().hex)
        with stop_requested() as stopping:
            while not future.done():
                if stopping():
                    future.cancel()
                    raise Interrupted("study: stopped")
                time.sleep(POLL_S)
        outcome = self.outcome(future, None)
        if outcome.error is not None:
            raise UserError(f"--dask {self.address}: JAX does not start on a worker: {outcome.error}")
        return outcome.value


class DaskExecutor:
    """Runs tasks on the workers of a cluster.

    Args:
      cluster: the connection, which stays open.
      folder: the study folder, which all machines share.
      open_call: called once for each task, in its process; returns the function that runs it. Must be
        picklable.
      say: called with a line about each task that has to wait.

    Raises:
      UserError: a worker does not fit.
    """

    def __init__(
        self, cluster: Cluster, folder: Path, open_call: Callable[[], Call], say: Callable[[str], None]
    ):
        self.cluster, self.open_call, self.say = cluster, open_call, say
        self.owner = uuid.uuid4().hex
        self.resources = contextlib.ExitStack()
        shared = self.resources.enter_context(temporary_folder(folder, "shared"))
        self.terms = Terms(versions(), str(shared.resolve()))
        try:
            if not cluster.check(self.terms):
                say(f"{cluster.address}: no worker yet; tasks start when one connects")
        except BaseException:
            self.close()
            raise

    def outcomes(self, tasks: Sequence[Any]) -> Iterator[Outcome]:
        """Yields the outcome of each task as it finishes.

        Raises:
          UserError: a worker does not fit, or the connection was lost.
          Interrupted: Ctrl-C or SIGTERM; the tasks save their progress.
        """
        running = {self.submit(task): task for task in tasks}
        later, waited = list[tuple[float, Any]](), set[Any]()
        try:
            with stop_requested() as stopping:
                while running or later:
                    for future in [each for each in running if each.done()]:
                        outcome = self.cluster.outcome(future, running.pop(future))
                        if not outcome.again:
                            yield outcome
                            continue
                        later.append((time.monotonic() + RETRY_S, outcome.task))
                        if outcome.task not in waited:
                            waited.add(outcome.task)
                            name = getattr(outcome.task, "name", outcome.task)
                            self.say(f"{name}: {outcome.error}; tried again every {RETRY_S:g} s")
                    due = [task for at, task in later if at <= time.monotonic()]
                    later = [(at, task) for at, task in later if task not in due]
                    running |= {self.submit(task): task for task in due}
                    if stopping():
                        raise Interrupted("study: stopped; progress is saved")
                    time.sleep(POLL_S)
        finally:
            if running:
                self.stop(list(running))

    def submit(self, task: Any) -> Any:
        return self.cluster.submit(self.open_call, task, self.terms, self.owner)

    def stop(self, futures: Sequence[Any]) -> None:
        """Cancels tasks, and waits until those that run have saved their progress."""
        client, deadline = self.cluster.client, time.monotonic() + STOP_S
        with contextlib.suppress(Exception):  # without a scheduler, the workers end their tasks themselves
            client.cancel(futures)
            while any(client.run(stop, self.owner, on_error="ignore").values()):
                if time.monotonic() > deadline:
                    break
                time.sleep(POLL_S)

    def close(self) -> None:
        self.resources.close()


@contextlib.contextmanager
def connect(address: str) -> Iterator[Cluster]:
    """Connects to a scheduler, within `CONNECT_S`.

    Args:
      address: such as tcp://HOST:PORT; for tls:// the certificates are those of Dask's configuration.

    Raises:
      UserError: the package is missing, the address is wrong, nothing answers there, or its version differs.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--dask: needs dask.distributed; pip install 'compare_gan[cluster]'") from None
    check_reachable(address)
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is raised
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions are compared below
            shake_hands(address)
            client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except Exception as error:
        raise UserError(f"--dask {address}: is no scheduler of Dask ({describe(error)})") from None
    with client:
        name = "distributed"
        found: Any = client.get_versions()  # no coroutine: the client is not asynchronous
        scheduler = found["scheduler"]["packages"]
        if (text := difference({name: scheduler.get(name)}, {name: versions()[name]})) is not None:
            raise UserError(f"--dask {address}: the scheduler {text}; install the same version")
        yield Cluster(client, address)


def check_reachable(address: str) -> None:
    """Checks the form of an address, and for TCP that something listens there.

    Raises:
      UserError: it is wrong, or nothing does.
    """
    expected = f"--dask is {address!r}; it must be the address of a scheduler, such as tcp://HOST:8786"
    parts = urllib.parse.urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UserError(expected) from None
    if not parts.scheme or not host or port is None or parts.path:
        raise UserError(expected)
    if parts.scheme not in ("tcp", "tls"):
        return
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or str(error) or "no answer"
        raise UserError(f"--dask {address}: cannot be reached ({reason}); does the scheduler run?") from None


def shake_hands(address: str) -> None:
    """Greets a scheduler, and closes the connection. `distributed.Client` would wait for its answer for ever.

    Raises:
      OSError, TimeoutError, or another error: what listens there does not answer as Dask does.
    """
    from distributed import Security
    from distributed.comm import connect

    async def greet() -> None:
        options = Security().get_connection_args("client")
        comm = await asyncio.wait_for(connect(address, timeout=CONNECT_S, **options), CONNECT_S)
        await comm.close()

    with concurrent.futures.ThreadPoolExecutor(1) as thread:  # this thread may run a loop, as in a notebook
        thread.submit(asyncio.run, greet()).result()


def describe(error: BaseException) -> str:
    """The type of an error, and the first line of its message."""
    lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *lines[:1]])
