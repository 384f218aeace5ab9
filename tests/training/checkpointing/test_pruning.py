"""Which checkpoints are removed, and that removals never fail a save."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from clusterrun.training.checkpointing import store
from tests.training.checkpointing.conftest import refuse_removals, sealed
from tests.training_scripts.launches import fake_checkpoint, names


def test_checkpoints_of_later_attempts_are_not_pruned(stored, tmp_path):
    """A fenced attempt must not remove its successor's checkpoints."""
    checkpoints = [
        fake_checkpoint(tmp_path / "checkpoints", step, attempt)
        for step, attempt in ((1, 1), (2, 2), (1, 3))
    ]
    stored.prune()
    stored.finish_removal()
    assert names(tmp_path) == sorted(checkpoints[1:])


def test_an_older_checkpoint_of_the_same_step_is_pruned(stored, tmp_path):
    """The step was saved again by a later attempt: the earlier one is removed."""
    fake_checkpoint(tmp_path / "checkpoints", 5, 1)
    own = fake_checkpoint(tmp_path / "checkpoints", 5, 2)
    stored.prune()
    stored.finish_removal()
    assert names(tmp_path) == [own]


def test_nothing_is_pruned_without_a_complete_checkpoint(stored, tmp_path):
    """All checkpoints are corrupt: the user may still recover something from them."""
    for step in (1, 2):
        (tmp_path / "checkpoints" / f"step-{step:08d}-0001").mkdir()
    stored.prune()
    stored.finish_removal()
    assert len(names(tmp_path)) == 2


def test_training_does_not_wait_for_a_removal(stored, tmp_path, monkeypatch):
    """A thread removes it, and does not delay the end of the process; the next save waits for the
    thread.
    """
    for step in (1, 2):
        stored.publish(sealed(stored, step=step))
    allowed, real = threading.Event(), shutil.rmtree

    def slow(path: Path, **more: object) -> None:
        if threading.current_thread().name == "clusterrun-prune":
            assert threading.current_thread().daemon
            allowed.wait(10)
        real(path, **more)

    monkeypatch.setattr(store.shutil, "rmtree", slow)
    stored.prune()
    assert names(tmp_path) == ["step-00000002-0002"]
    grave = tmp_path / "staging" / "step-00000001-0002.discarded"
    assert grave.exists()
    threading.Timer(0.2, allowed.set).start()
    stored.make_room(stored.draft(9))
    assert not grave.exists()


def test_a_removal_that_fails_is_silent(stored, tmp_path, monkeypatch, capsys):
    """An exception in the thread would be printed during training; the next attempt removes the
    rest.
    """
    for step in (1, 2):
        stored.publish(sealed(stored, step=step))
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    refuse_removals(monkeypatch)
    stored.prune()
    stored.finish_removal()
    assert (raised, capsys.readouterr().err) == ([], "")
    assert names(tmp_path) == ["step-00000002-0002"]


def test_a_failed_prune_does_not_fail_the_save(stored, tmp_path, capsys):
    """The checkpoint is published; the old one stays, with a line in the log."""
    checkpoints = [stored.publish(sealed(stored, step=step)) for step in (1, 2)]
    shutil.rmtree(tmp_path / "staging")
    (tmp_path / "staging").write_text("no folder")
    stored.prune()
    stored.finish_removal()
    assert names(tmp_path) == [one.name for one in checkpoints]
    assert "cannot remove old checkpoints yet: " in capsys.readouterr().err
