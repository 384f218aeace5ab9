"""Checkpoints that are written while training continues: it waits only for a copy in memory."""

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

_MARGIN = 1.1, 64 << 20  # memory for training and the writers: a factor, and bytes
# Calls the function that writes a checkpoint, with the seconds for which training was blocked;
# None: until the checkpoint was published.
Note = Callable[[Callable[[], StoredCheckpoint], float | None], StoredCheckpoint]


@dataclass(frozen=True)
class _Need:
    """The memory that a rank's copy still needs, and what is free on its node, None if unknown."""

    node: int
    lack: int
    free: int | None


class AsyncSaver(Saver):
    """Saves as Saver does, in the background.

    Only one save is in progress at a time, and every rank must call the same methods.
    """

    def __init__(
        self, accelerator: Accelerator, agreement: Agreement, checkpoints: Checkpoints, fence: Fence
    ) -> None:
        super().__init__(accelerator, agreement, checkpoints, fence)
        # The threads have their own group, because their communication must not mix with training.
        self._writer = _BackgroundWriter(
            accelerator, Agreement(int(accelerator.num_processes)), checkpoints, fence
        )
        self._buffers = Buffers()
        self._flight: Flight[StoredCheckpoint] | None = None
        self._logged: set[bool] = set()

    @property
    def in_progress(self) -> Position | None:
        """The position whose save was started and not yet collected."""
        return self._writer.position if self._flight else None

    def begin(self, position: Position, note: Note) -> bool:
        """Copy the state and start to write it; return False if it was written synchronously.

        The latter happens if memory is short on a node, which is logged once. No other save may be
        in progress. Raises what `save` raises if it fails before the copy; later errors are raised
        by `collect`.
        """
        start = time.monotonic()
        plugin = self._accelerator.state.fsdp_plugin if self._accelerator.is_fsdp2 else None
        writes = Writes(self._checkpoints.draft(position.step), plugin)
        with self._drop_on_failure(writes.folder):
            self._run_on_ranks(
                lambda: self._make_room(writes.folder), here=self._accelerator.is_main_process
            )
            self._run_on_ranks(
                lambda: writes.capture(lambda: self._accelerator.save_state(str(writes.folder)))
            )
        copied = self._copy_state(writes.state)
        self._writer.take(writes, position, self._facts(position))
        stall = time.monotonic() - start if copied else None
        self._flight = Flight(lambda: note(self._writer.write, stall))
        self._flight.start() if copied else self._flight.run()
        return copied

    def collect(self) -> StoredCheckpoint:
        """Wait for the save in progress, and return its checkpoint or raise what `save` would."""
        flight, self._flight = self._flight, None
        assert flight is not None  # noqa: S101 - the caller has checked it
        checkpoint = flight.result()
        self._size = checkpoint.size
        return checkpoint

    def is_writing(self) -> bool:
        """Return whether this rank is still writing."""
        return self._flight is not None and not self._flight.has_landed()

    def failed_with(self) -> BaseException | None:
        """Return the error of this rank's part, if it has failed."""
        return self._flight.failed_with() if self._flight else None

    def _copy_state(self, state: Snapshot) -> bool:
        """Copy the state, on all ranks or on none."""
        storages = state.storages().values()
        missing = self._buffers.missing_bytes(storages)
        fits_everywhere = self._agreement.least(int(missing == 0))
        if not fits_everywhere and not self._grow_buffers(storages, missing):
            return False
        state.copy(self._buffers)
        return True

    def _grow_buffers(self, storages: Iterable[Any], missing: int) -> bool:
        node = int(self._accelerator.process_index) // self._processes_per_node()
        needs = self._agreement.gather(_Need(node, missing, free_memory()))
        total, free, fits = min(
            (_sum_needs(needs, node) for node in {need.node for need in needs}), key=_memory_left
        )
        self._log_memory(total, free, fits=fits)
        is_allocated = self._agreement.least(
            int(fits and _try_to_allocate(lambda: self._buffers.grow(storages)))
        )
        if fits and not is_allocated:
            self._log_memory(total, free, fits=False)
        return bool(is_allocated)

    def _log_memory(self, total: int, free: int | None, *, fits: bool) -> None:
        available = (
            "an unknown amount is free" if free is None else f"{format_bytes(free)} are free"
        )
        text = (
            f"the copy for an asynchronous checkpoint needs {format_bytes(total)} of a node's "
            f"memory; {available}"
        )
        if fits not in self._logged and self._accelerator.is_main_process:
            text = text if fits else f"warning: saving synchronously: {text}"
            sys.stderr.write(f"clusterrun: {text}\n")
            sys.stderr.flush()
        self._logged.add(fits)


class _BackgroundWriter(Saver):
    """Writes, seals and publishes the captured state, in a thread."""

    writes: Writes | None = None
    position = Position()
    facts: dict[str, object] | None = None

    def take(self, writes: Writes, position: Position, facts: dict[str, object]) -> None:
        """Receive the deferred writes and the manifest's facts, while training continues."""
        self.writes, self.position, self.facts = writes, replace(position), facts

    def _facts(self, position: Position) -> dict[str, object]:
        return super()._facts(position) if self.facts is None else self.facts

    def write(self) -> StoredCheckpoint:
        """Write and publish the checkpoint. Raises what `save` raises."""
        writes, self.writes = self.writes, None  # frees its memory
        assert writes is not None  # noqa: S101 - `take` was called
        with self._drop_on_failure(writes.folder):
            self._run_on_ranks(lambda: writes.carry_out(self._agreement.group))
            return self._complete(writes.folder, self.position)

    def _take_stock_of(self, draft: Path, mine: Callable[[str], bool]) -> manifest.Entries:
        # Without threads: training does not wait for this, and the interpreter creates no pools of
        # threads while it shuts down.
        return manifest.take_stock(
            draft, lambda name: name not in self.temporary and mine(name), _InlineExecutor()
        )


class _InlineExecutor(Executor):
    """Runs submitted functions at once, in the calling thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except OSError as error:
            future.set_exception(error)
        return future


def why_synchronous(accelerator: Accelerator) -> str | None:
    """Return why an Accelerator's state cannot be saved asynchronously; None if it can."""
    kind = str(accelerator.distributed_type.value)
    if kind == "NO" or kind.startswith("MULTI_") or (kind == "FSDP" and accelerator.is_fsdp2):
        return None
    if kind == "DEEPSPEED":
        return "DeepSpeed writes its own checkpoints while training waits"
    if kind == "FSDP":
        return "the sharded state of FSDP1 cannot be copied; use FSDP2 (fsdp_version: 2)"
    return f"copying the state of {kind} is not supported"


def _sum_needs(needs: list[_Need], node: int) -> tuple[int, int | None, bool]:
    """Return what all copies on a node still need, what is free there, and whether it fits."""
    here = [need for need in needs if need.node == node]
    total = sum(need.lack for need in here)
    free = min((need.free for need in here if need.free is not None), default=None)
    factor, more = _MARGIN
    return total, free, free is None or free >= total * factor + more


def _memory_left(node_sum: tuple[int, int | None, bool]) -> float:
    total, free, _ = node_sum
    return float("inf") if free is None else free - total


def _try_to_allocate(grow: Callable[[], None]) -> bool:
    try:
        grow()
    except (MemoryError, RuntimeError):  # torch raises the latter, for CPUs and GPUs
        return False
    return True
