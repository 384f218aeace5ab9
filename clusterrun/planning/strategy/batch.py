"""How many samples an optimizer step takes: samples of a process x processes x accumulation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Batch:
    """What is known of an optimizer step; None: only the script, or the nodes, will know."""

    micro: int | None
    processes: int | None
    accumulation: int | None
    by_default: bool = False
    """Whether the samples of a process are the script's own default."""

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
        """Return it as text; empty if nothing is known but the processes."""
        if self.micro is None and self.accumulation is None:
            return ""
        default = " (the script's default)" if self.by_default else ""
        each = f"{self.micro} a process{default}" if self.micro else "what a process takes"
        processes = (
            f"{self.processes} process{'es' * (self.processes > 1)}"
            if self.processes
            else "the processes"
        )
        parts = [
            each,
            processes,
            *([f"{self.accumulation} accumulated"] if (self.accumulation or 1) > 1 else []),
        ]
        total = f" = {self.samples} samples a step" if self.samples else ""
        unsaid = "" if self.accumulation else ", unless the script accumulates"
        return " x ".join(parts) + total + (unsaid if total else "")
