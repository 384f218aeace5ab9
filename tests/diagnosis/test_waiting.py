"""Slurm's reasons for a pending job, in words.

tests/slurm/test_why.py gets them from a real Slurm.
"""

from __future__ import annotations

import pytest

from clusterrun.diagnosis import pending_run
from clusterrun.diagnosis.next_step import pause_after
from clusterrun.diagnosis.reason_text import explain_reason
from clusterrun.diagnosis.reasons import REASONS, SENTENCES
from clusterrun.run_status.file_status import RunStatus
from clusterrun.slurm import pending
from clusterrun.slurm.commands import CommandResult
from clusterrun.slurm.node_lists import node_names
from clusterrun.slurm.states import State
from tests.support.bash_functions import said

SQUEUE = (
    "7|PENDING|{reason}|2026-11-21T10:00:00|gpu|100|4|1-00:00:00|{dependency}|2026-11-21T09:00:00\n"
)


def status(**values: object) -> RunStatus:
    given = {
        "run_id": "big-1", "state": State.PENDING, "reason": "", "job_id": "7", "attempt": 0, "step": None, "total_steps": None,
        "loss": None, "nodes": "", "exit_code": None, "folder": "/runs/big-1", **values,
    }  # fmt: skip
    return RunStatus(**given)


@pytest.fixture
def slurm(monkeypatch):
    """Slurm's answers by the start of the command; any other command gets no answer."""
    answers: dict[str, str] = {}
    calls = []

    def call(argv, **_):
        calls.append(" ".join(argv))
        found = [text for begin, text in answers.items() if calls[-1].startswith(begin)]
        return (
            CommandResult(0, found[0], "")
            if found
            else CommandResult(1, "", "slurm_load: Connection refused")
        )

    monkeypatch.setattr(pending, "call", call)
    answers["calls"] = calls
    return answers


def waiting(slurm, reason: str, *, dependency: str = "(null)", **values: object):
    slurm["squeue --noheader --states=all"] = SQUEUE.format(reason=reason, dependency=dependency)
    return pending_run.why_waiting(status(**values))


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_is_explained_as_squeue_and_scontrol_print_it(code):
    """Each code has the same meaning and advice in all three forms in which it appears."""
    explained = [explain_reason(text) for text in (code, f"({code})", f"{code},_more_words")]
    assert all(one.known and one.meaning == REASONS[code].meaning and one.fix for one in explained)


@pytest.mark.parametrize("words", SENTENCES)
def test_sentences_are_not_the_codes_that_they_start_with(words):
    """scontrol writes the same sentences with `_` for spaces."""
    assert (
        explain_reason(f"({words} and so on)").meaning
        == explain_reason(words.replace(" ", "_")).meaning
        == SENTENCES[words].meaning
    )


@pytest.mark.parametrize(
    ("code", "fragments"),
    [
        ("AssocGrpCpuLimit", ("together", "your account", "CPUs")),
        ("QOSGrpGRESMinutes", ("together", "the QOS", "GPUs", "minutes")),
        ("AssocGrpCPURunMinutesLimit", ("together", "of running jobs")),
        ("QOSMaxGRESPerUser", ("the QOS", "GPUs", "a user", "reached")),
        ("QOSMaxNodePerJobLimit", ("more nodes", "one job")),
        ("AssocMaxWallDurationPerJobLimit", ("more wall time", "one job")),
        ("QOSMinGRES", ("minimum", "GPUs")),
        ("MaxJobsPerAccount", ("running jobs", "an account")),
        ("QOSMaxSubmitJobPerUserLimit", ("queued and running jobs",)),
    ],
)
def test_a_limit_is_explained_from_its_name(code, fragments):
    """It names whose limit it is, how it is counted, and of what."""
    explained = explain_reason(code)
    assert explained.known
    assert [part for part in fragments if part not in explained.meaning] == []


def test_permanent_and_temporary_limits_differ():
    """A request over the limit of one job never starts; one over the limit of all jobs will."""
    never = "JobHeldUser DependencyNeverSatisfied PartitionTimeLimit QOSMaxNodePerJobLimit AssocMaxCpuPerJobLimit InvalidQOS"
    assert [code for code in never.split() if explain_reason(code).temporary] == []
    later = "Priority Resources BeginTime QOSGrpCpuLimit AssocGrpGRES QOSMaxJobsPerUserLimit Licenses JobArrayTaskLimit"
    assert [code for code in later.split() if not explain_reason(code).temporary] == []


