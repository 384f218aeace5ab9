"""`why` and `logs` on a real Slurm: runs that wait, fail, come back and end, each for a reason of its own.

Budget: 110 s. All runs are submitted together, and asked together; most of it is waiting for ten short trainings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clusterrun.diagnosis.reason_text import explain_reason
from clusterrun.slurm.node_lists import node_names
from tests.slurm.cluster import Cluster
from tests.slurm.desk import CLUSTERRUN, SCRIPTS, Desk, Submitted, until

BESIDE = ("asked",)
LATER = {"begin": "now+2hours"}
# n1 and n3 train, n3 only until a maintenance; n2 is full, n4 is drained.
LIMITS = """
sacctmgr -i add account small description=s organization=s
sacctmgr -i add qos tiny MaxTRESPerUser=cpu=1
for user in alice bob; do sacctmgr -i add user $user account=small,wide; done
sacctmgr -i modify user alice set qos+=tiny
sacctmgr -i modify account small set GrpTRES=cpu=1
scontrol create partitionname=tight nodes=n2 state=up prioritytier=20 preemptmode=off
for name in down inactive; do scontrol create partitionname=$name nodes=n1 state=down; done
scontrol update partitionname=fixed maxtime=10 maxnodes=2
scontrol create partitionname=bottom nodes=ALL state=up prioritytier=0 preemptmode=off
scontrol update nodename=n4 state=drain reason=test
scontrol create reservationname=later starttime=now+20minutes duration=600 nodes=n3 flags=maint users=root
"""
# What wants all nodes stands below all others: Slurm keeps nodes for it from partitions with a lower tier.
WAITING: dict[str, dict[str, Any]] = {
    "BeginTime": LATER,
    "JobHeldUser": {"hold": True},
    "JobHeldAdmin": LATER,
    "PartitionDown": {"partition": "down"},
    "PartitionInactive": {"partition": "inactive"},
    "PartitionTimeLimit": {"partition": "fixed", "time": 120},
    "PartitionNodeLimit": {"partition": "fixed", "nodes": 4},
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
# What a run says when it has failed: the class of its log's first failure, or the cause of its end.
FAILS: dict[str, dict[str, Any]] = {
    **{way: {"script": str(SCRIPTS / "fails.py"), "args": {"way": way}}
       for way in ("disk-full", "host-out-of-memory", "killed", "nan", "port-in-use", "file-not-found")},
    "wrong-arguments": {"script": str(SCRIPTS / "fails.py"), "args": {"way": "nan", "learning_rat": 1}},
    "failed-start": {"command": "true", "environment": {"setup": ["cd /no/such/toolkit"]}},
    "no-restart": {"command": "exit 93"},
}  # fmt: skip


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A cluster that keeps accounts to their limits."""
    enforce = ["AccountingStorageEnforce=limits,qos"]
    with Cluster.start(config_extra=enforce) as cluster:
        cluster.run_on(
            "ctl",
            ["sh", "-c", f"sacctmgr -i add account wide description=w organization=w\n{LIMITS}"],
        )
        yield Desk(cluster, "alice")


@pytest.fixture(scope="module")
def asked(desk: Desk) -> dict[str, Any]:
    """Every run's answer, by its name; the runs themselves by `run:NAME`."""
    desk.cluster.run_as(
        "bob",
        [
            "sbatch",
            "--account=wide",
            "--partition=tight",
            "--exclusive",
            "--output=/dev/null",
            "--wrap=sleep 600",
        ],
    )
    runs = _submitted(desk)
    _make_it_so(desk, runs)
    until(lambda: _came_back(desk, runs["comes-back"]), 60, "a requeued run waits for its begin")
    answers = {"comes-back": _why(desk, [runs["comes-back"]])[0]}
    for name in ("raises", "missing", "ends", *FAILS):
        desk.wait(runs[name], 90)
    until(
        lambda: all(
            job.startswith("PENDING") for job in _states(desk, [runs[name] for name in WAITING])
        ),
        20,
        "all wait",
    )
    until(lambda: "None" not in _reasons(desk), 20, "Slurm has looked at every job")
    rest = [name for name in runs if name != "comes-back"]
    answers |= dict(zip(rest, _why(desk, [runs[name] for name in rest]), strict=True))
    return {**answers, **{f"run:{name}": run for name, run in runs.items()}}


