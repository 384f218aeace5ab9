"""Check Slurm's partitions and QOS: which ones this user may use, limits, and preemption."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clusterrun.site_checks.finding import Finding, ok, problem, warning
from clusterrun.slurm.site import Partition, Site, configuration, partitions
from clusterrun.units import seconds_of_slurm_clock

_ALLOWED = {"AllowGroups": "groups", "AllowAccounts": "accounts", "AllocNodes": "hosts"}
_ENDS = {"REQUEUE": "requeued", "CANCEL": "cancelled", "SUSPEND": "suspended"}


@dataclass(frozen=True)
class Who:
    """The groups and accounts of a user, and the machine's names; empty if unknown."""

    groups: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()


def accounts_of(site: Site) -> frozenset[str]:
    """Return the accounts of the user; empty if accounting does not list them."""
    if site.associations.code:
        return frozenset()
    return frozenset(
        line.partition("|")[0] for line in site.associations.out.splitlines() if "|" in line
    ) - {""}


def why_closed(partition: Partition, who: Who) -> str:
    """Return why a partition is closed to this user; empty if no reason is known."""
    keys = partition.keys
    if keys.get("State", "UP") != "UP":
        return f"State={keys['State']}"
    for key, kind in _ALLOWED.items():
        allowed, mine = keys.get(key, "ALL"), getattr(who, kind)
        if allowed not in ("ALL", "(null)") and mine and not mine & set(expand_names(allowed)):
            return f"{key}={allowed}"
    denied = set(keys.get("DenyAccounts", "").split(","))
    if who.accounts and who.accounts <= denied:
        return f"DenyAccounts={keys['DenyAccounts']}"
    return ""


def expand_names(hosts: str) -> list[str]:
    """Expand Slurm's list of names, such as `n[1-3,7],login`: each name once, in order."""
    names: dict[str, None] = {}
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", hosts):
        names.update(dict.fromkeys(_expand_name(part)))
    return list(names)


def _expand_name(pattern: str) -> Iterator[str]:
    before, bracket, rest = pattern.partition("[")
    if not bracket:
        yield before
        return
    inside, _, behind = rest.partition("]")
    for span in inside.split(","):
        first, _, last = span.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield from _expand_name(f"{before}{number:0{len(first)}d}{behind}")


def check_partitions(site: Site, who: Who, name_in_profile: str | None) -> list[Finding]:
    """Return a finding for each partition; `name_in_profile` is the one in the profile."""
    if site.partitions.code:
        return [] if site.config.code else [_no_partition_list(site)]
    known = partitions(site.partitions.out)
    closed = {one.name: why for one in known if (why := why_closed(one, who))}
    config = configuration(site.config.out)
    lines = [_judge_partition(one, known, config, closed.get(one.name, "")) for one in known]
    return [*_judge_profile(known, closed, name_in_profile), *lines, *_check_qos(site, config)]


def _no_partition_list(site: Site) -> Finding:
    return problem(
        "partitions",
        f"scontrol show partition: {site.partitions.err or 'failed'}",
        "try again later",
    )


def _judge_profile(
    known: Sequence[Partition], closed: dict[str, str], name_in_profile: str | None
) -> list[Finding]:
    names = [one.name for one in known]
    open_ones = ", ".join(name for name in names if name not in closed)
    if not open_ones:
        return [
            problem(
                "partitions",
                "no partition is open to you",
                "ask your administrators for an account or a group",
            )
        ]
    for name in (name_in_profile or "").split(",") if name_in_profile else []:
        if name not in names or name in closed:
            why = f"is closed to you: {closed[name]}" if name in closed else "does not exist"
            return [
                problem(
                    "partitions",
                    f"{name}, set in the profile, {why}",
                    f"use one that is open to you: {open_ones}",
                )
            ]
    if not name_in_profile and not any(one.default for one in known):
        return [
            warning(
                "partitions",
                "no default partition",
                f"set one in the profile; open to you: {open_ones}",
            )
        ]
    return []


def _judge_partition(
    one: Partition, others: Sequence[Partition], config: dict[str, str], closed: str
) -> Finding:
    topic = f"partition {one.name}"
    longest, most, every = (one.keys.get(key, "?") for key in ("MaxTime", "MaxNodes", "TotalNodes"))
    limits = f"time {longest}, nodes {most} of {every}{', default' * one.default}"
    if closed:
        return ok(topic, f"closed to you ({closed}); {limits}")
    preemptors = _list_preemptors(one, others, config)
    if not preemptors:
        return ok(topic, limits)
    mode = one.preempt_mode(config.get("PreemptMode", "OFF"))
    what = (
        f"{limits}; preempted by {', '.join(preemptors)}: {_ENDS.get(mode, mode)}, grace "
        f"{one.grace} s"
    )
    return _judge_preemption(topic, what, mode, one.grace)


def _judge_preemption(topic: str, what: str, mode: str, grace: int) -> Finding:
    if mode == "SUSPEND":
        return warning(
            topic,
            what,
            "keep checkpoint.every short: a suspended job keeps its GPU memory and saves nothing",
        )
    if not grace:
        return warning(
            topic,
            what,
            "keep checkpoint.every short: a preempted run has no time to save",
        )
    if mode == "CANCEL":
        return ok(topic, what, "the run continues in a new job (requeue.by: auto)")
    return ok(topic, what)


def _list_preemptors(
    one: Partition, every: Sequence[Partition], config: dict[str, str]
) -> list[str]:
    """Return the partitions with a higher PriorityTier that share a node with this one."""
    mode = one.preempt_mode(config.get("PreemptMode", "OFF"))
    if config.get("PreemptType") != "preempt/partition_prio" or mode == "OFF":
        return []
    mine = set(expand_names(one.keys.get("Nodes", "")))
    higher = [other for other in every if other.tier > one.tier]
    return [other.name for other in higher if mine & set(expand_names(other.keys.get("Nodes", "")))]


def _check_qos(site: Site, config: dict[str, str]) -> list[Finding]:
    """Return findings for preemption by QOS: `Preempt` lists the preempted ones (sacctmgr(1))."""
    if config.get("PreemptType") != "preempt/qos" or site.qos.code:
        return []
    rows = [line.split("|") for line in site.qos.out.splitlines() if line.count("|") >= 4]
    findings = []
    for name, _, mode, grace, *_ in rows:
        by = [other for other, preempts, *_ in rows if name in preempts.split(",")]
        if by:
            word = (config.get("PreemptMode", "") if mode in ("", "cluster") else mode).upper()
            what = f"preempted by {', '.join(by)}: {_ENDS.get(word, word)}, grace {grace}"
            findings.append(
                _judge_preemption(f"qos {name}", what, word, seconds_of_slurm_clock(grace) or 0)
            )
    return findings
