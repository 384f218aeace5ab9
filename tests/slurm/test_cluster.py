"""The cluster of the tests behaves as the tests assume."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, CommandFailed, CommandTimedOut, wait_until


def batch(cluster: Cluster, body: str, *options: str, user: str = "alice") -> str:
    """Submit a script and return its job id; its output goes to the home folder."""
    script = "#!/bin/bash\n" + body
    return cluster.run_as(user, ["sbatch", "--parsable", *options], input=script).stdout.strip()


def output(cluster: Cluster, job: str) -> str:
    path = cluster.home("alice") / f"slurm-{job}.out"
    return path.read_text() if path.exists() else ""


def test_four_nodes_are_idle_at_the_start(cluster: Cluster) -> None:
    """The fixture's nodes are idle, and have eight GPUs each."""
    shown = cluster.run_as("alice", ["sinfo", "-hp", "main", "-No", "%N %t %G"]).stdout
    assert shown.splitlines() == [f"n{i} idle gpu:fake:8" for i in (1, 2, 3, 4)]


def test_tasks_run_as_the_user_on_every_node(cluster: Cluster) -> None:
    """A task on each of four machines is alice's, in her group."""
    task = ["sh", "-c", "echo $(hostname) $(id -un) $(id -gn) $HOME"]
    shown = cluster.run_as("alice", ["srun", "-N4", *task]).stdout
    home = cluster.home("alice")
    assert sorted(shown.splitlines()) == [f"n{i} alice research {home}" for i in (1, 2, 3, 4)]


def test_python_of_the_tests_runs_on_a_node(cluster: Cluster) -> None:
    """This interpreter and its packages are usable by alice, wherever they are installed."""
    python = Path(sys.prefix) / "bin" / "python"
    code = "import accelerate, tests.slurm.cluster; print(accelerate.__version__)"
    root = str(Path(__file__).parents[2])
    cluster.run_as("alice", ["srun", python, "-c", code], env={"PYTHONPATH": root})


def test_homes_are_private_and_scratch_is_shared(cluster: Cluster) -> None:
    """Bob can read alice's files in scratch, and nothing in her home."""
    for folder in (cluster.home("alice"), cluster.scratch):
        cluster.run_as("alice", ["sh", "-c", "echo hers >letter"], cwd=folder)
    assert cluster.run_as("bob", ["cat", cluster.scratch / "letter"]).stdout == "hers\n"
    with pytest.raises(CommandFailed, match="Permission denied"):
        cluster.run_as("bob", ["cat", cluster.home("alice") / "letter"])


def test_every_machine_has_its_own_tmp(cluster: Cluster) -> None:
    """A file in /tmp of one node does not exist on another."""
    cluster.run_as("alice", ["srun", "-w", "n1", "touch", "/tmp/mark"])
    assert cluster.run_as("alice", ["srun", "-w", "n1", "ls", "/tmp/mark"]).stdout
    assert cluster.run_as("alice", ["srun", "-w", "n2", "ls", "/tmp/mark"], check=False).returncode
    assert not Path("/tmp/mark").exists()


def test_the_machine_outside_is_unchanged() -> None:
    """The users exist in the cluster only."""
    before = Path("/etc/passwd").read_bytes()
    with Cluster.start(accounting=False, nodes=1, gpus=0) as small:
        assert Path("/etc/passwd").read_bytes() == before
        inside = small.run_as("alice", ["cat", "/etc/passwd"]).stdout
        assert f"alice:x:20001:20000:alice:{small.home('alice')}:/bin/bash" in inside.splitlines()


def test_a_preempted_job_runs_again(cluster: Cluster) -> None:
    """A job in a low partition is preempted for one in high, and starts a second time after it."""
    body = "echo run ${SLURM_RESTART_COUNT:-0}; sleep 300"
    # low would have a grace of 15 s; low0 has none
    low = batch(cluster, body, "-plow0", "-N4", "--exclusive", "--open-mode=append")
    wait_until(lambda: "run 0" in output(cluster, low), 60, "the first run")
    batch(cluster, "true", "-phigh", "-N4", "--exclusive")
    wait_until(lambda: "run 1" in output(cluster, low), 60, "the second run")
    assert "DUE TO PREEMPTION" in output(cluster, low)


def test_a_job_of_a_crashed_node_runs_again(cluster: Cluster) -> None:
    """A job whose node lost its power is accounted as NODE_FAIL, and runs again elsewhere."""
    body = "echo on $SLURMD_NODENAME; sleep 300"
    job = batch(cluster, body, "-N1", "-x", "n3,n4", "--open-mode=append")
    wait_until(lambda: "on n" in output(cluster, job), 60, "the first run")
    crashed = output(cluster, job).split()[1]
    cluster.crash(crashed)
    assert cluster.processes(crashed) == []
    wait_until(lambda: output(cluster, job).count("on n") == 2, 60, "the second run")
    assert output(cluster, job).split()[-1] != crashed
    states = ["sacct", "-XDnj", job, "-o", "state"]
    assert "NODE_FAIL" in cluster.run_as("alice", states).stdout


