"""A run's checkpoints on the disk: published by one rename, listed in order, and pruned carefully."""

from __future__ import annotations

import pytest

from clusterrun.training.checkpointing import manifest
from clusterrun.training.checkpointing.store import Checkpoints, Position, StoredCheckpoint
from tests.support.disk_calls import DiskCalls
from tests.training.checkpointing.conftest import FACTS, refuse_removals, sealed
from tests.training_scripts.launches import fake_checkpoint, names


def test_training_starts_at_position_0():
    """Position counts from 0."""
    assert Position() == Position(step=0, epoch=0, batch=0)


def test_a_published_checkpoint_describes_itself(stored, tmp_path):
    """Its path, its numbers, its size, and the options it was saved with."""
    sharing = {"accumulation": 2}
    published = stored.publish(sealed(stored, strategy="FSDP", sharing=sharing))
    path = tmp_path / "checkpoints" / "step-00000003-0002"
    assert published == StoredCheckpoint(
        path, attempt=2, step=3, epoch=1, batch=4, world_size=8, size=7, strategy="FSDP", sharing=sharing
    )  # fmt: skip
    assert published.name == path.name
    assert stored.latest() == stored.newest() == published


def test_missing_facts_of_a_checkpoint_are_empty(stored):
    """Checkpoints of 0.1.0 have neither strategy nor sharing."""
    published = stored.publish(sealed(stored, sharing=None))
    assert (published.strategy, published.sharing) == ("", {})
    assert StoredCheckpoint(published.path, 1, 1, 1, 1, 1).size == 0


def test_a_publication_is_one_durable_rename(stored, monkeypatch):
    """After a power failure either the checkpoint has its name, or the previous one is the newest."""
    draft = sealed(stored)
    calls = DiskCalls(monkeypatch)
    stored.publish(draft)
    assert calls.names == [("rename", draft.name), ("fsync", "checkpoints")]


@pytest.mark.parametrize("text", ["", "{}", None])
def test_a_draft_that_cannot_be_read_back_is_not_published(stored, tmp_path, text):
    """The disk has stored something else than was written: the existing checkpoints stay."""
    stored.publish(sealed(stored, step=3))
    draft = sealed(stored, step=4)
    if text is None:
        (draft / "manifest.json").unlink()
    else:
        (draft / "manifest.json").write_text(text)
    with pytest.raises(OSError, match="step-00000004-0002 could not be read after it was written"):
        stored.publish(draft)
    assert draft.exists()
    assert names(tmp_path) == ["step-00000003-0002"]


def test_a_corrupt_checkpoint_is_replaced_by_one_of_its_name(stored, tmp_path):
    """An attempt that skipped its own corrupt checkpoint trains the step again, and may keep that
    one.
    """
    for step in (2, 3):
        stored.publish(sealed(stored, step=step))
    spoiled = tmp_path / "checkpoints" / "step-00000003-0002"
    (spoiled / "model").write_text("WEIGHTS")
    (spoiled / "more").write_text("of before")
    checkpoint = stored.newest()
    assert checkpoint is not None
    assert checkpoint.step == 2
    # the remains of an interrupted removal are in the way
    (tmp_path / "staging" / f"{spoiled.name}.discarded" / "left").mkdir(parents=True)
    stored.publish(sealed(stored, step=3))
    assert sorted(path.name for path in spoiled.iterdir()) == ["manifest.json", "model"]
    stored.prune()
    stored.finish_removal()
    assert names(tmp_path) == [spoiled.name]
    assert list((tmp_path / "staging").iterdir()) == []


def test_the_remains_of_a_replaced_checkpoint_do_not_fail_the_save(stored, tmp_path, monkeypatch):
    """Parts of the corrupt checkpoint cannot be removed: the new one is published anyway."""
    stored.publish(sealed(stored))
    refuse_removals(monkeypatch)
    draft = stored.draft(3)
    draft.mkdir()
    manifest.seal(draft, FACTS)
    assert stored.publish(draft).path == tmp_path / "checkpoints" / draft.name


def test_a_draft_that_cannot_be_removed_is_no_error(stored, monkeypatch):
    """Removing one is only tidiness; the next attempt tries again."""
    draft = sealed(stored)
    with monkeypatch.context() as patched:
        refuse_removals(patched)
        stored.drop(draft)
        stored.clear_staging()
    assert draft.exists()
    stored.drop(draft)
    assert not draft.exists()
    stored.drop(draft)  # a missing draft can be removed


