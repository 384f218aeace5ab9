"""bash 5.2 reports a trap that runs between two substitutions of one command as a syntax error, and
ends the script.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.bash_functions import FUNCTIONS, LOAD

# 20- to 40-, except 35-, run before the step, where the script's end repairs a lost trap; 65- runs in children without traps; 75- runs with
# signals ignored.
TRAPPING = tuple(
    sorted(
        path.name
        for pattern in ("1*.sh", "35*.sh", "[4-9]*.sh")
        for path in FUNCTIONS.glob(pattern)
        if path.name[:2] not in ("40", "65", "75")
    )
)
# A substitution runs in a child without traps: only the outermost ones count.
STANDS_ALONE = re.compile(r"(?:^|[ ;&|)])(?:\w+=@@(?= *(?:$|[;&|}#]))|case @@ in)")


def outermost(text: str) -> str:
    """Return the text with `@@` in place of each outermost command substitution."""
    found, depth, place = "", 0, 0
    while place < len(text):
        opens = text.startswith("$(", place) and not text.startswith("$((", place)
        depth += opens or (depth > 0 and text[place] == "(")
        if not depth:
            found += text[place]
        depth -= depth > 0 and text[place] == ")"
        found += "@@" if opens and depth == 1 else ""
        place += 2 if opens else 1
    return found


@pytest.mark.parametrize("name", TRAPPING)
def test_a_substitution_under_a_trap_is_alone_in_its_command(name: str) -> None:
    """Measured under many signals: an assignment and `case` are safe; a test, an argument and
    arithmetic are not.
    """
    lines = [
        line
        for line in (FUNCTIONS / name).read_text().splitlines()
        if not line.lstrip().startswith("#")
    ]
    wrong = [
        line
        for line in outermost("\n".join(lines)).splitlines()
        if "@@" in STANDS_ALONE.sub("", line)
    ]
    assert wrong == []


def test_the_end_is_recorded_under_many_signals(tmp_path: Path) -> None:
    """Slurm repeats its TERM, and none of them may interrupt the end record, or anything else that
    happens then.
    """
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "attempt-0001.node-0").write_text(
        "node=n1\nname=n1\nexit_code=1\nstop_request=\nanother_node_failed=\nended=5\n"
    )
    (tmp_path / "job.sbatch").touch()
    text = """
    sbatch() { echo 7; }; scontrol() { :; }; squeue() { :; }; work_dir=.
    trap 'signal_seen=1 term_seen=TERM' TERM; : > "$run_dir/ready"
    for ((i = 0; i < 5; i++)); do
      set_cause; update_ledger "000$i" crash; blame_nodes crash; set_next; record_end "$cause" "$next" "$reason"
      choose_continuation preemption by-slurm > "$run_dir/way"; rm -f "$run_dir/events/attempt-0001.successor"; queue_successor crash
    done; echo written
    """
    variables = {"run_dir": str(tmp_path), "attempt": "0001", "cause": "preemption", "step_exit": "0", "requeue_on": "",
             "max_crashes": "3", "num_machines": "1", "slurm_log": "/dev/null", "slurm_log_start": "0", "term_seen": "",
             "SLURM_JOB_ID": "6", "run_id": "r", "array_job": "", "PATH": os.environ["PATH"]}  # fmt: skip
    command = ["bash", "-c", f"{LOAD}\n{text}", str(FUNCTIONS)]
    started = subprocess.Popen(
        command, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    while started.poll() is None:
        started.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    assert started.communicate()[0].splitlines()[-1:] == ["written"]


# When Slurm's TERM arrives: before the continuation is known, while Slurm is asked for it, and during the pause.
MOMENTS = {
    "before": "kill -TERM $$",
    "asking": 'scontrol() { [ -e "$run_dir/asked" ] || { : > "$run_dir/asked"; kill -TERM $$; }; }',
    "pausing": "{ command sleep 1; kill -TERM $$; } &",
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_scancel_at_any_moment_after_a_crash(tmp_path: Path, moment: str) -> None:
    """The pause lasts as long as Slurm may wait before its KILL, so the end is recorded at once."""
    for name in ("events", "logs"):
        (tmp_path / name).mkdir()
    (tmp_path / "logs" / "attempt-0001.log").touch()
    (tmp_path / "ledger").write_text("crashes=3\n")
    (tmp_path / "slurm.out").write_text(
        "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 ***\n"
    )
    text = f"""
    scontrol() {{ :; }}; continuation_requested= term_seen= step_exit=1 slurm_log=$run_dir/slurm.out slurm_log_start=0
    trap 'note_signal TERM' TERM; requeue_by=auto
    {moment}
    continue_run crash continue
    """
    variables = {
        "PATH": os.environ["PATH"],
        "run_dir": str(tmp_path),
        "attempt": "0001",
        "SLURM_JOB_ID": "7",
    }
    began = time.monotonic()
    subprocess.run(
        ["bash", "-c", f"{LOAD}\n{text}", str(FUNCTIONS)], env=variables, check=False, timeout=60
    )
    assert (tmp_path / "events" / "attempt-0001.end").read_text().splitlines()[:2] == [
        "cause=cancel",
        "next=end",
    ]
    assert time.monotonic() - began < 15  # of the pause's 45 s
