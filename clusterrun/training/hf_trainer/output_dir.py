"""The checkpoints in a `transformers.Trainer`'s output_dir: which to load, and which to remove.

Trainer writes `checkpoint-<step>` in place. A checkpoint is complete once it has its manifest,
which is written last.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from clusterrun.errors import TrainingError
from clusterrun.files.reading import read_bytes
from clusterrun.training.checkpointing import manifest
from clusterrun.training.checkpointing.store import (
    NAN_REASON,
    Checkpoints,
    StoredCheckpoint,
)

# as in transformers.trainer_utils.get_last_checkpoint
_NAME = re.compile(r"checkpoint-(\d+)", re.ASCII)
_STATE = "trainer_state.json"  # the last file that Trainer's main process writes
_SKIPPED = "skipped-"  # Trainer's rotation counts every name that starts with checkpoint-


@dataclass(frozen=True)
class TrainerCheckpoint(StoredCheckpoint):
    """A checkpoint folder of Trainer.

    `run` is the id of the run that saved it, empty without clusterrun.

    Without a manifest (not `sealed`), `attempt` is 0 and `world_size` is the number of random
    states, 0 if unknown.
    """

    sealed: bool = False
    run: str = ""
    is_ours: bool = False  # requested by clusterrun, not by Trainer's save_strategy
    model_only: bool = False
    evaluation_due: bool = False  # a stop interrupted the evaluation at its step

    @property
    def name(self) -> str:
        """Its absolute path, because only the script knows its output_dir."""
        return str(self.path)


class OutputDir(Checkpoints):
    """The checkpoints of an output_dir, as seen from one attempt (a number).

    `keep` is how many of clusterrun's checkpoints to keep, `limit` how many of Trainer's; None for
    all.
    """

    def __init__(self, folder: Path, attempt: int, keep: int | None) -> None:
        super().__init__(folder, folder, attempt, keep)
        self.limit: int | None = None
        self.best: Path | None = None  # never pruned

    def newest(self, crashed: Mapping[str, str] | None = None) -> TrainerCheckpoint | None:
        """Return the newest verified checkpoint; log skipped ones with the reason.

        `crashed` maps the paths of checkpoints whose loading crashed an earlier attempt to that
        attempt. A checkpoint without a manifest is accepted if it is older than all with one, and
        has all that Trainer needs: it was saved before clusterrun was used.
        """
        checkpoints = self._list_all()
        first = min((one.step for one in checkpoints if one.sealed), default=None)
        for one in checkpoints:
            attempt = (crashed or {}).get(str(one.path))
            reason = (
                f"attempt {attempt} crashed while loading it"
                if attempt
                else _why_superseded(one, checkpoints)
            )
            reason = reason or _why_unusable(one, may_be_unsealed=first is None or one.step < first)
            if self.skips_nan and not one.loss_is_finite:
                reason = reason or NAN_REASON
            if reason is None:
                return one
            log_line(f"skipping {one.name}: {reason}")
        return None

    def set_aside(self, after: int) -> None:
        """Rename checkpoints after the resumed step, so that Trainer does not write to them."""
        for one in self._list_all():
            if one.step > after:
                target = one.path.with_name(_SKIPPED + one.path.name)
                shutil.rmtree(target, ignore_errors=True)
                one.path.rename(target)
                log_line(f"renamed {one.path.name} to {target.name}")

    def draft(self, step: int) -> Path:
        """Return the folder to which Trainer writes at a step, which is its final place."""
        return self._folder / f"checkpoint-{step}"

    def make_room(self, draft: Path) -> None:
        """Create the folder; if it exists, make it incomplete. Raises OSError."""
        draft.mkdir(parents=True, exist_ok=True)
        (draft / manifest.NAME).unlink(missing_ok=True)

    def drop(self, draft: Path) -> None:
        """Keep the folder: if this attempt is fenced, it may be another attempt's."""

    def publish(self, draft: Path) -> TrainerCheckpoint:
        """Return the checkpoint that was just sealed; it is already in its final place."""
        manifest.flush(self._folder)
        return _read_checkpoint(draft, int(draft.name.rpartition("-")[2]))

    def prune(self) -> None:
        """Remove the oldest, as Trainer does at a save_total_limit.

        The newest, the best, and the newest with a finite loss are kept.
        """
        checkpoints = self._list_all()
        protected = {checkpoints[0].path, self.best} if checkpoints else set()
        protected |= set(islice((one.path for one in checkpoints if one.loss_is_finite), 1))
        for is_ours, number in ((False, self.limit), (True, self._keep)):
            kind = [one for one in checkpoints if one.is_ours is is_ours]
            kind.sort(key=lambda one: one.path not in protected)
            surplus = kind[max(number, 1) :] if number else []
            for one in surplus:
                if one.path not in protected:
                    discard_checkpoint(one.path)

    def _list_all(self) -> list[TrainerCheckpoint]:
        matches = [
            (path, _NAME.fullmatch(path.name))
            for path in self._folder.glob("checkpoint-*")
            if path.is_dir()
        ]
        checkpoints = [_read_checkpoint(path, int(match[1])) for path, match in matches if match]
        return sorted(checkpoints, key=lambda one: one.step, reverse=True)


