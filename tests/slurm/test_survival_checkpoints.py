"""A run survives damage to its checkpoints: killed saves, corrupt files, a full disk.

Budget: 1 1/2 minutes. Two lanes run at once, each on two nodes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from clusterrun.run_folder.records import read_record
from tests.slurm.cluster import Cluster
from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.survival import (
    EVERY,
    assert_ended,
    assert_whole,
    checkpoints,
    completes,
    hurry,
    reaches,
    story,
    survive,
    trained,
    trainers_of,
)

BACKGROUND = ("lanes",)
LEFT, RIGHT = {"exclude": "n[3-4]"}, {"exclude": "n[1-2]"}  # the nodes of each lane
BIG = {"width": 512}  # a checkpoint of 3 MB
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def lanes(desk: Desk) -> Iterator[dict[str, Future[Submitted]]]:
    """Each scenario's run, by its name."""
    with ThreadPoolExecutor(1) as left, ThreadPoolExecutor(1) as right:
        yield {
            "requeued-in-save": left.submit(requeued_in_save, desk),
            "killed-in-save": right.submit(killed_in_save, desk),
            "damaged": left.submit(damaged, desk),
        }


def requeued_in_save(desk: Desk) -> Submitted:
    """Requeue a run by hand while it saves so slowly that Slurm's final kill interrupts the save."""
    run = survive(desk, "requeued-in-save", slurm=LEFT, args={"slow_save": 600})
    until((run.folder / "output" / "saving").exists, 120, "a save is running")
    desk.cluster.run_as("alice", ["scontrol", "requeue", run.job_id])
    completes(desk, run)
    return run


def killed_in_save(desk: Desk) -> Submitted:
    """Kill all training processes and launchers with SIGKILL while they save."""
    run = survive(desk, "killed-in-save", slurm=RIGHT, args={"slow_save": 600})
    until((run.folder / "output" / "saving").exists, 120, "a save is running")
    for process in trainers_of(run, 1):
        os.kill(process, signal.SIGKILL)
    completes(desk, run)
    return run


def damaged(desk: Desk) -> Submitted:
    """Stop a run with five checkpoints, damage the newest three in three ways, and resume it."""
    run = survive(
        desk,
        "damaged",
        ranks=1,
        slurm=LEFT,
        checkpoint={"keep": 5},
        args={"slow_at": [4 * EVERY + 5]},
    )
    reaches(run, 1, 4 * EVERY + 5)
    desk.cli("stop", run.run_id)
    assert desk.wait(run, 90) == "STOPPED", story(run)
    third, second, newest = [run.folder / "checkpoints" / name for name in checkpoints(run)[-3:]]
    flip_a_bit(weights_of(newest))
    weights_of(second).write_bytes(weights_of(second).read_bytes()[:-1])
    weights_of(third).unlink()
    desk.cli("resume", run.run_id)
    completes(desk, run)
    return run


def weights_of(checkpoint: Path) -> Path:
    (found,) = checkpoint.glob("model*")
    return found


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_slurm_kills_a_run_during_a_save(desk: Desk, lanes: dict[str, Future[Submitted]]) -> None:
    """A save that Slurm's final kill interrupts leaves nothing that is taken for a checkpoint."""
    run = lanes["requeued-in-save"].result()
    assert_ended(desk, run, "requeue", "finished")
    assert trained(run.folder).lost() == [EVERY]
    assert_whole(run, lost=EVERY)


def test_training_processes_are_killed_during_a_save(
    desk: Desk, lanes: dict[str, Future[Submitted]]
) -> None:
    """A save that SIGKILL interrupts leaves nothing that is taken for a checkpoint."""
    run = lanes["killed-in-save"].result()
    assert_ended(desk, run, "crash", "finished")
    assert trained(run.folder).lost() == [EVERY]
    assert_whole(run, lost=EVERY)


def test_corrupt_checkpoints_are_skipped(desk: Desk, lanes: dict[str, Future[Submitted]]) -> None:
    """Bit-flipped, truncated or without a file: none is loaded, each is named, and the run resumes
    from the newest complete one.
    """
    run = lanes["damaged"].result()
    assert_ended(desk, run, "stop", "finished")
    log = run.log(2)
    for name in (f"step-{3 * EVERY:08d}-0001", f"step-{4 * EVERY:08d}-0001"):
        assert f"skipping {name}" in log
    assert log.count("skipping") == 3
    assert trained(run.folder).by_attempt()[2][0].step == 2 * EVERY + 1
    assert_whole(run, ranks=1, lost=3 * EVERY)


@pytest.mark.extended
def test_training_continues_under_a_quota(desk: Desk) -> None:
    """If files may not grow to a checkpoint's size, each save fails with a warning, and training
    completes.
    """
    setup = ["ulimit -f 1024"]  # 1 MB per file
    run = survive(desk, "quota", ranks=1, slurm=RIGHT, args=BIG, environment={"setup": setup})
    completes(desk, run)
    assert_ended(desk, run, "finished")
    assert checkpoints(run) == []
    assert read_record(run.folder / "saves")["failed"]
    assert_whole(run, ranks=1, width=BIG["width"])


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A disk of this size that is visible on every machine of a cluster that is started later."""
    folder = tempfile.mkdtemp(prefix="clusterrun-disk-", dir="/var/tmp")
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=1777", "small", folder], check=True
    )
    try:
        yield Path(folder)
    finally:
        subprocess.run(["umount", folder], check=True)
        Path(folder).rmdir()


def test_training_continues_on_a_full_disk() -> None:
    """While the disk has no room for a checkpoint, saves fail with a warning; later they succeed
    again, and no step is lost.
    """
    with small_disk(32) as disk, Cluster.start(nodes=1, accounting=False) as cluster:
        desk = Desk(cluster, "alice", disk)
        run = survive(desk, "full", ranks=1, args={**BIG, "slow_at": [EVERY + 5]})
        reaches(run, 1, EVERY + 5)
        until(lambda: len(checkpoints(run)) == 1, 60, "the first checkpoint exists")
        filler = disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - MEGABYTE))
        until(lambda: "failed" in read_record(run.folder / "saves"), 120, "a save fails")
        filler.unlink()
        until(lambda: len(checkpoints(run)) > 1, 120, "a save succeeds")
        hurry(run)
        completes(desk, run)
        assert_ended(desk, run, "finished")
        assert_whole(run, ranks=1, width=BIG["width"])