def test_a_cancelled_job_leaves_no_process(cluster: Cluster) -> None:
    """A job's processes are visible on its node, and gone after scancel."""
    # exec: a child that bash forks while linuxproc walks its process tree is overlooked, and survives
    job = batch(cluster, "exec srun sleep 302", "-wn1")
    wait_until(
        lambda: {"srun sleep 302", "/usr/bin/sleep 302"} <= set(cluster.processes("n1")), 60, "both"
    )
    cluster.run_as("alice", ["scancel", job])
    wait_until(lambda: cluster.processes("n1") == [], 60, "an empty node")


def reaches_controller(cluster: Cluster, node: str) -> bool:
    connect = ["timeout", "2", "bash", "-c", "</dev/tcp/ctl/6817"]
    return cluster.run_on(node, connect, check=False).returncode == 0


def test_a_node_without_a_cable_is_isolated(cluster: Cluster) -> None:
    """A disconnected node reaches the controller again once it is reconnected."""
    assert reaches_controller(cluster, "n4")
    cluster.cut("n4")
    assert not reaches_controller(cluster, "n4")
    cluster.heal("n4")
    wait_until(lambda: reaches_controller(cluster, "n4"), 60, "the reconnected node")


def test_daemons_can_be_stopped_and_started(cluster: Cluster) -> None:
    """Without slurmdbd sacct fails; a killed slurmctld knows its jobs again after its restart."""
    job = batch(cluster, "sleep 300")
    cluster.wait_state(job, "RUNNING")
    cluster.stop_daemon("slurmdbd")
    assert cluster.run_as("alice", ["sacct"], check=False).returncode
    cluster.start_daemon("slurmdbd")
    cluster.stop_daemon("slurmctld")
    cluster.start_daemon("slurmctld")
    cluster.wait_state(job, "RUNNING")


def test_slurmd_can_be_killed_alone(cluster: Cluster) -> None:
    """A job's processes survive without slurmd, and slurmd can be started again."""
    job = batch(cluster, "sleep 305", "-wn2")
    cluster.wait_state(job, "RUNNING")
    wait_until(lambda: "sleep 305" in cluster.processes("n2"), 20)
    cluster.stop_slurmd("n2")
    assert "sleep 305" in cluster.processes("n2")
    cluster.start_slurmd("n2")


def test_a_command_that_hangs_is_killed(cluster: Cluster) -> None:
    """A command that exceeds its timeout is reported, and leaves no process behind."""
    with pytest.raises(CommandTimedOut, match="so far"):
        cluster.run_as("alice", ["sh", "-c", "echo so far; sleep 303"], timeout=1)
    wait_until(lambda: "sleep 303" not in cluster.processes("login"), 10)


def test_a_signal_reaches_the_command_itself(cluster: Cluster) -> None:
    """A user's process handles the signals that a test sends."""
    trap = "trap 'echo received; exit 3' INT; echo ready; while :; do sleep 0.1; done"
    with cluster.popen_as("alice", ["bash", "-c", trap]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(2)
        assert process.communicate(timeout=10)[0] == "received\n"
    assert process.returncode == 3


def test_without_accounting_sacct_fails(cluster_without_accounting: Cluster) -> None:
    """A cluster without slurmdbd runs jobs and has no history."""
    cluster_without_accounting.run_as("alice", ["srun", "true"])
    with pytest.raises(CommandFailed):
        cluster_without_accounting.run_as("alice", ["sacct"])


def test_cgroup_tracking_ends_daemonized_processes(cluster_with_cgroup: Cluster) -> None:
    """With cgroup tracking, even a process that became a daemon ends with its step."""
    leave = "setsid sh -c 'sleep 304 & :' ; sleep 1"
    cluster_with_cgroup.run_as("alice", ["srun", "-wn1", "bash", "-c", leave])
    wait_until(lambda: cluster_with_cgroup.processes("n1") == [], 60, "an empty node")


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that only root may enter, with a program in it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        program = Path(name) / "sub" / "program"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho reached\n")
        program.chmod(0o755)
        yield Path(name)


def test_a_bound_folder_can_be_reached_on_a_node_only(closed_folder: Path) -> None:
    """Alice can run a program of a bound folder on a node, although she cannot outside the cluster."""
    with Cluster.start(accounting=False, nodes=1, gpus=0, bind=[closed_folder]) as small:
        program = closed_folder / "sub" / "program"
        assert small.run_as("alice", ["srun", program]).stdout == "reached\n"
        assert closed_folder.stat().st_mode & 0o777 == 0o700
    assert not small.folder.exists()
