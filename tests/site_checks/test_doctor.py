"""Findings from the answers of Slurm 22.05, 24.11 and 26.05 (slurm_answers), and variations.

`python -m tests.slurm.collect_answers` wrote slurm_answers, on clusters with accounting on, off and
broken.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.planning.preparation import Request
from clusterrun.site_checks.examination import doctor
from clusterrun.site_checks.finding import Finding
from clusterrun.site_checks.first_profile import first_profile, write_profile
from clusterrun.site_checks.partitions import Who, check_partitions
from clusterrun.site_checks.rules import check_slurm
from clusterrun.slurm.commands import CommandResult
from clusterrun.slurm.site import configuration
from tests.support.sites import by_topic, every_slurm, site


@every_slurm
def test_the_answers_of_a_real_slurm_are_understood(generation):
    """Version, requeue, preemption, limits and tracking are read from each generation's output."""
    findings = by_topic(check_slurm(site(generation)))
    assert findings["slurm"].message.startswith(f"Slurm {generation}")
    assert findings["slurm"].verdict == "ok"
    assert findings["requeue"].message == "JobRequeue=1: a job may be requeued"
    assert (
        findings["requeue delay"].message
        == "a requeued job waits at least 5 s (AuthInfo=cred_expire)"
    )
    assert findings["preemption"].message.startswith(
        "PreemptType=preempt/partition_prio, PreemptMode=REQUEUE; the warning is TERM"
    )
    assert (findings["kill wait"].verdict, findings["kill wait"].message[:14]) == (
        "warning",
        "KillWait=5 sec",
    )
    assert findings["limits"].message == "MaxArraySize=20001, MaxJobCount=20000, MinJobAge=300 sec"
    assert (findings["process tracking"].verdict, findings["process tracking"].message[:20]) == (
        "warning",
        "proctrack/linuxproc:",
    )
    assert findings["accounting"] == Finding("accounting", "ok", "sacct works")
    assert findings["pyxis"].message == "srun has no --container-image (no pyxis)"
    known = generation == "26.05"
    assert findings["expedited requeue"].message.endswith(
        "not set" if known else "requires Slurm 25.11"
    )


@every_slurm
def test_accounting_off_and_broken_differ(generation):
    """Off has a cost for runs; configured but broken is the site's problem, in sacct's words."""
    off, broken = (
        by_topic(check_slurm(site(generation, kind)))["accounting"] for kind in ("off", "broken")
    )
    assert (off.verdict, off.message) == (
        "warning",
        "accounting is off: Slurm forgets a job 300 sec after its end",
    )
    assert broken.verdict == "problem"
    assert "Connection refused" in broken.message
    tracking = by_topic(check_slurm(site(generation, "off")))["process tracking"]
    assert (tracking.verdict, tracking.message[:17]) == ("ok", "proctrack/cgroup:")


@pytest.mark.parametrize(("replaced", "topic", "verdict", "words"), [
    ({"JobRequeue": "0"}, "requeue", "ok", "JobRequeue=0: only jobs with --requeue are requeued"),
    ({"AuthInfo": "(null)"}, "requeue delay", "ok", "waits at least 120 s (cred_expire's default)"),
    ({"SchedulerParameters": "bf_continue,requeue_delay=1"}, "requeue delay", "ok", "waits at least 1 s (SchedulerParameters"),
    ({"SlurmctldParameters": "enable_expedited_requeue,x=1"}, "expedited requeue", "ok", "accepts --requeue=expedite"),
    ({"SlurmctldParameters": "preempt_send_user_signal"}, "preemption", "ok", "the warning is the job's --signal"),
    ({"PreemptType": "preempt/none"}, "preemption", "ok", "no job preempts another"),
    ({"KillWait": "30 sec"}, "kill wait", "ok", "KillWait=30 sec"),
    ({"ProctrackType": "proctrack/pgid"}, "process tracking", "warning", "proctrack/pgid"),
    ({"SLURM_VERSION": "20.11.9"}, "slurm", "warning", "older than the tested versions"),
])  # fmt: skip
def test_other_configurations(replaced, topic, verdict, words):
    """Each key that matters is judged by its value."""
    findings = by_topic(check_slurm(site(**replaced)))[topic]
    assert findings.verdict == verdict
    assert words in findings.message


