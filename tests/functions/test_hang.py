"""When a run hangs: the key of the spec, and how the job script detects it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from clusterrun.diagnosis.stacks import read_hang_locations
from clusterrun.job_spec import JobSpec, durations
from clusterrun.run_logs.attribution import attribute_lines
from tests.support.bash_functions import FUNCTIONS, LOAD, bash, said
from tests.support.planned import plan_of


@pytest.mark.parametrize(("written", "carried"), [
    ("auto", "auto"), (True, "auto"), (False, "off"), ("off", "off"), ("no", "off"), ("30min", "1800"), ("90s", "90"), ("2h", "7200"),
    ("0.5h", "1800"), ("1:30:00", "5400"), ("1-12", "129600"), ("45:00", "2700"),
])  # fmt: skip
def test_accepted_hang_timeouts(written, carried):
    """A time as in checkpoint.every or in sbatch's format; the stored spec can be read again."""
    spec = JobSpec(name="a", script="a.py", hang=written)
    assert plan_of(spec).hang == carried
    again = JobSpec.model_validate(spec.model_dump(mode="json"))
    assert again.hang == spec.hang


@pytest.mark.parametrize(
    "written", ["30", "soon", "500 steps", "0s", "0:00", "unlimited", "", "-5min"]
)
def test_refused_hang_timeouts(written):
    """A bare number could mean seconds or, as for sbatch, minutes."""
    with pytest.raises(
        ValueError,
        match=r"is not a duration\nwrite|has no unit|must|text",
    ):
        JobSpec(name="a", script="a.py", hang=written)


def test_seconds_are_whole():
    """bash counts in whole seconds, and a hang timeout is never 0."""
    assert durations.hang_seconds("0.2s") == 1


OWN = "step=4\ndoing=step\npatience=900"
SAVE = "step=4\ndoing=save\npatience=7200"

PATIENCE = [
    # hang, progress now, seconds since the last log line, earlier hangs, checkpoint.path: the hang timeout
    ("auto", OWN, 9999, 0, "", 900),
    ("auto", OWN, 100, 0, "", 3600),  # it prints
    ("auto", OWN, 99999, 1, "", 1800),
    ("auto", OWN, 99999, 3, "", 7200),
    ("auto", OWN, 999999, 99, "", 28800),
    ("auto", SAVE, 9999, 0, "", 7200),
    ("auto", "step=4\ndoing=other\npatience=0", 9999, 0, "", None),
    ("auto", "step=4", 9999, 0, "", None),  # an older training library
    ("auto", "", 99999, 0, "", None),  # before its first line
    ("auto", "", 99999, 0, "own", None),
    ("600", OWN, 0, 3, "", 600),
    ("9000", OWN, 0, 0, "", 9000),
    ("600", SAVE, 0, 0, "", 7200),
    ("9000", SAVE, 0, 0, "", 9000),
    ("600", "step=4\ndoing=other\npatience=0", 9999, 0, "", None),
    ("600", "", 9999, 0, "", None),
    ("600", "", 9999, 0, "own", 600),
    ("600", "", 500, 0, "own", None),  # it prints, or has a new checkpoint
]


@pytest.mark.parametrize(
    ("requested", "progress", "log_idle_s", "hangs", "path", "seconds"), PATIENCE
)
def test_the_hang_timeout_of_a_run(tmp_path, requested, progress, log_idle_s, hangs, path, seconds):
    """As the training library requests, longer if the script prints and if the run has hung before;
    none for a script without any sign of progress.
    """
    (tmp_path / "events").mkdir()
    for number in range(hangs):
        (tmp_path / "events" / f"attempt-{number:04d}.end").write_text("cause=hang\n")
    (tmp_path / "events" / "attempt-1000.end").write_text("cause=crash\n")
    answer = said(
        "find_idle_limit",
        run_dir=tmp_path,
        hang=requested,
        progress_at_start="",
        progress=progress,
        log_idle_s=log_idle_s,
        checkpoint_path=path,
    )
    assert answer == ("" if seconds is None else f"{seconds}\n")


