"""Recognize a full disk: by the errors of torch and safetensors, and before anything is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# torch.save says nothing of the disk: its writer notices that it is not where it should be, and the
# reason is lost.
_TORCH_MESSAGES = ("inline_container", "PytorchStreamWriter", "iostream error")
_MARGIN = 1.05, 1 << 20  # a checkpoint grows a little, and logs need room too: a factor, and bytes


def write_error_reason(error: BaseException) -> str | None:
    """Say in words why the disk refused, or return None when an error is none of the disk's.

    Knows OSError, what torch.save and safetensors raise in its place, and
    torch.distributed.checkpoint's collection of what several ranks raised.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if type(error).__name__ == "SafetensorError" and "I/O error" in str(error):
        return str(error).partition("I/O error: ")[2]
    if isinstance(error, RuntimeError) and any(word in str(error) for word in _TORCH_MESSAGES):
        cause = error.__context__
        known = isinstance(cause, OSError) and cause.strerror
        return known or "torch.save could not write (disk full, quota, or file size limit)"
    return _write_error_of_ranks(error)


def _write_error_of_ranks(error: BaseException) -> str | None:
    failures: Any = getattr(error, "failures", None)
    if type(error).__name__ != "CheckpointException" or not isinstance(failures, dict):
        return None
    reasons = [write_error_reason(wrapped[0]) for wrapped in failures.values()]
    return reasons[0] if all(reasons) else None


@contextmanager
def collect_write_errors() -> Iterator[list[str]]:
    """Let torch.save return where the disk refuses, and list the reasons instead.

    DeepSpeed and FSDP meet between their files: a rank that left there with an error would let the
    others wait for it for good. What was written of the file is removed, which leaves room for the
    small ones that follow.
    """
    import torch

    reasons: list[str] = []
    save = torch.save

    def forgiving(obj: object, f: Any, *args: Any, **more: Any) -> None:
        try:
            save(obj, f, *args, **more)
        except (OSError, RuntimeError) as error:
            reason = write_error_reason(error)
            if reason is None or not isinstance(f, (str, os.PathLike)):
                raise
            reasons.append(f"{Path(f).name}: {reason}")
            with suppress(OSError):
                Path(f).unlink()

    torch.save = forgiving
    try:
        yield reasons
    finally:
        torch.save = save


def describe_lack_of_space(folder: Path, size: int) -> str | None:
    """Describe a lack of room for `size` more bytes below a folder; None if unknown or they fit.

    A quota is not seen here. Raises OSError.
    """
    total, _, free = shutil.disk_usage(folder)
    factor, more = _MARGIN
    if total == 0 or free >= size * factor + more:  # some network file systems tell no sizes at all
        return None
    return (
        f"{format_bytes(free)} free in {folder}, and the previous checkpoint has "
        f"{format_bytes(size)}"
    )


def format_bytes(size: float) -> str:
    """Say a number of bytes in the unit that fits it."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.3g} {units[0]}"
