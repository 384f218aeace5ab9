"""From the commands' texts to findings: what Slurm 22.05, 24.11 and 26.05 really said (slurm_answers), and variations.

`python -m tests.slurm.collect_answers` has written slurm_answers, from clusters with accounting on, off and broken.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterrun.doctor import disk, software
from clusterrun.doctor.examine import doctor
from clusterrun.doctor.finding import Finding
from clusterrun.doctor.first_profile import first_profile, write_profile
from clusterrun.doctor.node_rules import of_visit
from clusterrun.doctor.on_nodes import Exchange, Visit
from clusterrun.doctor.partitions import Who, accounts_of, names_in, of_partitions
from clusterrun.doctor.rules import of_slurm
from clusterrun.errors import SpecError
from clusterrun.prepare import Request
from clusterrun.slurm.commands import Answer
from clusterrun.slurm.site import Site, configuration
from clusterrun.spec import load_spec
from clusterrun.spec.model import Environment

ANSWERS = Path(__file__).parent / "slurm_answers"
GENERATIONS = ("22.05", "24.11", "26.05")
every_slurm = pytest.mark.parametrize("generation", GENERATIONS)


def site(generation: str = "26.05", accounting: str = "on", **replaced: str) -> Site:
    """What one cluster said; `replaced` are keys of slurm.conf with other values, as scontrol would show them."""
    values = json.loads((ANSWERS / f"{generation}-{accounting}.json").read_text())
    texts = {name: {key: "\n".join(text) if isinstance(text, list) else text for key, text in answer.items()}
             for name, answer in values.items()}  # fmt: skip
    found = Site.of(texts)
    lines = found.config.out.splitlines()
    for key, value in replaced.items():
        assert any(line.split("=")[0].strip() == key for line in lines)
        lines = [f"{key} = {value}" if line.split("=")[0].strip() == key else line for line in lines]
    return replace(found, config=replace(found.config, out="\n".join(lines)))


def by_topic(findings: list[Finding]) -> dict[str, Finding]:
    """Findings by their topics, each of which is there once."""
    found = {finding.topic: finding for finding in findings}
    assert len(found) == len(findings)
    return found


@every_slurm
def test_what_a_real_slurm_says_is_understood(generation):
    """Version, requeue, preemption, limits and tracking are read from each generation's own text."""
    found = by_topic(of_slurm(site(generation)))
    assert found["slurm"].what.startswith(f"Slurm {generation}")
    assert found["slurm"].verdict == "ok"
    assert found["requeue"].what == "JobRequeue=1: a job may be requeued"
    assert found["requeue delay"].what == "a requeued job waits 5 s at least (AuthInfo=cred_expire)"
    assert found["preemption"].what.startswith(
        "PreemptType=preempt/partition_prio, PreemptMode=REQUEUE; the warning is TERM"
    )
    assert (found["kill wait"].verdict, found["kill wait"].what[:14]) == ("warning", "KillWait=5 sec")
    assert found["limits"].what == "MaxArraySize=20001, MaxJobCount=20000, MinJobAge=300 sec"
    assert (found["process tracking"].verdict, found["process tracking"].what[:20]) == (
        "warning",
        "proctrack/linuxproc:",
    )
    assert found["accounting"] == Finding("accounting", "ok", "sacct answers")
    assert found["pyxis"].what == "srun has no --container-image (no pyxis)"
    known = generation == "26.05"
    assert found["expedited requeue"].what.endswith("not set" if known else "this Slurm has none (from 25.11)")


@every_slurm
def test_accounting_off_and_broken_are_told_apart(generation):
    """Off costs a run something; configured and broken is the site's problem, with sacct's own words."""
    off, broken = (by_topic(of_slurm(site(generation, kind)))["accounting"] for kind in ("off", "broken"))
    assert (off.verdict, off.what) == ("warning", "accounting is off: Slurm forgets a job 300 sec after its end")
    assert broken.verdict == "problem"
    assert "Connection refused" in broken.what
    tracking = by_topic(of_slurm(site(generation, "off")))["process tracking"]
    assert (tracking.verdict, tracking.what[:17]) == ("ok", "proctrack/cgroup:")


