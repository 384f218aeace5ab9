"""Runs on a real cluster, and everything that may happen to them, in an order drawn from a seed.

Each run is checked at its end: one attempt at a time trained, no step was lost to an announced
stop, and it ended as it should. As root:
`python benchmarks/cluster_chaos.py --cells 26.05-cgroup 24.11-linuxproc --minutes 60`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cluster_chaos_checks import (
    find_gaps,
    find_lost,
    find_overlaps,
    find_wrong_end,
    lost_steps,
    read_attempts,
)
from cluster_chaos_events import EVENTS, Story, all_jobs, controller, requeue_after_end, state_of
from cluster_chaos_page import write_results
from cluster_runs import CHECKOUT, Cluster, Desk, say

from tests.slurm.cluster.suites import suite_with
from tests.slurm.survival import story as records_of

FINAL = {"COMPLETED", "STOPPED", "CANCELLED", "FAILED", "PREEMPTED", "TIMEOUT", "NODE_FAIL", "LOST"}
PATIENCE = 300  # seconds without a new step, of a run to which nothing happens any more
LAST, PACE = 700, 0.08


class Chaos:
    """One cluster, its runs, and what was found."""

    def __init__(self, cluster: Cluster, options: argparse.Namespace, cell: str) -> None:
        self.desk, self.options, self.cell = Desk(cluster, "alice"), options, cell
        self.end = time.monotonic() + options.minutes * 60
        self.lock = threading.Lock()
        self.twice: dict[str, str] = {}
        self.found: dict[str, Any] = {
            "cell": cell, "seed": options.seed, "minutes": 0.0, "runs": 0, "attempts": 0,
            "steps": 0,
            "events": Counter(), "without_effect": Counter(), "causes": Counter(),
            "states": Counter(),
            "announced": 0, "lost_announced": 0, "lost_otherwise": 0, "problems": [],
        }  # fmt: skip

    def drive(self, lane: int) -> None:
        """Submit one run after another, and let things happen to each."""
        number = 0
        while time.monotonic() < self.end:
            draw = random.Random(f"{self.options.seed}-{lane}-{number}")  # noqa: S311
            name = f"lane{lane}-{number}"
            try:
                self._live(self._submit(name, draw))
            except (subprocess.SubprocessError, AssertionError, OSError) as error:
                self._note(f"{name}: {error}"[:2000])
            number += 1

    def _submit(self, name: str, draw: random.Random) -> Story:
        with controller:
            script = CHECKOUT / "benchmarks" / "cluster_chaos_rank.py"
            slurm: dict[str, Any] = {"nodes": 2, "gpus-per-node": 1}
            slurm["partition"] = draw.choice(["low", "low", "low0", "lowc", "lowc0"])
            requeue = {"by": draw.choice(["auto", "auto", "requeue", "successor"]), "crashes": 30}
            command = f"{sys.executable} {script} {LAST} {PACE}"
            run = self.desk.submit(name, command=command, slurm=slurm, requeue=requeue, hang="40s")
        return Story(self.desk, run, draw, [f"{slurm['partition']}, by {requeue['by']}"])

    def _live(self, story: Story) -> None:
        for _ in range(story.draw.randint(2, 6)):
            time.sleep(story.draw.uniform(1, 10))
            event = story.draw.choices(list(EVENTS), list(EVENTS.values()))[0]
            name = event.__name__.replace("_", " ")
            story.events.append(f"{time.strftime('%H:%M:%S')} {name}")
            try:
                effect = event(story)
            except subprocess.SubprocessError:
                effect = False  # slurmctld is away
            with self.lock:
                self.found["events" if effect else "without_effect"][name] += 1
        state = self._await_end(story)
        again = []
        if state in FINAL and story.draw.random() < 0.3:
            story.events.append("scontrol requeue after the end")
            again = requeue_after_end(story, state)
            self.found["events"]["requeued by hand after the end"] += 1
        self._check(story, state, again)

    def _await_end(self, story: Story) -> str:
        step, since, state = -1, time.monotonic(), ""
        while time.monotonic() - since < PATIENCE:
            try:
                state = state_of(story)
                if state in FINAL and not story.is_active():
                    return state
            except (subprocess.SubprocessError, ValueError):
                pass
            if story.run.step() != step:
                step, since = story.run.step(), time.monotonic()
            time.sleep(3)
        return f"{state} for {PATIENCE} s"

    def _check(self, story: Story, state: str, again: list[str]) -> None:
        attempts = read_attempts(story.run.folder)
        problems = again + find_overlaps(attempts, story.cut_off) + find_gaps(attempts)
        problems += find_lost(attempts, story.killed)
        problems += find_wrong_end(attempts, state, story.wanted, LAST)
        problems += [self.twice[story.run.run_id]] if story.run.run_id in self.twice else []
        with self.lock:
            found = self.found
            found["runs"] += 1
            found["attempts"] += story.attempt
            found["steps"] += sum(len(one.steps) for one in attempts)
            found["states"][state] += 1
            found["causes"].update(one.cause or "no record" for one in attempts)
            for one, lost in lost_steps(attempts):
                calm = (
                    one.cause in ("preemption", "requeue", "stop")
                    and one.number not in story.killed
                )
                found["announced"] += calm
                found["lost_announced" if calm else "lost_otherwise"] += lost
        self._keep_problems(story, problems)
        self.write()

    def _keep_problems(self, story: Story, problems: list[str]) -> None:
        for problem in problems:
            self._note(f"{story.run.run_id}: {problem}; {'; '.join(story.events)}")
        if problems:
            kept = Path(self.options.keep) / f"{self.cell}-{story.run.run_id}.txt"
            kept.write_text(f"{problems}\n{story.events}\n{records_of(story.run)}")
        else:
            self.desk.cluster.run_as("alice", ["rm", "-rf", str(story.run.folder)])

    def _note(self, problem: str) -> None:
        say(f"{self.cell}: {problem[:1000]}")
        with self.lock:
            self.found["problems"].append(problem)

    def watch(self) -> None:
        """Ask Slurm every two seconds whether two jobs of one run are running."""
        while time.monotonic() < self.end + 600:
            time.sleep(2)
            try:
                jobs = all_jobs(self.desk)
            except subprocess.SubprocessError:
                continue  # slurmctld is away
            running = Counter(script for _, state, script in jobs if state == "RUNNING")
            for script in [script for script, count in running.items() if count > 1]:
                self.twice[Path(script).parent.name] = "two jobs were running at once"

    def write(self) -> None:
        """Write what was found so far."""
        self.found["minutes"] = round(self.options.minutes - (self.end - time.monotonic()) / 60, 1)
        Path(self.options.keep, f"{self.cell}.json").write_text(json.dumps(self.found, indent=1))


def play(cell: str, options: argparse.Namespace) -> None:
    """Run one cell: a generation of Slurm, and how it tracks processes."""
    generation, _, tracking = cell.partition("-")
    nodes = 2 * options.lanes + 1
    cgroup = tracking == "cgroup"
    suite = suite_with(generation).folder
    with Cluster.start(
        nodes=nodes, gpus=1, accounting=False, cgroup=cgroup, suite=suite
    ) as cluster:
        chaos = Chaos(cluster, options, cell)
        chaos.desk.write_site()
        threading.Thread(target=chaos.watch, daemon=True).start()
        lanes = [
            threading.Thread(target=chaos.drive, args=(lane,)) for lane in range(options.lanes)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        chaos.write()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", default=["26.05-cgroup", "24.11-linuxproc"])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lanes", type=int, default=3, help="runs at once on each cluster")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", default="test-results/chaos", help="for the records of problems")
    options = parser.parse_args()
    Path(options.keep).mkdir(parents=True, exist_ok=True)
    cells = [multiprocessing.Process(target=play, args=(cell, options)) for cell in options.cells]
    for cell in cells:
        cell.start()
    for cell in cells:
        cell.join()
    return write_results(options)


if __name__ == "__main__":
    raise SystemExit(main())
