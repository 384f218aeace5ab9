"""Epochs that end before their last batch, and what a checkpoint of their last step records."""

from __future__ import annotations

import os
from io import StringIO

import pytest
from tqdm import tqdm

from clusterrun.run_folder.records import write_record
from clusterrun.training.checkpointing import manifest
from tests.training.test_counting import Work, make, saved

__all__ = ["make"]  # a fixture
OFTEN = "0.000001s"


def to_the_last_step(work: Work) -> None:
    """Train three steps, save the last one during the epoch, and leave the epoch."""
    for batch in work.run.batches(work.loader):
        work.train(batch)
        if work.run.step >= 3:
            list(work.run.evaluation([1]))
            break


def stop(work: Work, folder, attempt: str = "0001") -> int:
    """Send a signal during an evaluation, and return the exit code."""
    (folder / f"signal-{attempt}").touch()
    with pytest.raises(SystemExit) as left:
        list(work.run.evaluation([1, 2]))
    return int(str(left.value.code))


def test_batches_kept_by_a_progress_bar_belong_to_their_epoch(make):
    """An iterator that is closed in a later epoch changes nothing there."""
    work, steps = make(accumulate=1), []
    for _ in work.run.epochs(3):
        bar = tqdm(work.run.batches(work.loader), file=StringIO())
        for number, batch in enumerate(bar):
            work.train(batch)
            if number == 1:
                break
        steps.append(work.run.step)
    assert steps == [2, 4, 6]


def test_a_checkpoint_of_the_last_step_records_the_break(make, tmp_path):
    """Saved before the `break`, it records afterwards that the epoch is over; the next attempt
    trains no further step.
    """
    work = make(accumulate=1, CHECKPOINT_EVERY=OFTEN)
    for _ in work.run.epochs(1):
        to_the_last_step(work)
        assert saved(tmp_path)[-1] == (3, 0, 3)
        assert stop(work, tmp_path) == 0
        break
    assert saved(tmp_path)[-1] == (3, 0, 7)
    assert manifest.find_damage(tmp_path / "checkpoints" / "step-00000003-0001") is None
    again = make(accumulate=1, attempt="0002")
    assert [list(again.run.batches(again.loader)) for _ in again.run.epochs(1)] == [[]]
    assert again.run.step == 3


def test_the_rest_of_an_epoch_is_repeated(make, tmp_path):
    """A checkpoint that is updated in the next epoch stays in its own: what followed its batches is
    not in its state.
    """
    work = make(accumulate=1, CHECKPOINT_EVERY=OFTEN)
    for epoch in work.run.epochs(2):
        if epoch == 1:
            assert stop(work, tmp_path) == 0
            break
        to_the_last_step(work)
    assert saved(tmp_path)[-1][:2] == (3, 0)
    again = make(accumulate=1, attempt="0002")
    assert [len(list(again.run.batches(again.loader))) for _ in again.run.epochs(2)] == [0, 7]


def test_a_checkpoint_of_an_earlier_attempt_is_not_changed(make, tmp_path):
    """An attempt does not modify the checkpoint it has resumed from: it saves another one."""
    work = make(accumulate=1, CHECKPOINT_EVERY="500 steps")
    for _ in work.run.epochs(1):
        for batch in work.run.batches(work.loader):
            work.train(batch)
            if work.run.step == 3:
                assert stop(work, tmp_path) == 0
                break
        break
    again = make(accumulate=1, attempt="0002")
    for epoch in again.run.epochs(2):
        if epoch == 1:
            assert stop(again, tmp_path, "0002") == 0
            break
    assert saved(tmp_path) == [(3, 0, 3), (3, 1, 0)]


def test_a_manifest_that_cannot_be_written_is_reported(make, tmp_path, monkeypatch, capsys):
    """The checkpoint stays as it was, and the attempt exits as requested."""
    work = make(accumulate=1, CHECKPOINT_EVERY=OFTEN)
    for _ in work.run.epochs(1):
        to_the_last_step(work)

        def refuse(*_: object, **__: object) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr(manifest, "write_whole", refuse)
        assert stop(work, tmp_path) == 0
        break
    assert "warning: step 3 could not be saved (No space left on device)" in capsys.readouterr().err
    assert saved(tmp_path)[-1] == (3, 0, 3)
    assert manifest.find_damage(tmp_path / "checkpoints" / "step-00000003-0001") is None


def test_a_fenced_attempt_does_not_update_its_checkpoints(make, tmp_path):
    """When another attempt has taken over, the manifest stays as it is."""
    work = make(accumulate=1, CHECKPOINT_EVERY=OFTEN)
    for _ in work.run.epochs(1):
        to_the_last_step(work)
        write_record(tmp_path / "current", {"attempt": "0002"})
        assert stop(work, tmp_path) == 1
        break
    assert saved(tmp_path)[-1] == (3, 0, 3)


def test_a_break_ends_an_epoch_of_unknown_length(make, tmp_path, capsys):
    """A stream that was left has no further batches for the attempt that resumes, which does not
    read it.
    """
    work = make(CHECKPOINT_EVERY="500 steps")
    for _ in work.run.epochs(1):
        for _ in work.run.batches(iter(range(9))):
            break
        assert stop(work, tmp_path) == 0
        break
    again = make(attempt="0002")
    assert [list(again.run.batches(iter(range(9)))) for _ in again.run.epochs(1)] == [[]]
    assert "resumed from step-00000001-0001: epoch 0, end" in capsys.readouterr().err