@pytest.mark.parametrize(("replaced", "topic", "verdict", "words"), [
    ({"JobRequeue": "0"}, "requeue", "ok", "JobRequeue=0: jobs are requeued only if they ask for it"),
    ({"AuthInfo": "(null)"}, "requeue delay", "ok", "waits 120 s at least (cred_expire's default)"),
    ({"SchedulerParameters": "bf_continue,requeue_delay=1"}, "requeue delay", "ok", "waits 1 s at least (SchedulerParameters"),
    ({"SlurmctldParameters": "enable_expedited_requeue,x=1"}, "expedited requeue", "ok", "takes --requeue=expedite"),
    ({"SlurmctldParameters": "preempt_send_user_signal"}, "preemption", "ok", "the warning is the job's --signal"),
    ({"PreemptType": "preempt/none"}, "preemption", "ok", "no job preempts another"),
    ({"KillWait": "30 sec"}, "kill wait", "ok", "KillWait=30 sec"),
    ({"ProctrackType": "proctrack/pgid"}, "process tracking", "warning", "proctrack/pgid"),
    ({"SLURM_VERSION": "20.11.9"}, "slurm", "warning", "older than any"),
])  # fmt: skip
def test_other_configurations(replaced, topic, verdict, words):
    """Each key that matters is judged by its value."""
    found = by_topic(of_slurm(site(**replaced)))[topic]
    assert found.verdict == verdict
    assert words in found.what


def test_keys_of_newer_slurm_mean_nothing_to_an_older_one():
    """requeue_delay and expedited requeues exist from 25.11; before, they are words without effect."""
    old = site("24.11", SchedulerParameters="requeue_delay=1", SlurmctldParameters="enable_expedited_requeue")
    found = by_topic(of_slurm(old))
    assert found["requeue delay"].what == "a requeued job waits 5 s at least (AuthInfo=cred_expire)"
    assert "from 25.11" in found["expedited requeue"].what


def test_a_long_delay_names_the_successor():
    """Where a requeue waits two minutes, the way without is named."""
    assert "requeue: {by: successor}" in by_topic(of_slurm(site(AuthInfo="(null)")))["requeue delay"].remedy
    assert by_topic(of_slurm(site()))["requeue delay"].remedy == ""


def test_a_slurmctld_that_is_away_is_one_problem():
    """Nothing else is said of a cluster that does not answer."""
    away = replace(site(), config=Answer(1, "", "slurm_load_ctl_conf error: Unable to contact slurm controller"))
    (found,) = of_slurm(away)
    assert (found.topic, found.verdict) == ("slurm", "problem")
    assert "Unable to contact slurm controller" in found.what
    assert of_partitions(replace(away, partitions=Answer(-2, "", "not asked")), Who(), None) == []


@every_slurm
def test_partitions_and_who_preempts_whom(generation):
    """By PriorityTier on shared nodes; what happens then, and how long the grace is, is each partition's own."""
    found = by_topic(of_partitions(site(generation), Who(), None))
    assert found["partition main"].what == "time UNLIMITED, nodes UNLIMITED of 2, the default"  # PreemptMode=OFF
    assert found["partition low"].what.endswith("preempted by main, fixed, high: requeued, grace 15 s")
    assert found["partition low"].verdict == "ok"
    assert found["partition low0"].verdict == "warning"
    assert found["partition lowc"].what.endswith("preempted by main, fixed, high: cancelled, grace 15 s")
    assert "goes on as another job" in found["partition lowc"].remedy
    assert "preempted" not in found["partition high"].what


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
    """State, groups, accounts and hosts decide; what is not known of the user closes nothing."""
    found = by_topic(of_partitions(partition(**changed), who, None))["partition main"]
    assert found.what.startswith(f"closed to you ({closed})" if closed else "time UNLIMITED")


