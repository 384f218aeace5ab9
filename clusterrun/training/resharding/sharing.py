"""The division of an optimizer step among the ranks, also after a change of their number.

The samples of each step, the learning rate as a function of steps, and the position in the data
stay the same. The random numbers of additional ranks, and the order in which gradients are added,
do not.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterrun.errors import TrainingError
from clusterrun.training.checkpointing.store import Position, StoredCheckpoint
from clusterrun.training.checks import check_world_of_checkpoint
from clusterrun.training.loaders import keeps_own_position
from clusterrun.training.resharding import zero
from clusterrun.training.resharding.schedule import Schedules
from clusterrun.training.resharding.world_size import (
    Share,
    accumulation_for,
    batch_for,
    count_processes,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

_SINGLE_PROCESS = "NO"  # accelerate's name of that strategy


class Sharing:
    """The share of each rank of an Accelerator; create it before the script counts its steps."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._processes = int(accelerator.num_processes)
        self._script_accumulation = zero.accumulation(accelerator)
        self._schedules = Schedules(accelerator)
        self._epoch_steps: int | None = None  # optimizer steps of an epoch
        self._world_changed = False
        self._speeds: list[int] = []

    def begin_as(self, newest: StoredCheckpoint | None, reference: int | None) -> None:
        """Accumulate as the newest checkpoint did, so that the script counts steps correctly.

        Without one, a step has the batches of `reference` processes, if given. Raises TrainingError
        if these cannot be divided; with a checkpoint only `check` raises it, after verification.
        """
        if newest is None and reference:
            self._accumulate_for(reference)
        with suppress(TrainingError):
            if newest:
                self._accumulate_as(newest)

    def facts(self) -> dict[str, object]:
        """Return the facts for a manifest."""
        return {
            "sharing": {
                "accumulation": int(self._accelerator.gradient_accumulation_steps),
                "asked": self._script_accumulation,
                "batch_sizes": self._batch_sizes(),
                "split_batches": bool(self._accelerator.split_batches),
                "epoch_steps": self._epoch_steps,
                "schedules": self._schedules.facts(),
            }
        }

    def check(self, newest: StoredCheckpoint, strategy: str) -> None:
        """Raise TrainingError unless training can resume exactly; nothing is loaded yet.

        `strategy` is the one in the manifest.
        """
        saved = _share_of(newest)
        if saved is None:
            check_world_of_checkpoint(newest.name, newest.world_size, self._processes)
            return
        self._world_changed = newest.world_size != self._processes
        if self._world_changed:
            self._check_strategy(newest, strategy)
            self._check_loaders(newest)
        self._accumulate_as(newest)
        self._speeds = self._schedules.choose(newest.sharing["schedules"], newest.world_size)

    def load(self, newest: StoredCheckpoint, staging: Path, wait: Callable[[], None]) -> None:
        """Load a verified checkpoint on every rank; `wait` is a barrier, `staging` is temporary."""
        if self._world_changed and zero.is_zero(self._accelerator):
            zero.load(self._accelerator, newest.path, staging, wait)
        else:
            self._accelerator.load_state(str(newest.path))

    def loaded(self, newest: StoredCheckpoint) -> Position:
        """Adapt the loaded state to this number of processes; return its position."""
        position = Position(newest.step, newest.epoch, newest.batch)
        saved = _share_of(newest)
        if saved is None:
            return position
        self._schedules.follow(self._speeds, newest.sharing["schedules"])
        self._epoch_steps = newest.sharing["epoch_steps"]
        if self._world_changed:
            self._accelerator.step = 0  # its count of batches, which determines when to step
            self._seed_new_rank(newest)
            now = int(self._accelerator.gradient_accumulation_steps)
            position.batch = batch_for(position.batch, saved.accumulation, now)
        return position

    def note(self, newest: StoredCheckpoint) -> str | None:
        """Return a log line about a changed division; None if it is the same."""
        saved = _share_of(newest)
        if not self._world_changed or saved is None:
            return None
        now = int(self._accelerator.gradient_accumulation_steps)
        new = self._processes - newest.world_size
        random = f"; {count_processes(new)} with new random numbers" if new > 0 else ""
        return (
            f"resumed on {count_processes(self._processes)} x {now} accumulated batches, instead "
            f"of {count_processes(newest.world_size)} x {saved.accumulation}{random}"
        )

    def check_loader(self, loader: Iterable[Any], steps: int) -> None:
        """Raise TrainingError unless a loader of `steps` (0: unknown) is divided as before."""
        from accelerate.data_loader import DataLoaderStateMixin

        before, self._epoch_steps = self._epoch_steps, steps or None
        if not self._world_changed:
            return
        if not isinstance(loader, DataLoaderStateMixin):
            raise TrainingError(
                "the number of processes has changed since the checkpoint, but run.batches did not "
                "receive a prepared DataLoader",
                "pass the loader that accelerator.prepare returned to run.batches",
            )
        if steps and before and before != steps:
            raise TrainingError(
                f"an epoch has {steps} optimizer steps with {count_processes(self._processes)}, "
                f"but had {before} before",
                "set drop_last=False, or run with the same number of processes as before",
            )

    def _check_strategy(self, newest: StoredCheckpoint, strategy: str) -> None:
        now = str(self._accelerator.distributed_type.value)
        state = self._accelerator.state
        if strategy != now and not (_has_plain_state(strategy) and _has_plain_state(now)):
            why = f"it has the state of {strategy}, not of {now}"
        elif now == "FSDP" and getattr(state.fsdp_plugin, "fsdp_version", 1) != 2:
            why = "another number is not supported with FSDP1; use fsdp_version: 2"
        elif now == "DEEPSPEED" and (problem := zero.find_problem(self._accelerator)):
            why = problem
        elif not _has_plain_state(now) and now not in {"FSDP", "DEEPSPEED"}:
            why = f"{now} loads only the state of the same number of processes"
        elif getattr(self._accelerator, "parallelism_config", None) is not None:
            why = "with a parallelism_config not every process has its own batches"
        elif not self._accelerator.gradient_state.sync_with_dataloader:
            why = "with sync_with_dataloader=False a step may have batches of two epochs"
        else:
            return
        check_world_of_checkpoint(newest.name, newest.world_size, self._processes, why)

    def _check_loaders(self, newest: StoredCheckpoint) -> None:
        if any(map(keeps_own_position, self._accelerator._dataloaders)):  # noqa: SLF001
            why = "only one process's position of a StatefulDataLoader is saved"
            check_world_of_checkpoint(newest.name, newest.world_size, self._processes, why)
        before, now = newest.sharing["batch_sizes"], self._batch_sizes()
        if before != now:
            why = f"the batch sizes of the DataLoaders are {now}, but were {before}"
            check_world_of_checkpoint(newest.name, newest.world_size, self._processes, why)

    def _batch_sizes(self) -> list[int | None]:
        loaders = self._accelerator._dataloaders  # noqa: SLF001
        return [getattr(getattr(one, "batch_sampler", None), "batch_size", None) for one in loaders]

    def _accumulate_for(self, reference: int) -> None:
        if self._accelerator.split_batches or reference == self._processes:
            return
        batches = reference * self._script_accumulation
        if batches % self._processes:
            raise TrainingError(
                f"the {batches} batches of a step ({reference} processes x "
                f"{self._script_accumulation} accumulated, on the largest number of nodes in "
                f"slurm.nodes) cannot be divided equally among {count_processes(self._processes)}",
                "set slurm.nodes to one number",
            )
        zero.accumulate(self._accelerator, batches // self._processes)

    def _accumulate_as(self, newest: StoredCheckpoint) -> None:
        saved = _share_of(newest)
        if saved and not self._accelerator.split_batches:
            steps = accumulation_for(saved, self._processes, self._script_accumulation, newest.name)
            if steps != zero.accumulation(self._accelerator):
                zero.accumulate(self._accelerator, steps)

    def _seed_new_rank(self, newest: StoredCheckpoint) -> None:
        """Seed a rank without a saved random state, the same for each resume of the checkpoint."""
        from accelerate.utils import set_seed

        rank = int(self._accelerator.process_index)
        if rank >= newest.world_size:
            set_seed(zlib.crc32(f"{newest.step} {rank}".encode()))


def _share_of(checkpoint: StoredCheckpoint) -> Share | None:
    """Return how a checkpoint's step was divided; None for an older clusterrun, or a Trainer."""
    saved: Mapping[str, Any] = checkpoint.sharing
    return (
        Share(checkpoint.world_size, int(saved["accumulation"]), int(saved["asked"]))
        if saved
        else None
    )


def _has_plain_state(strategy: str) -> bool:
    """Return whether one rank saves the whole state."""
    return strategy == _SINGLE_PROCESS or strategy.startswith("MULTI_")
