"""Deferred writes of `accelerator.save_state`, which another thread carries out later.

Accelerate itself decides which rank writes which file, and calls the hooks and the state_dict of
every object at the time of the save. Only its three writers are replaced meanwhile: torch.save,
safetensors' save_file, and torch.distributed.checkpoint.save for a sharded state. So the files are
the same as without deferral.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterrun.training.checkpointing.disk import write_error_reason
from clusterrun.training.checkpointing.snapshot import Snapshot

if TYPE_CHECKING:
    import torch.distributed

Write = Callable[["torch.distributed.ProcessGroup | None"], None]


@dataclass
class Writes:
    """The writes of one rank for one checkpoint, and the state that they write."""

    folder: Path
    plugin: Any = None  # Accelerate's plugin for FSDP2, whose state may be sharded
    state: Snapshot = field(default_factory=Snapshot)
    _writes: list[tuple[str, Write]] = field(default_factory=list)

    def capture(self, save: Callable[[], object]) -> None:
        """Call `save`, and defer its writes to the folder; other writes happen at once."""
        with self._replace_writers():
            save()

    def carry_out(self, group: torch.distributed.ProcessGroup | None) -> None:
        """Carry out all writes, the sharded parts together with the other ranks of the group.

        Raises OSError if the disk fails, after all writes were tried, because all ranks must take
        part in each sharded write.
        """
        refusals = []
        for name, write in self._writes:
            try:
                write(group)
            except BaseException as error:  # CheckpointException is a BaseException
                reason = write_error_reason(error)
                if reason is None:
                    raise
                refusals.append(f"{name}: {reason}")
                with suppress(OSError):  # to free space for the small files that follow
                    (self.folder / name).unlink()
        if refusals:
            raise OSError(refusals[0])

    @contextmanager
    def _replace_writers(self) -> Iterator[None]:
        import accelerate.utils.other
        import torch

        with ExitStack() as stack:
            stack.enter_context(_replace_attribute(torch, "save", self._defer(torch.save)))
            safetensors = getattr(accelerate.utils.other, "safe_save_file", None)
            if safetensors:  # otherwise the model is written at once
                deferred = self._defer(safetensors)
                stack.enter_context(
                    _replace_attribute(accelerate.utils.other, "safe_save_file", deferred)
                )
            if self.plugin is not None:
                # The state is copied only once, directly from the device, after the check that
                # there is memory for it.
                config = self.plugin.state_dict_config
                if hasattr(config, "offload_to_cpu"):
                    stack.enter_context(_replace_attribute(config, "offload_to_cpu", False))
                module = importlib.import_module("torch.distributed.checkpoint")
                stack.enter_context(
                    _replace_attribute(module, "save", self._defer_sharded(module.save))
                )
            yield

    def _defer(self, write: Callable[..., Any]) -> Callable[..., None]:
        def defer_write(value: object, target: Any, *args: Any, **more: Any) -> None:
            name = self._relative_path(target)
            if name is None or args or "pickle_module" in more:
                write(value, target, *args, **more)
                return
            frozen = self.state.freeze(value)
            self._writes.append((name, lambda _: write(self.state.thaw(frozen), target, **more)))

        return defer_write

    def _defer_sharded(self, write: Callable[..., Any]) -> Callable[..., None]:
        def defer_write(state_dict: dict[str, Any], **more: Any) -> None:
            name = self._relative_path(getattr(more.get("storage_writer"), "path", None))
            if name is None or more.get("process_group"):
                write(state_dict, **more)
                return
            frozen = self.state.freeze(state_dict)
            self._writes.append(
                (
                    name,
                    lambda group: write(self.state.thaw(frozen), **more | {"process_group": group}),
                )
            )

        return defer_write

    def _relative_path(self, target: object) -> str | None:
        """Return a target's path relative to the folder; None if it is elsewhere or has no path."""
        if not isinstance(target, (str, os.PathLike)) or not Path(target).is_relative_to(
            self.folder
        ):
            return None
        return str(Path(target).relative_to(self.folder))


@contextmanager
def _replace_attribute(module: object, name: str, replacement: object) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, replacement)
    try:
        yield
    finally:
        setattr(module, name, original)
