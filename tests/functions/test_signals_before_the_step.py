"""Slurm ends a job before its script starts the step: a whole script under bash, and stand-ins for
Slurm's commands.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from clusterrun.job_spec import load_spec
from clusterrun.planning.script import render
from clusterrun.run_folder.records import read_record
from tests.support.bash_functions import FUNCTIONS
from tests.support.planned import plan_of

FAKES = {
    "scontrol": """#!/bin/sh
case $* in
  "show config") echo 'PreemptMode = REQUEUE' ;;
  "show partition"*) echo "PreemptMode=$FAKE_MODE" ;;
  requeue*) echo "$@" >> "$FAKE/requeued" ;;
esac
""",
    "squeue": "#!/bin/sh\n",
    "sbatch": '#!/bin/sh\necho "$@" >> "$FAKE/submitted"\necho 99\n',
    "srun": '#!/bin/sh\ntouch "$FAKE/srun"\n',
}
LINE = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 {}***\n"
# What the setup waits in; bash runs a trap only after it, and 5.2 loses the trap between two substitutions of one command.
WAITS = {
    "command": "sleep 60",
    "substitution": "x=$(sleep 60)",
    "two-substitutions": 'echo "$(sleep 60)" "$(true)" "$(true)"',
    "pipeline": "yes | head -n 1 | { sleep 60; cat; }",
    "script": "bash -c 'sleep 60; sleep 60'",
    "loop": "while sleep 1; do :; done",
    "deaf": "(trap '' TERM; sleep 60)",
    "must-succeed": "sleep 60 || exit 3",
}


class Job:
    """A batch script as slurmstepd starts it, and its own output file."""

    def __init__(self, folder: Path, setup: str, mode: str = "CANCEL") -> None:
        self.folder = folder
        self.out = folder / "slurm-7.out"
        (folder / "bin").mkdir()
        for name, text in FAKES.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        lines = [f"touch {folder}/staging", setup]
        spec = folder / "job.yaml"
        spec.write_text(f"name: r\ncommand: 'true'\nenvironment: {{setup: {lines!r}}}\n")
        loaded = load_spec(spec)
        script = folder / "job.sbatch"
        text = render(plan_of(loaded.spec, version="0", chdir=str(folder)))
        # the stand-ins stay on the PATH that the script sets
        script.write_text(
            text.replace("  PATH=/usr/local/bin:", f"  PATH={folder}/bin:/usr/local/bin:", 1)
        )
        environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "FAKE": str(folder), "FAKE_MODE": mode, "SLURM_JOB_ID": "7",
                 "SLURM_JOB_NODELIST": "n1", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_PARTITION": "p", "HOME": str(folder),
                 "SLURM_SUBMIT_DIR": str(folder), "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}  # fmt: skip
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                ["bash", script], env=environment, stdout=out, stderr=out, start_new_session=True
            )

    def wait_for(self, name: str) -> None:
        end = time.monotonic() + 30
        while not (self.folder / name).exists():
            assert time.monotonic() < end, f"{name}: {self.story()}"
            time.sleep(0.02)

    def end(self, words: str, *, tree: bool = False) -> None:
        """Send Slurm's final kill: its line, and TERM to the batch shell alone (cgroup) or to all
        its processes (linuxproc).
        """
        with self.out.open("a") as out:
            out.write(LINE.format(words))
        if tree:
            os.killpg(self.process.pid, signal.SIGTERM)
        else:
            self.process.send_signal(signal.SIGTERM)

    def record(self) -> dict[str, str]:
        """Return the end record, once the shell has exited, which it must within KillWait (30 s by
        default).
        """
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(self.story()) from None
        return read_record(self.folder / "runs" / "r-7" / "events" / "attempt-0001.end")

    def story(self) -> str:
        logs = [self.out, *(self.folder / "runs").glob("*/logs/*")]
        return "\n".join(f"{path}\n{path.read_text()}" for path in logs)


@pytest.mark.parametrize("tree", [False, True], ids=["cgroup", "linuxproc"])
@pytest.mark.parametrize("setup", WAITS.values(), ids=WAITS.keys())
def test_a_preemption_during_the_setup(tmp_path: Path, setup: str, tree: bool) -> None:
    """In whatever command the setup waits, the end is recorded with its cause, and a successor is
    queued.
    """
    job = Job(tmp_path, setup)
    job.wait_for("staging")
    time.sleep(0.3)
    job.end("DUE TO PREEMPTION ", tree=tree)
    record = job.record()
    assert (record.get("cause"), record.get("started")) == ("preemption", "no"), job.story()
    assert "--dependency=afterany:7" in (tmp_path / "submitted").read_text()
    assert len((tmp_path / "submitted").read_text().splitlines()) == 1
    assert not (tmp_path / "srun").exists()
    assert job.process.returncode != 0


ENDS = [
    # how the partition preempts, Slurm's lines; the cause, the decision, the requests to Slurm
    ("REQUEUE", "DUE TO PREEMPTION ", "preemption", "by-slurm", []),
    ("CANCEL", "", "cancel", "end", []),
    ("CANCEL", "DUE to SIGNAL Terminated ", "cancel", "end", []),
    ("REQUEUE", "DUE TO JOB REQUEUE ", "requeue", "by-slurm", []),
    (
        "REQUEUE",
        "DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ",
        "node-failure",
        "by-slurm",
        [],
    ),
    ("REQUEUE", "DUE TO TIME LIMIT ", "time-limit", "continue", ["requeued"]),
    ("REQUEUE", "DUE TO SOLAR FLARE ", "unknown", "continue", ["requeued"]),
]


@pytest.mark.parametrize(("mode", "words", "cause", "comes", "requests"), ENDS)
def test_an_end_during_the_setup_has_its_cause(
    tmp_path: Path, mode, words, cause, comes, requests
) -> None:
    """As during the step: what Slurm does not continue by itself is requested at once, and a
    cancelled run ends.
    """
    job = Job(tmp_path, WAITS["command"], mode)
    job.wait_for("staging")
    job.end(words, tree=True)
    record = job.record()
    assert (record.get("cause"), record.get("next")) == (cause, comes), job.story()
    assert [name for name in ("requeued", "submitted") if (tmp_path / name).exists()] == requests


@pytest.mark.parametrize(("setup", "reason"), [
    ("false", "exit code 1 from environment.setup: false; append || : to the line to ignore it"),
    ("exit 5", "exit code 5 from environment.setup: exit 5; append || : to the line to ignore it"),
])  # fmt: skip
def test_a_failed_setup_is_distinguished_from_an_end_by_slurm(
    tmp_path: Path, setup: str, reason: str
) -> None:
    """Without Slurm's line it is the user's to fix, also if the setup exits the script."""
    job = Job(tmp_path, setup)
    record = job.record()
    assert (record.get("cause"), record.get("next"), record.get("reason")) == (
        "failed-start",
        "end",
        reason,
    ), job.story()
    assert not (tmp_path / "submitted").exists()


def test_an_end_during_the_setup_is_no_idle_attempt(tmp_path: Path) -> None:
    """It says nothing about the training, unless the setup itself takes longer than the time limit."""
    for number, cause in enumerate(("preemption", "requeue", "time-limit"), start=1):
        (tmp_path / "events").mkdir(exist_ok=True)
        (tmp_path / "events" / f"attempt-000{number}.end").write_text(
            f"cause={cause}\nstarted=no\n"
        )
    (tmp_path / "progress").write_text("step=7\n")
    (tmp_path / "ledger").write_text("attempt=0000\ncrashes=0\nidle=2\nfurthest=7\ncheckpoint=\n")
    text = 'for n in 1 2 3; do update_ledger "000$n" "$(read_value cause "$run_dir/events/attempt-000$n.end")"; read_value idle "$run_dir/ledger"; done'
    command = ["bash", "-c", f'for file in "$0"/*.sh; do . "$file"; done\n{text}', FUNCTIONS]
    answer = subprocess.run(command, env={"PATH": os.environ["PATH"], "run_dir": str(tmp_path)}, text=True,
                            capture_output=True, check=True)  # fmt: skip
    assert answer.stdout.split() == ["2", "2", "3"]


def test_no_wait_blocks_signals() -> None:
    """A `sleep` in the foreground delays the shell's traps; the one helper waits for a sleep in the
    background.
    """
    lines = [
        line for path in sorted(FUNCTIONS.glob("*.sh")) for line in path.read_text().splitlines()
    ]
    sleeps = [
        line.strip() for line in lines if re.search(r"(^|[\s;&|(])sleep\s", line.split("#")[0])
    ]
    assert sleeps == ['sleep "$1" &']
