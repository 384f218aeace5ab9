"""Slurm's commands as shell scripts that count their calls."""

from __future__ import annotations

from pathlib import Path


class Cluster:
    """Slurm's commands, each a shell script that prints a file and counts its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("squeue", "sacct", "scontrol", "sbatch", "srun", "nvidia-smi"):
            self.answer(name, "")
            program = folder / name
            program.write_text(
                f'#!/bin/sh\necho "$@" >> {folder}/{name}.calls\n. {folder}/{name}.sh\n'
            )
            program.chmod(0o755)

    def answer(self, name: str, text: str, *, commands: str = "") -> None:
        (self.folder / f"{name}.out").write_text(text)
        (self.folder / f"{name}.sh").write_text(commands or f"cat {self.folder}/{name}.out\n")

    def calls(self, name: str) -> list[str]:
        path = self.folder / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []
