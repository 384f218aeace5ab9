"""The functions behave the same whatever a profile, modules, setup lines or variables do to a shell.

Each setting is tried in a setup line and in the environment of the job (a login profile), in a whole script under bash with
fakes of Slurm's commands. Why earlier tests did not see these: their setup lines were harmless.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from clusterrun.job_spec import load_spec
from clusterrun.planning.script import render
from tests.functions.test_signals_before_the_step import FAKES
from tests.support.planned import plan_of

FUNCTIONS = Path(__file__).parents[2] / "templates" / "functions"
SRUN = '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
HARMLESS = {
    "errexit": "set -euo pipefail",
    "options": "set -o noclobber -o noglob -o keyword -o posix; shopt -s nullglob failglob extglob expand_aliases",
    "sourced": "echo 'set -eu; false || :' > s.sh; . ./s.sh",
    "functions": "log_message() { exit 9; }; write_record() { :; }; fail() { :; }; node_is_fit() { return 1; }",
    "exported-functions": "sed() { exit 9; }; read_value() { exit 9; }; export -f sed read_value",
    "aliases": "shopt -s expand_aliases; alias exec=false printf=false; unalias -a",
    "variables": "attempt=7 run_dir=/x run_id=x hang=off requeue_on= step=1 user_shell=1; export cause=x term_seen=TERM",
    "traps": "trap 'exit 9' EXIT TERM USR1 ERR; trap '' TERM",
    "redirection": "exec > /dev/null 2>&1 < /dev/null",
    "folder": "mkdir -p elsewhere; cd elsewhere; umask 077; ulimit -n 256",
    "IFS": "IFS=,; export IFS",
    "path": "PATH=/nonexistent",
    "loader": "export LD_PRELOAD=/nonexistent.so LD_LIBRARY_PATH=/nonexistent",
    "bash": "export POSIXLY_CORRECT=1 BASH_ENV=/nonexistent EXECIGNORE='*' GLOBIGNORE='*' BASH_COMPAT=3.2 TMOUT=1 CDPATH=/",
    "tools": "export GREP_OPTIONS=-v BLOCKSIZE=1 DF_BLOCK_SIZE=1G TZ=Asia/Tokyo LC_ALL=C",
    "tmp": "export TMPDIR=/proc/nonexistent",
    "slurm": "export SLURM_JOB_NUM_NODES=3 SLURM_JOB_ID=9 SLURM_NNODES=3",
    "background": "sleep 0.1 & disown",
    "unset": "unset HOME USER SHELL LANG PWD",
}
IN_PROFILE = {
    "POSIXLY_CORRECT": "1", "TMOUT": "1", "LD_PRELOAD": "/nonexistent.so", "GREP_OPTIONS": "-v", "CDPATH": "/", "EXECIGNORE": "*",
    "FUNCNEST": "1", "BASH_COMPAT": "3.2", "SHELLOPTS": "errexit:nounset:noclobber", "BASHOPTS": "nullglob:extglob",
    "attempt": "7", "term_seen": "TERM", "cause": "x", "user_shell": "1", "BASH_FUNC_sed%%": "() {  exit 9\n}",
}  # fmt: skip
FATAL = {
    "false": "exit code 1 from environment.setup: false; append || : to the line to ignore it",
    "set -e; false; true": "exit code 1 from environment.setup: set -e; false; true; append || : to the line to ignore it",
    "exit 0": "environment.setup: exit 0 ended the shell of the setup lines",
    "exec true": "environment.setup: exec true ended the shell of the setup lines",
    "return 0": "environment.setup: return 0 ended the shell of the setup lines",
    "kill -9 $BASHPID": "exit code 137 from environment.setup: kill -9 $BASHPID; append || : to the line to ignore it",
}


def run_job(
    folder: Path, setup: str, command: str = "echo trained", **variables: str
) -> tuple[dict[str, str], str]:
    """Run a script as slurmstepd does; return the record of its end, and its log."""
    (folder / "bin").mkdir()
    for name, text in {**FAKES, "srun": SRUN}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    spec = folder / "job.yaml"
    spec.write_text(
        json.dumps({"name": "r", "command": command, "environment": {"setup": [setup]}})
    )
    script = folder / "job.sbatch"
    text = render(plan_of(load_spec(spec).spec, version="0", chdir=str(folder)))
    script.write_text(text.replace("  PATH=/usr/local/bin:", f"  PATH={folder}/bin:/usr/local/bin:", 1))  # fmt: skip
    given = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "FAKE": str(folder), "FAKE_MODE": "CANCEL", "SLURM_JOB_ID": "7",
             "SLURM_JOB_NODELIST": "n1", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_PARTITION": "p", "HOME": str(folder),
             "SLURM_SUBMIT_DIR": str(folder), "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", **variables}  # fmt: skip
    done = subprocess.run(["/bin/bash", script], env=given, cwd=folder, capture_output=True, text=True,
                          timeout=60, check=False, start_new_session=True)  # fmt: skip
    run = folder / "runs" / "r-7"
    log = "".join(path.read_text() for path in run.glob("logs/*")) + done.stderr
    (end,) = [*run.glob("events/attempt-0001.end")] or [Path(os.devnull)]
    return dict(line.split("=", 1) for line in end.read_text().splitlines()), log


@pytest.mark.parametrize("name", HARMLESS)
def test_a_setting_of_the_setup_changes_nothing(tmp_path: Path, name: str) -> None:
    """The run trains, and records that it finished."""
    end, log = run_job(tmp_path, HARMLESS[name])
    assert (end.get("cause"), end.get("next")) == ("finished", "end"), log
    assert "\ntrained\n" in f"\n{log}"


@pytest.mark.parametrize("name", IN_PROFILE)
def test_a_setting_of_the_login_profile_changes_nothing(tmp_path: Path, name: str) -> None:
    """It is in the environment of the batch shell from its first line on."""
    end, log = run_job(tmp_path, "true", **{name: IN_PROFILE[name]})
    assert (end.get("cause"), end.get("next")) == ("finished", "end"), log


@pytest.mark.parametrize("setup", FATAL)
def test_a_line_that_ends_the_shell_is_named(tmp_path: Path, setup: str) -> None:
    """The script records which line it was, whatever way the shell ended."""
    end, log = run_job(tmp_path, setup)
    assert (end.get("cause"), end.get("reason")) == ("failed-start", FATAL[setup]), log


def test_the_training_sees_the_settings(tmp_path: Path) -> None:
    """What the functions set aside for themselves is the training's again."""
    command = (
        'echo "TMOUT=$TMOUT P=$POSIXLY_CORRECT LD=$LD_LIBRARY_PATH F=$(f) N=$(ulimit -n) D=$PWD"'
    )
    setup = "export TMOUT=9 POSIXLY_CORRECT=1 LD_LIBRARY_PATH=/x; f() { echo f; }; export -f f; ulimit -n 300; cd /"
    end, log = run_job(tmp_path, setup, command)
    assert end.get("cause") == "finished", log
    assert "TMOUT=9 P=1 LD=/x F=f N=300 D=/\n" in log


