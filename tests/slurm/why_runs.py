"""Runs that wait, fail, continue and end, each for another reason, and the answers of `why`."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.slurm.desk import CLUSTERRUN, SCRIPTS, Desk, Submitted

LATER = {"begin": "now+2hours"}
# n1 and n3 train, n3 only until a maintenance; n2 is full, n4 is drained.
LIMITS = """
sacctmgr -i add account small description=s organization=s
sacctmgr -i add qos tiny MaxTRESPerUser=cpu=1
for user in alice bob; do sacctmgr -i add user $user account=small,wide; done
sacctmgr -i add qos plain
sacctmgr -i modify user alice set qos+=tiny,plain
sacctmgr -i modify account small set GrpTRES=cpu=1
scontrol create partitionname=tight nodes=n2 state=up prioritytier=20 preemptmode=off
for name in down inactive; do scontrol create partitionname=$name nodes=n1 state=down; done
scontrol update partitionname=fixed maxtime=10 maxnodes=2
scontrol create partitionname=bottom nodes=ALL state=up prioritytier=0 preemptmode=off
scontrol update nodename=n4 state=drain reason=test
scontrol create reservationname=later starttime=now+20minutes duration=600 nodes=n3 flags=maint users=root
"""
# Jobs for all nodes have the lowest tier: Slurm keeps nodes for them from partitions with a lower tier.
WAITING: dict[str, dict[str, Any]] = {
    "BeginTime": LATER,
    "JobHeldUser": {"hold": True},
    "JobHeldAdmin": LATER,
    "PartitionDown": {"partition": "down"},
    "PartitionInactive": {"partition": "inactive"},
    # `submit` refuses these two without a QOS, which might override the partition's limits
    "PartitionTimeLimit": {"partition": "fixed", "time": 120, "qos": "plain"},
    "PartitionNodeLimit": {"partition": "fixed", "nodes": 4, "qos": "plain"},
    "ReqNodeNotAvail, UnavailableNodes:n4": {"nodelist": "n4"},
    "ReqNodeNotAvail, May be reserved for other job": {"nodelist": "n3", "time": "3:00:00"},
    "Nodes required for job are DOWN": {"nodes": 4, "partition": "bottom"},
    "AssocGrpCpuLimit": {"account": "small", "cpus-per-task": 2},
    "QOSMaxCpuPerUserLimit": {"qos": "tiny", "cpus-per-task": 2},
    "Resources": {"partition": "tight", "exclusive": True},
}
RAISES = {"script": str(SCRIPTS / "crash.py"), "requeue": {"crashes": 0}}
RUNNING: dict[str, dict[str, Any]] = {
    "raises": {
        **RAISES,
        "accelerate": {"num_processes": 2, "tee": 3},
        "slurm": {"nodelist": "n[1,3]", "nodes": 2},
    },
    "missing": {
        "script": "missing.py",
        "accelerate": {"num_processes": 2},
        "requeue": {"crashes": 0},
    },
    "comes-back": {
        "command": "echo word of attempt $CLUSTERRUN_ATTEMPT; exit 3",
        "requeue": {"by": "requeue"},
    },
    "ends": {"command": "true"},
    "lives": {"command": "sleep 300"},
}
# The class of the first failure in a failed run's log, or the cause of its end.
FAILS: dict[str, dict[str, Any]] = {
    **{way: {"script": str(SCRIPTS / "fails.py"), "args": {"way": way}}
       for way in ("disk-full", "host-out-of-memory", "killed", "nan", "port-in-use", "file-not-found")},
    "wrong-arguments": {"script": str(SCRIPTS / "fails.py"), "args": {"way": "nan", "learning_rat": 1}},
    "failed-start": {"command": "true", "environment": {"setup": ["cd /no/such/toolkit"]}},
    "no-restart": {"command": "exit 93"},
}  # fmt: skip


def submit_all(desk: Desk) -> dict[str, Submitted]:
    desk.write_site()
    RUNNING["missing"]["script"] = str(desk.write("missing.py", "import a_package_of_nobody\n"))
    specs = {name: {"command": "true", "slurm": slurm} for name, slurm in WAITING.items()}
    for values in specs.values():
        values["slurm"] = {"partition": "low", "account": "wide", **values["slurm"]}
    fails = {name: {**what, "requeue": {"crashes": 0}} for name, what in FAILS.items()}
    specs |= {
        name: {**what, "slurm": {"account": "wide", "nodelist": "n1", **what.get("slurm", {})}}
        for name, what in {**RUNNING, **fails}.items()
    }

    def submit(item: tuple[int, tuple[str, dict[str, Any]]]) -> tuple[str, Submitted]:
        number, (name, values) = item
        return name, desk.submit(f"run{number}", **values)

    with ThreadPoolExecutor(2) as pool:
        runs = dict(pool.map(submit, enumerate(specs.items())))
    behind = {"dependency": f"afterok:{runs['BeginTime'].job_id}", "account": "wide"}
    runs["Dependency"] = desk.submit("behind", command="true", slurm=behind)
    runs["Priority"] = desk.submit(
        "next", command="true", slurm={**WAITING["Resources"], "account": "wide"}
    )
    return runs


def hold_and_deactivate(desk: Desk, runs: dict[str, Submitted]) -> None:
    lines = [
        f"scontrol hold {runs['JobHeldAdmin'].job_id}",
        "scontrol update partitionname=inactive state=inactive",
    ]  # fmt: skip
    desk.cluster.run_on("ctl", ["sh", "-c", "\n".join(lines)])


def is_requeued(desk: Desk, run: Submitted) -> bool:
    shown = desk.cluster.run_as(
        "alice", ["squeue", "--noheader", f"--jobs={run.job_id}", "--format=%T %r"]
    ).stdout
    return shown.split() == ["PENDING", "BeginTime"]


def states_of(desk: Desk, runs: list[Submitted]) -> list[str]:
    jobs = ",".join(run.job_id for run in runs)
    return desk.cluster.run_as(
        "alice", ["squeue", "--noheader", f"--jobs={jobs}", "--format=%T %r"]
    ).stdout.splitlines()


def pending_reasons(desk: Desk) -> str:
    return desk.cluster.run_as(
        "alice", ["squeue", "--me", "--noheader", "--states=PENDING", "--format=%r"]
    ).stdout


def ask_why(desk: Desk, runs: list[Submitted]) -> list[dict[str, Any]]:
    """Query all runs in one login."""
    loop = f'for run in "$@"; do {CLUSTERRUN} why "$run" --json; done'
    site = {"CLUSTERRUN_PROFILE": str(desk.cluster.home("alice") / "site.yaml")}
    shown = desk.cluster.run_as(
        "alice", ["bash", "-c", loop, "bash", *(run.run_id for run in runs)], env=site
    )
    return [json.loads(line) for line in shown.stdout.splitlines()]
