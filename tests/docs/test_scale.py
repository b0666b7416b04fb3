"""The scripts in docs/scale.md, with stand-ins for SLURM."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TASKS = """number  stage     task
1       features  features, seed 0
features: --array=1-3
labels: --array=4-6,9
GANs: --array=13-21
"""
STAND_INS = {
    "compare-gan": f"cat <<END\n{TASKS}END\n",
    "sbatch": 'echo "$@" >> submitted; wc -l < submitted | tr -d " "\n',
    "srun": 'if [ "$1" = --gres=gpu:1 ]; then shift; exec "$@"; fi; echo "$@" > ran; exit $CODE\n',
    "scontrol": 'echo "$@" > requeued\n',
}


def write_scripts(folder):
    """Writes the scripts of the page, and stand-ins for the programs that they call."""
    for block in re.findall(r"```\n(#!/bin/bash\n.*?)```", (ROOT / "docs/scale.md").read_text(), re.DOTALL):
        if name := re.match(r"# ([a-z]+\.sh)", block.splitlines()[1]):
            (folder / name[1]).write_text(block)
    for name, lines in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\n{lines}")
        (folder / name).chmod(0o755)


def run(folder, *words, **variables):
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"} | variables
    return subprocess.run(["bash", *words], cwd=folder, env=environment).returncode


def test_the_stages_of_a_study_are_submitted_one_after_another(tmp_path):
    write_scripts(tmp_path)
    words = ["--data", "my birds", "--model_dir", "runs"]
    assert run(tmp_path, "submit.sh", *words) == 0
    more = "task.sh --data my birds --model_dir runs"
    assert (tmp_path / "submitted").read_text().splitlines() == [
        f"--parsable --array=1-3 {more}",
        f"--parsable --array=4-6,9 --dependency=afterany:1 {more}",
        f"--parsable --array=13-21 --dependency=afterany:2 {more}",
        f"--dependency=afterany:3 {more}",
    ]


def test_a_task_that_reached_the_time_limit_is_queued_again(tmp_path):
    write_scripts(tmp_path)
    assert run(tmp_path, "task.sh", "--data", "birds", SLURM_ARRAY_TASK_ID="7", CODE="0") == 0
    assert (tmp_path / "ran").read_text() == "compare-gan study --data birds --task 7\n"
    assert run(tmp_path, "task.sh", "--data", "birds", CODE="1") == 1
    assert (tmp_path / "ran").read_text() == "compare-gan study --data birds\n"
    assert not (tmp_path / "requeued").exists()
    assert run(tmp_path, "task.sh", SLURM_JOB_ID="41", CODE="130") == 130
    assert (tmp_path / "requeued").read_text() == "requeue 41\n"
