"""A full disk: the save fails on all ranks, nothing incomplete is published, and training
continues.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterrun.run_folder.records import read_record
from clusterrun.training.checkpointing.disk import describe_lack_of_space, write_error_reason
from clusterrun.training.checkpointing.manifest import find_damage
from tests.training_scripts.launches import (
    ROOT,
    Ended,
    attempt_of,
    clean_environment,
    manifest,
    marker,
    names,
    result_of_rank,
    start,
    start_two,
    start_two_nodes,
)

SAVE_STEPS = ROOT / "tests" / "training_scripts" / "save_steps.py"
FIRST, LAST = "step-00000002-0001", "step-00000006-0001"


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf")) | {"ACCELERATE_USE_CPU": "true"}


def train_two(folder: Path, environment: dict[str, str], *options: object) -> Ended:
    environment = environment | attempt_of(folder, CHECKPOINT_EVERY="2 steps")
    return start_two(
        SAVE_STEPS, folder, *options, environment=environment, log=folder / "log"
    ).wait()


def failed_between(folder: Path, end: Ended, reason: str) -> None:
    """Check that step 4 could not be saved for a reason, and that 2 and 6 were, on both ranks."""
    assert end.code == 0, end.output
    assert end.output.count("could not be saved") == 1
    assert f"step 4 could not be saved ({reason}); the last checkpoint is {FIRST}" in end.output
    assert names(folder) == [FIRST, LAST]
    assert all(find_damage(folder / "checkpoints" / name) is None for name in names(folder))
    assert list((folder / "staging").iterdir()) == []
    assert result_of_rank(folder, 0)["ended"] == result_of_rank(folder, 1)["ended"] == 7


NO_ROOM = "torch.save failed (disk full, quota, or file size limit)"
MEET_THE_LIMIT = ["--steps", 7, "--at", 5, "unlimit"]


def test_one_rank_that_cannot_write_fails_the_save_of_all(tmp_path, clean):
    """Rank 1 has no space while rank 0 has: nothing is published, neither waits for the other, and
    both continue training.
    """
    end = train_two(tmp_path, clean, *MEET_THE_LIMIT, "--at", 3, "limit", 1, 5000)
    failed_between(tmp_path, end, f"rank 1: random_states_1.pkl: {NO_ROOM}")


@pytest.mark.extended
def test_a_main_process_that_cannot_write_fails_the_save_of_all(tmp_path, clean):
    """Rank 0 has no space for the weights: the reason is safetensors' own, and both continue
    training.
    """
    end = train_two(tmp_path, clean, *MEET_THE_LIMIT, "--at", 3, "limit", 0, 30_000)
    failed_between(tmp_path, end, "rank 0: File too large (os error 27)")


@pytest.mark.extended
def test_a_failure_during_deepspeeds_save_leaves_no_rank_waiting(tmp_path, clean):
    """ZeRO's ranks synchronize between their files: a rank that cannot write its part does so, too.

    Therefore it is saved synchronously, even if the job requests something else, with a message.
    """
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    environment = {key: value for key, value in clean.items() if key != "ACCELERATE_USE_CPU"} | {
        "DS_ACCELERATOR": "cpu",
        "CLUSTERRUN_CHECKPOINT_ASYNC_SAVE": "true",
    }
    end = train_two(
        tmp_path, environment, *MEET_THE_LIMIT, "--deepspeed", "--at", 3, "limit", 1, 20_000
    )
    assert (
        end.output.count("warning: saving synchronously: DeepSpeed writes its own checkpoints, ")
        == 1
    )
    failed_between(tmp_path, end, f"rank 1: zero_pp_rank_1_mp_rank_00_optim_states.pt: {NO_ROOM}")


@pytest.mark.extended
def test_free_space_is_checked_before_a_save(tmp_path, clean):
    """If the previous checkpoint would not fit again, the numbers are logged, and nothing is
    written.
    """
    size = 10**18
    end = train_two(tmp_path, clean, "--steps", 4, "--at", 3, "expect", size)
    assert end.code == 0, end.output
    assert "step 4 could not be saved (rank 0: " in end.output
    assert " GB free in " in end.output or " MB free in " in end.output
    assert "and the previous checkpoint has 1e+06 TB)" in end.output
    assert names(tmp_path) == [FIRST]


def test_the_saves_record_has_counts_and_the_failure(tmp_path, clean):
    """A failed save keeps the record and adds the reason; the next successful one removes that."""
    end = train_two(tmp_path, clean, "--steps", 5, "--at", 3, "limit", 1, 5000)
    assert end.code == 0, end.output
    record = read_record(tmp_path / "saves")
    assert (record["checkpoint"], record["step"], record["count"]) == (FIRST, "2", "1")
    assert record["failed"] == f"rank 1: random_states_1.pkl: {NO_ROOM}"
    assert float(record["longest"]) >= float(record["seconds"]) >= 0
    (tmp_path / "saves").write_text(
        (tmp_path / "saves").read_text().replace("longest=", "longest=900")
    )

    environment = clean | attempt_of(tmp_path, "0002", CHECKPOINT_EVERY="2 steps")
    end = start_two(SAVE_STEPS, tmp_path, environment=environment, log=tmp_path / "log").wait()
    assert end.code == 0, end.output
    record = read_record(tmp_path / "saves")
    assert (record["checkpoint"], record["step"], record["count"]) == (
        "step-00000006-0002",
        "6",
        "3",
    )
    assert float(record["longest"]) >= 900  # carried over from the previous attempt
    assert "failed" not in record


def test_a_stop_that_cannot_save_exits_anyway(tmp_path, clean):
    """At a stop on a full disk the ranks exit, and the marker names the last valid checkpoint."""
    end = train_two(tmp_path, clean, "--steps", 100, "--at", 3, "limit", 1, 5000, "--at", 3, "stop")
    assert end.code == 0, end.output
    assert result_of_rank(tmp_path, 0)["stopped"] is result_of_rank(tmp_path, 1)["stopped"] is True
    left = marker(tmp_path, "0001")
    assert (left["outcome"], left["step"], left["checkpoint"]) == ("stopped", "4", FIRST)
    assert names(tmp_path) == [FIRST]


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """Return a file system of 500 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=500k", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_training_survives_a_full_disk(small_disk, tmp_path, clean):
    """A file system without one free byte costs only the checkpoints of that time."""
    environment = clean | attempt_of(small_disk, CHECKPOINT_EVERY="2 steps")
    options = ["--steps", 3, "--result-folder", tmp_path]
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(1_000_000))
    end = start(
        SAVE_STEPS, small_disk, *options, environment=environment, log=tmp_path / "log"
    ).wait()
    assert end.code == 0, end.output
    assert "step 2 could not be saved (" in end.output
    assert names(small_disk) == []
    assert result_of_rank(tmp_path) == {
        "began": 0,
        "ended": 3,
        "stopped": False,
        "weight": result_of_rank(tmp_path)["weight"],
    }
    (small_disk / "filler").unlink()
    environment |= attempt_of(small_disk, "0002")
    end = start(
        SAVE_STEPS, small_disk, *options, environment=environment, log=tmp_path / "log"
    ).wait()
    assert end.code == 0, end.output
    assert names(small_disk) == ["step-00000002-0002"]


