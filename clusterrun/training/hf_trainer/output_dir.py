"""The checkpoints in a `transformers.Trainer`'s output_dir: which to resume, which to remove.

Trainer writes `checkpoint-<step>` in place. What makes one whole is the manifest, written into it
last.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import TrainingError
from clusterrun.files.reading import read_bytes
from clusterrun.training.checkpointing import manifest
from clusterrun.training.checkpointing.store import Checkpoints, StoredCheckpoint

_NAME = re.compile(
    r"checkpoint-(\d+)", re.ASCII
)  # as in transformers.trainer_utils.get_last_checkpoint
_STATE = "trainer_state.json"  # the last file that Trainer's main process writes
_ASIDE = "passed-over-"  # Trainer's own rotation counts every name that begins with checkpoint-


@dataclass(frozen=True)
class TrainerCheckpoint(StoredCheckpoint):
    """A checkpoint folder of Trainer.

    `run` is the id of the run that saved it, empty without clusterrun.

    Without a manifest (not `sealed`), `attempt` is 0 and `world_size` is what the random states
    tell, 0 for unknown.
    """

    sealed: bool = False
    run: str = ""
    asked: bool = False  # by clusterrun; otherwise Trainer's save_strategy did
    model_only: bool = False
    evaluation_due: bool = False  # the evaluation at its step was cut short by a stop

    @property
    def name(self) -> str:
        """Its whole path: output_dir is the script's own, and nobody else knows where it is."""
        return str(self.path)


class OutputDir(Checkpoints):
    """The checkpoints of one output_dir, seen from one attempt (a number).

    `keep` is how many of those stay that clusterrun asked for, `limit` how many of the others; None
    keeps all.
    """

    def __init__(self, folder: Path, attempt: int, keep: int | None) -> None:
        super().__init__(folder, folder, attempt, keep)
        self.limit: int | None = None
        self.best: Path | None = None  # never pruned

    def newest(self, crashed: Mapping[str, str] | None = None) -> TrainerCheckpoint | None:
        """Return the newest checkpoint that verifies; says on stderr what it passes over, and why.

        `crashed` maps the paths of those that an earlier attempt died of while it loaded them to
        that attempt. Without a manifest a checkpoint counts when it is older than all that have
        one, and nothing that Trainer needs is missing: it was there before clusterrun was.
        """
        everything = self._list_all()
        first = min((one.step for one in everything if one.sealed), default=None)
        for one in everything:
            attempt = (crashed or {}).get(str(one.path))
            reason = (
                f"attempt {attempt} crashed while loading it"
                if attempt
                else _why_superseded(one, everything)
            )
            reason = reason or _why_unfit(one, may_be_bare=first is None or one.step < first)
            if reason is None:
                return one
            log_line(f"passing over {one.name}: {reason}")
        return None

    def set_aside(self, after: int) -> None:
        """Rename checkpoints beyond the resumed step, so that Trainer does not write into them."""
        for one in self._list_all():
            if one.step > after:
                target = one.path.with_name(_ASIDE + one.path.name)
                shutil.rmtree(target, ignore_errors=True)
                one.path.rename(target)
                log_line(f"{one.path.name} is now {target.name}")

    def draft(self, step: int) -> Path:
        """Return the folder that Trainer writes at a step: its place from the beginning."""
        return self._folder / f"checkpoint-{step}"

    def make_room(self, draft: Path) -> None:
        """Make the folder; one that is there already is no longer whole. Raises OSError."""
        draft.mkdir(parents=True, exist_ok=True)
        (draft / manifest.NAME).unlink(missing_ok=True)

    def drop(self, draft: Path) -> None:
        """Leave it: after a fence it may be another attempt's."""

    def publish(self, draft: Path) -> TrainerCheckpoint:
        """Return the checkpoint that was sealed a moment ago; it has its place already."""
        manifest.flush(self._folder)
        return _read_checkpoint(draft, int(draft.name.rpartition("-")[2]))

    def prune(self) -> None:
        """Remove the oldest, as Trainer does at a save_total_limit; keep the newest and best."""
        everything = self._list_all()
        spared = {everything[0].path, self.best} if everything else set()
        for asked, number in ((False, self.limit), (True, self._keep)):
            kind = [one for one in everything if one.asked is asked]
            kind.sort(key=lambda one: one.path not in spared)
            surplus = kind[max(number, 1) :] if number else []
            for one in surplus:
                if one.path not in spared:
                    discard_checkpoint(one.path)

    def _list_all(self) -> list[TrainerCheckpoint]:
        found = [
            (path, _NAME.fullmatch(path.name))
            for path in self._folder.glob("checkpoint-*")
            if path.is_dir()
        ]
        read = [_read_checkpoint(path, int(match[1])) for path, match in found if match]
        return sorted(read, key=lambda one: one.step, reverse=True)


def read_named_checkpoint(path: Path) -> TrainerCheckpoint:
    """Return the checkpoint that a script names. Raises TrainingError if it is none, or damaged."""
    step = _step_of(path)
    reason = None if step is not None else f"it has no whole {_STATE}"
    if (path / manifest.NAME).exists():
        reason = reason or manifest.find_damage(path)
    if step is None or reason:
        raise TrainingError(
            f"resume_from_checkpoint names {path}, but {reason}",
            "name another one, or none: then the newest one in output_dir that verifies is taken",
        )
    return _read_checkpoint(path, step)


def discard_checkpoint(path: Path) -> None:
    """Remove a checkpoint, its manifest first, so that a killed removal leaves no complete one."""
    (path / manifest.NAME).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def log_line(text: str) -> None:
    """Tell whoever reads the log."""
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
        asked=bool(content.get("asked")),
        model_only=bool(content.get("model_only")),
        evaluation_due=bool(content.get("evaluation_due")),
    )


def _why_superseded(one: TrainerCheckpoint, everything: list[TrainerCheckpoint]) -> str | None:
    # A fenced attempt may write until it notices. Each attempt sets aside what lies beyond its own
    # beginning, so an older attempt's checkpoint beyond a newer attempt's was written after that
    # one had begun.
    for other in everything:
        if (
            one.run
            and one.run == other.run
            and one.attempt < other.attempt
            and one.step > other.step
        ):
            return f"attempt {one.attempt} wrote it when attempt {other.attempt} had taken over"
    return None


def _why_unfit(one: TrainerCheckpoint, *, may_be_bare: bool) -> str | None:
    if one.model_only:
        return "it holds the model only, without optimizer (save_only_model)"
    if one.sealed or not may_be_bare:
        return manifest.find_damage(one.path)
    reason = _why_incomplete(one)
    return f"it has no {manifest.NAME}, and {reason}" if reason else None


def _why_incomplete(one: TrainerCheckpoint) -> str | None:
    if _step_of(one.path) != one.step:
        return f"no whole {_STATE} of this step"
    empty = next(
        (file.name for file in one.path.rglob("*") if file.is_file() and not file.stat().st_size),
        None,
    )
    if empty:
        return f"its {empty} is empty"
    deepspeed = any(one.path.glob("global_step*"))
    whole = deepspeed or (one.path / "scheduler.pt").exists()
    return None if whole else "no state of optimizer and scheduler"


def _step_of(path: Path) -> int | None:
    try:
        return int(json.loads(read_bytes(path / _STATE))["global_step"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
