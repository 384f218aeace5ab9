"""What a stop costs: the steps lost, and the time from the last step to the first one after it.

The same tiny training, at the same pace, on the same cluster (tests/slurm, started for it), is
stopped under clusterrun, under the usual sbatch recipe, and under submitit in two ways; handover/
has each of them. They take turns, and in one round all are stopped at the same step. A training
that does not restart by itself is resubmitted at once. Needs root, and about a minute per way,
stop and round:

    python benchmarks/handover.py --rounds 3
    python benchmarks/handover.py --expedited --ways clusterrun requeue successor \
        --page handover-expedited.md
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster_runs import (
    USER,
    WAYS,
    Cluster,
    Desk,
    StepsLog,
    crash_node_of,
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
from handover_page import LABELS, STOPS, Outcome, Stop, page

BEGIN_WITHIN = 180  # seconds to the step of the stop
BACK_WITHIN = (
    240  # seconds from the stop to the first step after it; Slurm detects a dead node in 13-28 s
)


@dataclass(frozen=True)
class Place:
    """The place of one training: its cluster, and a folder of the user's."""

    desk: Desk
    folder: Path

    @property
    def log(self) -> StepsLog:
        """The steps of the training."""
        return StepsLog(self.folder / "steps.jsonl")

    def environment(self) -> dict[str, str]:
        """Return the variables that the scripts in handover/ read, and those of a login shell."""
        own = {
            "VENV": sys.prefix,
            "SCRIPT": str(WAYS / "plain.py"),
            "TRAINING_DIR": str(self.folder),
        }
        usual = {"PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(WAYS)}
        threads = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        return {**own, **usual, **threads, "STEPS_LOG": str(self.log.path)}


Again = Callable[[], object]  # the job, resubmitted by hand


def clusterrun(place: Place, stop: Stop, **more: object) -> Again:
    options = {"partition": stop.partition, "time": stop.minutes, "signal": "USR1@30"}
    run = submit_with_clusterrun(place.desk, place.folder.name, place.log, options, **more)
    (place.folder / "run").symlink_to(run)
    return lambda: place.desk.cluster.run_as(USER, ["sbatch", str(run / "job.sbatch")])


def successor(place: Place, stop: Stop) -> Again:
    return clusterrun(place, stop, requeue={"by": "successor"})


def recipe(place: Place, stop: Stop) -> Again:
    options = [
        f"--partition={stop.partition}",
        f"--time={stop.minutes}",
        f"--output={place.folder}/job.log",
    ]
    return submitted(place, ["sbatch", *options, str(WAYS / "recipe.sbatch")])


def submitit(place: Place, stop: Stop, *more: str) -> Again:
    options = [str(place.folder), f"--partition={stop.partition}", f"--time={stop.minutes}", *more]
    return submitted(place, [sys.executable, str(WAYS / "with_submitit.py"), *options])


def submitit_in_process(place: Place, stop: Stop) -> Again:
    return submitit(place, stop, "--in-process")


def submitted(place: Place, argv: list[str]) -> Again:
    def submit() -> object:
        return place.desk.cluster.run_as(USER, argv, cwd=place.folder, env=place.environment())

    submit()
    return submit


def requeue(place: Place, stop: Stop) -> Again:
    return clusterrun(place, stop, requeue={"by": "requeue"})


USUAL = [
    "clusterrun",
    "successor",
    "recipe",
    "submitit",
    "in-process",
]  # there, `clusterrun` does the same as `requeue`
WAYS_TO_RUN: dict[str, Callable[[Place, Stop], Again]] = {
    "clusterrun": clusterrun,
    "requeue": requeue,
    "successor": successor,
    "recipe": recipe,
    "submitit": submitit,
    "in-process": submitit_in_process,
}


def measure(cluster: Cluster, way: str, stop: str, after_step: int, turn: int) -> Outcome | None:
    """Train, stop, and measure; return None if the stop came before training started."""
    place = make_place(cluster, f"{way}-{stop}-{turn}-{time.time():.0f}")
    again = WAYS_TO_RUN[way](place, STOPS[stop])
    if STOPS[stop].after_step:
        if not patient(lambda: any(s.step >= after_step for s in place.log.steps()), BEGIN_WITHIN):
            return None
        make_stop(place, stop, turn)
    by_itself = came_back(place)
    if not place.log.steps():
        return None
    if not by_itself:
        cluster.run_as(USER, ["scancel", "--me"])
        patient(lambda: not queued(cluster), 60)
        again()
        patient(lambda: len(place.log.attempts()) > 1, BEGIN_WITHIN)
    return outcome(place, way, stop, by_itself=by_itself)


def make_place(cluster: Cluster, name: str) -> Place:
    folder = cluster.scratch / "handover" / name
    folder.mkdir(parents=True)
    shutil.chown(folder, cluster.home(USER).stat().st_uid)
    return Place(Desk(cluster, USER), folder)


def make_stop(place: Place, stop: str, turn: int) -> None:
    """Preempt, or cut the power of a node: in turns one without and one with the batch script."""
    if stop == "preemption":
        preempt(place.desk.cluster)
    else:
        crash_node_of(place.desk.cluster, place.log, rank=turn % 2)


def came_back(place: Place) -> bool:
    """Wait for a step by another process, or until the job has left the queue for good."""

    def gone() -> bool:
        return not queued(place.desk.cluster) and not patient(
            lambda: bool(queued(place.desk.cluster)), 3
        )

    patient(lambda: len(place.log.attempts()) > 1 or gone(), BACK_WITHIN)
    return len(place.log.attempts()) > 1


def outcome(place: Place, way: str, stop: str, *, by_itself: bool) -> Outcome:
    attempts = place.log.attempts()
    if len(attempts) < 2:
        return Outcome(way, stop, None, None)
    last, first = attempts[0][-1], attempts[1][0]
    seconds = first.time - last.time if by_itself else None
    return Outcome(way, stop, last.step - (first.step - 1), seconds, start_of(place, first.time))


def start_of(place: Place, first: float) -> float | None:
    begin = place.folder / "run" / "events" / "attempt-0002.begin"
    return first - begin.stat().st_mtime if begin.exists() else None


def measure_all(
    cluster: Cluster, ways: list[str], stops: list[str], rounds: int, seed: int
) -> list[Outcome]:
    """Measure the ways in turns, `rounds` times for each stop."""
    found, choose = [], random.Random(seed)  # noqa: S311 - a seeded choice
    for turn in range(1, rounds + 1):
        for stop in stops:
            after_step = choose.randrange(60, 110)
            for way in ways:
                say(f"round {turn}: {way}, {stop}, after step {after_step}")
                seen = measure_and_repair(cluster, way, stop, after_step, turn)
                say(f"  {seen or 'not started when the stop came: not counted'}")
                found += [seen] if seen else []
    return found


def measure_and_repair(
    cluster: Cluster, way: str, stop: str, after_step: int, turn: int
) -> Outcome | None:
    try:
        return measure(cluster, way, stop, after_step, turn)
    finally:
        cluster.mend()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, default=3, help="number of stops of each kind for each way"
    )
    parser.add_argument("--ways", nargs="+", choices=LABELS, default=USUAL)
    parser.add_argument("--stops", nargs="+", choices=STOPS, default=list(STOPS))
    parser.add_argument("--seed", type=int, default=1, help="selects the steps of the stops")
    parser.add_argument(
        "--page", help="page in benchmarks/results; default: handover.md or handover-cgroup.md"
    )
    parser.add_argument(
        "--cgroup", action="store_true", help="track processes by cgroup, not by linuxproc"
    )
    parser.add_argument(
        "--expedited", action="store_true", help="use Slurm 26.05 with expedited requeues"
    )
    options = parser.parse_args()
    tracking = "cgroup" if options.cgroup else "linuxproc"
    with started_cluster(cgroup=options.cgroup, expedited=options.expedited) as cluster:
        found = measure_all(cluster, options.ways, options.stops, options.rounds, options.seed)
        made = made_by(slurm_version(cluster), tracking)
    write_page(
        options.page or ("handover-cgroup.md" if options.cgroup else "handover.md"),
        page(found, made, options.expedited),
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
