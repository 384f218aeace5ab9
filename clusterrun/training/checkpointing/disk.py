"""Detection of a full disk, by the errors of torch and safetensors, and before a write."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# torch.save does not report the disk's error: its writer notices only a wrong position.
_TORCH_MESSAGES = ("inline_container", "PytorchStreamWriter", "iostream error")
_MARGIN = 1.05, 1 << 20  # for a larger checkpoint, and for logs: a factor, and bytes


def write_error_reason(error: BaseException) -> str | None:
    """Return why the disk failed; None if an error does not come from the disk.

    It recognizes OSError, the errors that torch.save and safetensors raise instead, and the errors
    of several ranks that torch.distributed.checkpoint collects.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if type(error).__name__ == "SafetensorError" and "I/O error" in str(error):
        return str(error).partition("I/O error: ")[2]
    if isinstance(error, RuntimeError) and any(word in str(error) for word in _TORCH_MESSAGES):
        cause = error.__context__
        reason = isinstance(cause, OSError) and cause.strerror
        return reason or "torch.save failed (disk full, quota, or file size limit)"
    return _write_error_of_ranks(error)


def _write_error_of_ranks(error: BaseException) -> str | None:
    failures: Any = getattr(error, "failures", None)
    if type(error).__name__ != "CheckpointException" or not isinstance(failures, dict):
        return None
    reasons = [write_error_reason(wrapped[0]) for wrapped in failures.values()]
    return reasons[0] if all(reasons) else None


@contextmanager
def collect_write_errors() -> Iterator[list[str]]:
    """Make torch.save return if the disk fails, and collect the reasons in the yielded list.

    The ranks of DeepSpeed and FSDP synchronize between files: if one left with an error, the others
    would wait forever. An incomplete file is removed, to free space for the small ones that follow.
    """
    import torch

    reasons: list[str] = []
    save = torch.save

    def save_or_collect(obj: object, f: Any, *args: Any, **more: Any) -> None:
        try:
            save(obj, f, *args, **more)
        except (OSError, RuntimeError) as error:
            reason = write_error_reason(error)
            if reason is None or not isinstance(f, (str, os.PathLike)):
                raise
            reasons.append(f"{Path(f).name}: {reason}")
            with suppress(OSError):
                Path(f).unlink()

    torch.save = save_or_collect
    try:
        yield reasons
    finally:
        torch.save = save


def describe_lack_of_space(folder: Path, size: int) -> str | None:
    """Describe a lack of space for `size` more bytes below a folder; None if they fit, or unknown.

    Quotas are not checked. Raises OSError.
    """
    total, _, free = shutil.disk_usage(folder)
    factor, more = _MARGIN
    if total == 0 or free >= size * factor + more:  # some network file systems report no sizes
        return None
    return (
        f"{format_bytes(free)} free in {folder}, but the previous checkpoint has "
        f"{format_bytes(size)}"
    )


def format_bytes(size: float) -> str:
    """Format a number of bytes with a suitable unit."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.3g} {units[0]}"