OWN_NAMES = (
    "sweep_id", "member_name", "program", "name", "answer", "user_path", "own_path", "login_functions", "hang", "cause",
    "step", "node", "work_dir",
)  # fmt: skip


def test_the_training_sees_variables_with_names_of_the_script(tmp_path: Path) -> None:
    """The names that the functions use, apart from those that they pass on, such as run_dir."""
    setup = f"export {' '.join(f'{name}=users-{name}' for name in OWN_NAMES)}"
    command = f"echo seen {' '.join(f'${name}' for name in OWN_NAMES)} $WANDB_RUN_GROUP"
    end, log = run_job(tmp_path, setup, command)
    assert end.get("cause") == "finished", log
    assert f"\nseen {' '.join(f'users-{name}' for name in OWN_NAMES)}\n" in f"\n{log}"


def test_a_secret_is_not_an_argument_of_a_program(tmp_path: Path) -> None:
    """Everybody on a node can read the arguments of its processes, however short they live."""
    trace = tmp_path / "trace"
    secret = "hf_" + "s" * 30
    program = (FUNCTIONS / "12-shell.sh").read_text()
    program += '\nlogin_functions=; set -x; run_for_user \'printf "%s\\n" "$HF_TOKEN" "$A" "$UID"\' "A=a b"'
    done = subprocess.run(
        ["bash", "-c", f"exec 2> {trace}\nPS4='+ '\n{program}"],
        env={"HF_TOKEN": secret, "PATH": os.environ["PATH"], "CLUSTERRUN_KEPT_A": "x", "UID": "7"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [secret, "a b", "7"]
    started = [line for line in trace.read_text().splitlines() if line.startswith("+ exec ")]
    assert started
    assert not [line for line in started if secret in line]
    assert "/env " not in program