def read_named_checkpoint(path: Path) -> TrainerCheckpoint:
    """Return the checkpoint that a script names. Raises TrainingError if it is not valid."""
    step = _step_of(path)
    reason = None if step is not None else f"it has no valid {_STATE}"
    if (path / manifest.NAME).exists():
        reason = reason or manifest.find_damage(path)
    if step is None or reason:
        raise TrainingError(
            f"resume_from_checkpoint names {path}, but {reason}",
            "name another checkpoint, or none to use the newest verified one in output_dir",
        )
    return _read_checkpoint(path, step)


def discard_checkpoint(path: Path) -> None:
    """Remove a checkpoint, its manifest first, so that a killed removal leaves no complete one."""
    (path / manifest.NAME).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def log_line(text: str) -> None:
    """Log a line."""
    sys.stderr.write(f"clusterrun: {text}\n")
    sys.stderr.flush()


def _read_checkpoint(path: Path, step: int) -> TrainerCheckpoint:
    sealed = (path / manifest.NAME).exists()
    content = manifest.read(path) or {}
    states = len(list(path.glob("rng_state_*.pth"))) or int((path / "rng_state.pth").exists())
    return TrainerCheckpoint(
        path=path,
        attempt=int(content.get("attempt", 0)),
        step=step,
        epoch=int(content.get("epoch", 0)),
        batch=int(content.get("batch", 0)),
        world_size=int(content.get("world_size", states)),
        size=sum(entry["size"] for entry in content.get("files", {}).values()),
        sealed=sealed,
        run=str(content.get("run", "")),
        is_ours=bool(content.get("asked")),
        model_only=bool(content.get("model_only")),
        evaluation_due=bool(content.get("evaluation_due")),
        loss_is_finite=content.get("loss_is_finite") is not False,
    )


def _why_superseded(one: TrainerCheckpoint, checkpoints: list[TrainerCheckpoint]) -> str | None:
    # A fenced attempt may write until it notices. Each attempt sets aside the checkpoints after its
    # own start, so a checkpoint of an older attempt after one of a newer attempt was written after
    # the newer attempt had started.
    for other in checkpoints:
        if (
            one.run
            and one.run == other.run
            and one.attempt < other.attempt
            and one.step > other.step
        ):
            return f"attempt {one.attempt} wrote it after attempt {other.attempt} had taken over"
    return None


def _why_unusable(one: TrainerCheckpoint, *, may_be_unsealed: bool) -> str | None:
    if one.model_only:
        return "it has only the model, without the optimizer (save_only_model)"
    if one.sealed or not may_be_unsealed:
        return manifest.find_damage(one.path)
    reason = _why_incomplete(one)
    return f"it has no {manifest.NAME}, and {reason}" if reason else None


def _why_incomplete(one: TrainerCheckpoint) -> str | None:
    if _step_of(one.path) != one.step:
        return f"no valid {_STATE} for this step"
    empty = next(
        (file.name for file in one.path.rglob("*") if file.is_file() and not file.stat().st_size),
        None,
    )
    if empty:
        return f"its {empty} is empty"
    has_deepspeed_state = any(one.path.glob("global_step*"))
    is_complete = has_deepspeed_state or (one.path / "scheduler.pt").exists()
    return None if is_complete else "no state of optimizer and scheduler"


def _step_of(path: Path) -> int | None:
    try:
        return int(json.loads(read_bytes(path / _STATE))["global_step"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