def test_the_partition_of_the_profile_must_be_open():
    """One that does not exist or is closed is a problem, and those that are open are named."""
    gone = by_topic(of_partitions(site(), Who(), "gpu"))["partitions"]
    assert (gone.verdict, gone.what) == ("problem", "gpu, which the profile names, does not exist")
    assert gone.remedy == "open to you: main, low, low0, lowc, lowc0, fixed, high"
    closed = by_topic(of_partitions(partition(State="DOWN"), Who(), "high,main"))["partitions"]
    assert closed.what == "main, which the profile names, is closed to you: State=DOWN"
    assert "partitions" not in by_topic(of_partitions(site(), Who(), "low"))
    none = by_topic(of_partitions(partition(Default="NO"), Who(), None))["partitions"]
    assert (none.verdict, none.what) == ("warning", "there is no default one")


@every_slurm
def test_preemption_by_qos(generation):
    """Where QOS decide, those that another one's Preempt names are told, with their own mode and grace."""
    found = by_topic(of_partitions(site(generation, PreemptType="preempt/qos"), Who(), None))
    assert found["qos low"].what == "preempted by high: requeued, grace 00:00:15"
    assert found["qos lowc"].what == "preempted by high: cancelled, grace 00:00:15"
    assert {topic for topic in found if topic.startswith("qos")} == {"qos low", "qos lowc"}
    assert "preempted" not in found["partition low"].what
    assert accounts_of(site(generation)) == {"cr"}


def test_lists_of_hosts():
    """Slurm's short form of names is written out, zeros in front kept."""
    assert names_in("n[1-3,7],login,gpu[08-10]-ib") == [
        "n1",
        "n2",
        "n3",
        "n7",
        "login",
        "gpu08-ib",
        "gpu09-ib",
        "gpu10-ib",
    ]
    assert names_in("r[1-2]n[1-2]") == ["r1n1", "r1n2", "r2n1", "r2n2"]
    assert names_in("") == []


@every_slurm
def test_every_warning_and_problem_has_a_remedy(generation):
    """Nobody is told that something is amiss without being told what to do."""
    for kind in ("on", "off", "broken"):
        found = [*of_slurm(site(generation, kind)), *of_partitions(site(generation, kind), Who(), "gone")]
        assert [one for one in found if one.verdict != "ok" and not one.remedy] == []


def place(kind: str, **changed: Any) -> disk.Place:
    scratch = Path("/scratch/alice")
    return disk.Place(**{"folder": scratch / "runs", "there": scratch, "mount": Path("/scratch"), "kind": kind,
                         "free": 10**12, "files": 10**6, "writable": True, **changed})  # fmt: skip


@pytest.mark.parametrize(("found", "verdicts"), [
    (place("nfs"), {"run root": "ok", "space": "ok"}),
    (place("lustre", files=None), {"run root": "ok", "space": "ok"}),
    (place("ext2/ext3"), {"run root": "warning", "space": "ok"}),
    (place("tmpfs"), {"run root": "problem", "space": "ok"}),
    (place("xfs", there=Path("/tmp/x"), mount=Path("/")), {"run root": "problem", "space": "ok"}),
    (place("xfs", there=Path("/tmp/x"), mount=Path("/tmp")), {"run root": "problem", "space": "ok"}),
    (place("nfs", there=Path("/tmp/x"), mount=Path("/tmp/x")), {"run root": "ok", "space": "ok"}),
    (place("nfs", free=10**9), {"run root": "ok", "space": "warning"}),
    (place("nfs", files=12), {"run root": "ok", "space": "ok", "files": "warning"}),
    (place("nfs", writable=False), {"run root": "problem"}),
])  # fmt: skip
def test_where_runs_lie(found, verdicts):
    """A folder that each machine has for itself is a problem, also where it only lies below such a one."""
    assert {topic: one.verdict for topic, one in by_topic(disk.of_run_root(found)).items()} == verdicts


def test_this_machines_own_disks():
    """`stat`, mounts and room of real folders: a file system in memory is known as one, and a missing folder's parent counts."""
    shm = disk.look_at(Path("/dev/shm/clusterrun/none"))
    assert (shm.there, shm.kind, shm.writable) == (Path("/dev/shm"), "tmpfs", True)
    assert shm.free > 0
    assert disk.judge_run_root(shm.folder)[0].verdict == "problem"
    (long,) = disk.judge_run_root(Path("/dev/shm") / ("x" * 300))
    assert (long.verdict, long.what.endswith(": file name too long")) == ("problem", True)


