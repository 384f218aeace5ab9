"""Checkpoints that are written while training goes on: it waits for a copy in memory only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterrun.training.checkpointing import manifest
from clusterrun.training.checkpointing.background import Flight
from clusterrun.training.checkpointing.buffers import Buffers
from clusterrun.training.checkpointing.deferred_writes import Writes
from clusterrun.training.checkpointing.disk import format_bytes
from clusterrun.training.checkpointing.memory import free_memory
from clusterrun.training.checkpointing.saving import Saver
from clusterrun.training.checkpointing.snapshot import Snapshot
from clusterrun.training.checkpointing.store import Checkpoints, Position, StoredCheckpoint
from clusterrun.training.stopping.agreement import Agreement
from clusterrun.training.stopping.fence import Fence

if TYPE_CHECKING:
    from accelerate import Accelerator

_MARGIN = 1.1, 64 << 20  # training and the writers need memory as well: a factor, and bytes
# Calls what writes a checkpoint, with the seconds for which training stood still; None: until it
# was published.
Note = Callable[[Callable[[], StoredCheckpoint], float | None], StoredCheckpoint]


@dataclass(frozen=True)
class _Need:
    """What a rank's copy lacks, in bytes, and what is free on its node; None: nobody knows."""

    node: int
    lack: int
    free: int | None


class AsyncSaver(Saver):
    """Saves as Saver does, in the background.

    One save is under way at a time, and every rank must call the same methods.
    """

    def __init__(
        self, accelerator: Accelerator, agreement: Agreement, checkpoints: Checkpoints, fence: Fence
    ) -> None:
        super().__init__(accelerator, agreement, checkpoints, fence)
        # What the threads say to each other must not mix with what the training does: they have a
        # group of their own.
        self._writer = _BackgroundWriter(
            accelerator, Agreement(int(accelerator.num_processes)), checkpoints, fence
        )
        self._buffers = Buffers()
        self._flight: Flight[StoredCheckpoint] | None = None
        self._logged: set[bool] = set()

    @property
    def under_way(self) -> Position | None:
        """Where the training stood whose save was begun and not yet collected."""
        return self._writer.position if self._flight else None

    def begin(self, position: Position, note: Note) -> bool:
        """Copy the state and start to write it; no save may be under way. False: already written.

        That is where memory is short on any node, which is told once. Raises what `save` does where
        it fails before the copy; after it, `collect` does.
        """
        begun = time.monotonic()
        plugin = self._accelerator.state.fsdp_plugin if self._accelerator.is_fsdp2 else None
        writes = Writes(self._checkpoints.draft(position.step), plugin)
        with self._drop_on_failure(writes.folder):
            self._run_on_ranks(
                lambda: self._make_room(writes.folder), here=self._accelerator.is_main_process
            )
            self._run_on_ranks(
                lambda: writes.capture(lambda: self._accelerator.save_state(str(writes.folder)))
            )
        copied = self._copy(writes.state)
        self._writer.take(writes, position, self._facts(position))
        stall = time.monotonic() - begun if copied else None
        self._flight = Flight(lambda: note(self._writer.write, stall))
        self._flight.start() if copied else self._flight.run()
        return copied

    def collect(self) -> StoredCheckpoint:
        """Wait for what was begun, and return it or raise what `save` would."""
        flight, self._flight = self._flight, None
        assert flight is not None  # noqa: S101 - the caller has seen that there is one
        checkpoint = flight.result()
        self._size = checkpoint.size
        return checkpoint

    def busy(self) -> bool:
        """Whether this rank still writes."""
        return self._flight is not None and not self._flight.landed()

    def failed_with(self) -> BaseException | None:
        """Return what this rank's part has raised, if it is over."""
        return self._flight.failed_with() if self._flight else None

    def _copy(self, state: Snapshot) -> bool:
        """Copy the state, on all ranks or on none."""
        storages = state.storages().values()
        lack = self._buffers.lack(storages)
        everywhere = self._agreement.least(int(lack == 0))
        if not everywhere and not self._grow(storages, lack):
            return False
        state.copy(self._buffers)
        return True

    def _grow(self, storages: Iterable[Any], lack: int) -> bool:
        node = int(self._accelerator.process_index) // self._processes_per_node()
        needs = self._agreement.gather(_Need(node, lack, free_memory()))
        total, free, fits = min(
            (_sum_needs(needs, node) for node in {need.node for need in needs}), key=_memory_left
        )
        self._log_memory(total, free, fits=fits)
        grown = self._agreement.least(
            int(fits and _try_to_allocate(lambda: self._buffers.grow(storages)))
        )
        if fits and not grown:
            self._log_memory(total, free, fits=False)
        return bool(grown)

    def _log_memory(self, total: int, free: int | None, *, fits: bool) -> None:
        there = (
            "nobody knows how much is free"
            if free is None
            else f"{format_bytes(free)} are free there"
        )
        text = (
            f"the copy of an asynchronous checkpoint takes {format_bytes(total)} of a node's "
            "memory, and "
            f"{there}"
        )
        if fits not in self._logged and self._accelerator.is_main_process:
            text = text if fits else f"warning: {text}: saving synchronously"
            sys.stderr.write(f"clusterrun: {text}\n")
            sys.stderr.flush()
        self._logged.add(fits)


