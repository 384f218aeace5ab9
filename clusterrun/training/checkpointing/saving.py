"""The save of a checkpoint by all ranks together: it succeeds on all of them, or on none."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NoReturn, SupportsFloat, TypeVar

from clusterrun.training.checkpointing import manifest
from clusterrun.training.checkpointing.disk import (
    collect_write_errors,
    describe_lack_of_space,
    write_error_reason,
)
from clusterrun.training.checkpointing.store import Checkpoints, Position, StoredCheckpoint
from clusterrun.training.records.loss_health import is_finite
from clusterrun.training.resharding.sharing import Sharing
from clusterrun.training.stopping.agreement import Agreement
from clusterrun.training.stopping.fence import Fence, Fenced
from clusterrun.version import __version__

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
_WRITER = re.compile(r"(?:rank_?|random_states_|__)(\d+)", re.ASCII)


class SaveFailed(Exception):
    """The disk failed during a save; nothing was published, and training can continue."""


@dataclass(frozen=True)
class _Outcome(Generic[T]):
    """The outcome of a phase on one rank."""

    value: T | None = None
    failure: str | None = None
    fence: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the phase succeeded on this rank."""
        return self.failure is None and self.fence is None


class Saver:
    """Writes an Accelerator's checkpoints.

    `agreement` joins the ranks, `fence` forbids publishing.
    """

    sharing: Sharing | None = None  # adds to the manifest how a step is divided among ranks
    loss: SupportsFloat | None = None  # of the step that is saved, if it was reported
    temporary: frozenset[str] = frozenset()  # files that are removed after the save

    def __init__(
        self, accelerator: Accelerator, agreement: Agreement, checkpoints: Checkpoints, fence: Fence
    ) -> None:
        self._accelerator, self._agreement = accelerator, agreement
        self._checkpoints, self._fence = checkpoints, fence
        self._attempt = checkpoints.attempt
        self._size: int | None = None

    def expect(self, size: int) -> None:
        """Note the size of the previous checkpoint in bytes."""
        self._size = size

    def save(self, position: Position) -> StoredCheckpoint:
        """Save the state of all ranks, publish it, and prune. Call it on every rank.

        Raises SaveFailed on all ranks if the disk fails on any of them, and Fenced on all ranks if
        another attempt has taken over.
        """
        draft = self._checkpoints.draft(position.step)
        with self._drop_on_failure(draft):
            self._run_on_ranks(
                lambda: self._make_room(draft), here=self._accelerator.is_main_process
            )
            self._run_on_ranks(lambda: self._write(draft))
            return self._complete(draft, position)

    def _complete(self, draft: Path, position: Position) -> StoredCheckpoint:
        """Flush, seal and publish a draft that all ranks have written."""
        entries = (
            self._take_stock_of_nodes(draft)
            if self._processes_per_node() < self._accelerator.num_processes
            else {}
        )
        main = self._accelerator.is_main_process
        result = self._run_on_ranks(lambda: self._publish(draft, position, entries), here=main)
        checkpoint = self._agreement.share(result)
        assert checkpoint is not None  # noqa: S101 - the main process has published it
        self._size = checkpoint.size
        return checkpoint

    @contextmanager
    def _drop_on_failure(self, draft: Path) -> Iterator[None]:
        try:
            yield
        except (SaveFailed, Fenced):
            if self._accelerator.is_main_process:
                self._checkpoints.drop(draft)
            raise

    def move(self, checkpoint: StoredCheckpoint, batch: int) -> StoredCheckpoint:
        """Record another number of batches in a checkpoint of this attempt; otherwise as `save`."""

        def update() -> StoredCheckpoint:
            self._fence.check()
            return self._checkpoints.move(checkpoint, batch)

        result = self._agreement.share(
            self._run_on_ranks(update, here=self._accelerator.is_main_process)
        )
        assert result is not None  # noqa: S101 - the main process has updated it
        return result

    def _run_on_ranks(self, action: Callable[[], T], *, here: bool = True) -> T | None:
        """Run a phase on the ranks where `here` is true; it fails on all ranks if on any."""
        outcome: _Outcome[T] = _try_action(action) if here else _Outcome()
        if not self._agreement.least(int(outcome.succeeded)):
            self._fail(self._agreement.gather(replace(outcome, value=None)))
        return outcome.value

    def _fail(self, outcomes: list[_Outcome[T]]) -> NoReturn:
        for each in outcomes:
            if each.fence:
                raise Fenced(each.fence)
        failures = [
            f"rank {rank}: {each.failure}" for rank, each in enumerate(outcomes) if each.failure
        ]
        raise SaveFailed(outcomes[0].failure if len(outcomes) == 1 else "; ".join(failures[:3]))

    def _make_room(self, draft: Path) -> None:
        self._fence.check()
        self._checkpoints.make_room(draft)
        reason = describe_lack_of_space(draft.parent, self._size) if self._size else None
        if reason:
            raise OSError(reason)

    def _write(self, draft: Path) -> None:
        with collect_write_errors() as errors:
            self._accelerator.save_state(str(draft))
        if errors:
            raise OSError(errors[0])

    def _take_stock_of_nodes(self, draft: Path) -> manifest.Entries:
        part = self._run_on_ranks(
            lambda: self._take_stock_of_node(draft), here=self._accelerator.is_local_main_process
        )
        return {
            name: entry
            for each in self._agreement.gather(part or {})
            for name, entry in each.items()
        }

    def _take_stock_of_node(self, draft: Path) -> manifest.Entries:
        """Flush and checksum this node's files, while they are still in its memory."""
        per_node = self._processes_per_node()
        node = int(self._accelerator.process_index) // per_node
        return self._take_stock_of(draft, lambda name: _writing_rank(name) // per_node == node)

    def _take_stock_of(self, draft: Path, mine: Callable[[str], bool]) -> manifest.Entries:
        return manifest.take_stock(draft, lambda name: name not in self.temporary and mine(name))

    def _processes_per_node(self) -> int:
        return int(os.environ.get("LOCAL_WORLD_SIZE") or self._accelerator.num_processes)

    def _publish(
        self, draft: Path, position: Position, entries: manifest.Entries
    ) -> StoredCheckpoint:
        entries = entries | self._take_stock_of(draft, lambda name: name not in entries)
        manifest.seal(draft, self._facts(position), entries)
        self._fence.check()
        checkpoint = self._checkpoints.publish(draft)
        # Check again: an unavailable file server may have blocked the process for long.
        self._fence.check()
        self._checkpoints.prune()
        return checkpoint

    def _facts(self, position: Position) -> dict[str, object]:
        sharing = self.sharing.facts() if self.sharing else {}
        main = self._accelerator.is_main_process
        nan = {"loss_is_finite": False} if main and not is_finite(self.loss) else {}
        return {**state_facts(self._accelerator, self._attempt, position), **nan, **sharing}


def state_facts(accelerator: Accelerator, attempt: int, position: Position) -> dict[str, object]:
    """Return the facts on the state for a manifest."""
    import accelerate
    import torch

    return {
        "attempt": attempt,
        "step": position.step,
        "epoch": position.epoch,
        "batch": position.batch,
        "world_size": int(accelerator.num_processes),
        "precision": str(accelerator.mixed_precision),
        "strategy": str(accelerator.distributed_type.value),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "accelerate": accelerate.__version__,
            "clusterrun": __version__,
        },
    }


def _try_action(action: Callable[[], T]) -> _Outcome[T]:
    try:
        return _Outcome(value=action())
    except Fenced as fenced:
        return _Outcome(fence=str(fenced))
    except BaseException as error:  # CheckpointException is a BaseException
        reason = write_error_reason(error)
        if reason is None:
            raise
        return _Outcome(failure=reason)


def _writing_rank(name: str) -> int:
    # Accelerate, DeepSpeed and torch.distributed.checkpoint number the files of ranks; rank 0
    # writes the others. A wrong guess only costs time: another node reads the file, or the main
    # process does, which reads what is left.
    match = _WRITER.search(Path(name).name)
    return int(match[1]) if match else 0
