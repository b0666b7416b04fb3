"""Two runs never share a folder."""

import os
import signal
import subprocess
import sys

import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.lock import HOLDER as HOLDER_FILE
from compare_gan.core.lock import NAME, claimed

HOLDER = """
import sys, time
from pathlib import Path
from compare_gan.core.lock import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_is_named_and_its_death_frees_the_folder(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"in use by process {holder.pid} on ") as caught:
            with claimed(tmp_path):
                pass
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with claimed(tmp_path):
            pass


def test_what_a_killed_process_left_is_no_obstacle(tmp_path):
    """Files of this version, and the one of earlier versions, which held the name of the process itself."""
    for name in (NAME, HOLDER_FILE):
        (tmp_path / name).write_text("process 1 on elsewhere\n")
    with claimed(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / HOLDER_FILE).read_text()
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} on "), claimed(tmp_path):
            pass
    with claimed(tmp_path):
        pass


def test_training_needs_nothing_that_only_posix_has():
    code = """
import signal, sys
sys.modules["fcntl"] = sys.modules["resource"] = None
del signal.SIGUSR1
import compare_gan.core.interrupt, compare_gan.core.lock
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_folder_is_free_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), claimed(tmp_path):
        raise RuntimeError
    with claimed(tmp_path):
        pass