def test_an_unknown_reason_is_shown_unchanged():
    """No meaning is invented."""
    explained = explain_reason("MoonPhase")
    assert not explained.known
    assert "'MoonPhase'" in explained.meaning


def test_unavailable_nodes_are_named():
    """Slurm lists them in its reason."""
    assert (
        "(unavailable: n[1-2])"
        in explain_reason("ReqNodeNotAvail, UnavailableNodes:n[1-2]").meaning
    )


def test_jobs_ahead_and_the_expected_start(slurm):
    """It counts the partition's jobs with a higher priority; the start time is Slurm's."""
    slurm["squeue --noheader --array --states=PENDING --partition=gpu"] = "300\n100\n101\n99\n"
    slurm["sinfo"] = "2|idle\n1|drained*\n3|mixed\n"
    explained = waiting(slurm, "Priority")
    assert (explained.jobs_ahead, explained.expected_start) == (2, "2026-11-21T10:00:00")
    assert explained.details == ("it requests 4 of the 6 nodes of gpu: 1 drained, 2 idle, 3 mixed",)


def test_slurm_is_queried_only_as_the_reason_needs(slurm):
    """A held job is explained after one call."""
    explained = waiting(slurm, "JobHeldUser")
    assert explained.fix == "release with `scontrol release 7`"
    assert len(slurm["calls"]) == 1


def test_the_reason_is_explained_although_other_queries_fail(slurm):
    """sinfo and scontrol may fail after squeue succeeded."""
    explained = waiting(slurm, "Resources")
    assert (explained.reason, explained.jobs_ahead, explained.details) == ("Resources", None, ())


def test_a_dependency_is_named(slurm):
    """It shows Slurm's own words for the dependency's state, even with a `|` in them."""
    explained = waiting(slurm, "Dependency", dependency="afterok:5(unfulfilled)")
    assert explained.details == ("it depends on afterok:5(unfulfilled)",)


def test_a_requeue_delay_is_not_a_begin_time(slurm):
    """Slurm shows both as BeginTime."""
    assert "requeued" in waiting(slurm, "BeginTime", attempt=1).meaning
    assert "earliest start" in waiting(slurm, "BeginTime").meaning


def test_too_many_excluded_nodes(slurm):
    """If too few nodes remain, the run's excluded nodes are named, and how to include them again."""
    slurm["sinfo"] = "3|idle\n2|down\n"
    slurm["scontrol show job"] = "JobId=7 ExcNodeList=n[1-2] Partition=gpu\n"
    explained = waiting(
        slurm, "ReqNodeNotAvail,_UnavailableNodes:n[4-5]", excluded_nodes=("n1 (bad)", "n2 (bad)")
    )
    assert "leaves too few nodes" in explained.details[1]
    assert "nodes/ in the run folder" in explained.details[1]


def test_slurm_is_not_responding(slurm):
    """Nothing is invented: its error is the answer."""
    explained = pending_run.why_waiting(status())
    assert "Connection refused" in explained.meaning


def test_a_run_that_was_never_submitted(slurm):
    """The advice is to submit it again, and Slurm is not queried."""
    explained = pending_run.why_waiting(status(job_id="", reason="not submitted to Slurm yet"))
    assert "submit" in explained.fix
    assert slurm["calls"] == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[1-3,7],login1", ["n1", "n2", "n3", "n7", "login1"]),
        ("gpu[008-010]", ["gpu008", "gpu009", "gpu010"]),
        ("r[1-2]n[1-2]-ib", ["r1n1-ib", "r1n2-ib", "r2n1-ib", "r2n2-ib"]),
        ("", []),
    ],
)
def test_lists_of_nodes(text, names):
    """Node lists are expanded as Slurm writes them."""
    assert node_names(text) == names


def test_the_delay_matches_the_script():
    """The table shown to people and the wait in bash have the same delays."""
    loop = 'for n in "$@"; do compute_pause "$n"; done'
    counts = range(10)
    assert [pause_after(count) for count in counts] == [
        int(word) for word in said(loop, *counts).split()
    ]
