"""How a contender and its benchmark talk, line by line.

Understood by Python 3.7, because contenders run in the Python that they need. The contender says
`{"ready": true, ...}` when it can begin, then answers each line of its input with a line of JSON, until the
input ends. For `benchmarks.train` a line is a number of steps, and the answer
`{"seconds": ..., "cpu_seconds": ...}`.
"""

import json
import os
import sys
import time


def answers():
    """A function that sends a line to the parent process; all other output goes to stderr."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**values):
        out.write(json.dumps(values) + "\n")

    return answer


def listen(handle, begin=lambda: None, **about):
    """Answers each line of standard input.

    Args:
      handle: maps what a line says to the answer, a dictionary.
      begin: called once, before the first answer.
      about: a description of the contender, sent with the first answer.
    """
    answer = answers()
    begin()
    answer(ready=True, **about)
    for line in sys.stdin:
        answer(**handle(json.loads(line)))


def timed(step, wait=lambda: None):
    """A function that takes a number of steps and returns their seconds.

    Args:
      step: takes one training step.
      wait: waits for the end of the last step, where `step` does not.
    """

    def take(steps):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            step()
        wait()
        return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}

    return take


def serve(step, wait=lambda: None, **about):
    """Takes the first step, then the requested number of steps for each line of standard input.

    Args:
      step: takes one training step.
      wait: waits for the end of the last step, where `step` does not.
      about: a description of the contender.
    """
    take = timed(step, wait)
    listen(take, begin=lambda: take(1), **about)
