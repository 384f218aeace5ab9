"""The agreement of all ranks on requests, so that they act at the same optimizer step."""

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
# The byte that is exchanged is the request times this, plus the pace: the slower, the higher.
_PACE_LEVELS = 16
# All ranks wait while the main process verifies a checkpoint: hundreds of GB, at the speed of a
# file server. The launcher detects dead ranks, not this group.
_TIMEOUT = timedelta(hours=12)


class RankRequest(IntEnum):
    """The request of one rank; the highest request of all ranks wins."""

    NOTHING = 0
    SAVE = 1
    STOP = 2
    FENCED = 3  # a later attempt has taken over: exit, and write nothing


class Agreement:
    """Reduces the requests of the ranks asynchronously: submitted at one step, known at the next.

    It has its own gloo group, because reading a result on NCCL would block the GPU. A single
    process needs no group and knows the result at once.
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
            self._code = bytearray(1)  # accessed without torch, which is slower
            self._tensor = torch.frombuffer(self._code, dtype=torch.uint8)
            self._options = torch.distributed.AllreduceOptions()
            self._options.reduceOp = torch.distributed.ReduceOp(torch.distributed.ReduceOp.MAX)

    @property
    def group(self) -> torch.distributed.ProcessGroup | None:
        """The gloo group; None for a single process."""
        return self._group

    def exchange(self, find_request: Callable[[], RankRequest]) -> RankRequest:
        """Submit this rank's request; return the result of the previous call.

        Every rank must call it at the same places.
        """
        if self._closed:
            return RankRequest.NOTHING
        if self._group is None:
            return find_request()
        agreed = self.settle()
        self._launch(self._group, find_request())
        return agreed

    def exchange_at_pace(self, find_request: Callable[[], RankRequest]) -> RankRequest:
        """Exchange as `exchange` does, called at each step, but only every few steps if short.

        The result is still known one step later.
        """
        if self._group is not None and self._pace.skips_step():
            return self.settle()
        return self.exchange(find_request)

    def settle(self) -> RankRequest:
        """Wait for a pending exchange, and return its result."""
        if self._pending is None:
            return RankRequest.NOTHING
        self._pending.wait()
        self._pending = None
        request, slowness = divmod(self._code[0], _PACE_LEVELS)
        self._pace.follow(_PACE_LEVELS - 1 - slowness)
        return RankRequest(request)

    def close(self) -> None:
        """End all exchanges. Every rank must call it before it exits.

        A gloo thread that frees a Python tensor while the interpreter shuts down aborts the
        process, although all work is complete. Destroying the group waits for its threads.
        """
        self.settle()
        self._closed = True
        group, self._group = self._group, None
        if group is not None:
            import torch.distributed

            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group(group)

    def _close_at_exit(self) -> None:
        if self._pending is None:  # otherwise another rank may have failed and never respond
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
        """Return the values of all ranks in order, once all are known; they must be picklable."""
        if self._group is None:
            return [value]
        import torch.distributed

        box: list[T | None] = [None] * torch.distributed.get_world_size(self._group)
        torch.distributed.all_gather_object(box, value, group=self._group)
        return cast("list[T]", box)

    def least(self, number: int) -> int:
        """Return the smallest number of all ranks."""
        if self._group is None:
            return number
        import torch
        import torch.distributed

        box = torch.tensor([number], dtype=torch.int64, device="cpu")
        torch.distributed.all_reduce(box, op=torch.distributed.ReduceOp.MIN, group=self._group)
        return int(box.item())

    def _launch(self, group: torch.distributed.ProcessGroup, request: RankRequest) -> None:
        # Directly by the group: torch.distributed.all_reduce takes three times as long, at each
        # step.
        self._code[0] = request * _PACE_LEVELS + _PACE_LEVELS - 1 - self._pace.propose()
        self._pending = group.allreduce([self._tensor], self._options)