def test_quotas():
    """quota(1)'s rows, in blocks of 1024 bytes; an asterisk is its mark for a limit that is passed."""
    text = """Disk quotas for user alice (uid 20001):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
nfs:/home 95000000  100000000 110000000            1000       0       0
/dev/sdb1 2000* 1000 3000 6days 5 0 0
/dev/sdc1 2000 0 0 5 0 0
"""
    found = disk.of_quota(text)
    assert [(one.verdict, one.what) for one in found] == [
        ("warning", "nfs:/home: 97.3 of 102.4 GB"),
        ("problem", "/dev/sdb1: 0.0 of 0.0 GB: it is used up"),
    ]
    assert disk.of_quota("Disk quotas for user alice (uid 20001): none\n") == []


def test_versions_in_an_environment():
    """What is missing is a problem; what is older than the `train` extra asks for is a warning."""
    assert set(software.needs()) == {"torch", "accelerate", "transformers"}
    good = {
        "python": "3.11.2",
        "torch": "2.13.0+cpu",
        "accelerate": "1.15.0",
        "transformers": "5.1.0",
        "clusterrun": None,
    }
    (one,) = software.of_versions("x", good)
    assert (one.verdict, one.what) == (
        "ok",
        "x: python 3.11.2, torch 2.13.0+cpu, accelerate 1.15.0, transformers 5.1.0",
    )
    (one,) = software.of_versions("x", {**good, "accelerate": None})
    assert (one.verdict, one.what.endswith("has no accelerate")) == ("problem", True)
    (one,) = software.of_versions("x", {**good, "accelerate": "1.9.5"})
    assert (one.verdict, "accelerate>=1.10" in one.remedy) == ("warning", True)


def test_which_python_is_asked(monkeypatch):
    """A venv's, a conda folder's, a named conda environment's where conda is active; else only the nodes can tell."""
    monkeypatch.setenv("CONDA_EXE", "/opt/conda/bin/conda")
    work = Path("/project")
    assert software.python_of(Environment(venv=".venv"), work) == Path("/project/.venv/bin/python")
    assert software.python_of(Environment(conda="/opt/envs/a"), work) == Path("/opt/envs/a/bin/python")
    assert software.python_of(Environment(conda="a"), work) == Path("/opt/conda/envs/a/bin/python")
    assert software.python_of(Environment(modules=("python",)), work) is None
    (one,) = software.of_python(Path("/nowhere/bin/python"))
    assert one.verdict == "problem"


def report(**changed: str) -> dict[str, str]:
    versions = json.dumps({"python": "3.11.2", "torch": "2.13.0", "accelerate": "1.15.0", "transformers": "5.1.0"})
    return {"host": "n1", "nodes": "2", "address": "10.0.0.1:12345", "tmp": "9000000", "shm": "9000000", "gpus": "0",
            "given": "", "python": "/venv/bin/python", "versions": versions, "met": "met", **changed}  # fmt: skip


def verdicts(visit: Visit) -> dict[str, str]:
    """The worst verdict on each topic."""
    order = ("ok", "warning", "problem")
    found: dict[str, str] = {}
    for one in of_visit(visit):
        found[one.topic] = max(found.get(one.topic, "ok"), one.verdict, key=order.index)
    return found


WELL = {"shared folder": "ok", "clock": "ok", "python": "ok", "node disk": "ok", "gpus": "ok", "rendezvous": "ok"}


