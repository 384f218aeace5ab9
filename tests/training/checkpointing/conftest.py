"""The checkpoints of an attempt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clusterrun.training.checkpointing import manifest
from clusterrun.training.checkpointing.store import Checkpoints

FACTS = {"step": 3, "attempt": 2, "epoch": 1, "batch": 4, "world_size": 8}


@pytest.fixture
def stored(tmp_path) -> Checkpoints:
    """The checkpoints of a run's second attempt, which keeps one."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", tmp_path / "staging", attempt=2, keep=1)
    checkpoints.clear_staging()
    return checkpoints


def sealed(checkpoints: Checkpoints, step: int = 3, **facts: object) -> Path:
    draft = checkpoints.draft(step)
    checkpoints.make_room(draft)
    (draft / "model").write_text("weights")
    manifest.seal(draft, {**FACTS, "step": step, **facts})
    return draft


def refuse_removals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every removal of a file fail, as on a disk that has become read-only."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    for name in ("unlink", "rmdir", "remove"):
        monkeypatch.setattr(os, name, refuse)
