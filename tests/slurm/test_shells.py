"""Whatever the user's profile, setup lines and variables do to a shell, the script's own functions behave the same.

Budget: 20 s. SLURM_GENERATION=24.11 or 26.05 runs it on another Slurm; tests/functions/test_user_shell.py has the matrix.
"""

from __future__ import annotations

import sys

from tests.slurm.desk import SCRIPTS, Desk, until
from tests.slurm.light import counted, ends, finishes, trains
from tests.slurm.survival import preempt, story

PROFILE = """
log_message() { exit 7; }; sed() { echo from the profile; }; export -f log_message sed
export POSIXLY_CORRECT=1 GREP_OPTIONS=-v CDPATH=/usr LD_PRELOAD=/nonexistent.so BASH_ENV=$HOME/bash_env attempt=9
"""
SETUP = [
    "set -euo pipefail; set -o noclobber; shopt -s nullglob extglob; IFS=,",
    "read_value() { return 9; }; fail() { :; }; launch() { exit 8; }; export -f read_value launch",
    "trap 'exit 3' TERM USR1 EXIT; cd /; umask 027; ulimit -n 512; unset HOME; hang=off; run_dir=/nonexistent",
    "export TMPDIR=/nonexistent TMOUT=1 SLURM_JOB_NUM_NODES=3 EXECIGNORE='*' GLOBIGNORE='*' BASH_COMPAT=3.2 PATH=/nonexistent",
    "exec > /dev/null 2>&1",
]


def test_a_run_survives_the_worst_settings_at_once(desk: Desk) -> None:
    """It trains on two nodes, is preempted, continues and is stopped; the training sees the user's settings."""
    desk.write("bash_env", "set -o noclobber; shopt -s nullglob\n")
    profile = desk.cluster.home("alice") / ".profile"
    desk.write(".profile", PROFILE)
    try:
        command = (
            f'echo "user: $TMOUT $POSIXLY_CORRECT $(ulimit -n) $PWD $SLURM_JOB_NUM_NODES"\n'
            f"{sys.executable} {SCRIPTS / 'light.py'} 1000000"
        )
        run = desk.submit("worst", command=command, slurm={"nodes": 2, "gpus-per-node": 1},
                          environment={"setup": SETUP, "variables": {"POSIXLY_CORRECT": 1}})  # fmt: skip
        trains(run)
        assert "user: 1 1 512 / 2" in run.log(), story(run)
        assert "cpu binding" not in run.log()  # srun logs it for --cpu-bind under task/none
        preempt(desk, run)
        until(lambda: ends(run) != [], 60, "the attempt has ended")
        finishes(desk, run, 2)
    finally:
        profile.unlink()
    assert ends(run)[0].startswith("preemption "), story(run)
    assert ends(run)[1] == "stop end", story(run)
    assert len(counted(run)) == len({step for _, step in counted(run)})
