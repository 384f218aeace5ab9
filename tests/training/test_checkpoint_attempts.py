"""Attempts and their checkpoints: which attempt may publish and prune, which checkpoint is tried
again, and which never.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record
from clusterrun.training.checkpointing.manifest import find_damage, seal
from clusterrun.training.checkpointing.store import Checkpoints
from clusterrun.training.records.events import find_crashed_resumes
from clusterrun.training.stopping.fence import Fence, Fenced
from tests.training_scripts.launches import (
    ROOT,
    attempt_of,
    clean_environment,
    fake_checkpoint,
    marker,
    names,
    result_of_rank,
    start,
    start_two,
)

SAVE_STEPS = ROOT / "tests" / "training_scripts" / "save_steps.py"


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf")) | {"ACCELERATE_USE_CPU": "true"}


def begin(folder: Path, attempt: str, **more: object) -> dict[str, str]:
    """Write what the job script writes when an attempt starts, and return the attempt's
    environment.
    """
    environment = attempt_of(folder, attempt, **more)
    write_record(folder / "events" / f"attempt-{attempt}.begin", {"job_id": 1})
    write_record(folder / "current", {"attempt": attempt, "job_id": 1})
    return environment


def end(folder: Path, attempt: str, cause: str) -> None:
    write_record(folder / "events" / f"attempt-{attempt}.end", {"cause": cause})


def resume_of(folder: Path, attempt: str) -> dict[str, str]:
    return read_record(folder / "events" / f"attempt-{attempt}.resume")


def test_a_checkpoint_whose_resume_crashed_is_not_tried_again(tmp_path, clean):
    """An attempt that dies during load_state leaves a record; the next one uses the previous
    checkpoint, and logs why.
    """

    def train(attempt: str, *options: object):
        environment = clean | begin(tmp_path, attempt, CHECKPOINT_EVERY="2 steps")
        return start(
            SAVE_STEPS, tmp_path, *options, environment=environment, log=tmp_path / "log"
        ).wait()

    assert train("0001", "--steps", 4).code == 0
    assert resume_of(tmp_path, "0001") == {"checkpoint": "", "step": "0", "state": "resumed"}
    assert train("0002", "--die_at_load").code == 7
    assert resume_of(tmp_path, "0002") == {
        "checkpoint": "step-00000004-0001",
        "step": "4",
        "state": "loading",
    }
    end(tmp_path, "0002", "crash")
    ended = train("0003", "--steps", 3)
    assert ended.code == 0, ended.output
    assert "skipping step-00000004-0001: attempt 0002 crashed while loading it" in ended.output
    assert resume_of(tmp_path, "0003") == {
        "checkpoint": "step-00000002-0001",
        "step": "2",
        "state": "resumed",
    }
    assert result_of_rank(tmp_path)["began"] == 2


@pytest.mark.parametrize(
    ("state", "cause", "counts"),
    [
        ("loading", "crash", True),
        ("loading", "preemption", False),
        ("loading", "node-failure", False),
        ("resumed", "crash", False),
        ("loading", None, False),
    ],
)
def test_only_a_crash_during_a_load_excludes_a_checkpoint(tmp_path, state, cause, counts):
    """A preemption, a failed node, or a crash after the load says nothing about the checkpoint."""
    begin(tmp_path, "0001")
    write_record(
        tmp_path / "events" / "attempt-0001.resume", {"checkpoint": "step-1-1", "state": state}
    )
    if cause:
        end(tmp_path, "0001", cause)
    assert find_crashed_resumes(RunPaths(tmp_path), "0002") == (
        {"step-1-1": "0001"} if counts else {}
    )
    assert find_crashed_resumes(RunPaths(tmp_path), "0001") == {}


def test_a_fenced_attempt_cannot_publish(tmp_path, clean):
    """An attempt that another one has replaced publishes nothing, writes no marker, and exits with
    1 on all ranks.
    """
    environment = clean | begin(tmp_path, "0001", CHECKPOINT_EVERY="2 steps")
    # the launcher terminates the ranks that are left: here each has time to exit by itself
    environment["SECONDS_FOR_OTHER_RANKS"] = "60"
    options = ["--steps", 100_000, "--at", 4, "fence"]
    ended = start_two(
        SAVE_STEPS, tmp_path, *options, environment=environment, log=tmp_path / "log"
    ).wait()
    assert ended.code == 1
    assert "another attempt of this run has taken over" in ended.output
    assert ended.output.count(" ended with exit code 1\n") == 2
    assert ended.output.count(" ended with exit code ") == 2
    assert names(tmp_path) == ["step-00000002-0001"]
    assert list((tmp_path / "staging").iterdir()) == []
    assert marker(tmp_path, "0001") == {}
    assert read_record(tmp_path / "saves")["checkpoint"] == "step-00000002-0001"
    assert not (tmp_path / "rank-1.json").exists()


def test_a_fenced_attempt_exits_without_a_save(tmp_path, clean):
    """The main process checks every few seconds; all ranks exit at the same step, and nothing is
    written after it.
    """
    environment = clean | begin(tmp_path, "0001")
    options = ["--steps", 100_000, "--pace", 0.01, "--at", 4, "fence"]
    ended = start_two(
        SAVE_STEPS, tmp_path, *options, environment=environment, log=tmp_path / "log"
    ).wait()
    assert ended.code == 1
    assert "another attempt of this run has taken over" in ended.output
    assert names(tmp_path) == []
    assert marker(tmp_path, "0001") == {}


def test_a_fenced_attempt_that_ends_has_not_finished(tmp_path, clean):
    """The last step of a fenced attempt is not the end of the run: it writes no marker."""
    environment = clean | begin(tmp_path, "0001")
    options = ["--steps", 3, "--at", 3, "fence"]
    ended = start(
        SAVE_STEPS, tmp_path, *options, environment=environment, log=tmp_path / "log"
    ).wait()
    assert ended.code == 1
    assert marker(tmp_path, "0001") == {}


def test_an_attempt_that_is_fenced_at_its_start_changes_nothing(tmp_path, clean):
    """A late attempt resumes from nothing, and leaves the staging folder of the active one alone."""
    environment = clean | begin(tmp_path, "0001")
    begin(tmp_path, "0002")
    living = tmp_path / "staging" / "step-00000009-0002" / "model.safetensors"
    living.parent.mkdir(parents=True)
    living.touch()
    ended = start(SAVE_STEPS, tmp_path, environment=environment, log=tmp_path / "log").wait()
    assert ended.code == 1
    assert living.exists()
    assert resume_of(tmp_path, "0001") == {}


def test_an_attempt_is_fenced_by_another_attempts_number(tmp_path):
    """Its own number, none, or no file does not fence it; another number does, at the next check
    and at a publication.
    """
    current = tmp_path / "current"
    fence = Fence(current, 2)
    for text in ("", "attempt=0002\n", "attempt=\n", "job_id=7\n"):
        current.write_text(text)
        fence.check()
        assert not fence.is_fenced(now=True)
    current.write_text("attempt=0003\n")
    with pytest.raises(Fenced, match="attempt 0003 has taken over"):
        fence.check()
    assert fence.is_fenced(now=True)
    current.unlink()
    assert fence.is_fenced()  # permanently
    assert not Fence(None, 1).is_fenced()


def prepared(folder: Path, attempt: int, keep: int | None) -> Checkpoints:
    checkpoints = Checkpoints(folder / "checkpoints", folder / "staging", attempt, keep)
    checkpoints.clear_staging()
    return checkpoints


def test_corrupt_checkpoints_do_not_count_when_pruned(tmp_path):
    """With keep=2, a corrupt one is none of the two; it is removed when it is older than those
    kept.
    """
    checkpoints = [
        fake_checkpoint(tmp_path / "checkpoints", step=step, attempt=1) for step in (1, 2, 3, 4)
    ]
    for name in (checkpoints[0], checkpoints[2]):
        (tmp_path / "checkpoints" / name / "manifest.json").write_text("{}")
    prepared(tmp_path, 1, keep=2).prune()
    assert names(tmp_path) == checkpoints[1:]


def test_a_checkpoint_found_corrupt_at_the_resume_does_not_count(tmp_path):
    """A checkpoint with a valid manifest and a corrupt file must not displace the one that
    verifies.
    """
    good = fake_checkpoint(tmp_path / "checkpoints", step=1, attempt=1)
    bad = tmp_path / "checkpoints" / fake_checkpoint(tmp_path / "checkpoints", step=2, attempt=1)
    (bad / "model").write_bytes(b"state")
    seal(bad, {"step": 2, "attempt": 1, "epoch": 0, "batch": 0, "world_size": 1})
    (bad / "model").write_bytes(b"spoil")
    checkpoints = prepared(tmp_path, 2, keep=1)
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.name == good
    checkpoints.prune()
    assert good in names(tmp_path)


def test_at_least_keep_checkpoints_remain(tmp_path):
    """While there are at most `keep` complete ones, none is removed."""
    checkpoints = [
        fake_checkpoint(tmp_path / "checkpoints", step=step, attempt=1) for step in (1, 2)
    ]
    prepared(tmp_path, 1, keep=3).prune()
    prepared(tmp_path, 1, keep=2).prune()
    prepared(tmp_path, 1, keep=None).prune()
    assert names(tmp_path) == checkpoints


def test_a_complete_checkpoint_of_a_later_step_is_kept(tmp_path):
    """A checkpoint that was skipped because its resume crashed is not removed by an attempt that
    restarts from an earlier one.
    """
    further = fake_checkpoint(tmp_path / "checkpoints", step=90, attempt=1)
    fake_checkpoint(tmp_path / "checkpoints", step=5, attempt=1)
    own = [fake_checkpoint(tmp_path / "checkpoints", step=step, attempt=2) for step in (10, 20)]
    prepared(tmp_path, 2, keep=1).prune()
    assert names(tmp_path) == sorted([further, own[1]])


@pytest.mark.extended
def test_another_world_size_is_refused_before_anything_is_overwritten(tmp_path, clean):
    """Two processes cannot share the one batch of a step: the error has the numbers, the marker is
    no-restart, and nothing changes.
    """
    environment = clean | begin(tmp_path, "0001", CHECKPOINT_EVERY="2 steps")
    ended = start(
        SAVE_STEPS, tmp_path, "--steps", 3, environment=environment, log=tmp_path / "log"
    ).wait()
    assert ended.code == 0, ended.output
    half_done = tmp_path / "staging" / "left"
    half_done.touch()
    environment = clean | begin(tmp_path, "0002", CHECKPOINT_EVERY="2 steps")
    ended = start_two(SAVE_STEPS, tmp_path, environment=environment, log=tmp_path / "log").wait()
    assert ended.code == 1
    reason = (
        "checkpoint step-00000002-0001 was saved by 1 process, but this attempt has 2: "
        "a step has 1 batches (1 x 1 accumulated), which cannot be divided equally among 2 processes"
    )
    assert reason in ended.output
    assert marker(tmp_path, "0002") == {
        "outcome": "no-restart", "step": "", "epoch": "", "checkpoint": "", "reason": reason
    }  # fmt: skip
    assert half_done.exists()
    assert find_damage(tmp_path / "checkpoints" / "step-00000002-0001") is None


def test_the_training_script_may_forbid_its_restart(tmp_path, clean):
    """A rank that calls must_not_restart exits with 93, and the marker has the reason in one line."""
    environment = clean | begin(tmp_path, "0001", CHECKPOINT_EVERY="2 steps")
    options = ["--steps", 100, "--at", 3, "refuse", "the loss", "is\nNaN"]
    ended = start_two(
        SAVE_STEPS, tmp_path, *options, environment=environment, log=tmp_path / "log"
    ).wait()
    assert ended.code == 1  # the launcher's; it has the exit code of the process
    assert " ended with exit code 93\n" in ended.output
    left = marker(tmp_path, "0001")
    assert (left["outcome"], left["reason"]) == ("no-restart", "the loss is NaN")
    assert (left["checkpoint"], left["step"]) == ("step-00000002-0001", "2")


def test_an_unknown_protocol_ends_the_run(tmp_path, clean):
    """A library that knows another protocol than the script's writes that into the marker: no
    attempt would succeed.
    """
    environment = clean | begin(tmp_path, "0001") | {"CLUSTERRUN_PROTOCOL": "2"}
    ended = start(SAVE_STEPS, tmp_path, environment=environment, log=tmp_path / "log").wait()
    assert ended.code == 1
    left = marker(tmp_path, "0001")
    assert left["outcome"] == "no-restart"
    assert left["reason"] == "the job script uses protocol 2, but this clusterrun.training uses 1"
