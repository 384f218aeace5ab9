"""Repeated SIGKILL at random moments of a save, and what the next attempt finds."""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos_trainers import Tell, forked, plain_trainer

from clusterrun.training.checkpointing.manifest import NAME, find_damage

Trainer = Callable[[Path, int, Tell], None]


@dataclass
class Story:
    """What happened to one kind of training process over all kills."""

    kills: int = 0
    resumes: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # resumes that raised, by error
    behind: int = 0  # resumes from before the newest reported save
    without: int = 0  # kills after which no checkpoint verified
    moments: Counter[str] = field(default_factory=Counter)  # where a kill fell
    spans: list[float] = field(default_factory=list)  # seconds from `begin` to `saved`


def _lines(pipe: int) -> Iterator[tuple[str, str]]:
    rest = b""
    while data := os.read(pipe, 4096):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            word, _, value = line.decode().partition(" ")
            yield word, value


@dataclass
class Life:
    """What a training process reported before it was killed."""

    resumed: int | None = None
    error: str = ""
    reported: int = 0  # the newest step whose save it reported
    started: int = 0  # the newest step whose save it started


def live(trainer: Trainer, folder: Path, attempt: int, story: Story, log: int) -> Life:
    """Kill a process in its first, second or third save, at a random moment of a whole cycle."""
    life = Life()
    cycle = random.randint(1, 3)  # noqa: S311 - not security-relevant
    with forked(trainer, folder, attempt, log) as (child, pipe):
        began = 0.0
        for word, value in _lines(pipe):
            if word == "failed":
                life.error = value
            elif word == "resumed":
                life.resumed = life.reported = int(value)
            elif word == "saved":
                life.reported = int(value)
                story.spans.append(time.perf_counter() - began)
            else:
                began = time.perf_counter()
                life.started = int(value)
                cycle -= 1
                if not cycle:
                    whole = statistics.median(story.spans[-99:]) if story.spans else 0.05
                    time.sleep(random.uniform(0, 1.25 * whole))  # noqa: S311
                    os.kill(child, signal.SIGKILL)
    return life


def kill_clusterrun(trainer: Trainer, folder: Path, kills: int, log: int) -> Story:
    """Kill attempts of one run, one after the other; each resumes from the previous one's files."""
    story, newest = Story(), 0
    for attempt in range(1, kills + 1):
        (folder / "current").write_text(f"attempt={attempt:04d}\n")
        life = live(trainer, folder, attempt, story, log)
        _count_resume(story, life, newest)
        story.moments[_moment(folder, life, attempt)] += 1
        verified = [
            _step(path) for path in (folder / "checkpoints").iterdir() if find_damage(path) is None
        ]
        story.without += bool(life.reported) and not verified
        newest = max([life.reported, *verified])
        story.kills += 1
    return story


def kill_plain(folder: Path, kills: int, log: int) -> Story:
    """Kill processes that use only save_state; after a failed resume, the next one starts over."""
    story, newest = Story(), 0
    for attempt in range(1, kills + 1):
        life = live(plain_trainer, folder, attempt, story, log)
        if life.error:  # it was not killed: it failed to load what the previous kill had left
            story.resumes += 1
            story.failed[life.error] += 1
            shutil.rmtree(folder / "checkpoints")
            newest = 0
            life = live(plain_trainer, folder, attempt, story, log)
        else:
            _count_resume(story, life, newest)
        newest = life.reported
        story.kills += 1
    return story


def _count_resume(story: Story, life: Life, newest: int) -> None:
    if life.resumed is None:
        story.failed["no report"] += 1
    if newest or life.resumed is None:
        story.resumes += 1
        story.behind += life.resumed is not None and life.resumed < newest


def _step(path: Path) -> int:
    return int(path.name.split("-")[1])


def _moment(folder: Path, life: Life, attempt: int) -> str:
    """Return the phase of the save in which the kill fell, derived from the files it left."""
    name = f"step-{life.started:08d}-{attempt:04d}"
    draft, published = folder / "staging" / name, folder / "checkpoints" / name
    if any((folder / "staging").glob("*.discarded")):
        return "during the removal of an old checkpoint"
    if published.exists():
        return (
            "after it was published"
            if life.reported == life.started
            else "published, not yet reported"
        )
    if not draft.exists():
        return "before the first file"
    return "sealed, not yet published" if (draft / NAME).exists() else "while files were written"
