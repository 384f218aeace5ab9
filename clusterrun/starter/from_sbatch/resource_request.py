"""What an old script requests from Slurm, as the `slurm` section of a spec (one task per node)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from clusterrun.job_spec import gpus, options
from clusterrun.starter.from_sbatch.directives import Directives, Option

_SIGNAL = re.compile(
    r"(?P<to>[RB]*:)?(?:SIG)?(?P<name>[A-Z0-9]+)(?:@(?P<lead>\d+))?", re.IGNORECASE
)
_KNOWN = options.KNOWN | set(options.OWNED) | set(options.REFUSED) | options.TASKS | {"chdir"}
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_COUNTED = ("nodes", "cpus-per-task", "gpus-per-task", "signal", "chdir")


@dataclass(frozen=True)
class ResourceRequest:
    """The sbatch options of an old script, with totals per node."""

    directives: Directives

    def text(self, name: str) -> str:
        """Return an option's value; empty if it is not set."""
        option = self.directives.options.get(name)
        return option.value if option is not None and isinstance(option.value, str) else ""

    def line(self, *names: str) -> int:
        """Return the line of the first of these options that is set; 0 if none is."""
        options = (self.directives.options.get(name) for name in names)
        return next((option.line for option in options if option is not None), 0)

    def number(self, name: str) -> int:
        """Return an option's value as a number; 0 if it is not a number."""
        return int(self.text(name)) if self.text(name).isdigit() else 0

    @property
    def nodes(self) -> int:
        """The most nodes that Slurm may allocate; without `--nodes`, as many as the tasks need."""
        text = self.text("nodes")
        if text:
            last = text.rpartition("-")[2]
            return max(1, int(last)) if last.isdigit() else 1
        each = self.number("ntasks-per-node")
        return max(1, -(-self.number("ntasks") // each)) if each else 1

    @property
    def tasks_a_node(self) -> int:
        """The number of tasks per node."""
        each = self.number("ntasks-per-node") or self.number("ntasks-per-gpu") * self.gpus_a_node
        return max(1, each or -(-self.number("ntasks") // self.nodes))

    @property
    def gpus_a_node(self) -> int:
        """The number of GPUs per node, requested with any option; 0 for none."""
        try:
            tasks = self.number("ntasks-per-node") or -(-self.number("ntasks") // self.nodes) or 1
            values = {name: option.value for name, option in self.directives.options.items()}
            return gpus.count_per_node(values, self.nodes, tasks)
        except ValueError:
            return 0

    def variables(self) -> dict[str, str]:
        """Return the job's environment variables that the options determine.

        Source: sbatch(1), OUTPUT ENVIRONMENT VARIABLES.
        """
        nodes, tasks = str(self.nodes), str(self.nodes * self.tasks_a_node)
        known = {"SLURM_SUBMIT_DIR": "."}
        is_known = any(self.text(name) for name in ("nodes", "ntasks", "ntasks-per-node"))
        if "-" not in self.text("nodes") and (is_known or self.gpus_a_node):
            known |= {
                "SLURM_NNODES": nodes,
                "SLURM_JOB_NUM_NODES": nodes,
                "SLURM_NTASKS": tasks,
                "SLURM_NPROCS": tasks,
            }
        if self.text("ntasks-per-node"):
            known |= {"SLURM_NTASKS_PER_NODE": self.text("ntasks-per-node")}
        if self.text("cpus-per-task"):
            known |= {"SLURM_CPUS_PER_TASK": self.text("cpus-per-task")}
        if self.gpus_a_node:
            known |= {"SLURM_GPUS_ON_NODE": str(self.gpus_a_node)}
        for option, name in (
            ("gpus-per-node", "SLURM_GPUS_PER_NODE"),
            ("gpus", "SLURM_GPUS"),
            ("gpus-per-task", "SLURM_GPUS_PER_TASK"),
            ("job-name", "SLURM_JOB_NAME"),
        ):
            known |= {name: self.text(option)} if self.text(option) else {}
        return known

    def section(self, *, per_task: bool = False) -> dict[str, str | bool]:
        """Return the `slurm` section: the same nodes, CPUs and GPUs, in one task per node.

        With `per_task`, the tasks of a node stay as they are, and CPUs count for each.
        """
        section: dict[str, str | bool] = {}
        for name, option in self.directives.options.items():
            if name in (*_COUNTED, *options.TASKS, *options.OWNED, *options.REFUSED):
                continue
            if name in options.KNOWN and option.value is not False:
                section[name] = option.value
        section |= dict(self._count_options(per_task=per_task))
        return _sort_options(section)

    def _count_options(self, *, per_task: bool) -> Iterator[tuple[str, str]]:
        if self.text("nodes") or self.nodes > 1:
            yield "nodes", self.text("nodes") or str(self.nodes)
        own = self.number("cpus-per-task")
        cpus = own or (self.tasks_a_node > 1 and not self.text("cpus-per-gpu"))
        if own and per_task:
            yield "cpus-per-task", str(own)
        elif cpus and not per_task:
            yield "cpus-per-task", str(int(cpus) * self.tasks_a_node)
        if self.text("gpus-per-task"):
            kind = self.text("gpus-per-task").rpartition(":")[0]
            yield "gpus-per-node", f"{kind}:{self.gpus_a_node}" if kind else str(self.gpus_a_node)
        if self.text("chdir") not in ("", ".", "./"):
            yield "chdir", self.text("chdir")
        if self.signal[1]:
            yield "signal", f"USR1@{self.signal[1]}"

    @property
    def signal(self) -> tuple[str, int, bool]:
        """The signal before the time limit, its lead in seconds, and whether it has `B:`."""
        match = _SIGNAL.fullmatch(self.text("signal"))
        if not match:
            return "", 0, False
        return match["name"].upper(), int(match["lead"] or 60), "B" in (match["to"] or "").upper()

    def unknown(self) -> list[Option]:
        """Return the unknown options."""
        return [option for name, option in self.directives.options.items() if name not in _KNOWN]

    def newer(self) -> dict[str, str | bool]:
        """Return unknown options that a newer sbatch may have: well-formed and not misspelled."""
        options = (
            option for option in self.unknown() if option.value and _NAME.fullmatch(option.name)
        )
        return {option.name: option.value for option in options if not nearest_option(option.name)}


def nearest_option(name: str) -> str:
    """Return the known option that is closest to a misspelled one; empty if none is close."""
    return next(iter(difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.8)), "")


def _sort_options(section: dict[str, str | bool]) -> dict[str, str | bool]:
    first = (
        "partition",
        "account",
        "qos",
        "constraint",
        "nodes",
        "array",
        "gpus-per-node",
        "gpus",
        "gres",
        "cpus-per-task",
        "cpus-per-gpu",
        "mem",
        "mem-per-cpu",
        "mem-per-gpu",
        "time",
    )
    return {name: section[name] for name in (*first, *section) if name in section}