def test_progress_of_an_earlier_attempt_does_not_count(tmp_path):
    """Its progress file exists when this attempt starts."""
    assert (
        said(
            "find_idle_limit",
            run_dir=tmp_path,
            hang="auto",
            progress_at_start=OWN,
            progress=OWN,
            log_idle_s=99999,
        )
        == ""
    )


WATCHED = """
elapsed_s=7 progress= progress_idle_s=0
progress_at_start=$(cat "$run_dir/progress" 2>/dev/null)
check_progress; echo "$progress_idle_s"
for word in same new gone new newer; do
  case $word in
    same) ;;
    gone) mv "$run_dir/progress" "$run_dir/away" ;;
    *) echo "step=$word" > "$run_dir/progress" ;;
  esac
  check_progress; echo "$progress_idle_s"
done
"""


@pytest.mark.parametrize("before", [None, "step=old"])
def test_what_counts_as_silence(tmp_path, before):
    """A new line ends it; a file server that shows no file does not prolong it."""
    if before:
        (tmp_path / "progress").write_text(f"{before}\n")
    else:
        (tmp_path / "progress").write_text("")
    assert said(WATCHED, run_dir=tmp_path).split() == ["7", "14", "0", "0", "7", "0"]


LEFT = [
    ([None, None], False), ([0, None], False), ([0, 0], True), ([1, None], True), ([None, 143], True), ([0, 1], True),
]  # fmt: skip


@pytest.mark.parametrize(("codes", "left"), LEFT)
def test_when_srun_should_return(tmp_path, codes, left):
    """A node's task has failed, or all have ended; one may end before another one that still works."""
    (tmp_path / "events").mkdir()
    for node, code in enumerate(codes):
        if code is not None:
            (tmp_path / "events" / f"attempt-0002.node-{node}").write_text(f"exit_code={code}\n")
    done = bash(
        "srun_should_have_returned",
        run_dir=tmp_path,
        attempt="0002",
        SLURM_JOB_NUM_NODES=len(codes),
    )
    assert (done.returncode == 0) == left


@pytest.mark.parametrize(("requested", "seconds"), [("auto", 300), ("20", 20), ("7200", 300)])
def test_the_timeout_for_srun(requested, seconds):
    """A few minutes at most."""
    assert said("find_srun_limit", hang=requested) == f"{seconds}\n"


TRAINER = """
import os, sys, time
from pathlib import Path
from clusterrun.training.stopping.requests import dump_stacks_on_request
dump_stacks_on_request(Path(sys.argv[1]), 1)
helper = os.fork()
if not helper:
    os.execvp("sleep", ["sleep", "60"])  # has no handler any more
print("ready", flush=True)
time.sleep(60)
"""


def test_only_processes_with_a_handler_are_asked_for_stacks(tmp_path):
    """The signal would end any other process, such as a program that a rank has started."""
    shell = (
        f"{LOAD}\n"
        '"$1" -c "$2" "$3" & launcher=$!\nread -r; exec {never}<> <(:); node_dir=$3; dump_stacks; echo end; read -r'
    )
    words = ["bash", "-c", shell, FUNCTIONS, sys.executable, TRAINER, tmp_path]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        try:
            assert node.stdout.readline() == "ready\n"
            node.stdin.write("\n")
            node.stdin.flush()
            printed = "".join(iter(node.stdout.readline, "end\n"))
            below = subprocess.run(
                ["ps", "-o", "comm=", "-s", str(node.pid)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
        finally:
            os.killpg(node.pid, signal.SIGKILL)
    assert "---- rank 1 on " in printed
    assert 'File "<string>", line 10 in <module>' in printed
    assert printed.count("---- rank") == 1
    (place,) = read_hang_locations(
        attribute_lines(printed.split("\n"))
    )  # as `clusterrun why` reads it
    assert (place.rank, place.innermost_call) == (1, "<module> (<string>:10)")
    assert "sleep" in below
