"""How a contender and `benchmarks.train` talk, line by line.

Understood by Python 3.7, because contenders run in the Python that they need. The contender says
`{"ready": true, ...}` when it has taken its first step, then gets numbers of steps and answers each with
`{"seconds": ..., "cpu_seconds": ...}`, until its input ends.
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


def serve(step, **about):
    """Takes the first step, then the requested number of steps for each line of standard input.

    Args:
      step: takes one training step and waits for its end.
      about: a description of the contender, sent with the first answer.
    """
    answer = answers()
    step()
    answer(ready=True, **about)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        answer(seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)
