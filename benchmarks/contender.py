"""Contenders as processes that wait while another has its turn."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Contender:
    """A process that talks as `benchmarks.contenders.turns` describes.

    Raises:
      RuntimeError: it ended; the message is the end of what it printed.
    """

    def __init__(self, command: Sequence[str], log: Path):
        self.log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.about = self.listen()

    def listen(self) -> dict[str, Any]:
        assert self.process.stdout is not None
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
