"""Contenders as processes that wait while another has its turn."""

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Contender:
    """A process that talks as `benchmarks.contenders.turns` describes.

    Args:
      command: starts it.
      log: the file for what it prints.
      environment: its environment; by default that of this process.
      deadline: the time, by `time.monotonic`, at which it must have answered everything.

    Raises:
      RuntimeError: it ended; the message is the end of what it printed.
      TimeoutError: it did not answer before the deadline.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ):
        self.log, self.deadline = log, deadline
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        try:
            self.about = self.listen()
        except BaseException:
            self.close()
            raise

    def listen(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if self.deadline is not None:
            left = max(0.0, self.deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError("no time left")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(" | ".join(self.log.read_text().splitlines()[-3:]))
        return json.loads(line)

    def ask(self, question: Any) -> dict[str, Any]:
        """The answer to one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.listen()

    def take(self, steps: int) -> dict[str, float]:
        """Takes training steps."""
        return self.ask(steps)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def use_cores(count: int | None) -> None:
    """Keeps this process, and those that it starts, on the first `count` of its cores; None: on all."""
    if count is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
