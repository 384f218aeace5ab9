"""All ranks act at the same optimizer step."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    import torch.distributed

T = TypeVar("T")


class Wish(IntEnum):
    """What one rank would like; the highest wish of all ranks wins."""

    NOTHING = 0
    SAVE = 1
    STOP = 2


class Agreement:
    """Reduces the ranks' wishes, asynchronously: asked at one step, known at the next.

    It has a gloo group of its own, because reading a result on NCCL would make the GPU wait.
    A world of one process needs no group, and knows at once.
    """

    def __init__(self, world_size: int) -> None:
        self._group: torch.distributed.ProcessGroup | None = None
        self._pending: tuple[torch.distributed.Work, torch.Tensor] | None = None
        if world_size > 1:
            import torch.distributed

            self._group = torch.distributed.new_group(backend="gloo")

    def exchange(self, wish: Wish) -> Wish:
        """Hand in this rank's wish at a step; return what all agreed on one call earlier.

        Every rank must call it at the same steps.
        """
        if self._group is None:
            return wish
        agreed = self.settle()
        self._launch(wish)
        return agreed

    def settle(self) -> Wish:
        """Wait for what is still under way, and return it."""
        if self._pending is None:
            return Wish.NOTHING
        work, code = self._pending
        work.wait()
        self._pending = None
        return Wish(int(code.item()))

    def share(self, value: T) -> T:
        """Return the main process's value on every rank; the value must be picklable."""
        if self._group is None:
            return value
        import torch.distributed

        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def _launch(self, wish: Wish) -> None:
        import torch

        code = torch.tensor([int(wish)], dtype=torch.int32, device="cpu")
        work = torch.distributed.all_reduce(code, op=torch.distributed.ReduceOp.MAX, group=self._group, async_op=True)
        assert work is not None  # noqa: S101 - None is for ranks outside of the group; all are in it
        self._pending = (work, code)
