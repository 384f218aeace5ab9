"""How long a command takes, compared with what one would type instead.

Whole processes are timed, on a real Slurm that is started for it (tests/slurm), as an ordinary user
on its login node. The commands take turns, so that a slow minute of the machine affects all of
them; the medians are compared. The submitted jobs start in two hours at the earliest, and are
cancelled at the end. Needs root, as the tests do:

    make benchmarks
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).resolve().parent / "results" / "startup.md"
CLUSTERRUN = Path(sys.prefix, "bin", "clusterrun")
PACKAGES = ("clusterrun", "pydantic", "PyYAML", "Jinja2", "submitit")

SPEC = f"""\
name: startup
script: {CHECKOUT}/examples/train_causal_lm.py
args: {{learning_rate: 3e-4, num_train_epochs: 3}}
slurm: {{partition: low, nodes: 2, gpus-per-node: 4, time: 12:00:00, begin: now+2hours}}
accelerate: {{mixed_precision: bf16, gradient_accumulation_steps: 4}}
environment: {{venv: {sys.prefix}, variables: {{HF_HUB_OFFLINE: 1}}}}
checkpoint: {{every: 10min, keep: 3}}
"""

BARE = "python -c pass"
# What a command must import. pydantic loads its modules lazily: `import pydantic` alone loads
# nothing.
_NEEDED = (
    "import yaml; from pydantic import BaseModel; from jinja2.sandbox import SandboxedEnvironment"
)
LIBRARIES = f"python -c '{_NEEDED}'"
WITH_SUBMITIT = f"python -c '{_NEEDED}; import submitit.slurm.slurm'"
_STANDARD = "import argparse, dataclasses, json, pathlib, subprocess"
STANDARD = f"python -c '{_STANDARD}'"
SBATCH = "sbatch job.sbatch"
SQUEUE = "squeue --jobs=ID"
# The commands to compare, and the aim for their ratio; those without an aim explain the rest.
RATIOS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("clusterrun --help", (BARE,), 4.0),
    ("clusterrun validate", (LIBRARIES,), 1.3),
    ("clusterrun render", (LIBRARIES,), 1.3),
    ("clusterrun submit", (WITH_SUBMITIT, SBATCH), 1.3),
    ("clusterrun status", (STANDARD, SQUEUE), 1.3),
    ("clusterrun list", (STANDARD, SQUEUE), 1.3),
    ("clusterrun submit", (SBATCH,), None),
)


def commands(job_id: str) -> dict[str, list[str]]:
    """Return the command lines to time, by name."""
    python, clusterrun = sys.executable, str(CLUSTERRUN)
    return {
        BARE: [python, "-c", "pass"],
        LIBRARIES: [python, "-c", _NEEDED],
        WITH_SUBMITIT: [python, "-c", f"{_NEEDED}; import submitit.slurm.slurm"],
        STANDARD: [python, "-c", _STANDARD],
        SBATCH: ["sbatch", "job.sbatch"],
        SQUEUE: ["squeue", f"--jobs={job_id}"],
        "clusterrun --help": [clusterrun, "--help"],
        "clusterrun validate": [clusterrun, "validate", "startup.yaml"],
        "clusterrun render": [clusterrun, "render", "startup.yaml"],
        "clusterrun submit": [clusterrun, "submit", "startup.yaml"],
        "clusterrun status": [clusterrun, "status", "last"],
        "clusterrun list": [clusterrun, "list"],
    }


def seconds(argv: list[str]) -> float:
    """Time one process from its start to its end. Raises CalledProcessError if it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    took = time.perf_counter() - started
    if done.returncode:
        sys.stderr.write(f"{shlex.join(argv)}: {done.stderr}")
        done.check_returncode()
    return took


def measure(rounds: int) -> dict[str, list[float]]:
    """Time the commands in turns, `rounds` times after a warm-up round; runs on the login node."""
    Path("startup.yaml").write_text(SPEC, encoding="utf-8")
    script = subprocess.run(
        [CLUSTERRUN, "render", "startup.yaml"], capture_output=True, text=True, check=True
    ).stdout
    Path("job.sbatch").write_text(script, encoding="utf-8")
    made = subprocess.run(
        [CLUSTERRUN, "submit", "--json", "startup.yaml"], capture_output=True, text=True, check=True
    )
    lines = commands(json.loads(made.stdout)["job_id"])
    found: dict[str, list[float]] = {name: [] for name in lines}
    try:
        for turn in range(rounds + 1):
            for name, argv in lines.items():
                took = seconds(argv)
                if turn:
                    found[name].append(took)
    finally:
        subprocess.run(["scancel", "--me"], check=True)
    return found


def on_a_cluster(rounds: int) -> tuple[dict[str, list[float]], str]:
    """Start a cluster and measure as alice on its login node; also return Slurm's version."""
    sys.path.insert(0, str(CHECKOUT))
    from tests.slurm.cluster import Cluster, missing  # noqa: PLC0415 - not in the process that times commands

    reason = missing()
    if reason:
        raise SystemExit(reason)
    compileall.compile_dir(str(CHECKOUT / "clusterrun"), quiet=1)  # as pip does on installation
    with Cluster.start() as cluster:
        argv = [sys.executable, Path(__file__).resolve(), "--here", "--rounds", str(rounds)]
        answer = cluster.run_as("alice", argv, timeout=60 + 30 * rounds)
        slurm = cluster.run_as("alice", ["sbatch", "--version"]).stdout.split()[-1]
    found: dict[str, list[float]] = json.loads(answer.stdout)
    return found, slurm


def table(found: dict[str, list[float]]) -> list[str]:
    """Write the measured times and the ratios."""
    median = {name: statistics.median(times) for name, times in found.items()}
    lines = ["| command | median | fastest | slowest |", "|---|--:|--:|--:|"]
    for name, times in found.items():
        lines.append(
            f"| `{name}` | {median[name] * 1e3:.0f} ms | {min(times) * 1e3:.0f} | "
            f"{max(times) * 1e3:.0f} |"
        )
    lines += ["", "| ratio of medians | is | aim | |", "|---|--:|--:|---|"]
    for name, others, aim in RATIOS:
        ratio = median[name] / sum(median[other] for other in others)
        verdict = "" if aim is None else "met" if ratio <= aim else "**missed**"
        baseline = " + ".join(f"`{other}`" for other in others)
        lines.append(f"| `{name}` / {baseline} | {ratio:.2f} | {aim or ''} | {verdict} |")
    return lines


def page(found: dict[str, list[float]], slurm: str, rounds: int) -> str:
    """Write the page of results."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    today = f"{datetime.now(tz=timezone.utc):%Y-%m-%d}"
    made = f"Made by `python benchmarks/startup.py --rounds {rounds}` on {today}."
    load = f"load average {os.getloadavg()[0]:.1f} at the end"
    machine = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}), {load}"
    on = f"{machine}, Python {platform.python_version()}, Slurm {slurm}, {versions}."
    how = f"Whole processes, taking turns, {rounds} times each. Method: [README](../README.md)."
    return "\n".join(["# Start-up times", "", made, on, how, "", *table(found), ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="number of timings per command")
    parser.add_argument(
        "--here",
        action="store_true",
        help="measure in this folder and print JSON; used internally",
    )
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.rounds)))
        return 0
    found, slurm = on_a_cluster(options.rounds)
    text = page(found, slurm, options.rounds)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
