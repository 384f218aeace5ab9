"""All ranks act at the same optimizer step."""

from __future__ import annotations

import atexit
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, TypeVar, cast

from clusterrun.training.stopping.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    import torch.distributed

T = TypeVar("T")
_PACE_LEVELS = (
    16  # the byte that is exchanged: the wish, times this, plus the pace, the slower the higher
)
# All ranks wait while the main process reads a checkpoint through: hundreds of GB, at a file
# server's pace. That a rank is dead its launcher notices, not this group.
_TIMEOUT = timedelta(hours=12)


class RankRequest(IntEnum):
    """What one rank would like; the highest wish of all ranks wins."""

    NOTHING = 0
    SAVE = 1
    STOP = 2
    FENCED = 3  # a later attempt trains now: leave, and write nothing


class Agreement:
    """Reduces the ranks' wishes asynchronously: handed in at one step, known at the next.

    It has a gloo group of its own, because reading a result on NCCL would make the GPU wait.
    A world of one process needs no group, and knows at once.
    """

    def __init__(self, world_size: int) -> None:
        self._group: torch.distributed.ProcessGroup | None = None
        self._pending: torch.distributed.Work | None = None
        self._closed = False
        self._pace = Pace()
        if world_size > 1:
            import torch.distributed

            self._group = torch.distributed.new_group(timeout=_TIMEOUT, backend="gloo")
            atexit.register(self._close_at_exit)
            self._code = bytearray(
                1
            )  # read and written without torch, which takes its time for that
            self._tensor = torch.frombuffer(self._code, dtype=torch.uint8)
            self._options = torch.distributed.AllreduceOptions()
            self._options.reduceOp = torch.distributed.ReduceOp(torch.distributed.ReduceOp.MAX)

    @property
    def group(self) -> torch.distributed.ProcessGroup | None:
        """Its gloo group; None for one process."""
        return self._group

    def exchange(self, wish: Callable[[], RankRequest]) -> RankRequest:
        """Hand in this rank's wish; return what all agreed on one call earlier.

        Every rank must call it at the same places.
        """
        if self._closed:
            return RankRequest.NOTHING
        if self._group is None:
            return wish()
        agreed = self.settle()
        self._launch(self._group, wish())
        return agreed

    def exchange_at_pace(self, wish: Callable[[], RankRequest]) -> RankRequest:
        """Exchange as `exchange` does, once a step, but only every few steps if they are short.

        What was agreed is still known one step later.
        """
        if self._group is not None and self._pace.skips_step():
            return self.settle()
        return self.exchange(wish)

    def settle(self) -> RankRequest:
        """Wait for what is still under way, and return it."""
        if self._pending is None:
            return RankRequest.NOTHING
        self._pending.wait()
        self._pending = None
        wish, slowness = divmod(self._code[0], _PACE_LEVELS)
        self._pace.follow(_PACE_LEVELS - 1 - slowness)
        return RankRequest(wish)

    def close(self) -> None:
        """End the exchange: nothing more is agreed. Every rank must call it before it exits.

        A gloo thread that frees a tensor of Python's while the interpreter shuts down aborts the
        process, after all went well. Destroying the group waits for its threads.
        """
        self.settle()
        self._closed = True
        group, self._group = self._group, None
        if group is not None:
            import torch.distributed

            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group(group)

    def _close_at_exit(self) -> None:
        if (
            self._pending is None
        ):  # otherwise something went wrong, and another rank may never answer
            self.close()

    def share(self, value: T) -> T:
        """Return the main process's value on every rank; the value must be picklable."""
        if self._group is None:
            return value
        import torch.distributed

        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """Return every rank's value, by rank, once all are in; the values must be picklable."""
        if self._group is None:
            return [value]
        import torch.distributed

        box: list[T | None] = [None] * torch.distributed.get_world_size(self._group)
        torch.distributed.all_gather_object(box, value, group=self._group)
        return cast("list[T]", box)

    def least(self, number: int) -> int:
        """Return the smallest of the numbers that all ranks hand in."""
        if self._group is None:
            return number
        import torch
        import torch.distributed

        box = torch.tensor([number], dtype=torch.int64, device="cpu")
        torch.distributed.all_reduce(box, op=torch.distributed.ReduceOp.MIN, group=self._group)
        return int(box.item())

    def _launch(self, group: torch.distributed.ProcessGroup, wish: RankRequest) -> None:
        # Straight to the group: torch.distributed.all_reduce looks up and logs for twice as long,
        # at every step.
        self._code[0] = wish * _PACE_LEVELS + _PACE_LEVELS - 1 - self._pace.propose()
        self._pending = group.allreduce([self._tensor], self._options)
