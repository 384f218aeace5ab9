"""Terminals of the documentation that need no Slurm are typed, and show what the page says.

CLUSTERRUN_GOLDEN=write writes what they show into the pages instead.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clusterrun.version import __version__
from tests.estimation.test_estimate import LLAMA_8B
from tests.support.page_blocks import ROOT, Block, all_blocks, blocks

TYPED = [block for block in all_blocks("console") if not block.marker]
WRITE = os.environ.get("CLUSTERRUN_GOLDEN") == "write"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A home with clusterrun on PATH, and the files that pages name."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "clusterrun"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m clusterrun "$@"\n')
    program.chmod(0o755)
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "activate").touch()
    for name in ("examples", "configs", "job_specs"):
        (tmp_path / name).symlink_to(ROOT / name)
    script = (ROOT / "examples" / "train_plain.py").read_text()
    script = script.replace("parser.parse_args()", "parser.parse_known_args()[0]")  # of any page
    (tmp_path / "train.py").write_text(script)
    (tmp_path / "models" / "llama-8b").mkdir(parents=True)
    (tmp_path / "models" / "llama-8b" / "config.json").write_text(json.dumps(LLAMA_8B))
    profile = tmp_path / ".config" / "clusterrun" / "profile.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text(f"gpu_memory: {{gpu: 80GB}}\nenvironment: {{venv: {tmp_path}/venv}}\n")
    return tmp_path


def type_line(desk: Path, line: str) -> str:
    """Type a line at a shell and return what a terminal shows of it."""
    environment = {
        "HOME": str(desk), "PATH": f"{desk}/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "COLUMNS": "100",
        "VIRTUAL_ENV": str(desk / "venv"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", line], cwd=desk, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout


def normalised(text: str, desk: Path) -> str:
    """Leave out what differs from machine to machine."""
    text = text.replace(str(desk), "~").replace(__version__, "VERSION")
    text = re.sub(r"clusterrun \d+\.\d+\.\d+\S*", "clusterrun VERSION", text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.mark.parametrize("block", TYPED, ids=lambda block: block.place)
def test_a_terminal_matches_the_page(block: Block, desk: Path) -> None:
    """The specs of the page are there under their names; each line is typed, in order."""
    for one in blocks(block.page):
        if one.language == "yaml":
            name = re.match(r"name: (\S+)", one.text)
            (desk / f"{name[1] if name else 'job'}.yaml").write_text(one.text)
        elif "#SBATCH" in one.text:
            (desk / "train.sh").write_text(one.text)
    shown = "".join(
        f"$ {line.rstrip()}\n{normalised(type_line(desk, line), desk)}" for line, _ in block.typed()
    )
    if WRITE:
        page = block.page.read_text()
        assert page.count(block.text) == 1, block.place
        block.page.write_text(page.replace(block.text, shown.replace("VERSION", "0.2.0")))
    else:
        assert shown == normalised(block.text, desk)
