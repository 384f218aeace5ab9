"""Which nodes a run excludes: the check's answer, and which node caused a crash."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from clusterrun.run_folder.records import read_record
from tests.support.bash_functions import bash, said

DAY = 86400


def node(folder: Path, number: int, **values: object) -> None:
    """Write the record of a node's task."""
    (folder / "events").mkdir(exist_ok=True)
    record = {
        "node": f"host{number}",
        "name": f"n{number}",
        "exit_code": 1,
        "stop_request": "",
        "another_node_failed": "",
        "ended": 100,
    }
    text = "".join(f"{key}={value}\n" for key, value in {**record, **values}.items())
    (folder / "events" / f"attempt-0001.node-{number}").write_text(text)


BLAMED = [
    # how each node's task ended: which node crashed first
    ([{}, {"another_node_failed": 1}], "n0"),
    ([{"another_node_failed": 1, "ended": 99}, {}], "n1"),
    ([{"ended": 101}, {"ended": 100}], "n1"),
    ([{}, {}], ""),  # in the same second: probably a fault of the script
    ([{}, {"ended": 101}, {"ended": 100}], ""),
    ([{"exit_code": 0}, {"stop_request": "TERM"}], ""),
    ([{}], "n0"),
]


@pytest.mark.parametrize(("tasks", "first"), BLAMED)
def test_which_node_crashed_first(tmp_path: Path, tasks, first):
    """Either one node differs from the others, or none is blamed; those that were terminated
    because of it do not count.
    """
    for number, values in enumerate(tasks):
        node(tmp_path, number, **values)
    assert said("find_first_crash", run_dir=tmp_path, attempt="0001") == first


def test_a_node_is_excluded_for_a_day_after_its_second_crash(tmp_path: Path):
    """The first crash is only recorded, and each attempt counts once, however often it is
    evaluated.
    """
    node(tmp_path, 0)
    node(tmp_path, 1, another_node_failed=1)
    text = 'blame_nodes crash; blame_nodes crash; printf "%s,%s" "$new_exclusions" "$(list_excluded_nodes)"'
    assert said(text, run_dir=tmp_path, attempt="0001") == ","
    (tmp_path / "events" / "attempt-0001.node-0").rename(
        tmp_path / "events" / "attempt-0002.node-0"
    )
    assert said(text, run_dir=tmp_path, attempt="0002") == "1,n0"
    left_out = read_record(tmp_path / "nodes" / "n0")
    assert left_out["reason"] == "crashed first in 2 attempts"
    assert abs(int(left_out["until"]) - time.time() - DAY) < 60


def test_a_node_that_twice_refuses_to_start_its_task_is_excluded(tmp_path: Path):
    """A node that has just booted may do so; srun names it, with the reason."""
    (tmp_path / "events").mkdir()
    (tmp_path / "logs").mkdir()
    refused = "srun: error: Task launch for StepId=30.0 failed on node n4: Communication connection failure\n"
    text = 'blame_nodes bad-node; printf "%s,%s;" "$new_exclusions" "$(list_excluded_nodes)"; find_launch_failure'
    for attempt, left_out in (("0001", ","), ("0002", "1,n4")):
        (tmp_path / "logs" / f"attempt-{attempt}.log").write_text(refused)
        expected = f"{left_out};the launch failed on n4: Communication connection failure\n"
        assert said(text, run_dir=tmp_path, attempt=attempt) == expected


def test_a_node_that_fails_the_check_is_excluded_at_once(tmp_path: Path):
    """For every cause; the spec's own excluded nodes stay excluded."""
    node(tmp_path, 0, another_node_failed=1)
    node(tmp_path, 1, check="no room")
    text = 'blame_nodes bad-node; printf "%s,%s;" "$new_exclusions" "$(list_excluded_nodes)"; all_nodes_are_unfit || find_unfit_node'
    assert said(text, run_dir=tmp_path, attempt="0001", exclude="n7", SLURM_JOB_NUM_NODES=2) == (
        "1,n7,n1;host1: no room"
    )


FIRST = "its clock differs from the first node's by -598 s"
CLOCKS = [
    # the checks of the other nodes, slurmctld's clock against the first node's; who is excluded, and why
    ([FIRST, FIRST], 0, "n0", "host0: its clock differs from the other nodes' by 598 s"),  # two witnesses
    ([FIRST, FIRST, FIRST], None, "n0", "host0: its clock differs from the other nodes' by 598 s"),
    ([FIRST, None], -598, "n1", f"host1: {FIRST}"),  # one of two agrees with the first node
    ([FIRST], -598, "n0", "host0: its clock differs from the other nodes' by 598 s"),
    ([FIRST], 5, "n1", f"host1: {FIRST}"),
    ([FIRST], None, "n1", f"host1: {FIRST}"),  # slurmctld does not respond
    ([FIRST, "no room"], -598, "n1,n2", f"host1: {FIRST}"),
]  # fmt: skip
SUSPECT = """
hostname() { echo host0; }
scontrol() { [ -z "$ahead" ] || echo "Configuration data as of $(date -d "@$(($(date +%s) + ahead))" +%FT%T)"; }
blame_nodes bad-node; blame_nodes bad-node
printf '%s;' "$(list_excluded_nodes)"; find_unfit_node
"""


