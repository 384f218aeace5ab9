"""Share an optimizer step among the ranks, in the same way after a change of their number.

What is kept: the samples of each step, the learning rate as a function of steps, the place in the
data. What is not: random numbers of ranks that were not there before, and the order in which
gradients are added.
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
from clusterrun.training.resharding.world_size import Share, accumulation_for, batch_for, counted

if TYPE_CHECKING:
    from accelerate import Accelerator

_ALONE = "NO"


class Sharing:
    """The share of each rank of an Accelerator; make it before the script counts its steps."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._processes = int(accelerator.num_processes)
        self._script_accumulation = zero.accumulation(accelerator)
        self._schedules = Schedules(accelerator)
        self._epoch_steps: int | None = None  # optimizer steps of an epoch
        self._changed = False
        self._chosen: list[int] = []

    def begin_as(self, newest: StoredCheckpoint | None, reference: int | None) -> None:
        """Accumulate as the newest checkpoint did, so that the script counts steps correctly.

        Without one, a step takes what `reference` processes would take, where there is such a
        number. Raises TrainingError where that cannot be shared out; with a checkpoint only `check`
        does, when it has been read.
        """
        if newest is None and reference:
            self._accumulate_for(reference)
        with suppress(TrainingError):
            if newest:
                self._accumulate_as(newest)

    def facts(self) -> dict[str, object]:
        """Return what a manifest says of it."""
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
        """Raise TrainingError unless a checkpoint can be resumed exactly; nothing is loaded yet.

        `strategy` is the one that saved it, as its manifest says.
        """
        saved = _share_of(newest)
        if saved is None:
            check_world_of_checkpoint(newest.name, newest.world_size, self._processes)
            return
        self._changed = newest.world_size != self._processes
        if self._changed:
            self._check_strategy(newest, strategy)
            self._check_loaders(newest)
        self._accumulate_as(newest)
        self._chosen = self._schedules.choose(newest.sharing["schedules"], newest.world_size)

    def load(self, newest: StoredCheckpoint, staging: Path, wait: Callable[[], None]) -> None:
        """Load a verified checkpoint on every rank; `wait` is a barrier, `staging` is temporary."""
        if self._changed and zero.is_zero(self._accelerator):
            zero.load(self._accelerator, newest.path, staging, wait)
        else:
            self._accelerator.load_state(str(newest.path))

    def loaded(self, newest: StoredCheckpoint) -> Position:
        """Adapt the state of another number of processes after loading; return its position."""
        position = Position(newest.step, newest.epoch, newest.batch)
        saved = _share_of(newest)
        if saved is None:
            return position
        self._schedules.follow(self._chosen, newest.sharing["schedules"])
        self._epoch_steps = newest.sharing["epoch_steps"]
        if self._changed:
            self._accelerator.step = (
                0  # accelerate's count of batches, from which it sees when to step
            )
            self._seed_new_rank(newest)
            now = int(self._accelerator.gradient_accumulation_steps)
            position.batch = batch_for(position.batch, saved.accumulation, now)
        return position

    def note(self, newest: StoredCheckpoint) -> str | None:
        """Say, for the log, what is shared out differently now; None where nothing is."""
        saved = _share_of(newest)
        if not self._changed or saved is None:
            return None
        now = int(self._accelerator.gradient_accumulation_steps)
        new = self._processes - newest.world_size
        random = f"; {new} of them draw{'s' * (new == 1)} other random numbers" if new > 0 else ""
        return (
            f"{counted(newest.world_size)} x {saved.accumulation} accumulated are now "
            f"{counted(self._processes)} x {now}{random}"
        )

    def check_loader(self, loader: Iterable[Any], steps: int) -> None:
        """Raise TrainingError unless a loader of `steps` (0: unknown) is shared as before."""
        from accelerate.data_loader import DataLoaderStateMixin

        before, self._epoch_steps = self._epoch_steps, steps or None
        if not self._changed:
            return
        if not isinstance(loader, DataLoaderStateMixin):
            raise TrainingError(
                "another number of processes saved the checkpoint, and run.batches was given no "
                "prepared DataLoader",
                "hand run.batches the loader that accelerator.prepare returned, itself",
            )
        if steps and before and before != steps:
            raise TrainingError(
                f"an epoch has {steps} optimizer steps with {counted(self._processes)}, and had "
                f"{before} before",
                "drop_last=False keeps their number; or run with as many processes as before",
            )

    def _check_strategy(self, newest: StoredCheckpoint, strategy: str) -> None:
        now = str(self._accelerator.distributed_type.value)
        state = self._accelerator.state
        if strategy != now and not (_has_plain_state(strategy) and _has_plain_state(now)):
            why = f"it holds the state of {strategy}, not of {now}"
        elif now == "FSDP" and getattr(state.fsdp_plugin, "fsdp_version", 1) != 2:
            why = "FSDP1 is not tried with another number; fsdp_version: 2 is"
        elif now == "DEEPSPEED" and (hindrance := zero.find_problem(self._accelerator)):
            why = hindrance
        elif not _has_plain_state(now) and now not in {"FSDP", "DEEPSPEED"}:
            why = f"{now} loads only what as many have saved"
        elif getattr(self._accelerator, "parallelism_config", None) is not None:
            why = "with a parallelism_config not every process has batches of its own"
        elif not self._accelerator.gradient_state.sync_with_dataloader:
            why = "with sync_with_dataloader=False a step may take batches of two epochs"
        else:
            return
        check_world_of_checkpoint(newest.name, newest.world_size, self._processes, why)

    def _check_loaders(self, newest: StoredCheckpoint) -> None:
        if any(map(keeps_own_position, self._accelerator._dataloaders)):  # noqa: SLF001
            why = "of a StatefulDataLoader only one process's place is saved"
            check_world_of_checkpoint(newest.name, newest.world_size, self._processes, why)
        before, now = newest.sharing["batch_sizes"], self._batch_sizes()
        if before != now:
            said = f"DataLoaders give batches of {now}, and gave {before}"
            check_world_of_checkpoint(newest.name, newest.world_size, self._processes, said)

    def _batch_sizes(self) -> list[int | None]:
        loaders = self._accelerator._dataloaders  # noqa: SLF001
        return [getattr(getattr(one, "batch_sampler", None), "batch_size", None) for one in loaders]

    def _accumulate_for(self, reference: int) -> None:
        if self._accelerator.split_batches or reference == self._processes:
            return
        batches = reference * self._script_accumulation
        if batches % self._processes:
            raise TrainingError(
                f"{batches} batches a step ({reference} processes x {self._script_accumulation} "
                "accumulated, on "
                "the most nodes that "
                f"slurm.nodes allows) cannot be shared out among {counted(self._processes)}",
                "give slurm.nodes one number",
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
    """Return how a checkpoint's step was shared; None for an older clusterrun, or a Trainer."""
    saved: Mapping[str, Any] = checkpoint.sharing
    return (
        Share(checkpoint.world_size, int(saved["accumulation"]), int(saved["asked"]))
        if saved
        else None
    )


def _has_plain_state(strategy: str) -> bool:
    """Whether one rank has saved the whole state."""
    return strategy == _ALONE or strategy.startswith("MULTI_")