class _BackgroundWriter(Saver):
    """Carries out, seals and publishes what was captured, in a thread."""

    writes: Writes | None = None
    position = Position()
    known: dict[str, object] | None = None

    def take(self, writes: Writes, position: Position, known: dict[str, object]) -> None:
        """Take over the deferred writes and the manifest's facts, while the training continues."""
        self.writes, self.position, self.known = writes, replace(position), known

    def _facts(self, position: Position) -> dict[str, object]:
        return super()._facts(position) if self.known is None else self.known

    def write(self) -> StoredCheckpoint:
        """Write and publish it. Raises as `save` does."""
        writes, self.writes = self.writes, None  # what it holds need not be kept
        assert writes is not None  # noqa: S101 - it was taken over
        with self._drop_on_failure(writes.folder):
            self._run_on_ranks(lambda: writes.carry_out(self._agreement.group))
            return self._complete(writes.folder, self.position)

    def _take_stock_of(self, draft: Path, mine: Callable[[str], bool]) -> manifest.Entries:
        # Nobody waits for it. The interpreter gives no more pools of threads while it shuts down.
        return manifest.take_stock(
            draft, lambda name: name not in self.passing and mine(name), _InlineExecutor()
        )


class _InlineExecutor(Executor):
    """Does what is submitted at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except OSError as error:
            future.set_exception(error)
        return future


def why_synchronous(accelerator: Accelerator) -> str | None:
    """Say why an Accelerator's state cannot be saved asynchronously; None: it can."""
    kind = str(accelerator.distributed_type.value)
    if kind == "NO" or kind.startswith("MULTI_") or (kind == "FSDP" and accelerator.is_fsdp2):
        return None
    if kind == "DEEPSPEED":
        return "DeepSpeed writes its own checkpoints, and only while training waits"
    if kind == "FSDP":
        return "the sharded state of FSDP1 cannot be copied; that of FSDP2 can (fsdp_version: 2)"
    return f"there is no way yet to copy the state under {kind}"


def _sum_needs(needs: list[_Need], node: int) -> tuple[int, int | None, bool]:
    """Return what the copies on a node lack together, what is free there, and whether it fits."""
    here = [need for need in needs if need.node == node]
    total = sum(need.lack for need in here)
    free = min((need.free for need in here if need.free is not None), default=None)
    factor, more = _MARGIN
    return total, free, free is None or free >= total * factor + more


def _memory_left(found: tuple[int, int | None, bool]) -> float:
    total, free, _ = found
    return float("inf") if free is None else free - total


def _try_to_allocate(grow: Callable[[], None]) -> bool:
    try:
        grow()
    except (MemoryError, RuntimeError):  # torch raises the latter, on CPUs and GPUs
        return False
    return True
