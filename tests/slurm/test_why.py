"""`why` and `logs` on a real Slurm: runs that are pending, fail, continue and end, each for another
reason.

Budget: 110 s. All runs are submitted together, and queried together; most of it is waiting for ten
short trainings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clusterrun.diagnosis.reason_text import explain_reason
from clusterrun.slurm.node_lists import node_names
from tests.slurm.cluster import Cluster
from tests.slurm.desk import CLUSTERRUN, Desk, until
from tests.slurm.why_runs import (
    FAILS,
    LIMITS,
    WAITING,
    ask_why,
    hold_and_deactivate,
    is_requeued,
    pending_reasons,
    states_of,
    submit_all,
)

BACKGROUND = ("answers",)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A cluster that enforces the limits of accounts."""
    enforce = ["AccountingStorageEnforce=limits,qos"]
    with Cluster.start(config_extra=enforce) as cluster:
        cluster.run_on(
            "ctl",
            ["sh", "-c", f"sacctmgr -i add account wide description=w organization=w\n{LIMITS}"],
        )
        yield Desk(cluster, "alice")


@pytest.fixture(scope="module")
def answers(desk: Desk) -> dict[str, Any]:
    """Every run's answer, by name; the runs themselves as `run:NAME`."""
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
    runs = submit_all(desk)
    hold_and_deactivate(desk, runs)
    until(lambda: is_requeued(desk, runs["comes-back"]), 60, "a requeued run is pending")
    answers = {"comes-back": ask_why(desk, [runs["comes-back"]])[0]}
    for name in ("raises", "missing", "ends", *FAILS):
        desk.wait(runs[name], 90)
    until(
        lambda: all(
            job.startswith("PENDING") for job in states_of(desk, [runs[name] for name in WAITING])
        ),
        20,
        "all are pending",
    )
    until(lambda: "None" not in pending_reasons(desk), 20, "Slurm has a reason for every job")
    rest = [name for name in runs if name != "comes-back"]
    answers |= dict(zip(rest, ask_why(desk, [runs[name] for name in rest]), strict=True))
    return {**answers, **{f"run:{name}": run for name, run in runs.items()}}


@pytest.mark.parametrize("reason", [*WAITING, "Dependency", "Priority"])
def test_why_a_run_is_pending(answers: dict[str, Any], reason: str) -> None:
    """The reason is Slurm's own, as brought about, and the table explains it."""
    waiting = answers[reason]["waiting"]
    assert waiting is not None, answers[reason]
    assert waiting["reason"].startswith(reason), waiting
    explained = explain_reason(waiting["reason"])
    assert explained.known
    assert waiting["meaning"].startswith(explained.meaning.partition("{")[0])
    assert waiting["fix"]


def test_details_of_pending_reasons(answers: dict[str, Any]) -> None:
    """The numbers of a reason are those of this cluster."""
    assert answers["Dependency"]["waiting"]["details"] == [
        f"it depends on afterok:{answers['run:BeginTime'].job_id}(unfulfilled)"
    ]
    assert (
        answers["JobHeldUser"]["waiting"]["fix"]
        == f"release with `scontrol release {answers['run:JobHeldUser'].job_id}`"
    )
    assert "state DOWN" in answers["PartitionDown"]["waiting"]["details"][0]
    assert (
        "at most 00:10:00 and 2 of 4 nodes; it requests"
        in answers["PartitionTimeLimit"]["waiting"]["details"][0]
    )
    assert answers["BeginTime"]["waiting"]["expected_start"].startswith("20")
    facts = answers["ReqNodeNotAvail, May be reserved for other job"]["waiting"]["details"]
    assert any(
        fact.startswith("reservation later (maintenance) has n3 from 20") for fact in facts
    ), facts
    assert answers["Resources"]["waiting"]["jobs_ahead"] == 0
    assert answers["Priority"]["waiting"]["jobs_ahead"] == 1
    assert answers["Nodes required for job are DOWN"]["waiting"]["details"][0].startswith(
        "it requests 4 of the 4 nodes of bottom:"
    )
    assert answers["BeginTime"]["next"]["summary"].startswith(
        "attempt 1 starts when Slurm starts job"
    )


