"""A child process for `core.child.ask`: it does what the question says."""

import os
import signal
import sys
import time
from pathlib import Path

from compare_gan.core.child import answer, read_question

if __name__ == "__main__":
    word, _, text = read_question().decode().partition(" ")
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "wait":  # until SIGTERM, as training does: then it saves
        stopped = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
        Path(text).write_text(str(os.getpid()))
        while not stopped:
            time.sleep(0.01)
        Path(text).write_text("saved")
    print("not part of the answer")
    print("nor is this", file=sys.stderr)
    answer(f"{word} {os.environ.get('ECHO', '')}".encode())
