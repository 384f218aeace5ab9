"""The scenarios that depend on Slurm's own rules, all at once on one cluster, and what Slurm
reports of each.

Each scenario has its own nodes. It asserts that its run resumed without loss, and returns what was
observed.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.slurm.cluster import Cluster
from tests.slurm.cluster.suites import Suite, suite_with
from tests.slurm.desk import Desk
from tests.slurm.generation_scenarios import SCENARIOS
from tests.slurm.observation import Observed

NODES = 14


@dataclass(frozen=True, order=True)
class Cell:
    """A generation of Slurm, such as 24.11, and how it tracks processes: linuxproc or cgroup."""

    generation: str
    tracking: str
    expedited: bool = False
    """Whether the cluster allows expedited requeues (25.11 and newer)."""

    def __str__(self) -> str:
        return f"{self.generation}-{self.tracking}{'-expedited' if self.expedited else ''}"

    @property
    def config(self) -> tuple[str, ...]:
        """Return further lines of slurm.conf."""
        return ("SlurmctldParameters=enable_expedited_requeue",) if self.expedited else ()


@dataclass(frozen=True)
class Watched:
    """The outcomes of the scenarios of a cell, by name."""

    suite: Suite
    outcomes: dict[str, Observed | BaseException]


def watch(cell: Cell, scenario_names: Iterable[str]) -> Watched:
    """Run scenarios at the same time on one cluster. Raises Unavailable."""
    suite = suite_with(cell.generation)
    scenario_names = list(scenario_names)
    with (
        Cluster.start(
            nodes=NODES,
            cgroup=cell.tracking == "cgroup",
            suite=suite.folder,
            config_extra=cell.config,
        ) as cluster,
        ThreadPoolExecutor(len(scenario_names)) as pool,
    ):
        desk = Desk(cluster, "alice")
        desk.write_site()
        started = {name: pool.submit(SCENARIOS[name], desk) for name in scenario_names}
        return Watched(
            suite, {name: run.exception() or run.result() for name, run in started.items()}
        )