def _submitted(desk: Desk) -> dict[str, Submitted]:
    desk.write_site()
    RUNNING["missing"]["script"] = str(desk.write("missing.py", "import a_package_of_nobody\n"))
    given = {name: {"command": "true", "slurm": slurm} for name, slurm in WAITING.items()}
    for values in given.values():
        values["slurm"] = {"partition": "low", "account": "wide", **values["slurm"]}
    fails = {name: {**what, "requeue": {"crashes": 0}} for name, what in FAILS.items()}
    given |= {
        name: {**what, "slurm": {"account": "wide", "nodelist": "n1", **what.get("slurm", {})}}
        for name, what in {**RUNNING, **fails}.items()
    }

    def submit(item: tuple[int, tuple[str, dict[str, Any]]]) -> tuple[str, Submitted]:
        number, (name, values) = item
        return name, desk.submit(f"run{number}", **values)

    with ThreadPoolExecutor(2) as pool:
        runs = dict(pool.map(submit, enumerate(given.items())))
    behind = {"dependency": f"afterok:{runs['BeginTime'].job_id}", "account": "wide"}
    runs["Dependency"] = desk.submit("behind", command="true", slurm=behind)
    runs["Priority"] = desk.submit(
        "next", command="true", slurm={**WAITING["Resources"], "account": "wide"}
    )
    return runs


def _make_it_so(desk: Desk, runs: dict[str, Submitted]) -> None:
    lines = [
        f"scontrol hold {runs['JobHeldAdmin'].job_id}",
        "scontrol update partitionname=inactive state=inactive",
    ]  # fmt: skip
    desk.cluster.run_on("ctl", ["sh", "-c", "\n".join(lines)])


def _came_back(desk: Desk, run: Submitted) -> bool:
    shown = desk.cluster.run_as(
        "alice", ["squeue", "--noheader", f"--jobs={run.job_id}", "--format=%T %r"]
    ).stdout
    return shown.split() == ["PENDING", "BeginTime"]


def _states(desk: Desk, runs: list[Submitted]) -> list[str]:
    jobs = ",".join(run.job_id for run in runs)
    return desk.cluster.run_as(
        "alice", ["squeue", "--noheader", f"--jobs={jobs}", "--format=%T %r"]
    ).stdout.splitlines()


def _reasons(desk: Desk) -> str:
    return desk.cluster.run_as(
        "alice", ["squeue", "--me", "--noheader", "--states=PENDING", "--format=%r"]
    ).stdout


def _why(desk: Desk, runs: list[Submitted]) -> list[dict[str, Any]]:
    """Ask for all in one login."""
    loop = f'for run in "$@"; do {CLUSTERRUN} why "$run" --json; done'
    site = {"CLUSTERRUN_PROFILE": str(desk.cluster.home("alice") / "site.yaml")}
    shown = desk.cluster.run_as(
        "alice", ["bash", "-c", loop, "bash", *(run.run_id for run in runs)], env=site
    )
    return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.mark.parametrize("reason", [*WAITING, "Dependency", "Priority"])
def test_why_a_run_waits(asked: dict[str, Any], reason: str) -> None:
    """Slurm's own text is what was brought about, and it is explained by the table."""
    waiting = asked[reason]["waiting"]
    assert waiting is not None, asked[reason]
    assert waiting["reason"].startswith(reason), waiting
    told = explain_reason(waiting["reason"])
    assert told.known
    assert waiting["meaning"].startswith(told.meaning.partition("{")[0])
    assert waiting["fix"]


def test_what_stands_behind_the_reasons(asked: dict[str, Any]) -> None:
    """The numbers beside a reason are those of this cluster."""
    assert asked["Dependency"]["waiting"]["details"] == [
        f"it depends on afterok:{asked['run:BeginTime'].job_id}(unfulfilled)"
    ]
    assert (
        asked["JobHeldUser"]["waiting"]["fix"]
        == f"release with `scontrol release {asked['run:JobHeldUser'].job_id}`"
    )
    assert "state DOWN" in asked["PartitionDown"]["waiting"]["details"][0]
    assert (
        "at most 00:10:00 and 2 of 4 nodes; it requests"
        in asked["PartitionTimeLimit"]["waiting"]["details"][0]
    )
    assert asked["BeginTime"]["waiting"]["expected_start"].startswith("20")
    facts = asked["ReqNodeNotAvail, May be reserved for other job"]["waiting"]["details"]
    assert any(
        fact.startswith("reservation later (maintenance) has n3 from 20") for fact in facts
    ), facts
    assert asked["Resources"]["waiting"]["jobs_ahead"] == 0
    assert asked["Priority"]["waiting"]["jobs_ahead"] == 1
    assert asked["Nodes required for job are DOWN"]["waiting"]["details"][0].startswith(
        "it requests 4 of the 4 nodes of bottom:"
    )
    assert asked["BeginTime"]["next"]["summary"].startswith(
        "attempt 1 starts when Slurm starts job"
    )


