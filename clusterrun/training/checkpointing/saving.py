"""One checkpoint, saved by all ranks together: all of them have it, or none."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from clusterrun.training.checkpointing import manifest
from clusterrun.training.checkpointing.disk import (
    collect_write_errors,
    describe_lack_of_space,
    write_error_reason,
)
from clusterrun.training.checkpointing.store import Checkpoints, Position, StoredCheckpoint
from clusterrun.training.resharding.sharing import Sharing
from clusterrun.training.stopping.agreement import Agreement
from clusterrun.training.stopping.fence import Fence, Fenced
from clusterrun.version import __version__

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
_WRITER = re.compile(r"(?:rank_?|random_states_|__)(\d+)", re.ASCII)


class SaveFailed(Exception):
    """The disk did not take a checkpoint; nothing was published, and training may go on."""


@dataclass(frozen=True)
class _Outcome(Generic[T]):
    """How one rank's part of a phase went."""

    value: T | None = None
    refusal: str | None = None
    fence: str | None = None

    @property
    def good(self) -> bool:
        """Whether the phase may go on."""
        return self.refusal is None and self.fence is None


class Saver:
    """Writes an Accelerator's checkpoints.

    `agreement` joins the ranks, `fence` forbids publishing.
    """

    sharing: Sharing | None = None  # says in the manifest how a step is shared
    passing: frozenset[str] = frozenset()  # files that go away again when the save is done

    def __init__(
        self, accelerator: Accelerator, agreement: Agreement, checkpoints: Checkpoints, fence: Fence
    ) -> None:
        self._accelerator, self._agreement = accelerator, agreement
        self._checkpoints, self._fence = checkpoints, fence
        self._attempt = checkpoints.attempt
        self._size: int | None = None

    def expect(self, size: int) -> None:
        """Take note of how large the previous checkpoint is, in bytes."""
        self._size = size

    def save(self, position: Position) -> StoredCheckpoint:
        """Save the state of all ranks, publish it and prune. Every rank must call it.

        Raises SaveFailed on all ranks where the disk does not take a part of it from any of them,
        and Fenced on all where another attempt has taken over.
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
        published = self._run_on_ranks(lambda: self._publish(draft, position, entries), here=main)
        checkpoint = self._agreement.share(published)
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
        """Record in this attempt's checkpoint that `batch` batches were taken; else as `save`."""

        def restate() -> StoredCheckpoint:
            self._fence.check()
            return self._checkpoints.move(checkpoint, batch)

        moved = self._agreement.share(
            self._run_on_ranks(restate, here=self._accelerator.is_main_process)
        )
        assert moved is not None  # noqa: S101 - the main process has moved it
        return moved

    def _run_on_ranks(self, action: Callable[[], T], *, here: bool = True) -> T | None:
        """Run a phase on the participating ranks; all wait, and all learn if it failed on one."""
        outcome: _Outcome[T] = _try_action(action) if here else _Outcome()
        if not self._agreement.least(int(outcome.good)):
            self._fail(self._agreement.gather(replace(outcome, value=None)))
        return outcome.value

    def _fail(self, outcomes: list[_Outcome[T]]) -> NoReturn:
        for each in outcomes:
            if each.fence:
                raise Fenced(each.fence)
        refusals = [
            f"rank {rank}: {each.refusal}" for rank, each in enumerate(outcomes) if each.refusal
        ]
        raise SaveFailed(outcomes[0].refusal if len(outcomes) == 1 else "; ".join(refusals[:3]))

    def _make_room(self, draft: Path) -> None:
        self._fence.check()
        self._checkpoints.make_room(draft)
        lack = describe_lack_of_space(draft.parent, self._size) if self._size else None
        if lack:
            raise OSError(lack)

    def _write(self, draft: Path) -> None:
        with collect_write_errors() as refusals:
            self._accelerator.save_state(str(draft))
        if refusals:
            raise OSError(refusals[0])

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
        """Flush what this node wrote, and checksum it while it is still in the node's memory."""
        per_node = self._processes_per_node()
        node = int(self._accelerator.process_index) // per_node
        return self._take_stock_of(draft, lambda name: _writing_rank(name) // per_node == node)

    def _take_stock_of(self, draft: Path, mine: Callable[[str], bool]) -> manifest.Entries:
        return manifest.take_stock(draft, lambda name: name not in self.passing and mine(name))

    def _processes_per_node(self) -> int:
        return int(os.environ.get("LOCAL_WORLD_SIZE") or self._accelerator.num_processes)

    def _publish(
        self, draft: Path, position: Position, entries: manifest.Entries
    ) -> StoredCheckpoint:
        entries = entries | self._take_stock_of(draft, lambda name: name not in entries)
        manifest.seal(draft, self._facts(position), entries)
        self._fence.check()
        checkpoint = self._checkpoints.publish(draft)
        # Between the two checks it may have hung for long, on an unavailable file server.
        self._fence.check()
        self._checkpoints.prune()
        return checkpoint

    def _facts(self, position: Position) -> dict[str, object]:
        sharing = self.sharing.facts() if self.sharing else {}
        return {**state_facts(self._accelerator, self._attempt, position), **sharing}


def state_facts(accelerator: Accelerator, attempt: int, position: Position) -> dict[str, object]:
    """Return what a manifest says of the state beside its files."""
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
    except BaseException as error:  # torch.distributed.checkpoint's error is no Exception
        reason = write_error_reason(error)
        if reason is None:
            raise
        return _Outcome(refusal=reason)


def _writing_rank(name: str) -> int:
    # Accelerate, DeepSpeed and torch.distributed.checkpoint number the files of ranks; rank 0
    # writes the others. A wrong guess costs time only: another node reads the file, or the main
    # process, which takes what nobody took.
    match = _WRITER.search(Path(name).name)
    return int(match[1]) if match else 0
