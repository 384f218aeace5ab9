"""How much of the time becomes training that counts, when a run is stopped repeatedly.

A run of clusterrun on a real cluster (tests/slurm, started for it) is stopped every two minutes for
half an hour: mostly by a preemption, sometimes by a node whose power is cut, sometimes by the
kernel's SIGKILL of one rank. A step counts when no later attempt had to do it again. Needs root:

    python benchmarks/goodput.py --minutes 30 --every 2
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cluster_runs import (
    REQUEUE_DELAY,
    USER,
    Cluster,
    Desk,
    StepsLog,
    crash_node_of,
    kill_rank,
    made_by,
    patient,
    preempt,
    queued,
    say,
    slurm_version,
    started_cluster,
    submit_with_clusterrun,
    write_page,
)

DEFAULT_DELAY = 120  # seconds a requeued job waits by Slurm's default (slurm.conf(5), cred_expire)
BACK_WITHIN = 300  # seconds from a stop to the first step after it
LEAVE_WITHIN = 120  # seconds from a person's stop to the end of the job
PACE = 0.1  # seconds per step, as in handover/tiny.py
KINDS = {
    "preemption": "preemption (grace 15 s)",
    "node crash": "power cut of a node",
    "rank crash": "SIGKILL of a rank",
}


@dataclass
class Watch:
    """The job's states as Slurm reported them: (epoch seconds, state) at each change."""

    changes: list[tuple[float, str]] = field(default_factory=list)

    def look(self, cluster: Cluster) -> None:
        """Query Slurm once."""
        state = (queued(cluster) or ["GONE"])[0]
        if not self.changes or self.changes[-1][1] != state:
            self.changes.append((time.time(), state))

    def spans(self) -> list[tuple[str, float]]:
        """The job's states, and the seconds in each."""
        pairs = zip(self.changes, self.changes[1:], strict=False)
        return [(state, after - started) for (started, state), (after, _) in pairs]

    def held(self) -> float:
        """Seconds for which the job held its nodes."""
        return sum(seconds for state, seconds in self.spans() if state not in ("PENDING", "GONE"))

    def requeues(self) -> int:
        """How often the job was requeued."""
        return sum(state == "PENDING" for state, _ in self.spans()[1:])


@dataclass(frozen=True)
class Stopped:
    """One stop: its kind, the steps lost, the seconds from the last step to the next one."""

    kind: str
    lost: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """One run under stops."""

    cluster: Cluster
    log: StepsLog
    watch: Watch

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition while watching the job; return whether it became true."""

        def looked() -> bool:
            self.watch.look(self.cluster)
            return condition()

        return patient(looked, seconds)

    def until_attempt(self, number: int) -> None:
        """Wait for the first step of an attempt. Raises TimeoutError if none is logged."""
        if not self.until(lambda: len(self.log.attempts()) >= number, BACK_WITHIN):
            raise TimeoutError(
                f"no step of attempt {number} within {BACK_WITHIN} s: the run did not restart"
            )

    def stop(self, kind: str, rank: int) -> Stopped:
        """Stop the training, wait until it has restarted, and repair the nodes."""
        before = len(self.log.attempts())
        node = self._make(kind, rank)
        self.until_attempt(before + 1)
        if node:
            self.cluster.boot(node)
        last, first = self.log.attempts()[before - 1][-1], self.log.attempts()[before][0]
        return Stopped(kind, last.step - (first.step - 1), first.time - last.time)

    def _make(self, kind: str, rank: int) -> str | None:
        if kind == "node crash":
            return crash_node_of(self.cluster, self.log, rank)
        if kind == "preemption":
            preempt(self.cluster)
        else:
            kill_rank(self.cluster, self.log, rank)
        return None


@dataclass(frozen=True)
class Figures:
    """The measurements; times are in seconds."""

    stops: list[Stopped]
    wall: float
    held: float
    productive: float
    steps: int
    lost: int
    requeues: int

    @property
    def of_held(self) -> float:
        """The productive share of the time that the job held its nodes."""
        return self.productive / self.held

    @property
    def of_wall(self) -> float:
        """The productive share of the wall clock."""
        return self.productive / self.wall

    @property
    def of_wall_with_default_delay(self) -> float:
        """The same share if each requeue took Slurm's default delay."""
        return self.productive / (self.wall + self.requeues * (DEFAULT_DELAY - REQUEUE_DELAY))


def kinds(count: int, seed: int) -> list[tuple[str, int]]:
    """Draw the stops, each with the rank that it affects.

    Of eight, six are preemptions, one is a node crash and one a rank crash.
    """
    choose = random.Random(seed)  # noqa: S311 - a seeded choice
    crashes = round(count / 8) or int(count > 2)
    drawn = ["node crash"] * crashes + ["rank crash"] * crashes
    drawn += ["preemption"] * (count - len(drawn))
    choose.shuffle(drawn)
    return [(kind, choose.randrange(2)) for kind in drawn]


