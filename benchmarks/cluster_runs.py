"""Code shared by the benchmarks on a real cluster: logged steps, ways to stop a job, the page."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
WAYS = CHECKOUT / "benchmarks" / "handover"
RESULTS = CHECKOUT / "benchmarks" / "results"
PACKAGES = ("clusterrun", "torch", "accelerate", "submitit")
REQUEUE_DELAY = 5  # seconds, the cluster's cred_expire; Slurm's default is 120
USER = "alice"

sys.path.insert(0, str(CHECKOUT))
from tests.slurm.cluster import Cluster, missing, wait_until  # noqa: E402 - found by the line above
from tests.slurm.cluster.suites import suite_with  # noqa: E402 - likewise
from tests.slurm.desk import Desk  # noqa: E402 - likewise

__all__ = ["Cluster", "Desk", "wait_until"]


def say(text: str) -> None:
    sys.stderr.write(f"{datetime.now(tz=timezone.utc):%H:%M:%S} {text}\n")


def started_cluster(*, cgroup: bool, expedited: bool = False) -> Cluster:
    """Start four nodes; with `expedited`, of Slurm 26.05 with expedited requeues.

    Raises SystemExit if a required package is missing.
    """
    reason = missing()
    if reason:
        raise SystemExit(reason)
    if not expedited:
        return Cluster.start(accounting=False, cgroup=cgroup)
    config = ["SlurmctldParameters=enable_expedited_requeue"]
    return Cluster.start(
        accounting=False, cgroup=cgroup, suite=suite_with("26.05").folder, config_extra=config
    )


@dataclass(frozen=True)
class Step:
    """One optimizer step: its process, when it ended (epoch seconds), its duration (seconds)."""

    by: str
    step: int
    time: float
    seconds: float


@dataclass(frozen=True)
class StepsLog:
    """The steps that the processes of one training logged (handover/tiny.py)."""

    path: Path

    def steps(self) -> list[Step]:
        return [Step(**line) for line in self._lines() if "step" in line]

    def attempts(self) -> list[list[Step]]:
        """The steps by the process that did them, in the order of their first steps."""
        found: dict[str, list[Step]] = {}
        for step in self.steps():
            found.setdefault(step.by, []).append(step)
        return list(found.values())

    def newest_process(self, rank: int) -> dict[str, Any]:
        """The newest process of a rank: its `node`, and its `pid` on that node."""
        return [line for line in self._lines() if line.get("rank") == rank][-1]

    def _lines(self) -> Iterator[dict[str, Any]]:
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        for line in text.splitlines():
            if line.endswith("}"):  # its writer may have been killed
                yield json.loads(line)


def patient(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition until a timeout; return whether it became true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.3)
    return True


def queued(cluster: Cluster) -> list[str]:
    """The states of the user's jobs, as Slurm reports them."""
    return cluster.run_as(USER, ["squeue", "--me", "--noheader", "--format=%T"]).stdout.split()


def preempt(cluster: Cluster) -> None:
    """Preempt with another user's job, which takes all nodes for three seconds."""
    words = [
        "--partition=high",
        f"--nodes={len(cluster.nodes)}",
        "--exclusive",
        "--output=/dev/null",
    ]
    cluster.run_as("bob", ["sbatch", *words, "--wrap=sleep 3"])


def crash_node_of(cluster: Cluster, log: StepsLog, rank: int) -> str:
    """Cut the power of a rank's node; return its name, because it must be booted again."""
    node = str(log.newest_process(rank)["node"])
    cluster.crash(node)
    return node


def kill_rank(cluster: Cluster, log: StepsLog, rank: int) -> None:
    """End a rank with SIGKILL, as the kernel does when memory runs out."""
    process = log.newest_process(rank)
    cluster.run_on(process["node"], ["kill", "-KILL", str(process["pid"])])


def submit_with_clusterrun(
    desk: Desk,
    name: str,
    log: StepsLog,
    slurm: Mapping[str, Any],
    *,
    steps: int = 3000,
    every: str = "50 steps",
    **more: Any,
) -> Path:
    """Submit the tiny training on two nodes with one process each; return the run's folder."""
    run = desk.submit(
        name,
        script=str(WAYS / "with_clusterrun.py"),
        slurm={"nodes": 2, **slurm},
        accelerate={"use_cpu": True, "num_processes": 2},
        checkpoint={"every": every, "keep": 3},
        environment={
            "variables": {"STEPS_LOG": str(log.path), "OMP_NUM_THREADS": 1, "STEPS": steps}
        },
        **more,
    )
    return run.folder


def made_by(slurm: str, tracking: str) -> list[str]:
    """Return the lines on how a page was made: the command, the machine, the versions."""
    words = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    machine = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()})"
    load = f"load average {os.getloadavg()[1]:.1f} over the last five minutes"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    stage = f"One machine with {machine} runs the controller and four nodes; {load}."
    software = f"Python {platform.python_version()}, Slurm {slurm} ({tracking}), {versions}."
    return [
        f"Made by `{words}` on {datetime.now(tz=timezone.utc):%Y-%m-%d}.",
        f"{stage} {software}",
    ]


def slurm_version(cluster: Cluster) -> str:
    return cluster.run_as(USER, ["sbatch", "--version"]).stdout.split()[-1]


def write_page(name: str, lines: list[str]) -> None:
    """Write a page of results, and print it."""
    text = "\n".join([*lines, ""])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(text, encoding="utf-8")
    print(text)
