"""Query Slurm's configuration, partitions, QOS and accounting."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from clusterrun.errors import ClusterError
from clusterrun.slurm.commands import CommandResult, call

SECONDS = 10.0
"""Timeout of one query; clients give up on a dead slurmctld after 9 s (measured, Slurm 22.05)."""
_QUERIES = {
    "config": "scontrol show config",
    "partitions": "scontrol show partition --oneliner",
    "nodes": "sinfo --noheader --format=%P|%D|%c|%m|%G",
    "accounting": (
        "sacct --noheader --parsable2 --allocations --starttime=now-1hour --format=JobID,State"
    ),
    "qos": (
        "sacctmgr --noheader --parsable2 show qos format=Name,Preempt,PreemptMode,GraceTime,MaxWall"
    ),
    "associations": (
        "sacctmgr --noheader --parsable2 show assoc where user={user} format=Account,Partition,QOS"
    ),
    "srun": "srun --help",
}
_WITH_ACCOUNTING = ("qos", "associations")


@dataclass(frozen=True)
class Site:
    """The answers to one round of queries.

    A command that did not respond has code -1, a skipped one -2.
    """

    config: CommandResult
    partitions: CommandResult
    nodes: CommandResult
    accounting: CommandResult
    qos: CommandResult
    associations: CommandResult
    srun: CommandResult

    def as_dict(self) -> dict[str, dict[str, object]]:
        """Return plain values, for a file."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, dict[str, object]]) -> Site:
        """Restore the answers from `as_dict`."""
        return cls(**{name: CommandResult(**answer) for name, answer in values.items()})  # type: ignore[arg-type]


def query_site(user: str) -> Site:
    """Run each query once; if slurmctld does not respond to the first, skip the others."""
    answers: dict[str, CommandResult] = {}
    for name, words in _QUERIES.items():
        away = bool(answers) and answers["config"].code != 0
        unaccounted = name in _WITH_ACCOUNTING and answers["accounting"].code != 0
        answers[name] = (
            CommandResult(-2, "", "not queried")
            if away or unaccounted
            else _query(words.format(user=user))
        )
    return Site(**answers)


def _query(words: str) -> CommandResult:
    try:
        return call(words.split(), seconds=SECONDS)
    except ClusterError as error:
        return CommandResult(-1, "", error.what)


def configuration(text: str) -> dict[str, str]:
    """Return the keys of `scontrol show config`; an empty value is `(null)` there."""
    pairs = re.findall(r"^(\w+)\s*= *(.*?) *$", text, re.MULTILINE)
    return {key: "" if value == "(null)" else value for key, value in pairs}


def seconds_in(text: str) -> int | None:
    """Return the seconds of a value such as `30 sec`; None without a number."""
    match = re.match(r"\d+", text)
    return int(match[0]) if match else None


def listed_value(text: str, key: str) -> str | None:
    """Return a key's value in `bf_continue,requeue_delay=1`: "" for a bare word, None if absent."""
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip() == key:
            return value.strip()
    return None


@dataclass(frozen=True)
class Partition:
    """One partition, with the keys of `scontrol show partition`."""

    name: str
    keys: dict[str, str]

    @property
    def tier(self) -> int:
        """The PriorityTier: a higher one preempts a lower one (preempt/partition_prio)."""
        return int(self.keys.get("PriorityTier") or 1)

    @property
    def grace(self) -> int:
        """Seconds from the preemption's warning to its kill."""
        return int(self.keys.get("GraceTime") or 0)

    @property
    def default(self) -> bool:
        """Whether it is the default partition."""
        return self.keys.get("Default") == "YES"

    def preempt_mode(self, cluster: str) -> str:
        """Return what happens to a preempted job.

        `cluster` is the configuration's PreemptMode, without GANG.
        """
        own = (self.keys.get("PreemptMode") or "").upper()
        mode = own if own and own != "CLUSTER" else cluster.upper()
        return next((word for word in mode.split(",") if word not in ("GANG", "WITHIN")), "OFF")


def partitions(text: str) -> list[Partition]:
    """Read `scontrol show partition --oneliner`."""
    parsed = []
    for line in text.splitlines():
        keys = dict(pair.split("=", 1) for pair in line.split() if "=" in pair)
        if keys.get("PartitionName"):
            parsed.append(Partition(keys["PartitionName"], keys))
    return parsed