def run_under_stops(
    cluster: Cluster, minutes: float, every: float, seed: int, checkpoint: str
) -> Figures:
    """Train for `minutes`, stopped every `every` minutes; count from submission to the end."""
    folder = cluster.scratch / "goodput"
    folder.mkdir()
    shutil.chown(folder, cluster.home(USER).stat().st_uid)
    trial = Trial(cluster, StepsLog(folder / "steps.jsonl"), Watch())
    desk, started = Desk(cluster, USER), time.time()
    steps = int(minutes * 60 / PACE) + 1000  # more than fit into the time
    slurm = {"partition": "low", "time": 24 * 60}
    run = submit_with_clusterrun(desk, "goodput", trial.log, slurm, steps=steps, every=checkpoint)
    trial.until_attempt(1)
    stops = make_stops(trial, started, kinds(int(minutes / every), seed), every * 60)
    trial.until(lambda: False, started + minutes * 60 - time.time())
    leave(trial, desk, run)
    return figures(trial, started, stops)


def make_stops(
    trial: Trial, started: float, drawn: list[tuple[str, int]], every: float
) -> list[Stopped]:
    """Make each stop in the middle of its time slot, or as soon as the previous one is over."""
    stops = []
    for number, (kind, rank) in enumerate(drawn):
        trial.until(lambda: False, started + (number + 0.5) * every - time.time())
        stops.append(trial.stop(kind, rank))
        say(f"stop {number + 1} of {len(drawn)}: {stops[-1]}")
    return stops


def leave(trial: Trial, desk: Desk, run: Path) -> None:
    """Ask the run to save and exit. Raises TimeoutError if it does not."""
    desk.cli("stop", run.name)
    if not trial.until(lambda: trial.watch.changes[-1][1] == "GONE", LEAVE_WITHIN):
        raise TimeoutError(f"the run did not exit within {LEAVE_WITHIN} s after `clusterrun stop`")


def figures(trial: Trial, started: float, stops: list[Stopped]) -> Figures:
    """Count each step once, from its last attempt, and none after the run's final step."""
    all_steps = trial.log.steps()
    reached = trial.log.attempts()[-1][-1].step
    counted = {step.step: step.seconds for step in all_steps if step.step <= reached}
    return Figures(
        stops=stops,
        wall=trial.watch.changes[-1][0] - started,
        held=trial.watch.held(),
        productive=sum(counted.values()),
        steps=len(counted),
        lost=len(all_steps) - len(counted),
        requeues=trial.watch.requeues(),
    )


def table(found: Figures) -> list[str]:
    by_default = f"{found.of_wall_with_default_delay:.1%}"
    lines = [
        "| | |",
        "|---|--:|",
        f"| productive share of the time that the job held its nodes | **{found.of_held:.1%}** |",
        f"| productive share of the wall clock, as measured | **{found.of_wall:.1%}** |",
        f"| the same with Slurm's default requeue delay (computed) | {by_default} |",
        f"| steps that count | {found.steps} |",
        f"| steps lost | {found.lost} |",
        f"| time of the steps that count | {found.productive:.0f} s |",
        f"| time that the job held its nodes | {found.held:.0f} s |",
        f"| wall clock | {found.wall:.0f} s |",
        "",
        "| stop | times | steps lost, each | last step to first step, each |",
        "|---|--:|---|---|",
    ]
    return lines + [
        row(found, kind) for kind in KINDS if any(stop.kind == kind for stop in found.stops)
    ]


def row(found: Figures, kind: str) -> str:
    here = [stop for stop in found.stops if stop.kind == kind]
    lost = ", ".join(str(stop.lost) for stop in here)
    seconds = ", ".join(f"{stop.seconds:.0f}" for stop in here)
    return f"| {KINDS[kind]} | {len(here)} | {lost} | {seconds} s |"


def page(found: Figures, made: list[str], checkpoint: str) -> list[str]:
    """Write the page of results."""
    how = (
        f"Two nodes with one process each, 0.1 s per step, a checkpoint `every: {checkpoint}`. A "
        "step counts if no later attempt repeated it; its duration excludes the stop check and "
        "saving. The job holds its nodes while Slurm reports it as running or completing: this "
        "includes start-up, saving and shutdown."
    )
    delay = (
        f"A requeued job waits {REQUEUE_DELAY}-{REQUEUE_DELAY + 1} s here (`cred_expire`), and "
        f"{DEFAULT_DELAY} s by Slurm's default: the computed share adds "
        f"{DEFAULT_DELAY - REQUEUE_DELAY} s for each of {found.requeues} requeues. The "
        "preempting job takes 3 s."
    )
    return ["# Goodput under stops", "", *made, how, delay, "", *table(found)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="length of the measurement")
    parser.add_argument("--every", type=float, default=2, help="minutes between stops")
    parser.add_argument(
        "--seed", type=int, default=1, help="selects the stops and the affected ranks"
    )
    parser.add_argument("--checkpoint", default="50 steps", help="checkpoint.every of the job spec")
    parser.add_argument(
        "--cgroup", action="store_true", help="track processes by cgroup, not by linuxproc"
    )
    options = parser.parse_args()
    with started_cluster(cgroup=options.cgroup) as cluster:
        found = run_under_stops(
            cluster, options.minutes, options.every, options.seed, options.checkpoint
        )
        made = made_by(slurm_version(cluster), "cgroup" if options.cgroup else "linuxproc")
    write_page(
        "goodput-cgroup.md" if options.cgroup else "goodput.md",
        page(found, made, options.checkpoint),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
