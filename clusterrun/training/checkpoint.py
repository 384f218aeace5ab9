"""Checkpoints that are whole or not there: staged, flushed, named once.

A checkpoint is a folder of `accelerator.save_state` with a `manifest.json` beside the state, so
`accelerator.load_state` reads it. The manifest is written last; one rename publishes the folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import Accelerator

MANIFEST = "manifest.json"
_NAME = re.compile(r"step-\d+-\d+")


@dataclass
class Position:
    """Where training stands: optimizer steps done, the epoch, and its batches already consumed.

    All count from 0; `batch` counts the batches that one process took in this epoch.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on the disk."""

    path: Path
    attempt: int
    step: int
    epoch: int
    batch: int
    world_size: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name

    @property
    def age(self) -> tuple[int, int]:
        """What orders checkpoints: a later attempt knew all that earlier ones had published."""
        return self.attempt, self.step


class Checkpoints:
    """The checkpoints of one run, seen from one attempt (a number) of it.

    `keep` is how many to keep, None for all.
    """

    def __init__(self, folder: Path, staging: Path, attempt: int, keep: int | None) -> None:
        self._folder, self._staging = folder, staging
        self._attempt, self._keep = attempt, keep

    def newest(self) -> Checkpoint | None:
        """Return the newest complete checkpoint, if there is one."""
        complete = self._complete()
        for path in set(self._folders()) - {checkpoint.path for checkpoint in complete}:
            sys.stderr.write(f"clusterrun: passing over {path.name}: it has no whole {MANIFEST}\n")
        return max(complete, key=lambda checkpoint: checkpoint.age, default=None)

    def clear_staging(self) -> None:
        """Remove what earlier attempts left half done, and see that the folders are there."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)

    def save(self, accelerator: Accelerator, position: Position) -> Checkpoint:
        """Save the state of all ranks, publish it and prune. Every rank must call it.

        Raises OSError where the disk does not take it; nothing is published then.
        """
        world_size = int(accelerator.num_processes)
        draft = self._staging / f"step-{position.step:08d}-{self._attempt:04d}"
        if accelerator.is_main_process:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(draft))
        accelerator.wait_for_everyone()
        if accelerator.is_local_main_process:  # one fsync a node: its ranks share the page cache
            _flush_tree(draft)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            self._publish(draft, position, world_size)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            self._prune()
        path = self._folder / draft.name
        place = (position.step, position.epoch, position.batch)
        return Checkpoint(path, self._attempt, *place, world_size)

    def _publish(self, draft: Path, position: Position, world_size: int) -> None:
        manifest = {
            "attempt": self._attempt,
            "step": position.step,
            "epoch": position.epoch,
            "batch": position.batch,
            "world_size": world_size,
            "files": {str(path.relative_to(draft)): path.stat().st_size for path in _files(draft)},
        }
        with (draft / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        _flush(draft)
        target = self._folder / draft.name
        if target.exists():  # without a manifest: `newest` passed over it
            self._discard(target)
        draft.rename(target)
        _flush(self._folder)

    def _prune(self) -> None:
        if self._keep is None:
            return
        own = [checkpoint for checkpoint in self._complete() if checkpoint.attempt <= self._attempt]
        own.sort(key=lambda checkpoint: checkpoint.age, reverse=True)
        for checkpoint in own[self._keep :]:
            self._discard(checkpoint.path)

    def _discard(self, path: Path) -> None:
        # Out of sight first, in one rename: a kill amid the removal leaves no half a checkpoint.
        grave = self._staging / f"{path.name}.discarded"
        shutil.rmtree(grave, ignore_errors=True)
        path.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return [path for path in self._folder.glob("step-*") if _NAME.fullmatch(path.name)]

    def _complete(self) -> list[Checkpoint]:
        found = (_read(path) for path in self._folders())
        return [checkpoint for checkpoint in found if checkpoint is not None]


def _read(path: Path) -> Checkpoint | None:
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        numbers = {key: int(manifest[key]) for key in ("attempt", "step", "epoch", "batch", "world_size")}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Checkpoint(path, **numbers)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flush_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            _flush(Path(place, name))
        _flush(Path(place))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
