"""The protocol between job script and training: the CLUSTERRUN_ variables, version 1."""

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
    """An attempt of a run, as the job script describes it to every process."""

    paths: RunPaths
    name: str  # four digits, which sort by time and are part of checkpoint names
    stop_file: Path  # local to the node; exists once the node has received a signal
    world_size: int | None
    every: Interval | None
    keep: int | None
    async_save: bool = False
    stops_on_nan: bool = False
    # the processes on the largest number of nodes that Slurm may choose, to which the spec refers
    reference: int | None = None


def read_protocol(environment: Mapping[str, str]) -> AttemptContext | None:
    """Return the attempt that an environment describes, or None outside of clusterrun.

    Raises TrainingError for another version of the protocol, a missing variable, or a value that is
    not a valid number or interval.
    """
    version = environment.get("CLUSTERRUN_PROTOCOL")
    if not version:
        return None
    if version != VERSION:
        raise TrainingError(
            f"the job script uses protocol {version}, but this clusterrun.training uses {VERSION}",
            "install the version of clusterrun that submitted this run in the training environment",
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
        stops_on_nan=environment.get("CLUSTERRUN_ON_NAN") == "stop",
        reference=_read_reference(environment),
    )


def _read_reference(environment: Mapping[str, str]) -> int | None:
    nodes = _read_count(environment, "CLUSTERRUN_MOST_NODES")
    processes_per_node = _read_count(environment, "LOCAL_WORLD_SIZE")
    return nodes and nodes * (processes_per_node or 1)


def _require(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise TrainingError(
            f"{name} is not set, but CLUSTERRUN_PROTOCOL is",
            "pass all CLUSTERRUN_ variables to every process of the launch",
        )
    return value


def _read_count(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name)
    if not value:
        return None
    if not value.isdecimal() or int(value) == 0:
        raise TrainingError(f"{name} is {value!r}", "it must be an integer above 0")
    return int(value)
