"""`clusterrun doctor` on partitions: who may use them, their limits, and who preempts whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clusterrun.site_checks.partitions import Who, accounts_of, check_partitions, expand_names
from clusterrun.slurm.site import Site
from tests.support.sites import by_topic, every_slurm, site


@every_slurm
def test_partitions_and_their_preemption(generation):
    """PriorityTier decides on shared nodes; mode and grace time are each partition's own."""
    findings = by_topic(check_partitions(site(generation), Who(), None))
    assert (
        findings["partition main"].message == "time UNLIMITED, nodes UNLIMITED of 2, default"
    )  # PreemptMode=OFF
    assert findings["partition low"].message.endswith(
        "preempted by main, fixed, high: requeued, grace 15 s"
    )
    assert findings["partition low"].verdict == "ok"
    assert findings["partition low0"].verdict == "warning"
    assert findings["partition lowc"].message.endswith(
        "preempted by main, fixed, high: cancelled, grace 15 s"
    )
    assert "continues in a new job" in findings["partition lowc"].fix
    assert "preempted" not in findings["partition high"].message


def partition(**changed: str) -> Site:
    """The real cluster, with other keys of its partition main."""
    real = site()
    lines = real.partitions.out.splitlines()
    for key, value in changed.items():
        before = next(word for word in lines[0].split() if word.startswith(f"{key}="))
        lines[0] = lines[0].replace(before, f"{key}={value}")
    return replace(real, partitions=replace(real.partitions, out="\n".join(lines)))


@pytest.mark.parametrize(("changed", "who", "closed"), [
    ({"AllowGroups": "wheel,gpu"}, Who(groups=frozenset({"research"})), "AllowGroups=wheel,gpu"),
    ({"AllowGroups": "wheel,gpu"}, Who(groups=frozenset({"research", "gpu"})), ""),
    ({"AllowAccounts": "physics"}, Who(accounts=frozenset({"chemistry"})), "AllowAccounts=physics"),
    ({"AllowAccounts": "physics"}, Who(), ""),
    ({"AllocNodes": "login[1-3]"}, Who(hosts=frozenset({"login4"})), "AllocNodes=login[1-3]"),
    ({"AllocNodes": "login[1-3]"}, Who(hosts=frozenset({"login2"})), ""),
    ({"State": "DRAIN"}, Who(), "State=DRAIN"),
])  # fmt: skip
def test_which_partitions_are_open(changed, who, closed):
    """State, groups, accounts and hosts decide; what is unknown about the user closes nothing."""
    findings = by_topic(check_partitions(partition(**changed), who, None))["partition main"]
    assert findings.message.startswith(f"closed to you ({closed})" if closed else "time UNLIMITED")


def test_the_partition_of_the_profile_must_be_open():
    """One that does not exist or is closed is a problem, and open ones are named."""
    gone = by_topic(check_partitions(site(), Who(), "gpu"))["partitions"]
    assert (gone.verdict, gone.message) == (
        "problem",
        "gpu, set in the profile, does not exist",
    )
    assert gone.fix == "use one that is open to you: main, low, low0, lowc, lowc0, fixed, high"
    closed = by_topic(check_partitions(partition(State="DOWN"), Who(), "high,main"))["partitions"]
    assert closed.message == "main, set in the profile, is closed to you: State=DOWN"
    assert "partitions" not in by_topic(check_partitions(site(), Who(), "low"))
    none = by_topic(check_partitions(partition(Default="NO"), Who(), None))["partitions"]
    assert (none.verdict, none.message) == ("warning", "no default partition")


@every_slurm
def test_preemption_by_qos(generation):
    """If QOS decide, those in another one's Preempt are listed, with their own mode and grace."""
    findings = by_topic(check_partitions(site(generation, PreemptType="preempt/qos"), Who(), None))
    assert findings["qos low"].message == "preempted by high: requeued, grace 00:00:15"
    assert findings["qos lowc"].message == "preempted by high: cancelled, grace 00:00:15"
    assert {topic for topic in findings if topic.startswith("qos")} == {"qos low", "qos lowc"}
    assert "preempted" not in findings["partition low"].message
    assert accounts_of(site(generation)) == {"cr"}


def test_lists_of_hosts():
    """Slurm's compact host lists are expanded, with leading zeros."""
    assert expand_names("n[1-3,7],login,gpu[08-10]-ib") == [
        "n1",
        "n2",
        "n3",
        "n7",
        "login",
        "gpu08-ib",
        "gpu09-ib",
        "gpu10-ib",
    ]
    assert expand_names("r[1-2]n[1-2]") == ["r1n1", "r1n2", "r2n1", "r2n2"]
    assert expand_names("") == []
