"""How long `list` and `status` take with 10,000 runs and 10,000 array tasks, and Slurm's commands.

Whole processes are timed, on a real Slurm that is started for it (tests/slurm), as an ordinary user
on its login node. The commands take turns; the medians are compared. Wrappers on PATH count how
often each one calls Slurm. Needs root:

    python benchmarks/desk.py --runs 10000 --tasks 10000 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cluster_runs import CHECKOUT, USER, Cluster, Desk, made_by, say, slurm_version, write_page

from tests.slurm.cluster import missing

CLUSTERRUN = str(Path(sys.prefix, "bin", "clusterrun"))
PYTHON = sys.executable
COUNTED = ("squeue", "sacct", "scontrol")
WRAPPER = '#!/bin/bash\necho {name} >> "$HOME/asked"\nexec /usr/bin/{name} "$@"\n'

SUBMITIT = """
import sys
from submitit.slurm.slurm import SlurmInfoWatcher
watcher = SlurmInfoWatcher(delay_s=600)
tasks = range(int(sys.argv[2]))
for task in tasks:
    watcher.register_job(f"{sys.argv[1]}_{task}")
watcher.update()
print(len({watcher.get_state(f"{sys.argv[1]}_{task}", mode="cache") for task in tasks}))
"""
SQUEUE, ARRAY, SACCT = (
    "squeue --me",
    "squeue --me --array",
    "sacct --allocations --starttime=now-1day",
)
WATCHER = "submitit's watcher, every task registered"
FIRST = "clusterrun list, the first time"
RATIOS = (("clusterrun list", ARRAY), ("clusterrun list", SACCT), ("clusterrun list", WATCHER),
          ("clusterrun status ARRAY", ARRAY), ("clusterrun status ARRAY", WATCHER))  # fmt: skip


def make_runs(count: int) -> None:
    """Create ended runs with all records of a real run; called as the user."""
    from clusterrun.run_folder.index import Index, RunRef  # noqa: PLC0415 - only in the process that creates runs
    from clusterrun.run_folder.paths import RunPaths  # noqa: PLC0415 - likewise
    from clusterrun.run_folder.records import write_record  # noqa: PLC0415 - likewise
    from clusterrun.training.records.history import History  # noqa: PLC0415 - likewise

    os.fsync = lambda _: None  # these records need not survive a crash
    index, now = Index(), int(time.time())
    for number in range(count):
        run_id, job_id = f"old-{number:05d}", str(1_000_000 + number)
        paths = RunPaths(Path("old").absolute() / run_id)
        paths.events.mkdir(parents=True)
        write_record(
            paths.intent, {"run_id": run_id, "number": 1, "comment": f"sweep-{number % 10}"}
        )
        write_record(paths.job, {"job_id": job_id, "number": 1, "submitted": now - count + number})
        for attempt in ("0001", "0002"):
            write_record(
                paths.begin(attempt), {"job_id": job_id, "nodes": "n[1-2]", "began": now - 900}
            )
            last = (
                {"cause": "finished", "next": "end"}
                if attempt == "0002"
                else {"cause": "crash", "next": "continue"}
            )
            write_record(
                paths.end(attempt), {**last, "exit_code": 0, "ended": now - 800, "step": 300}
            )
            History(paths.metrics(attempt), paths.times(attempt)).add(
                {"time": float(now), "step": 300, "loss": 1.0}
            )
        paths.progress.write_text("step=300\ntotal=300\nloss=1.0\n", encoding="utf-8")
        index.add(RunRef(run_id, paths, job_id))


def seconds(argv: list[str]) -> tuple[float, list[str]]:
    """Time one process; also return the Slurm commands that it called.

    Raises CalledProcessError if it fails.
    """
    asked = Path.home() / "asked"
    asked.unlink(missing_ok=True)
    started = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=True)
    took = time.perf_counter() - started
    return took, asked.read_text().split() if asked.exists() else []


def measure(array: str, job_id: str, tasks: int, rounds: int) -> dict[str, Any]:
    """Time the commands in turns, `rounds` times after a warm-up round; runs on the login node."""
    lines = {
        SQUEUE: ["squeue", "--me"], ARRAY: ["squeue", "--me", "--array"],
        SACCT: ["sacct", "--allocations", "--starttime=now-1day"],
        WATCHER: [PYTHON, "-c", SUBMITIT, job_id, str(tasks)],
        "clusterrun list": [CLUSTERRUN, "list"],
        "clusterrun list --json": [CLUSTERRUN, "list", "--json"],
        "clusterrun list --since 1h --tag sweep-3":
            [CLUSTERRUN, "list", "--since", "1h", "--tag", "sweep-3"],
        "clusterrun status": [CLUSTERRUN, "status"],
        "clusterrun status ARRAY": [CLUSTERRUN, "status", array],
        "clusterrun status RUN": [CLUSTERRUN, "status", "old-00007"],
    }  # fmt: skip
    first, asked = seconds(lines["clusterrun list"])
    found: dict[str, Any] = {name: {"seconds": [], "asked": []} for name in lines}
    found[FIRST] = {"seconds": [first], "asked": asked}
    for turn in range(rounds + 1):
        for name, argv in lines.items():
            took, asked = seconds(argv)
            found[name]["asked"] = asked
            if turn:
                found[name]["seconds"].append(took)
    return found


def on_a_cluster(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Measure on a cluster with a full queue and index; also return how the page was made."""
    extra = [f"MaxArraySize={options.tasks + 1}", f"MaxJobCount={options.tasks + 1000}"]
    with Cluster.start(config_extra=extra) as cluster:
        desk = Desk(cluster, USER)
        slurm = {"array": f"0-{options.tasks - 1}", "begin": "now+10hours"}
        run = desk.submit("array", command="true", slurm=slurm)
        folder = cluster.home(USER) / "count"
        folder.mkdir()
        for name in COUNTED:
            (folder / name).write_text(WRAPPER.format(name=name))
            (folder / name).chmod(0o755)
        here = [PYTHON, str(Path(__file__).resolve()), "--here"]
        say(f"creating {options.runs} runs")
        environment = {"PYTHONPATH": str(CHECKOUT), "PATH": f"{folder}:/usr/bin:/bin"}
        cluster.run_as(USER, [*here, "--runs", str(options.runs)], env=environment, timeout=200)
        words = [
            "--array",
            run.run_id,
            run.job_id,
            "--tasks",
            str(options.tasks),
            "--rounds",
            str(options.rounds),
        ]
        say("measuring")
        done = cluster.run_as(USER, [*here, *words], env=environment, timeout=200)
        return json.loads(done.stdout.splitlines()[-1]), made_by(
            slurm_version(cluster), "linuxproc"
        )