@pytest.mark.parametrize(("checks", "ahead", "excluded", "why"), CLOCKS)
def test_which_clock_is_wrong(tmp_path: Path, checks, ahead, excluded, why):
    """If all others, or slurmctld and the other node, differ from the first node, the first node's
    clock is wrong.
    """
    for number, check in enumerate(checks, start=1):
        node(tmp_path, number, **({"check": check} if check else {"another_node_failed": 1}))
    variables = {
        "num_machines": len(checks) + 1,
        "SLURMD_NODENAME": "n0",
        "ahead": "" if ahead is None else ahead,
    }
    assert said(SUSPECT, run_dir=tmp_path, attempt="0001", **variables) == f"{excluded};{why}"


@pytest.mark.parametrize(("nodes", "none"), [(1, False), (2, True), (3, False)])
def test_a_check_that_all_nodes_fail(tmp_path: Path, nodes, none):
    """If none of several nodes passes, the fault is in the check, or in what all nodes share."""
    for number in range(min(nodes, 2)):
        node(tmp_path, number, check="no module")
    done = bash("all_nodes_are_unfit", run_dir=tmp_path, attempt="0001", SLURM_JOB_NUM_NODES=nodes)
    assert (done.returncode == 0) is none


CHECKS = [
    # the stand-in for the node's state, and the check's result
    ("", None),
    ("node_check() { echo one; echo 'two  ways'; return 3; }", "two  ways"),
    ("node_check() { false; }", "no output"),
    ("skip_node_check=1; node_check() { false; }", None),
    ("one_rank_per_gpu=1; SLURM_GPUS_ON_NODE=2; nvidia-smi() { echo 'GPU 0: x'; }", "nvidia-smi lists 1 GPUs, but Slurm allocated 2"),
    ("one_rank_per_gpu=1; SLURM_GPUS_ON_NODE=1; nvidia-smi() { echo 'GPU 0: x'; }", None),
    ("one_rank_per_gpu=1; nvidia-smi() { echo 'Unable to determine the device handle'; return 15; }",
     "nvidia-smi: Unable to determine the device handle"),
    ("df() { printf 'h\\n/dev/x 9 9 1024 9 /tmp\\n'; }", "less than 100 MB free in /tmp"),
    ("head_clock=1500; date() { echo 1000; }", "its clock differs from the first node's by -500 s"),
    ("head_clock=$(($(date +%s) - 90))", None),
    ("read() { return 142; }", "timed out after 120 s"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "words"), CHECKS)
def test_the_result_of_a_check(tmp_path: Path, state, words):
    """A node that fails gives the reason, in its record and in the log; the user's own check runs
    after ours.
    """
    (tmp_path / "events").mkdir()
    text = f"one_rank_per_gpu= head_clock=$(date +%s); {state}\nnode_is_fit"
    done = bash(
        text,
        run_dir=tmp_path,
        attempt="0001",
        SLURM_NODEID=0,
        SLURM_PROCID=0,
        SLURM_LOCALID=0,
        SLURMD_NODENAME="n0",
        TMPDIR="/tmp",
    )
    record = read_record(tmp_path / "events" / "attempt-0001.node-0")
    assert (done.returncode == 0) is (words is None), done.stderr
    assert record.get("check") == words
    assert record.get("name") == ("n0" if words else None)
    if words:
        assert f"node check failed: {words}" in done.stderr


MET = "  0: 0B00D50A:9C40 0C00D50A:3039 01 00000000:00000000 00:00000000 00000000\n"


def test_nodes_that_do_not_start_are_named(tmp_path: Path):
    """After a minute the first node names those where no task has started; another node reports
    that it reaches nobody.
    """
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "attempt-0001.here-0").touch()
    names = "read() { :; }; scontrol() { printf 'n1\\nn2\\nn3\\n'; }; report_absent_nodes"
    done = bash(
        names, run_dir=tmp_path, attempt="0001", SLURM_JOB_NUM_NODES=3, SLURM_JOB_NODELIST="n[1-3]"
    )
    assert [line for line in done.stderr.splitlines() if "60 s" in line] == [
        "clusterrun: n2: no task started after 60 s", "clusterrun: n3: no task started after 60 s",
    ]  # fmt: skip
    ask = (
        "launch() { accelerate launch; }; hostname() { echo n2; }; checks=12; report_no_connection"
    )
    variables = {"SLURM_NODEID": 1, "main_process_ip": "10.0.0.1", "main_process_port": 12345}
    assert (
        bash(ask, **variables).stderr
        == "clusterrun: n2: no connection to 10.0.0.1, port 12345, after 60 s\n"
    )
    assert bash(ask.replace("checks=12", "checks=11"), **variables).stderr == ""
    assert (
        bash(ask.replace("checks=12", "checks=12 head_node_connected=1"), **variables).stderr == ""
    )