@pytest.mark.parametrize(("changed", "expected"), [
    ({}, {}),
    ({"shm": "65536"}, {"node disk": "warning"}),
    ({"tmp": ""}, {"node disk": "warning"}),
    ({"given": "8", "gpus": "8"}, {}),
    ({"given": "4", "gpus": "8"}, {"gpus": "warning"}),
    ({"given": "4", "gpus": "0"}, {"gpus": "warning"}),
    ({"versions": "bash: line 1: -c: command not found", "python": ""}, {"python": "problem"}),
    ({"met": "bash: connect: Connection timed out"}, {"rendezvous": "problem"}),
])  # fmt: skip
def test_what_nodes_tell(changed, expected):
    """Each thing that one node lacks is told of that node."""
    visit = Visit("doctor-1", "/x", "COMPLETED", "", {0: Exchange(100.0, 101.0, 100.5), 1: Exchange(100.0, 100.4, 100.3)},
                  {0: report(), 1: report(**{"host": "n2", **changed})})  # fmt: skip
    assert verdicts(visit) == {**WELL, **expected}


def test_clocks_and_slow_folders():
    """The skew is the node's clock less the middle of the exchange, and is no warning while the exchange is longer."""
    assert Exchange(100.0, 102.0, 111.0).skew == 10.0
    for exchange, expected in (
        (Exchange(100.0, 102.0, 111.0), {"clock": "warning"}),
        (Exchange(100.0, 130.0, 111.0), {"shared folder": "warning"}),
        (Exchange(100.0), {"shared folder": "problem"}),
    ):
        found = verdicts(Visit("doctor-1", "/x", "COMPLETED", "", {0: exchange}, {0: report(nodes="1", met="alone")}))
        assert {topic: verdict for topic, verdict in found.items() if verdict != "ok"} == expected


def test_a_job_that_told_nothing():
    """Never begun is a warning; ended without a trace in the folder: it is not shared; failed: the log is named."""
    for state, topic, verdict in (("TIMEOUT", "on nodes", "warning"), ("COMPLETED", "shared folder", "problem"),
                                  ("FAILED", "on nodes", "problem")):  # fmt: skip
        (found,) = of_visit(Visit("doctor-1", "/x", state, "why"))
        assert (found.topic, found.verdict) == (topic, verdict)


@every_slurm
def test_a_first_profile_is_one_that_clusterrun_takes(generation, tmp_path):
    """What is written loads under a spec; the account is the only one there is, the run root is on scratch."""
    (tmp_path / "scratch").mkdir()
    environment = {"SCRATCH": str(tmp_path / "scratch"), "USER": "alice", "VIRTUAL_ENV": "/home/alice/venv: #1"}
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
    with pytest.raises(SpecError, match="is there already"):
        write_profile(path, "", force=False)
    write_profile(path, "slurm: {}\n", force=True)
    assert path.read_text() == "slurm: {}\n"


def test_a_first_profile_without_slurm(tmp_path):
    """On a machine without Slurm the profile has only guesses, commented out, and still loads."""
    path = tmp_path / "profile.yaml"
    write_profile(path, first_profile(None, {"USER": "nobody-here"}), force=False)
    (tmp_path / "job.yaml").write_text("command: 'true'\n")
    loaded = load_spec(tmp_path / "job.yaml", profile=path)
    assert (loaded.spec.slurm.partition, loaded.run_root) == (None, str(Path("~/runs").expanduser()))


def test_on_a_machine_without_slurm(tmp_path, monkeypatch):
    """That is the finding, with the rest of what can be told; a mistake in the profile is a finding, too."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = {one.topic: one for one in doctor(Request("", profile="")).findings}
    assert (found["commands"].verdict, "sbatch" in found["commands"].what) == ("problem", True)
    assert "slurm" not in found
    assert "space" in found
    Path("site.yaml").write_text("slurm: {partitoin: gpu}\n")
    found = {one.topic: one for one in doctor(Request("", profile="site.yaml")).findings}
    assert found["profile"].verdict == "problem"
    assert found["profile"].what == "site.yaml:1: slurm.partitoin: no such field"


def test_a_configuration_is_read_as_it_stands():
    """Keys, values with signs of their own, and empty ones."""
    text = "Configuration data as of 2026\nAuthInfo                = socket=/x,cred_expire=5\nKillWait  = 5 sec\nA = (null)\n"
    assert configuration(text) == {"AuthInfo": "socket=/x,cred_expire=5", "KillWait": "5 sec", "A": ""}