def test_why_a_rank_raised(desk: Desk, asked: dict[str, Any]) -> None:
    """The second rank, on the second node, with its line; the other rank's lost connection is not the answer."""
    stopped = asked["raises"]["stopped"]
    failure = stopped["failure"]
    assert failure is not None, (stopped, asked["run:raises"].log())
    assert (stopped["cause"], failure["rank"], failure["node"]) == ("crash", 1, "n3")
    assert failure["line"] == "RuntimeError: rank 1 has had enough"
    run = asked["run:raises"]
    assert failure["line"] in run.log().splitlines()[failure["line_number"] - 1]
    assert asked["raises"]["next"]["command"] == f"clusterrun resume {run.run_id}"


def test_why_a_script_could_not_begin(asked: dict[str, Any]) -> None:
    """A package that is missing, on both ranks alike; the launcher's own error is not the answer."""
    failure = asked["missing"]["stopped"]["failure"]
    assert failure is not None, asked["run:missing"].log()
    assert (failure["kind"], failure["node"]) == ("missing-module", "n1")
    assert failure["line"] == "ModuleNotFoundError: No module named 'a_package_of_nobody'"


@pytest.mark.parametrize("way", FAILS)
def test_why_a_run_failed(asked: dict[str, Any], way: str) -> None:
    """The class is the true one; the line that tells it stands in the log where the answer says."""
    answer, run = asked[way], asked[f"run:{way}"]
    stopped = answer["stopped"]
    failure = stopped["failure"]
    assert answer["state"] == "FAILED"
    assert way == (failure["kind"] if stopped["cause"] == "crash" else stopped["cause"]), (
        stopped,
        run.log(),
    )
    assert stopped["summary"]
    assert (failure or stopped)["fix"]
    if failure and failure["line_number"]:
        assert failure["line"] in run.log().splitlines()[failure["line_number"] - 1]
    assert answer["next"]["command"] == f"clusterrun resume {run.run_id}"


def test_a_run_between_two_attempts(asked: dict[str, Any]) -> None:
    """It waits for Slurm's delay after a requeue; how the attempt ended, and how many crashes are left, is told."""
    told = asked["comes-back"]
    assert "requeued" in told["waiting"]["meaning"]
    assert told["stopped"]["cause"] == "crash"
    assert told["next"]["crashes"] + told["next"]["crashes_left"] == 3
    assert told["next"]["crashes"] >= 1


def test_a_run_that_lives_and_one_that_is_done(asked: dict[str, Any]) -> None:
    """Neither has anything to mend."""
    assert asked["lives"]["state"] == "RUNNING"
    assert "attempt 1 started" in asked["lives"]["liveness"]["summary"]
    assert asked["lives"]["stopped"] is None
    assert asked["ends"]["stopped"]["cause"] == "finished"
    assert asked["ends"]["next"] == {
        "summary": "nothing: the run has finished",
        "command": "",
        "crashes": 0,
        "crashes_left": 3,
    }


def test_logs_by_rank_and_by_node(desk: Desk, asked: dict[str, Any]) -> None:
    """With `accelerate.tee` every line of a rank is found by the rank and by its node, and no other one is."""
    run = asked["run:raises"].run_id
    of_rank = desk.cli("logs", run, "--rank", "1").stdout.splitlines()
    assert all(line.startswith("[rank1]: ") for line in of_rank)
    assert any(line.endswith("RuntimeError: rank 1 has had enough") for line in of_rank)
    of_node = desk.cli("logs", run, "--node", "n3").stdout.splitlines()
    assert set(of_rank) <= set(of_node)
    assert not [line for line in of_node if line.startswith("[rank0]")]
    assert (
        desk.cli("logs", run, "--grep", "had enough$", "--rank", "1").stdout.splitlines()[-1]
        == of_rank[-1]
    )


def test_logs_follow_over_requeues(desk: Desk, asked: dict[str, Any]) -> None:
    """Following ends with the run, and has the lines of every attempt from the one that it began with on."""
    run = asked["run:comes-back"]
    with desk.cluster.popen_as(
        "alice", [CLUSTERRUN, "logs", "-f", run.run_id, "--attempt", "all", "--grep", "^word of"]
    ) as follower:
        until(lambda: len(list((run.folder / "logs").glob("attempt-*"))) > 1, 60, "another attempt")
        desk.cli("cancel", run.run_id)
        out, err = follower.communicate(timeout=60)
    attempts = sorted(path.stem[-4:] for path in (run.folder / "logs").glob("attempt-*"))
    assert out.splitlines()[:2] == [f"word of attempt {number}" for number in attempts][:2], err


def test_node_lists_are_those_of_scontrol(desk: Desk, asked: dict[str, Any]) -> None:
    """Lists of nodes are spelled out as Slurm does it."""
    text = "n[1-3,7],gpu[008-010],r[1-2]n[3-4]"
    shown = desk.cluster.run_as("alice", ["scontrol", "show", "hostnames", text]).stdout
    assert shown.split() == node_names(text)