def test_a_draft_starts_empty(stored):
    """A failed save left part of a state, which must not be part of the next one."""
    draft = sealed(stored)
    stored.make_room(draft)
    assert list(draft.iterdir()) == []


def test_missing_folders_are_made(tmp_path):
    """With their parents; what earlier attempts left in staging is removed, checkpoints stay."""
    checkpoints = Checkpoints(tmp_path / "a" / "checkpoints", tmp_path / "b" / "staging", 1, None)
    checkpoints.clear_staging()
    checkpoints.publish(sealed(checkpoints))
    (tmp_path / "b" / "staging" / "half" / "done").mkdir(parents=True)
    checkpoints.clear_staging()
    assert list((tmp_path / "b" / "staging").iterdir()) == []
    assert [path.name for path in (tmp_path / "a" / "checkpoints").iterdir()] == [
        "step-00000003-0001"
    ]
    new = Checkpoints(tmp_path / "c" / "checkpoints", tmp_path / "d" / "staging", 1, None)
    draft = new.draft(1)
    new.make_room(draft)  # of an asynchronous save, which may be the first to write there
    assert draft.is_dir()


def test_a_moved_checkpoint_is_recorded(stored):
    """The number of batches changes in the checkpoint and in the object that describes it."""
    published = stored.publish(sealed(stored))
    moved = stored.move(published, 9)
    assert (moved.batch, moved.step) == (9, 3)
    assert stored.newest() == moved


def test_other_folders_are_left_alone(stored, tmp_path):
    """Folders with another name are neither read nor removed, whatever they contain."""
    others = ["step-1", "step-x-0001", "step-00000009-0001.old", "best"]
    for name in others:
        (tmp_path / "checkpoints" / name).mkdir()
        manifest.seal(tmp_path / "checkpoints" / name, FACTS)
    assert (stored.latest(), stored.newest()) == (None, None)
    stored.publish(sealed(stored, step=1))
    stored.publish(sealed(stored, step=2))
    stored.prune()
    stored.finish_removal()
    assert names(tmp_path) == sorted([*others, "step-00000002-0002"])


def test_the_newest_checkpoint_is_of_the_newest_attempt(stored, tmp_path):
    """A later attempt knew all checkpoints of earlier ones, whatever step a fenced attempt has
    reached since.
    """
    folder = tmp_path / "checkpoints"
    for step, attempt in ((90, 1), (100_000_000, 1), (5, 2), (20, 2)):
        fake_checkpoint(folder, step, attempt)
    checkpoint = stored.latest()
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.attempt) == (20, 2)


def test_the_latest_checkpoint_has_a_valid_manifest(stored, tmp_path):
    """Its files are not read; a manifest without its numbers is invalid."""
    fake_checkpoint(tmp_path / "checkpoints", 1, 1)
    good = tmp_path / "checkpoints" / fake_checkpoint(tmp_path / "checkpoints", 2, 1)
    fake_checkpoint(tmp_path / "checkpoints", 3, 1)
    (tmp_path / "checkpoints" / "step-00000003-0001" / "manifest.json").write_text("{}")
    manifest.seal(
        tmp_path / "checkpoints" / fake_checkpoint(tmp_path / "checkpoints", 4, 1), {"step": 4}
    )
    checkpoint = stored.latest()
    assert checkpoint is not None
    assert checkpoint.path == good


def test_skipped_checkpoints_are_logged_with_the_reason(stored, tmp_path, capsys):
    """One line for each, and one for the checkpoint that is used; people read them in the log."""
    for step in (1, 2, 3, 4):
        fake_checkpoint(tmp_path / "checkpoints", step, 1)
    folder = tmp_path / "checkpoints"
    (folder / "step-00000003-0001" / "manifest.json").unlink()
    manifest.seal(folder / "step-00000002-0001", {"step": 2})
    checkpoint = stored.newest({"step-00000004-0001": "0001"})
    assert checkpoint is not None
    assert checkpoint.name == "step-00000001-0001"
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition("step-")[2][:8] for line in lines] == [
        "00000004",
        "00000003",
        "00000002",
        "00000001",
    ]
    assert "attempt 0001 crashed while loading it" in lines[0]
    assert "it has no manifest.json" in lines[1]
    assert "its manifest.json does not have the position" in lines[2]
    assert lines[3].endswith("verified step-00000001-0001: every byte is as it was saved")
