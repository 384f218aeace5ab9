"""The checkpoints of a run on disk: written atomically, verified by content, and pruned.

A checkpoint is a folder of `accelerator.save_state` with a `manifest.json` beside the state, so
`accelerator.load_state` reads it. It is written in a staging folder; one rename publishes it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any

from clusterrun.training.checkpointing import manifest

_NAME = re.compile(r"step-(?P<step>\d+)-(?P<attempt>\d+)", re.ASCII)


@dataclass
class Position:
    """Where training stands: optimizer steps done, the epoch, and its batches already consumed.

    All count from 0; `batch` counts the batches that one process took in this epoch, and is
    `sys.maxsize` where the epoch has ended after a number that is not known.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0


@dataclass(frozen=True)
class StoredCheckpoint:
    """A complete checkpoint on the disk; `size` in bytes."""

    path: Path
    attempt: int
    step: int
    epoch: int
    batch: int
    world_size: int
    size: int = 0
    strategy: str = ""
    sharing: Mapping[str, Any] = field(
        default_factory=dict
    )  # see sharing.py; empty where it was not noted

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name


class Checkpoints:
    """The checkpoints of one run, seen from one attempt (a number) of it.

    `keep` is how many to keep, None for all.
    """

    def __init__(self, folder: Path, staging: Path, attempt: int, keep: int | None) -> None:
        self._folder, self._staging = folder, staging
        self.attempt, self._keep = attempt, keep
        self._damaged: set[str] = set()
        self._removal: Thread | None = None

    def newest(self, crashed: Mapping[str, str] | None = None) -> StoredCheckpoint | None:
        """Return the newest checkpoint that verifies, if any; report skipped ones on stderr.

        `crashed` names those that an earlier attempt died of while it loaded them, each with that
        attempt. They are passed over as damaged ones are, down to step 0: what killed one attempt
        would kill the next one as well, and a run that trains from further back gets on, while one
        that dies at every start never does.
        """
        for path in reversed(self._folders()):
            attempt = (crashed or {}).get(path.name)
            reason = (
                f"attempt {attempt} crashed while loading it"
                if attempt
                else self._find_damage(path)
            )
            checkpoint = None if reason else _read_checkpoint(path)
            if checkpoint:
                _log_line(f"{path.name} verified: every byte is as it was saved")
                return checkpoint
            _log_line(
                f"passing over {path.name}: "
                f"{reason or 'its manifest.json does not say where training stood'}"
            )
        return None

    def latest(self) -> StoredCheckpoint | None:
        """Return the newest checkpoint that has a whole manifest; its files are not looked at."""
        return next(filter(None, map(_read_checkpoint, reversed(self._folders()))), None)

    def clear_staging(self) -> None:
        """Remove what earlier attempts left half done, and see that the folders are there."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)

    def draft(self, step: int) -> Path:
        """Return the folder to write a checkpoint into; it is not made here."""
        return self._staging / f"step-{step:08d}-{self.attempt:04d}"

    def make_room(self, draft: Path) -> None:
        """Create a draft's folder, after the removal of pruned checkpoints. Raises OSError."""
        self.tidy()
        self.drop(draft)
        draft.mkdir(parents=True)

    def drop(self, draft: Path) -> None:
        """Remove a draft that will not be published."""
        shutil.rmtree(draft, ignore_errors=True)

    def publish(self, draft: Path) -> StoredCheckpoint:
        """Give a sealed draft its place, in one rename. Raises OSError."""
        checkpoint = _read_checkpoint(draft)
        if checkpoint is None:
            raise OSError(f"{draft.name} could not be read back")
        target = self._folder / draft.name
        if target.exists():  # this attempt resumed from an older one, so it is damaged
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
        """Remove all but the `keep` newest whole checkpoints of this attempt and earlier ones.

        Damaged ones do not count, and go with those that are older than what is kept. One that is
        further along than the newest stays: it was passed over because its resume crashed, and a
        person may know better.
        """
        if self._keep is None:
            return
        own = [path for path in reversed(self._folders()) if _sort_key(path)[0] <= self.attempt]
        whole = [path for path in own if path.name not in self._damaged and manifest.read(path)]
        if len(whole) < self._keep:
            return
        further = {path for path in whole if _step_of(path) > _step_of(whole[0])}
        surplus = own[own.index(whole[self._keep - 1]) + 1 :]
        try:
            hidden = [self._hide(path) for path in surplus if path not in further]
        except (
            OSError
        ) as error:  # no reason to say that the save failed: the checkpoint is published
            _log_line(f"old checkpoints stay for now: {error}")
            return
        # Training does not wait for it, nor does a stop, which may have seconds left: the next
        # attempt clears the rest.
        self._removal = Thread(
            target=_remove_folders, args=(hidden,), name="clusterrun-prune", daemon=True
        )
        self._removal.start()

    def tidy(self) -> None:
        """Wait for the removal of what was pruned."""
        if self._removal:
            self._removal.join()

    def _find_damage(self, path: Path) -> str | None:
        reason = manifest.find_damage(path)
        if reason:
            self._damaged.add(path.name)
        return reason

    def _hide(self, path: Path) -> Path:
        # Out of sight first, in one rename: a kill amid the removal leaves no half a checkpoint.
        grave = self._staging / f"{path.name}.discarded"
        shutil.rmtree(grave, ignore_errors=True)
        return path.rename(grave)

    def _folders(self) -> list[Path]:
        return sorted(
            (path for path in self._folder.glob("step-*") if _NAME.fullmatch(path.name)),
            key=_sort_key,
        )


def _sort_key(path: Path) -> tuple[int, int]:
    # A later attempt knew all that earlier ones had published, whatever step a fenced one has
    # reached since.
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
        more = {"strategy": content.get("strategy", ""), "sharing": content.get("sharing") or {}}
        return StoredCheckpoint(path, **numbers, size=size, **more)
    except (ValueError, TypeError, KeyError):
        return None


def _remove_folders(paths: list[Path]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def _log_line(text: str) -> None:
    sys.stderr.write(f"clusterrun: {text}\n")
