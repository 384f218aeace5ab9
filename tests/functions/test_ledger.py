"""The ledger: crashes and attempts without progress, and the end of retries."""

from __future__ import annotations

import os

import pytest

from tests.support.bash_functions import said

LEDGERS = [
    # crashes, idle attempts, furthest step and checkpoint so far; the step and the checkpoint now; the cause; the new counts
    (None, (None, None), "crash", (1, 1, 0)),
    (
        None,
        (None, None),
        "preemption",
        (0, 0, 0),
    ),  # a script that reports nothing is not judged by its progress
    (None, (7, None), "preemption", (0, 0, 7)),
    ((0, 0, 7, ""), (7, None), "preemption", (0, 1, 7)),
    ((0, 2, 7, ""), (5, None), "node-failure", (0, 3, 7)),
    ((0, 2, 7, ""), (8, None), "node-failure", (0, 0, 8)),
    ((1, 0, 7, ""), (9, None), "crash", (2, 0, 9)),
    ((2, 1, 10, "step-00000010-0001"), (10, "step-00000010-0001"), "crash", (3, 2, 10)),
    ((2, 1, 10, "step-00000010-0001"), (10, "step-00000010-0001"), "hang", (3, 2, 10)),
    ((2, 1, 10, "step-00000010-0001"), (25, "step-00000020-0002"), "hang", (1, 0, 25)),
    ((2, 1, 10, "step-00000010-0001"), (10, "step-00000010-0001"), "preemption", (2, 2, 10)),
    ((2, 1, 10, "step-00000010-0001"), (25, "step-00000020-0002"), "crash", (1, 0, 25)),
    ((2, 1, 10, "step-00000010-0001"), (25, "step-00000020-0002"), "preemption", (0, 0, 25)),
]


@pytest.mark.parametrize(("before", "now", "cause", "after"), LEDGERS)
def test_the_ledger_counts_crashes_and_idle_attempts(run_dir, before, now, cause, after):
    """Crashes in a row count until a new checkpoint, attempts without a new step until one; each
    attempt once.
    """
    if before:
        crashes, idle, furthest, checkpoint = before
        lines = f"attempt=0001\ncrashes={crashes}\nidle={idle}\nfurthest={furthest}\ncheckpoint={checkpoint}\n"
        (run_dir / "ledger").write_text(lines)
    step, newest = now
    if step is not None:
        (run_dir / "progress").write_text(f"step={step}\n")
    if newest:
        (run_dir / "saves").write_text(f"checkpoint={newest}\n")
    text = 'update_ledger 0002 $1 && update_ledger 0002 $1; for key in crashes idle furthest; do read_value $key "$run_dir/ledger"; done'
    assert tuple(map(int, said(text, cause, run_dir=run_dir).split())) == after


def test_a_script_with_its_own_checkpoints_makes_progress_by_them(run_dir):
    """A newer match of checkpoint.path is progress, for the crash budget and for the idle attempts."""
    own = run_dir / "own 1"
    own.write_text("state")
    text = 'update_ledger $1 crash; for key in crashes idle; do read_value $key "$run_dir/ledger"; done'
    counts = []
    for attempt in ("0001", "0002", "0003"):
        counts.append(
            said(text, attempt, run_dir=run_dir, checkpoint_path=f"{run_dir}/own *").split()
        )
        if attempt == "0002":
            (run_dir / "own 2").write_text("state")
    assert counts == [["1", "0"], ["2", "1"], ["1", "0"]]


WHYS = [
    ("crash", 4, 0, "4 crashes without a new checkpoint; requeue.crashes is 3\n"),
    ("hang", 4, 0, "4 crashes or hangs without a new checkpoint; requeue.crashes is 3\n"),
    ("crash", 3, 2, ""),
    ("crash", 3, 3, "3 attempts in a row without a new step\n"),
    ("preemption", 0, 3, "3 attempts in a row without a new step\n"),
    ("preemption", 9, 0, ""),
    ("finished", 9, 9, ""),
]


@pytest.mark.parametrize(("cause", "crashes", "idle", "words"), WHYS)
def test_a_run_that_gave_up_has_a_reason(run_dir, cause, crashes, idle, words):
    """It names the count and the limit."""
    (run_dir / "ledger").write_text(f"crashes={crashes}\nidle={idle}\n")
    assert said("explain_end $1", cause, run_dir=run_dir, max_crashes=3) == words


@pytest.mark.parametrize("cause", ["crash", "hang"])
def test_one_crash_is_singular(run_dir, cause):
    (run_dir / "ledger").write_text("crashes=1\nidle=0\n")
    reason = f"1 {cause} without a new checkpoint; requeue.crashes is 0\n"
    assert said("explain_end $1", cause, run_dir=run_dir, max_crashes=0) == reason


def test_the_newest_of_a_scripts_own_checkpoints(run_dir):
    """The newest modification time counts; an empty file does not count, and names may have
    spaces.
    """
    for number, name in enumerate(("own 3", "own 1", "own 2", "own empty")):
        (run_dir / name).write_text("" if name == "own empty" else "state")
        os.utime(run_dir / name, (1_000_000 + number, 1_000_000 + number))
    (run_dir / "own folder").mkdir()
    pattern = f"{run_dir}/own *"
    assert said("find_newest_match", run_dir=run_dir, checkpoint_path=pattern) == f"{run_dir}/own 2"
    assert (
        said('find_newest_match "$1"', f"{run_dir}/own 2", checkpoint_path=pattern)
        == f"{run_dir}/own 1"
    )
    assert said("find_newest_match", checkpoint_path=f"{run_dir}/none *") == ""


STARTS = [
    # the cause, the attempts that made a step; whether the second attempt counts as idle
    ("preemption", ["0001"], False),  # preempted during its start
    ("requeue", ["0001"], False),
    ("node-failure", ["0001"], False),
    ("preemption", ["0001", "0002"], True),  # it repeated steps, and made no new one
    ("node-failure", ["0001", "0002"], True),
    ("time-limit", ["0001"], True),  # its start is longer than the time limit
    ("crash", ["0001"], True),
    ("unknown", ["0001"], True),
    ("preemption", [], True),  # a script without the training library
]


@pytest.mark.parametrize(("cause", "stepped", "counts"), STARTS)
def test_an_attempt_that_ended_during_its_start_is_not_idle(run_dir, cause, stepped, counts):
    """However often Slurm preempts a run during its start, it has not failed."""
    (run_dir / "ledger").write_text("attempt=0001\ncrashes=0\nidle=0\nfurthest=7\ncheckpoint=\n")
    (run_dir / "progress").write_text("step=7\n")
    (run_dir / "metrics").mkdir()
    for name in stepped:
        (run_dir / "metrics" / f"attempt-{name}.times").write_text("first_step=1\n")
    text = 'update_ledger 0002 $1; read_value idle "$run_dir/ledger"'
    assert said(text, cause, run_dir=run_dir) == f"{int(counts)}\n"