def test_keys_of_newer_slurm_mean_nothing_to_an_older_one():
    """requeue_delay and expedited requeues exist from 25.11; older versions ignore them."""
    old = site(
        "24.11",
        SchedulerParameters="requeue_delay=1",
        SlurmctldParameters="enable_expedited_requeue",
    )
    findings = by_topic(check_slurm(old))
    assert (
        findings["requeue delay"].message
        == "a requeued job waits at least 5 s (AuthInfo=cred_expire)"
    )
    assert "requires Slurm 25.11" in findings["expedited requeue"].message


def test_a_long_delay_names_the_successor():
    """If a requeue waits two minutes, the way without the delay is named."""
    assert (
        "requeue: {by: successor}"
        in by_topic(check_slurm(site(AuthInfo="(null)")))["requeue delay"].fix
    )
    assert by_topic(check_slurm(site()))["requeue delay"].fix == ""


def test_a_slurmctld_that_does_not_respond_is_one_problem():
    """Nothing else is reported of a cluster that does not respond."""
    away = replace(
        site(),
        config=CommandResult(
            1, "", "slurm_load_ctl_conf error: Unable to contact slurm controller"
        ),
    )
    (finding,) = check_slurm(away)
    assert (finding.topic, finding.verdict) == ("slurm", "problem")
    assert "Unable to contact slurm controller" in finding.message
    assert (
        check_partitions(replace(away, partitions=CommandResult(-2, "", "not asked")), Who(), None)
        == []
    )


@every_slurm
def test_every_warning_and_problem_has_a_remedy(generation):
    """Every warning and problem says what to do."""
    for kind in ("on", "off", "broken"):
        found = [
            *check_slurm(site(generation, kind)),
            *check_partitions(site(generation, kind), Who(), "gone"),
        ]
        assert [one for one in found if one.verdict != "ok" and not one.fix] == []


@every_slurm
def test_a_first_profile_is_valid(generation, tmp_path):
    """It loads together with a spec; it has the user's only account, and a run root on scratch."""
    (tmp_path / "scratch").mkdir()
    environment = {
        "SCRATCH": str(tmp_path / "scratch"),
        "USER": "alice",
        "VIRTUAL_ENV": "/home/alice/venv: #1",
    }
    path = tmp_path / "site" / "profile.yaml"
    write_profile(path, first_profile(site(generation), environment), force=False)
    (tmp_path / "job.yaml").write_text("command: 'true'\n")
    os.environ["SCRATCH"] = environment["SCRATCH"]
    try:
        loaded = load_spec(tmp_path / "job.yaml", profile=path)
    finally:
        del os.environ["SCRATCH"]
    assert loaded.run_root == f"{tmp_path}/scratch/runs"
    assert (loaded.spec.slurm.partition, loaded.spec.slurm.account) == ("main", "cr")
    assert loaded.spec.environment.venv == "/home/alice/venv: #1"
    assert "# gpu_memory: {fake: 80GB}" in path.read_text()
    with pytest.raises(SpecError, match="already exists"):
        write_profile(path, "", force=False)
    write_profile(path, "slurm: {}\n", force=True)
    assert path.read_text() == "slurm: {}\n"


def test_a_first_profile_without_slurm(tmp_path):
    """Without Slurm the profile has only guesses, commented out, and still loads."""
    path = tmp_path / "profile.yaml"
    write_profile(path, first_profile(None, {"USER": "nobody-here"}), force=False)
    (tmp_path / "job.yaml").write_text("command: 'true'\n")
    loaded = load_spec(tmp_path / "job.yaml", profile=path)
    assert (loaded.spec.slurm.partition, loaded.run_root) == (
        None,
        str(Path("~/runs").expanduser()),
    )


def test_on_a_machine_without_slurm(tmp_path, monkeypatch):
    """That is a finding, next to what is known anyway; an error in the profile is a finding, too."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = {one.topic: one for one in doctor(Request("", profile="")).findings}
    assert (found["commands"].verdict, "sbatch" in found["commands"].message) == ("problem", True)
    assert "slurm" not in found
    assert "space" in found
    Path("site.yaml").write_text("slurm: {partitoin: gpu}\n")
    found = {one.topic: one for one in doctor(Request("", profile="site.yaml")).findings}
    assert found["profile"].verdict == "problem"
    assert found["profile"].message == "site.yaml:1: slurm.partitoin: unknown key"


def test_a_configuration_is_read_unchanged():
    """Keys, values with special characters, and empty values are read unchanged."""
    text = "Configuration data as of 2026\nAuthInfo                = socket=/x,cred_expire=5\nKillWait  = 5 sec\nA = (null)\n"
    assert configuration(text) == {
        "AuthInfo": "socket=/x,cred_expire=5",
        "KillWait": "5 sec",
        "A": "",
    }
