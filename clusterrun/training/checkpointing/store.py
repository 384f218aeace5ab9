"""The checkpoints of a run on disk: written atomically, verified by content, and pruned.

A checkpoint is a folder from `accelerator.save_state` with an additional `manifest.json`, so
`accelerator.load_state` reads it. It is written in a staging folder; a rename publishes it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

from clusterrun.training.checkpointing import manifest

_NAME = re.compile(r"step-(?P<step>\d+)-(?P<attempt>\d+)", re.ASCII)

NAN_REASON = "the loss was not finite when it was saved (on_nan: stop)"


@dataclass
class Position:
    """The position of training: optimizer steps completed, the epoch, and its consumed batches.

    All count from 0; `batch` counts the batches that one process consumed in this epoch, and is
    `sys.maxsize` if the epoch has ended after an unknown number.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0


@dataclass(frozen=True)
class StoredCheckpoint:
    """A complete checkpoint on disk; `size` in bytes."""

    path: Path
    attempt: int
    step: int
    epoch: int
    batch: int
    world_size: int
    size: int = 0
    strategy: str = ""
    loss_is_finite: bool = True  # if it was known when the checkpoint was saved
    # see resharding/sharing.py; empty if it was not recorded
    sharing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name


class Checkpoints:
    """The checkpoints of a run, as seen from one attempt (a number).

    `keep` is how many to keep, None for all.
    """

    def __init__(self, folder: Path, staging: Path, attempt: int, keep: int | None) -> None:
        self._folder, self._staging = folder, staging
        self.attempt, self._keep = attempt, keep
        self._damaged: set[str] = set()
        self._removal: Thread | None = None

    skips_nan = False  # `newest` skips checkpoints whose loss was not finite

    def newest(self, crashed: Mapping[str, str] | None = None) -> StoredCheckpoint | None:
        """Return the newest verified checkpoint, if any; log the skipped ones.

        `crashed` maps checkpoints whose loading crashed an earlier attempt to that attempt. They
        are skipped like damaged ones, down to step 0: loading would crash again, and a run that
        repeats steps makes progress, while a run that crashes at each start does not.
        """
        for path in reversed(self._folders()):
            attempt = (crashed or {}).get(path.name)
            reason = (
                f"attempt {attempt} crashed while loading it"
                if attempt
                else self._find_damage(path)
            )
            checkpoint = None if reason else _read_checkpoint(path)
            if checkpoint and self.skips_nan and not checkpoint.loss_is_finite:
                checkpoint, reason = None, NAN_REASON
            if checkpoint:
                _log_line(f"verified {path.name}: every byte is as it was saved")
                return checkpoint
            _log_line(
                f"skipping {path.name}: {reason or 'its manifest.json does not have the position'}"
            )
        return None

    def latest(self) -> StoredCheckpoint | None:
        """Return the newest checkpoint with a valid manifest, without checking its files."""
        return next(filter(None, map(_read_checkpoint, reversed(self._folders()))), None)

    def clear_staging(self) -> None:
        """Remove what earlier attempts left incomplete, and create the folders."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)

    def draft(self, step: int) -> Path:
        """Return the folder to which a checkpoint is written, without creating it."""
        return self._staging / f"step-{step:08d}-{self.attempt:04d}"

    def make_room(self, draft: Path) -> None:
        """Create a draft's folder, after the removal of pruned checkpoints. Raises OSError."""
        self.finish_removal()
        self.drop(draft)
        draft.mkdir(parents=True)

    def drop(self, draft: Path) -> None:
        """Remove a draft that will not be published."""
        shutil.rmtree(draft, ignore_errors=True)

    def publish(self, draft: Path) -> StoredCheckpoint:
        """Publish a sealed draft by a rename. Raises OSError."""
        checkpoint = _read_checkpoint(draft)
        if checkpoint is None:
            raise OSError(f"{draft.name} could not be read after it was written")
        target = self._folder / draft.name
        if target.exists():  # it is damaged, because this attempt resumed from an older one
            shutil.rmtree(self._hide(target), ignore_errors=True)
        draft.rename(target)
        manifest.flush(self._folder)
        self._damaged.discard(target.name)
        return replace(checkpoint, path=target)

    def move(self, checkpoint: StoredCheckpoint, batch: int) -> StoredCheckpoint:
        """Record another number of batches of the epoch in a checkpoint. Raises OSError."""
        manifest.update_facts(checkpoint.path, {"batch": batch})
        return replace(checkpoint, batch=batch)

    def prune(self) -> None:
        """Remove all but the `keep` newest complete checkpoints of this and earlier attempts.

        Damaged ones do not count, and are removed if they are older than the kept ones. A
        checkpoint of a later step than the newest stays: it was skipped because its resume crashed,
        and a person may want it. So does the newest one with a finite loss.
        """
        if self._keep is None:
            return
        own = [path for path in reversed(self._folders()) if _sort_key(path)[0] <= self.attempt]
        complete = [path for path in own if path.name not in self._damaged and manifest.read(path)]
        if len(complete) < self._keep:
            return
        further = {path for path in complete if _step_of(path) > _step_of(complete[0])}
        surplus = own[own.index(complete[self._keep - 1]) + 1 :]
        further |= set(islice(filter(_has_finite_loss, complete), 1))
        try:
            discarded = [self._hide(path) for path in surplus if path not in further]
        except OSError as error:  # the save itself has succeeded
            _log_line(f"cannot remove old checkpoints yet: {error}")
            return
        # Neither training nor a stop, which may have seconds left, waits for it: the next attempt
        # removes the rest.
        self._removal = Thread(
            target=_remove_folders, args=(discarded,), name="clusterrun-prune", daemon=True
        )
        self._removal.start()

    def finish_removal(self) -> None:
        """Wait for the removal of pruned checkpoints."""
        if self._removal:
            self._removal.join()

    def _find_damage(self, path: Path) -> str | None:
        reason = manifest.find_damage(path)
        if reason:
            self._damaged.add(path.name)
        return reason

    def _hide(self, path: Path) -> Path:
        # Rename it first, so that a kill during the removal leaves no incomplete checkpoint.
        discarded = self._staging / f"{path.name}.discarded"
        shutil.rmtree(discarded, ignore_errors=True)
        return path.rename(discarded)

    def _folders(self) -> list[Path]:
        return sorted(
            (path for path in self._folder.glob("step-*") if _NAME.fullmatch(path.name)),
            key=_sort_key,
        )


