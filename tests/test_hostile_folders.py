"""A folder's name is data: no shell expands it, and every stand-in for Slurm is used."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clusterrun.local import kill_processes
from clusterrun.run_folder.records import read_record

CHECKOUT = Path(__file__).parent.parent
NAMES = (
    "$(touch canary)", "a$b", "b`touch canary`", "C$", "it's \"$HOME\" a", "${IFS}", "~", "*[a-z]?{a,b}",
    ";touch canary;#", "-n", "%j",
)  # fmt: skip
SPEC = """
name: named
command: pwd; printf 'run_dir=%s\\n' "$CLUSTERRUN_RUN_DIR"; echo "BASH_ENV=${BASH_ENV:-}"
environment: {venv: VENV}
node_check: false
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user's environment in which a call of a real Slurm command leaves a mark."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("srun", "scontrol", "sbatch", "squeue", "scancel", "sacct"):
        (programs / name).write_text(
            f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/called\nexit 1\n'
        )
        (programs / name).chmod(0o755)
    return {"HOME": str(tmp_path / "home"), "PATH": f"{programs}:{sys.prefix}/bin:/usr/bin:/bin", "USER": "someone",
            "PYTHONPATH": str(CHECKOUT)}  # fmt: skip


def typed(
    folder: Path, environment: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "clusterrun", *words], env=environment, cwd=folder, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, check=False)  # fmt: skip


def story(root: Path, name: str, environment: dict[str, str]) -> list[str]:
    """What a run in a folder of that name does, in lines that are the same for every name."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "j.yaml").write_text(SPEC.replace("VENV", sys.prefix))
    submitted = typed(folder, environment, "submit", "--local", "--parsable", "j.yaml")
    if submitted.returncode:
        return [submitted.stderr]
    (run,) = (folder / "runs").iterdir()
    waited = typed(folder, environment, "wait", run.name, "--timeout", "60")
    kill_processes(str(run))
    log = (run / "logs" / "attempt-0001.log").read_text().splitlines()
    own = [line for line in log if line in (str(folder), f"run_dir={run}", "BASH_ENV=")]
    cause = read_record(run / "events" / "attempt-0001.end").get("cause", "no end")
    return [
        f"wait exits with {waited.returncode}",
        cause,
        *(line.replace(str(folder), ".") for line in own),
    ]


def test_a_run_in_a_folder_of_any_name(tmp_path: Path, environment: dict[str, str]) -> None:
    """Each run finishes in its own folder, with the stand-ins, and nothing in a name is executed."""
    (tmp_path / "home").mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as typists:
        stories = dict(
            zip(
                NAMES,
                typists.map(lambda name: story(tmp_path / "d", name, environment), NAMES),
                strict=True,
            )
        )
    plain = {
        name: found[:2] + [line.partition("runs/")[0] for line in found[2:]]
        for name, found in stories.items()
    }
    right = ["wait exits with 0", "finished", ".", "run_dir=./", "BASH_ENV="]
    assert {name: found for name, found in plain.items() if found != right} == {}
    assert list(tmp_path.rglob("canary")) == []
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x1bb", "a\u202eb", "\\"])
def test_a_name_that_no_script_can_hold_is_refused(
    tmp_path: Path, environment: dict[str, str], name: str
) -> None:
    """Control characters, direction overrides and backslashes are named, and nothing is written."""
    folder = tmp_path / name
    folder.mkdir()
    (tmp_path / "home").mkdir()
    (folder / "j.yaml").write_text(SPEC.replace("VENV", sys.prefix))
    done = typed(folder, environment, "submit", "--local", "j.yaml")
    assert done.returncode == 2, done.stderr
    assert "U+" in done.stderr or "backslash" in done.stderr
    assert not (folder / "runs").exists()