def test_training_survives_a_disk_that_fills_up_during_a_save(small_disk, tmp_path, clean):
    """If the weights still fit and the optimizer's state does not, the incomplete checkpoint is
    removed.
    """
    (small_disk / "filler").write_bytes(bytes(300_000))  # a checkpoint has 200 kB
    environment = clean | attempt_of(small_disk, CHECKPOINT_EVERY="2 steps")
    end = start(
        SAVE_STEPS, small_disk, "--steps", 3, environment=environment, log=tmp_path / "log"
    ).wait()
    assert end.code == 0, end.output
    assert f"step 2 could not be saved (optimizer.bin: {NO_ROOM})" in end.output
    assert list((small_disk / "staging").iterdir()) == []
    assert marker(small_disk, "0001")["outcome"] == "finished"


def test_only_errors_of_the_disk_are_survived():
    """A bug during a save is not a full disk: it must end the attempt."""
    assert (
        write_error_reason(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)))
        == "Disk quota exceeded"
    )
    assert write_error_reason(RuntimeError("CUDA error: device-side assert triggered")) is None
    assert write_error_reason(KeyError("optimizer")) is None


def test_free_space_is_compared_with_a_margin(tmp_path):
    """What fits only to the last byte is refused; what fits easily is not."""
    free = shutil.disk_usage(tmp_path).free
    assert describe_lack_of_space(tmp_path, 1000) is None
    assert describe_lack_of_space(tmp_path, free) is not None


def test_two_nodes_checksum_their_own_files(tmp_path, clean):
    """Two launchers, as on two nodes: every file of either is in the manifest, and a failure of one
    fails both.
    """
    environment = clean | attempt_of(tmp_path, CHECKPOINT_EVERY="2 steps")
    options = [tmp_path, *MEET_THE_LIMIT, "--at", 3, "limit", 1, 5000]
    launches = start_two_nodes(SAVE_STEPS, *options, environment=environment, log=tmp_path / "log")
    first, second = (launch.wait() for launch in launches)
    assert second.code == 0, second.output
    failed_between(tmp_path, first, f"rank 1: random_states_1.pkl: {NO_ROOM}")
    files = manifest(tmp_path, LAST)["files"]
    assert sorted(files) == [
        "model.safetensors",
        "optimizer.bin",
        "random_states_0.pkl",
        "random_states_1.pkl",
    ]
