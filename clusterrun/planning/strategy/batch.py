"""The samples of an optimizer step: samples per process x processes x accumulation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Batch:
    """What is known of an optimizer step; None: only the script or the nodes know it."""

    micro: int | None
    processes: int | None
    accumulation: int | None
    by_default: bool = False
    """Whether the samples per process are the script's own default."""

    @property
    def samples(self) -> int | None:
        """The samples of one optimizer step, over all processes."""
        factors = (self.micro, self.processes, self.accumulation or 1)
        return (
            None
            if None in factors
            else (self.micro or 1) * (self.processes or 1) * (self.accumulation or 1)
        )

    def in_words(self) -> str:
        """Return the batch as text; empty if only the processes are known."""
        if self.micro is None and self.accumulation is None:
            return ""
        default = " (the script's default)" if self.by_default else ""
        each = f"{self.micro} per process{default}" if self.micro else "samples per process"
        processes = (
            f"{self.processes} process{'es' * (self.processes > 1)}"
            if self.processes
            else "processes"
        )
        parts = [
            each,
            processes,
            *([f"{self.accumulation} accumulated"] if (self.accumulation or 1) > 1 else []),
        ]
        total = f" = {self.samples} samples per step" if self.samples else ""
        unknown = "" if self.accumulation else ", unless the script accumulates"
        return " x ".join(parts) + total + (unknown if total else "")
