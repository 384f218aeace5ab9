"""What the job script tells the trainer: the CLUSTERRUN_ environment, version 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import TrainingError
from clusterrun.run_folder.paths import RunPaths
from clusterrun.training.checkpointing.interval import Interval, parse_interval

VERSION = "1"


@dataclass(frozen=True)
class AttemptContext:
    """One attempt of a run, as the job script describes it to every process."""

    paths: RunPaths
    name: str  # four digits; an order, and part of the names of checkpoints
    stop_file: Path  # local to the node: there once a signal was heard on it
    world_size: int | None
    every: Interval | None
    keep: int | None
    async_save: bool = False
    reference: int | None = (
        None  # processes on the most nodes that Slurm may choose; the spec refers to those
    )


def read_protocol(environment: Mapping[str, str]) -> AttemptContext | None:
    """Return the attempt that an environment describes, or None when clusterrun did not start us.

    Raises TrainingError for another version of the protocol, a missing variable or a value that is
    no number or interval.
    """
    version = environment.get("CLUSTERRUN_PROTOCOL")
    if not version:
        return None
    if version != VERSION:
        raise TrainingError(
            f"the job script speaks protocol {version}, this clusterrun.training speaks {VERSION}",
            "install the same clusterrun for training as the one that submitted this run",
        )
    name = _require(environment, "CLUSTERRUN_ATTEMPT")
    _read_count(environment, "CLUSTERRUN_ATTEMPT")
    every = environment.get("CLUSTERRUN_CHECKPOINT_EVERY")
    return AttemptContext(
        paths=RunPaths(Path(_require(environment, "CLUSTERRUN_RUN_DIR"))),
        name=name,
        stop_file=Path(_require(environment, "CLUSTERRUN_STOP_FILE")),
        world_size=_read_count(environment, "CLUSTERRUN_WORLD_SIZE"),
        every=parse_interval(every) if every else None,
        keep=_read_count(environment, "CLUSTERRUN_CHECKPOINT_KEEP"),
        async_save=environment.get("CLUSTERRUN_CHECKPOINT_ASYNC_SAVE") == "true",
        reference=_read_reference(environment),
    )


def _read_reference(environment: Mapping[str, str]) -> int | None:
    nodes, each = (
        _read_count(environment, "CLUSTERRUN_MOST_NODES"),
        _read_count(environment, "LOCAL_WORLD_SIZE"),
    )
    return nodes and nodes * (each or 1)


def _require(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise TrainingError(
            f"{name} is not set, but CLUSTERRUN_PROTOCOL is",
            "the launch must hand all CLUSTERRUN_ variables to every process",
        )
    return value


def _read_count(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name)
    if not value:
        return None
    if not value.isdecimal() or int(value) == 0:
        raise TrainingError(f"{name} is {value!r}", "it must be a whole number above 0")
    return int(value)
