"""What happens to a run: what Slurm, people and faults do, each as one function."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cluster_runs import Cluster, Desk

from clusterrun.run_folder.records import read_record
from tests.slurm.desk import Submitted
from tests.slurm.survival import begun, nodes, processes_of

controller = threading.Lock()


@dataclass
class Story:
    """A run of the chaos, and what happened to it so far."""

    desk: Desk
    run: Submitted
    draw: random.Random
    events: list[str] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    """The attempts in which a process was killed or Slurm got no time for its signals."""
    cut_off: set[int] = field(default_factory=set)
    """The attempts whose slurmstepd was killed."""
    wanted: set[str] = field(default_factory=lambda: {"COMPLETED"})
    """The states in which the run may end."""

    @property
    def cluster(self) -> Cluster:
        """The cluster of its user."""
        return self.desk.cluster

    @property
    def attempt(self) -> int:
        """The number of the newest attempt."""
        return len(begun(self.run))

    @property
    def job(self) -> str:
        """The job of the newest attempt, or the first job."""
        records = begun(self.run)
        return read_record(records[-1])["job_id"] if records else self.run.job_id

    def type(self, *words: str) -> bool:
        """Type a clusterrun command; whether it exited with 0."""
        return self.desk.cli(*words, self.run.run_id, check=False, timeout=120).returncode == 0

    def slurm(self, *words: str) -> bool:
        """Type a command of Slurm as the run's user; whether it exited with 0."""
        return self.cluster.run_as("alice", words, check=False, timeout=60).returncode == 0

    def trains(self, steps: int = 8) -> bool:
        """Whether the newest attempt has taken some steps, so that a crash of it is not idle."""
        files = (self.run.folder / "output" / "steps").glob(f"{self.attempt:04d}-0")
        return any(path.read_text().count("\n") >= steps for path in files)

    def is_active(self) -> bool:
        """Whether Slurm still has a job of it."""
        return bool(jobs_of(self.desk, self.run.folder))


def jobs_of(desk: Desk, folder: Path) -> list[tuple[str, str]]:
    """The id and the state of each job of a run that Slurm still has."""
    return [(job, state) for job, state, path in all_jobs(desk) if path.startswith(f"{folder}/")]


def all_jobs(desk: Desk) -> list[tuple[str, str, str]]:
    """The id, state and script of each job of the user. Raises CommandFailed without slurmctld."""
    words = ["squeue", "--me", "--noheader", "--format=%i|%T|%o"]
    lines = desk.cluster.run_as("alice", words).stdout.splitlines()
    return [(job, state, path) for job, state, path in (line.split("|", 2) for line in lines)]


def preempted(story: Story) -> bool:
    """Let another user's job take the run's nodes for a moment."""
    if not story.attempt:
        return False
    words = ["--partition=high", "--gpus-per-node=1", f"--nodelist={nodes(story.run)}"]
    story.cluster.run_as("bob", ["sbatch", *words, "--output=/dev/null", "--wrap=true"])
    return True


def requeued_by_hand(story: Story) -> bool:
    return story.slurm("scontrol", "requeue", story.job)


def requeued(story: Story) -> bool:
    return story.type("requeue")


def held(story: Story) -> bool:
    """Requeue it into the held state, or hold it if pending, and release it a little later."""
    hold = "requeuehold" if story.trains(1) else "hold"
    done = story.slurm("scontrol", hold, story.job)
    time.sleep(story.draw.uniform(2, 12))
    with contextlib.suppress(subprocess.SubprocessError):
        for job, _ in jobs_of(story.desk, story.run.folder):
            story.slurm("scontrol", "release", job)
    return done


def stopped_and_resumed(story: Story) -> bool:
    """Stop it; resume it when it has stopped, or resume it too early, which is refused."""
    story.wanted |= {"STOPPED"}
    if not story.type("stop"):
        return False
    return _resume(story, "STOPPED")


def cancelled_and_resumed(story: Story) -> bool:
    story.wanted |= {"CANCELLED"}
    if not story.type("cancel"):
        return False
    story.killed.add(story.attempt)
    return _resume(story, "CANCELLED")


def _resume(story: Story, state: str) -> bool:
    if story.draw.random() < 0.3:
        return True  # it stays so
    time.sleep(story.draw.uniform(0, 3))
    story.type("resume")
    for _ in range(20):
        if not story.is_active():
            story.type("resume")
        if story.attempt and state_of(story) not in {state, "COMPLETED"}:
            break
        time.sleep(1)
    story.wanted -= {state}
    story.wanted |= {state} if state_of(story) == state else set()
    return True


def requeue_after_end(story: Story, state: str) -> list[str]:
    """Requeue a job of a run that has ended: it must exit without training, and change nothing."""
    before = _count_steps(story)
    if not story.slurm("scontrol", "requeue", story.job):
        return []
    for _ in range(30):
        time.sleep(2)
        if not story.is_active():
            break
    after, now = _count_steps(story), state_of(story)
    if after == before and now == state:
        return []
    return [f"requeued after its end as {state}: {after - before} steps, {now}"]


def _count_steps(story: Story) -> int:
    files = (story.run.folder / "output" / "steps").glob("*")
    return sum(path.read_text().count("\n") for path in files)


def state_of(story: Story) -> str:
    return str(story.desk.status(story.run)["state"])


def rank_killed(story: Story) -> bool:
    return _kill(story, 0)


def launcher_killed(story: Story) -> bool:
    return _kill(story, 1)


def node_shell_killed(story: Story) -> bool:
    return _kill(story, 2)


def slurmstepd_killed(story: Story) -> bool:
    return _kill(story, 3)


def _kill(story: Story, generation: int) -> bool:
    """Kill a rank, or an ancestor of it (1: its parent), on a node drawn at random."""
    number = story.attempt
    if not story.trains():
        return False
    ranks = [one for one in processes_of(story.run, number) if b"chaos_rank" in _command(one)]
    if not ranks:
        return False
    process = story.draw.choice(sorted(ranks))
    for _ in range(generation):
        process = _parent(process)
    story.killed.add(number)
    if generation == 3:
        if not _command(process).startswith(b"slurmstepd: ["):
            return False
        story.cut_off.add(number)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
        return True
    return False


def _command(process: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def _parent(process: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return 2**22  # no such process


def controller_restarted(story: Story) -> bool:
    """Restart slurmctld; one at a time, and away for up to eight seconds."""
    with controller:
        story.cluster.stop_daemon("slurmctld")
        time.sleep(story.draw.uniform(0, 8))
        story.cluster.start_daemon("slurmctld")
    return True


EVENTS: dict[Callable[[Story], bool], int] = {
    preempted: 6,
    requeued_by_hand: 3,
    requeued: 2,
    held: 2,
    stopped_and_resumed: 3,
    cancelled_and_resumed: 1,
    rank_killed: 2,
    launcher_killed: 2,
    node_shell_killed: 2,
    slurmstepd_killed: 1,
    controller_restarted: 1,
}
"""The events, and how often each is drawn."""