def test_why_a_rank_raised(desk: Desk, answers: dict[str, Any]) -> None:
    """The second rank, on the second node, with its line; the other rank's lost connection is not
    the answer.
    """
    stopped = answers["raises"]["stopped"]
    failure = stopped["failure"]
    assert failure is not None, (stopped, answers["run:raises"].log())
    assert (stopped["cause"], failure["rank"], failure["node"]) == ("crash", 1, "n3")
    assert failure["line"] == "RuntimeError: rank 1 has had enough"
    run = answers["run:raises"]
    assert failure["line"] in run.log().splitlines()[failure["line_number"] - 1]
    assert answers["raises"]["next"]["command"] == f"clusterrun resume {run.run_id}"


def test_why_a_script_could_not_start(answers: dict[str, Any]) -> None:
    """A missing package, on both ranks alike; the launcher's own error is not the answer."""
    failure = answers["missing"]["stopped"]["failure"]
    assert failure is not None, answers["run:missing"].log()
    assert (failure["kind"], failure["node"]) == ("missing-module", "n1")
    assert failure["line"] == "ModuleNotFoundError: No module named 'a_package_of_nobody'"


@pytest.mark.parametrize("way", FAILS)
def test_why_a_run_failed(answers: dict[str, Any], way: str) -> None:
    """The class is correct, and its line is in the log where the answer says."""
    answer, run = answers[way], answers[f"run:{way}"]
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


def test_a_run_between_two_attempts(answers: dict[str, Any]) -> None:
    """It waits for Slurm's delay after a requeue; the answer has how the attempt ended and the
    remaining crash budget.
    """
    answer = answers["comes-back"]
    assert "requeued" in answer["waiting"]["meaning"]
    assert answer["stopped"]["cause"] == "crash"
    assert answer["next"]["crashes"] + answer["next"]["crashes_left"] == 3
    assert answer["next"]["crashes"] >= 1


def test_why_of_an_active_and_of_a_finished_run(answers: dict[str, Any]) -> None:
    """There is nothing to fix."""
    assert answers["lives"]["state"] == "RUNNING"
    assert "attempt 1 started" in answers["lives"]["liveness"]["summary"]
    assert answers["lives"]["stopped"] is None
    assert answers["ends"]["stopped"]["cause"] == "finished"
    assert answers["ends"]["next"] == {
        "summary": "nothing: the run has finished",
        "command": "",
        "crashes": 0,
        "crashes_left": 3,
    }


def test_logs_by_rank_and_by_node(desk: Desk, answers: dict[str, Any]) -> None:
    """With `accelerate.tee` every line of a rank is found by the rank and by its node, and no other
    line is.
    """
    run = answers["run:raises"].run_id
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


def test_logs_follow_over_requeues(desk: Desk, answers: dict[str, Any]) -> None:
    """Following ends with the run, and prints the lines of every attempt from the one it started
    with.
    """
    run = answers["run:comes-back"]
    with desk.cluster.popen_as(
        "alice", [CLUSTERRUN, "logs", "-f", run.run_id, "--attempt", "all", "--grep", "^word of"]
    ) as follower:
        until(lambda: len(list((run.folder / "logs").glob("attempt-*"))) > 1, 60, "another attempt")
        desk.cli("cancel", run.run_id)
        out, err = follower.communicate(timeout=60)
    attempts = sorted(path.stem[-4:] for path in (run.folder / "logs").glob("attempt-*"))
    assert out.splitlines()[:2] == [f"word of attempt {number}" for number in attempts][:2], err


def test_node_lists_are_expanded_like_scontrol(desk: Desk, answers: dict[str, Any]) -> None:
    """Node lists are expanded as Slurm does."""
    text = "n[1-3,7],gpu[008-010],r[1-2]n[3-4]"
    shown = desk.cluster.run_as("alice", ["scontrol", "show", "hostnames", text]).stdout
    assert shown.split() == node_names(text)
