"""Two runs never share a folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.lock import claimed

HOLDER = """
import sys, time
from pathlib import Path
from compare_gan.core.lock import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_is_named_and_its_death_frees_the_folder(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
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


def test_a_folder_is_free_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), claimed(tmp_path):
        raise RuntimeError
    with claimed(tmp_path):
        pass
