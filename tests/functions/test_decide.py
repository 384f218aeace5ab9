"""The job script's functions, one by one: what is decided after an attempt, and from which facts."""

from __future__ import annotations

import itertools

import pytest

from tests.support.bash_functions import said

CAUSES = ("preemption", "time-limit", "node-failure", "crash", "hang")


def decisions(questions: list[tuple[object, ...]], **variables: object) -> list[str]:
    """Call `decide` many times in one shell; each call has five arguments."""
    words = [str(word) for question in questions for word in question]
    loop = 'while [ $# -gt 0 ]; do decide_next "$1" "$2" "$3" "$4" "$5"; shift 5; done'
    return said(loop, *words, **variables).splitlines()


def expected_decision(
    cause: str, crashes: int, idle: int, causes: tuple[str, ...], most: int
) -> str:
    """Return the decision of the documentation's table, in Python."""
    if cause == "requeue":
        return "continue"
    if cause not in causes or idle >= 3:
        return "end"
    if cause == "node-failure":
        return "by-slurm"
    return "end" if cause in ("crash", "hang") and crashes > most else "continue"


def test_the_decision_follows_the_table():
    """Every cause below, at and beyond the crash budget and the limit of idle attempts, for every
    requeue.on.
    """
    subsets = [chosen for count in range(6) for chosen in itertools.combinations(CAUSES, count)]
    endings = (
        *CAUSES,
        "finished",
        "stop",
        "cancel",
        "failed-start",
        "no-restart",
        "requeue",
        "something-new",
    )
    questions = list(itertools.product(endings, (0, 1, 3, 4), (0, 2, 3, 4), subsets, (0, 3)))
    answers = decisions(
        [(cause, n, idle, " ".join(on), most) for cause, n, idle, on, most in questions]
    )
    wrong = {
        question: answer
        for question, answer in zip(questions, answers, strict=True)
        if answer != expected_decision(*question)
    }
    assert wrong == {}


READ_BY_EYE = [
    # cause, crashes, idle attempts, requeue.on, budget: decision
    ("finished", 0, 0, "crash", 3, "end"),
    ("stop", 0, 0, "preemption", 3, "end"),
    ("cancel", 0, 0, "preemption crash", 3, "end"),
    ("no-restart", 1, 0, "crash", 3, "end"),
    ("preemption", 0, 0, "preemption", 3, "continue"),
    ("preemption", 9, 2, "preemption", 3, "continue"),
    ("preemption", 0, 3, "preemption", 3, "end"),
    ("preemption", 0, 0, "time-limit crash", 3, "end"),
    ("time-limit", 0, 0, "preemption time-limit", 3, "continue"),
    ("node-failure", 0, 0, "node-failure", 0, "by-slurm"),
    ("bad-node", 0, 0, "node-failure", 0, "continue"),
    ("unknown", 0, 0, "node-failure", 0, "continue"),
    ("unknown", 0, 3, "node-failure", 0, "end"),
    ("unknown", 0, 0, "preemption crash", 0, "end"),
    ("bad-node", 0, 3, "node-failure", 0, "end"),
    ("bad-node", 0, 0, "preemption", 0, "end"),
    ("crash", 1, 1, "crash", 3, "continue"),
    ("crash", 3, 2, "crash", 3, "continue"),
    ("crash", 3, 3, "crash", 3, "end"),
    ("crash", 4, 0, "crash", 3, "end"),
    ("crash", 1, 0, "crash", 0, "end"),
    ("crash", 1, 0, "", 3, "end"),
    ("hang", 3, 2, "hang", 3, "continue"),
    ("hang", 4, 0, "hang", 3, "end"),
    ("hang", 1, 0, "crash", 3, "end"),
    ("requeue", 0, 0, "", 0, "continue"),
    ("", 0, 0, "preemption crash", 3, "end"),
]


def test_the_most_important_decisions():
    """The cases that a person would look up, each written out."""
    assert decisions([case[:5] for case in READ_BY_EYE]) == [case[5] for case in READ_BY_EYE]


@pytest.mark.parametrize(("unfit", "answer"), [(1, "continue"), (9, "continue"), (10, "end")])
def test_nodes_that_fail_the_check_are_not_retried_for_ever(unfit, answer):
    """Each is excluded, which a requeue cannot do, so the same nodes may be allocated again."""
    assert said("decide_next bad-node 0 0 node-failure 3 $1", unfit) == f"{answer}\n"


def test_attempts_with_unfit_nodes_are_counted_in_a_row(tmp_path):
    """They say nothing about the training, and count neither as crashes nor as idle."""
    (tmp_path / "events").mkdir()
    text = 'n=1; for cause; do update_ledger "000$n" "$cause"; n=$((n + 1)); done; cat "$run_dir/ledger"'
    ledger = said(text, "bad-node", "bad-node", run_dir=tmp_path).splitlines()
    assert {"unfit=2", "idle=0", "crashes=0"} <= set(ledger)
    ledger = said(text, "x", "x", "bad-node", "bad-node", "crash", run_dir=tmp_path).splitlines()
    assert {"unfit=0", "idle=1", "crashes=1"} <= set(ledger)


def test_after_a_term_slurm_requeues_the_job():
    """Slurm requeues a preempted, failed or requeued job by itself; after a time limit it never
    does.
    """
    questions = [(cause, 0, 0, " ".join(CAUSES), 3) for cause in (*CAUSES, "requeue")]
    answers = ["by-slurm", "continue", "by-slurm", "continue", "continue", "by-slurm"]
    assert decisions(questions, term_seen="TERM") == answers


@pytest.mark.parametrize(("version", "answer"), [
    ("slurm 22.05.8", "continue"), ("slurm 23.11.10", "continue"), ("slurm 24.05.0", "by-slurm"),
    ("slurm 24.11.5", "by-slurm"), ("slurm 26.05.5-1", "by-slurm"), ("", "continue"),
    ("slurm-wlm 22.05.8", "continue"), ("slurm-wlm 24.11.5", "by-slurm"), ("slurm 20.11.9", "continue"),
    ("slurm 30.05.1", "by-slurm"),
])  # fmt: skip
def test_newer_slurm_holds_jobs_that_exit_in_the_grace(version, answer):
    """From 24.05 on a preempted job is held after five exits within its grace: it stays until it is
    killed.
    """
    text = f"scontrol() {{ echo '{version}'; }}\ndecide_next preemption 0 0 preemption 3"
    assert said(text) == f"{answer}\n"


def test_slurm_without_a_version():
    """Its error messages do not reach the log, and the run continues by itself."""
    text = "scontrol() { echo 'scontrol: error: no answer' >&2; return 1; }"
    assert said(f"{text}\ndecide_next preemption 0 0 preemption 3") == "continue\n"


@pytest.mark.parametrize(
    ("crashes", "seconds"), [("", 5), (1, 5), (2, 15), (3, 45), (4, 135), (5, 300), (50, 300)]
)
def test_the_pause_after_a_crash_grows(crashes, seconds):
    """Three times as long each time, and at most five minutes."""
    assert said("compute_pause $1", crashes) == f"{seconds}\n"
