"""A run's attempts, steps and checkpoints, read from its folder without querying Slurm."""

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

_SKIPPED = re.compile(r"clusterrun: (skipping|passing over) ")  # the second one is 0.1.0's


@dataclass(frozen=True)
class SeenStep:
    """One line of the losses that training recorded; `time` in seconds since the epoch."""

    step: int
    since: int
    loss: float | None
    time: float


@dataclass(frozen=True)
class SeenAttempt:
    """One attempt: its records, empty until they are written, and its recorded steps."""

    name: str
    began: float
    """When it started, in seconds since the epoch."""
    nodes: str
    end: Mapping[str, str]
    resumed: Mapping[str, str]
    trainer: Mapping[str, str]
    steps: tuple[SeenStep, ...]

    @property
    def finished(self) -> bool:
        """Whether training is complete."""
        return self.end.get("cause") == Cause.FINISHED

    @property
    def back_at(self) -> int | None:
        """The step of the checkpoint that it loaded, 0 without one; None until it is recorded."""
        return whole(self.resumed.get("step")) if self.resumed.get("state") == "resumed" else None


@dataclass(frozen=True)
class SeenCheckpoint:
    """A complete checkpoint: its attempt, its step, and the size and checksum of its files.

    For a script that saves its own checkpoints, the files are unknown, and the step is the last
    number in the name, if any.
    """

    path: Path
    attempt: int
    step: int | None
    time: float
    files: Mapping[str, Mapping[str, Any]]


class FollowedRun:
    """A run that is read repeatedly; remembers checkpoints that have been pruned since."""

    def __init__(self, run: RunRef, pattern: str = "") -> None:
        self.run, self.pattern = run, pattern
        self.attempts: list[SeenAttempt] = []
        self.saved: dict[tuple[str, float], SeenCheckpoint] = {}
        self.goal: int | None = None
        """The step to reach, once it is known."""
        self.stop_requested = False
        """Whether it was asked to save a checkpoint and exit for good."""
        self.interruptions = 0
        """How often it was interrupted and should have resumed."""

    def look(self) -> None:
        """Read the folder again."""
        paths = self.run.paths
        self.attempts = [_read_attempt(paths, name) for name in paths.attempts()]
        began = [attempt.began for attempt in self.attempts]
        checkpoints = (
            _list_plain_checkpoints(self.pattern, began) if self.pattern else self._list_complete()
        )
        for one in checkpoints:
            self.saved.setdefault((str(one.path), one.time), one)

    def step_of(self, number: int) -> int | None:
        """Return the newest step of an attempt, counted from 1; None before its first step."""
        if number > len(self.attempts):
            return None
        seen, progress = self.attempts[number - 1], read_record(self.run.paths.progress)
        current = whole(progress.get("step"))
        # until an attempt has completed a step, `progress` is that of the previous one
        is_own = (whole(progress.get("time")) or 0) > seen.began and (current or 0) > (
            seen.back_at or 0
        )
        steps = [
            current if is_own and number == len(self.attempts) else None,
            seen.steps[-1].step if seen.steps else None,
        ]
        return max((step for step in steps if step is not None), default=None)

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
        goal_is_saved = any(
            one.attempt == number and (one.step or 0) >= goal for one in self.saved.values()
        )
        return (
            goal_is_saved
            or self.attempts[-1].finished
            or (self.step_of(number) or 0) >= goal + goal // 2
        )

    def skipped(self) -> list[str]:
        """List the second attempt's log lines about skipped checkpoints."""
        log = self.run.paths.log(self.attempts[1].name)
        lines = read_text(log, errors="replace").splitlines() if log.exists() else []
        return [line.removeprefix("clusterrun: ") for line in lines if _SKIPPED.search(line)]

    def _list_complete(self) -> Iterator[SeenCheckpoint]:
        for path in _checkpoint_folders(self.run.paths):
            with suppress(OSError):  # pruned meanwhile
                time = (path / manifest.NAME).stat().st_mtime
                content = None if (str(path), time) in self.saved else manifest.read(path)
                if content is not None:
                    yield SeenCheckpoint(
                        path, int(content["attempt"]), int(content["step"]), time, content["files"]
                    )


def _checkpoint_folders(paths: RunPaths) -> list[Path]:
    """List the checkpoints; those of transformers.Trainer are in output_dir, by absolute path."""
    newest = Path(read_record(paths.saves).get("checkpoint", ""))
    return [
        *paths.checkpoints.glob("step-*"),
        *(newest.parent.glob("checkpoint-*") if newest.is_absolute() else ()),
    ]


def _list_plain_checkpoints(pattern: str, began: Sequence[float]) -> Iterator[SeenCheckpoint]:
    for name in glob.glob(pattern):  # noqa: PTH207 - the user's pattern has its own root
        with suppress(OSError):
            numbers = re.findall(r"\d+", Path(name).name)
            step = int(numbers[-1]) if numbers else None
            written = _write_time(Path(name))
            yield SeenCheckpoint(
                Path(name), max(sum(time <= written for time in began), 1), step, written, {}
            )


def _write_time(path: Path) -> float:
    """Return the newest time of its files: a folder's own time changes while it is removed."""
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
        # the last line may be incomplete
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            values = json.loads(line)
            loss = values.pop("loss")  # a word such as "nan" if it is not finite
            yield SeenStep(loss=None if loss is None else float(loss), **values)
