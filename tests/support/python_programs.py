"""Python programs that use clusterrun, in a new interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.cli_desk import Desk

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, desk: Desk | None = None) -> str:
    """Run a program in a new interpreter, at a desk if one is given; return its output."""
    place = {"env": desk.environment, "cwd": desk.folder} if desk else {"cwd": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=False, **place
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SPEC = """\
name: tiny
command: "true"
slurm: {nodes: 2, time: 1:00:00}
"""
