"""The last words of a script, one by one: what a signal amid the decision does, and how a requeue is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_decide import bash, said

STRUCK = """
trap 'heard=1' TERM
tries=0
find() { tries=$((tries + 1)); found=$([ "$tries" -gt 1 ] || kill -TERM $$ $BASHPID; echo found); }
undisturbed find
echo "$tries $found"
"""


def test_a_signal_amid_the_decision_does_not_empty_it():
    """TERM ends the subshell that was to answer; it is asked again, and answers."""
    assert said(STRUCK) == "2 found\n"


AWAY = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
ODD = "Unexpected message received for job 7"
OFF = "Requested operation is presently disabled for job 7"
PENDING = "Job is pending execution for job 7"
ANSWERS = [
    # what scontrol says, one answer a try (ok: it is done); what is left unasked; whether the script waits for its end
    (["ok"], 0, True),
    ([PENDING, "ok"], 1, True),  # a preemption was faster
    ([AWAY] * 9 + ["ok"], 0, True),  # slurmctld comes back
    ([ODD] * 9 + ["ok"], 0, True),  # and so it answers while it is away
    ([OFF] * 2 + ["ok"], 0, True),
    ([OFF] * 7, 2, False),
]
ASK = """
requeue_asked= step_exit=1
pause() { :; }
leave_if_told() { :; }
linger() { echo lingers; exit 0; }
scontrol() { local answer; read -r answer < "$answers"; sed -i 1d "$answers"; echo "$answer"; [ "$answer" = ok ]; }
ask_for_requeue crash
"""


@pytest.mark.parametrize(("words", "left", "lingers"), ANSWERS)
def test_a_requeue_is_asked_for_with_patience(tmp_path: Path, words, left, lingers):
    """A controller that is away is asked until it answers; a refusal counts, and the fifth one is the run's end."""
    answers = tmp_path / "answers"
    answers.write_text("".join(f"{word}\n" for word in words))
    (tmp_path / "events").mkdir()
    done = bash(ASK, run_dir=tmp_path, attempt="0001", answers=answers, SLURM_JOB_ID=7)
    assert len(answers.read_text().splitlines()) == left
    assert (done.stdout == "lingers\n") is lingers
    end = tmp_path / "events" / "attempt-0001.end"
    assert end.exists() is not lingers
    if not lingers:
        assert end.read_text().splitlines()[:4] == [
            "cause=crash",
            "next=end",
            "exit_code=1",
            f"reason=requeue refused: {OFF}",
        ]


@pytest.mark.parametrize(("lead", "longest", "seconds"), [(120, None, 120), (120, "0.40", 120), (30, "41.90", 112)])
def test_the_stop_comes_earlier_where_saves_last_longer(tmp_path: Path, lead, longest, seconds):
    """The script's own timer leaves the spec's lead and twice the longest save of the run."""
    if longest:
        (tmp_path / "saves").write_text(f"longest={longest}\n")
    assert said("seconds_to_save_in", run_dir=tmp_path, signal_lead=lead) == f"{seconds}\n"


@pytest.mark.parametrize(("record", "crashed"), [
    (None, False), ("exit_code=0\nasked=\n", False), ("exit_code=1\nasked=TERM\n", False), ("exit_code=1\nasked=\n", True),
])  # fmt: skip
def test_another_nodes_crash_is_told_from_a_preemption(tmp_path: Path, record, crashed):
    """Only a task that ended badly before anybody asked it to stop makes srun's TERM a crash's."""
    (tmp_path / "events").mkdir()
    if record:
        (tmp_path / "events" / "attempt-0001.node-1").write_text(record)
    assert (bash("another_crashed", run_dir=tmp_path, attempt="0001").returncode == 0) is crashed