def page(found: dict[str, Any], made: list[str], options: argparse.Namespace) -> list[str]:
    """Write the page of results."""
    lines = ["# Many runs", "", *made]
    lines += [
        f"{options.runs} ended runs, and a job array of {options.tasks} pending tasks.",
        "Whole processes, taking turns. Method: [README](../README.md).",
        "",
    ]
    lines += ["| command | median | fastest | slowest | calls of Slurm |", "|---|--:|--:|--:|---|"]
    median = {name: statistics.median(values["seconds"]) for name, values in found.items()}
    for name, values in found.items():
        times = values["seconds"]
        asked = ", ".join(
            f"{values['asked'].count(word)} {word}" for word in COUNTED if word in values["asked"]
        )
        mine = asked if name.startswith("clusterrun") else ""
        lines.append(
            f"| `{name}` | {median[name]:.3f} s | {min(times):.3f} | {max(times):.3f} | {mine} |"
        )
    lines += ["", "| ratio of medians | is |", "|---|--:|"]
    lines += [
        f"| `{name}` / `{other}` | {median[name] / median[other]:.2f} |" for name, other in RATIOS
    ]
    calls = len(found["clusterrun list"]["asked"])
    verdict = ["**missed**", "met"]
    lines += ["", "| `clusterrun list` | is | aim | |", "|---|--:|--:|---|"]
    took = median["clusterrun list"]
    lines.append(f"| seconds | {took:.2f} | 1 | {verdict[took < 1]} |")
    lines.append(f"| calls of Slurm | {calls} | 2 | {verdict[calls <= 2]} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=0, help="number of ended runs")
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks of the job array")
    parser.add_argument("--rounds", type=int, default=3, help="number of timings per command")
    parser.add_argument(
        "--here", action="store_true", help="measure on the login node; used internally"
    )
    parser.add_argument("--array", nargs=2, metavar=("RUN", "JOB"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here and options.array:
        print(json.dumps(measure(*options.array, options.tasks, options.rounds)))
        return 0
    if options.here:
        make_runs(options.runs)
        return 0
    options.runs = options.runs or 10_000
    if reason := missing():
        raise SystemExit(reason)
    found, made = on_a_cluster(options)
    write_page("desk.md", page(found, made, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