def _sort_key(path: Path) -> tuple[int, int]:
    # By attempt first: a later attempt knew all earlier checkpoints, whatever step a fenced attempt
    # has reached since.
    match = _NAME.fullmatch(path.name)
    return (int(match["attempt"]), int(match["step"])) if match else (0, 0)


def _step_of(path: Path) -> int:
    return _sort_key(path)[1]


def _read_checkpoint(path: Path) -> StoredCheckpoint | None:
    content: dict[str, Any] = manifest.read(path) or {}
    try:
        numbers: dict[str, Any] = {
            key: int(content[key]) for key in ("attempt", "step", "epoch", "batch", "world_size")
        }
        size = sum(entry["size"] for entry in content["files"].values())
        more = {
            "strategy": content.get("strategy", ""),
            "loss_is_finite": content.get("loss_is_finite") is not False,
            "sharing": content.get("sharing") or {},
        }
        return StoredCheckpoint(path, **numbers, size=size, **more)
    except (ValueError, TypeError, KeyError):
        return None


def _has_finite_loss(path: Path) -> bool:
    checkpoint = _read_checkpoint(path)
    return checkpoint is not None and checkpoint.loss_is_finite


def _remove_folders(paths: list[Path]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def _log_line(text: str) -> None:
    sys.stderr.write(f"clusterrun: {text}\n")
