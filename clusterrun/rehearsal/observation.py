"""Read a run's attempts, steps and checkpoints from its folder, without querying Slurm."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterrun.files.reading import read_text
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole
from clusterrun.training.checkpointing import manifest


@dataclass(frozen=True)
class SeenStep:
    """One line of the losses that a trainer wrote; `time` in seconds since the epoch."""

    step: int
    since: int
    loss: float | None
    time: float


@dataclass(frozen=True)
class SeenAttempt:
    """One attempt: its records, empty until they are written, and the steps that it recorded."""

    name: str
    began: float
    """When it began, in seconds since the epoch."""
    nodes: str
    end: Mapping[str, str]
    resumed: Mapping[str, str]
    trainer: Mapping[str, str]
    steps: tuple[SeenStep, ...]

    @property
    def finished(self) -> bool:
        """Whether training was complete."""
        return self.end.get("cause") == Cause.FINISHED

    @property
    def back_at(self) -> int | None:
        """The step of the checkpoint that it loaded, 0 for none; None until it has said so."""
        return whole(self.resumed.get("step")) if self.resumed.get("state") == "resumed" else None


@dataclass(frozen=True)
class SeenCheckpoint:
    """A whole checkpoint: whose it is, where training stood, and size and checksum of its files.

    Of a plain script's the files are not known, and the step is the number in its name, if there is
    one.
    """

    path: Path
    attempt: int
    step: int | None
    time: float
    files: Mapping[str, Mapping[str, Any]]


class FollowedRun:
    """A run that is looked at again and again; remembers checkpoints that were pruned since."""

    def __init__(self, run: RunRef, pattern: str = "") -> None:
        self.run, self.pattern = run, pattern
        self.attempts: list[SeenAttempt] = []
        self.saved: dict[tuple[str, float], SeenCheckpoint] = {}
        self.goal: int | None = None
        """The step that it is to reach, once it is known."""
        self.asked = False
        """Whether it was asked to save and leave for good."""
        self.interruptions = 0
        """How often it was stopped to come back."""

    def look(self) -> None:
        """Look at the folder again."""
        paths = self.run.paths
        self.attempts = [_read_attempt(paths, name) for name in paths.attempts()]
        began = [attempt.began for attempt in self.attempts]
        found = (
            _list_plain_checkpoints(self.pattern, began) if self.pattern else self._list_sealed()
        )
        for one in found:
            self.saved.setdefault((str(one.path), one.time), one)

    def step_of(self, number: int) -> int | None:
        """Return the newest step of an attempt, counted from 1; None before its first step."""
        if number > len(self.attempts):
            return None
        seen, progress = self.attempts[number - 1], read_record(self.run.paths.progress)
        shown = whole(progress.get("step"))
        # until it has done a step, an attempt shows that of the one before it
        fresh = (whole(progress.get("time")) or 0) > seen.began and (shown or 0) > (
            seen.back_at or 0
        )
        told = [
            shown if fresh and number == len(self.attempts) else None,
            seen.steps[-1].step if seen.steps else None,
        ]
        return max((step for step in told if step is not None), default=None)

    def newest_of(self, number: int) -> SeenCheckpoint | None:
        """Return the checkpoint that an attempt, counted from 1, saved last."""
        own = [one for one in self.saved.values() if one.attempt == number]
        return max(own, key=lambda one: (one.time, one.step or 0), default=None)

    @property
    def reached(self) -> bool:
        """Whether the newest attempt has saved its goal, passed it far enough, or finished."""
        number, goal = len(self.attempts), self.goal
        if not number or goal is None:
            return False
        there = any(
            one.attempt == number and (one.step or 0) >= goal for one in self.saved.values()
        )
        return (
            there or self.attempts[-1].finished or (self.step_of(number) or 0) >= goal + goal // 2
        )

    def _list_sealed(self) -> Iterator[SeenCheckpoint]:
        for path in _checkpoint_folders(self.run.paths):
            with suppress(OSError):  # pruned meanwhile
                time = (path / manifest.NAME).stat().st_mtime
                content = None if (str(path), time) in self.saved else manifest.read(path)
                if content is not None:
                    yield SeenCheckpoint(
                        path, int(content["attempt"]), int(content["step"]), time, content["files"]
                    )


def _checkpoint_folders(paths: RunPaths) -> list[Path]:
    """Transformers.Trainer keeps its own in output_dir, which a record names by a whole path."""
    named = Path(read_record(paths.saves).get("checkpoint", ""))
    return [
        *paths.checkpoints.glob("step-*"),
        *(named.parent.glob("checkpoint-*") if named.is_absolute() else ()),
    ]


def _list_plain_checkpoints(pattern: str, began: Sequence[float]) -> Iterator[SeenCheckpoint]:
    for name in glob.glob(pattern):  # noqa: PTH207 - a pattern of the user's, with a root of its own
        with suppress(OSError):
            numbers = re.findall(r"\d+", Path(name).name)
            step = int(numbers[-1]) if numbers else None
            written = _write_time(Path(name))
            yield SeenCheckpoint(
                Path(name), max(sum(time <= written for time in began), 1), step, written, {}
            )


def _write_time(path: Path) -> float:
    """A folder's own time also changes while it is removed; that of the files in it does not."""
    files = list(path.iterdir()) if path.is_dir() else [path]
    return max((file.stat().st_mtime for file in files), default=path.stat().st_mtime)


def _read_attempt(paths: RunPaths, name: str) -> SeenAttempt:
    begin = paths.begin(name)
    return SeenAttempt(
        name=name,
        began=begin.stat().st_mtime,
        nodes=read_record(begin).get("nodes", ""),
        end=read_record(paths.end(name)),
        resumed=read_record(paths.resumed(name)),
        trainer=read_record(paths.trainer(name)),
        steps=tuple(_read_steps(paths.losses(name))),
    )


def _read_steps(path: Path) -> Iterator[SeenStep]:
    try:
        lines = read_text(path).splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(ValueError, TypeError):  # the last one may not be whole yet
            yield SeenStep(**json.loads(line))
