"""Asynchronous checkpoints: training continues while a copy is written, with the content of a
synchronous save.
"""

from __future__ import annotations

import json
import pickle
import signal
from pathlib import Path

import pytest

from clusterrun.run_folder.records import read_record
from clusterrun.training.checkpointing.manifest import find_damage
from tests.training_scripts.launches import (
    ROOT,
    Ended,
    attempt_of,
    clean_environment,
    marker,
    names,
    result_of_rank,
    start,
    start_two,
)
from tests.training_scripts.strategies import Strategy, start_ranks

ASYNC_SAVES = ROOT / "tests" / "training_scripts" / "async_saves.py"
SECOND, FOURTH, FIFTH, SIXTH = (f"step-{step:08d}-0001" for step in (2, 4, 5, 6))


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf")) | {"ACCELERATE_USE_CPU": "true"}


def attempt(folder: Path, number: str = "0001") -> dict[str, str]:
    return attempt_of(folder, number, CHECKPOINT_EVERY="2 steps", CHECKPOINT_ASYNC_SAVE="true")


def train(folder: Path, clean: dict[str, str], *options: object, number: str = "0001") -> Ended:
    """Train as one process."""
    environment = clean | attempt(folder, number)
    return start(ASYNC_SAVES, folder, *options, environment=environment, log=folder / "log").wait()


def train_two(folder: Path, clean: dict[str, str], *options: object, number: str = "0001") -> Ended:
    environment = clean | attempt(folder, number)
    end = start_two(
        ASYNC_SAVES, folder, *options, environment=environment, log=folder / "log"
    ).wait()
    assert end.code == 0, end.output
    return end


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def sound(folder: Path) -> list[str]:
    """Return the existing checkpoints; each must verify."""
    assert all(find_damage(folder / "checkpoints" / name) is None for name in names(folder))
    return names(folder)


def test_two_ranks_write_what_a_synchronous_save_writes(tmp_path, clean):
    """The files equal those of `save_state` at that step byte for byte, although a step is trained
    before the first byte is written.

    Tied weights, a hook's file and an object of the script are among them; both ranks resume from
    it.
    """
    run, plain = tmp_path / "run", tmp_path / "plain"
    options = ["--hold", 2, "--at", 3, "release", "--steps", 3]
    end = train_two(run, clean, "--plain", plain, *options)
    expected = contents(plain)
    assert {
        "random_states_0.pkl",
        "random_states_1.pkl",
        "custom_checkpoint_0.pkl",
        "hook",
    } < expected.keys()
    assert contents(run / "checkpoints" / SECOND) == expected
    assert sound(run) == [SECOND]
    told_of = json.loads((run / "checkpoints" / SECOND / "manifest.json").read_text())
    assert (told_of["step"], told_of["sharing"]["asked"]) == (2, 1)
    assert end.output.count("the copy for an asynchronous checkpoint needs ") == 1
    assert marker(run, "0001")["checkpoint"] == SECOND
    train_two(run, clean, number="0002")
    for rank in (0, 1):
        assert result_of_rank(run, rank) == {
            "began": 2,
            "count": [2.0] * 3,
            "ended": 6,
            "stopped": False,
        }
    assert sound(run) == [SECOND, "step-00000004-0002", "step-00000006-0002"]


@pytest.mark.extended
def test_fsdp2_writes_its_shards_during_training(tmp_path, clean):
    """Each rank's shards are those of torch's distributed checkpoint at that step, although
    training continued.
    """
    run, plain = tmp_path / "run", tmp_path / "plain"
    environment = {
        key: value for key, value in clean.items() if key != "ACCELERATE_USE_CPU"
    } | attempt(run)
    options = [run, "--plain", plain, "--hold", 2, "--at", 3, "release", "--steps", 3]
    strategy = Strategy(fsdp2=True, block="Block")
    end = start_ranks(
        strategy, ASYNC_SAVES, *options, environment=environment, log=tmp_path / "log"
    ).wait()
    assert end.code == 0, end.output
    assert sound(run) == [SECOND]
    expected, found = contents(plain), contents(run / "checkpoints" / SECOND)
    for files in (expected, found):
        for folder in ("optimizer_0", "pytorch_model_fsdp_0"):
            metadata = pickle.loads(files.pop(f"{folder}/.metadata"))  # noqa: S301 - which bears the time
            files[folder] = pickle.dumps((metadata.state_dict_metadata, metadata.storage_data))
    assert len([name for name in expected if name.endswith(".distcp")]) == 4
    assert found == expected


def test_a_kill_during_a_write_leaves_the_previous_checkpoint(tmp_path, clean):
    """SIGKILL while step 4 is being written: step 2 is complete, the next attempt resumes from it,
    and removes the rest.
    """
    end = train(tmp_path, clean, "--hold", 4, "--at", 5, "die")
    assert end.code == -signal.SIGKILL, end.output
    assert sound(tmp_path) == [SECOND]
    assert [path.name for path in (tmp_path / "staging").iterdir()] == [FOURTH]
    assert read_record(tmp_path / "saves")["checkpoint"] == SECOND
    end = train(tmp_path, clean, number="0002")
    assert end.code == 0, end.output
    assert (result_of_rank(tmp_path)["began"], result_of_rank(tmp_path)["count"]) == (2, [2.0] * 3)
    assert sound(tmp_path) == [SECOND, "step-00000004-0002", "step-00000006-0002"]
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_stop_finishes_the_running_save_and_saves_its_own_step(tmp_path, clean):
    """A stop during a write publishes that save, then saves synchronously; from then on the stop is
    requested early enough for both.
    """
    end = train(tmp_path, clean, "--hold", 4, "--at", 5, "stop", "--at", 5, "release_soon")
    assert end.code == 0, end.output
    assert "waiting for the save of step 4, which is still being written" in end.output
    assert sound(tmp_path) == [SECOND, FOURTH, FIFTH]
    left = marker(tmp_path, "0001")
    assert (left["outcome"], left["step"], left["checkpoint"]) == ("stopped", "5", FIFTH)
    record = read_record(tmp_path / "saves")
    assert (record["checkpoint"], record["count"]) == (FIFTH, "3")
    assert "stall" not in record  # the last one was synchronous
    assert float(record["longest"]) >= 1.0  # twice the half second for which step 4 was held


def test_a_full_disk_of_one_rank_fails_the_save_of_all(tmp_path, clean):
    """Rank 1's disk is full while a checkpoint is written: it is reported, nothing is published,
    and the next one is saved.
    """
    end = train_two(
        tmp_path, clean, "--at", 2, "limit", 1, 5000, "--at", 3, "landed", "--at", 4, "unlimit"
    )
    assert end.output.count("could not be saved") == 1
    assert "step 2 could not be saved (rank 1: random_states_1.pkl: " in end.output
    assert "the last checkpoint is none" in end.output
    assert sound(tmp_path) == [FOURTH, SIXTH]
    assert list((tmp_path / "staging").iterdir()) == []
    assert result_of_rank(tmp_path, 0)["ended"] == result_of_rank(tmp_path, 1)["ended"] == 6
    record = read_record(tmp_path / "saves")
    assert (record["checkpoint"], record["count"]) == (SIXTH, "2")
    # twice the time of the longest save; each is rounded to a hundredth
    assert float(record["stall"]) <= float(record["seconds"]) <= float(record["longest"]) / 2 + 0.01


@pytest.mark.extended
def test_with_too_little_memory_saves_are_synchronous(tmp_path, clean):
    """If the copy does not fit, the numbers are logged once, and every checkpoint is saved; later
    it may fit.
    """
    few, many = 60_000_000, 10**11
    options = [
        "--width",
        1024,
        "--steps",
        8,
        "--at",
        2,
        "memory",
        few,
        "--at",
        6,
        "memory",
        many,
        "--at",
        7,
        "release",
    ]
    end = train(tmp_path, clean, *options, "--hold", 6)
    assert end.code == 0, end.output
    assert end.output.count("saving synchronously") == 1
    assert "needs 37.8 MB of a node's memory; " in end.output
    assert sound(tmp_path) == [SECOND, FOURTH, SIXTH, "step-00000008-0001"]
    order = [line for line in end.output.splitlines() if "asynchronous" in line or "saved" in line]
    assert ["saved" in line for line in order] == [False, True, True, False, True, True]


def test_a_bug_in_the_thread_ends_the_attempt(tmp_path, clean):
    """An error that is not the disk's is raised at the next step: training does not continue
    without checkpoints.
    """
    end = train(tmp_path, clean, "--at", 2, "break", "--at", 3, "landed", "--at", 4, "die")
    assert end.code == 1, end.output
    assert "KeyError: 'a bug'" in end.output
    assert names(tmp_path) == []


def test_a_crash_of_the_training_finishes_the_running_save(tmp_path, clean):
    """A script that crashes while its checkpoint is written still has that checkpoint."""
    end = train(tmp_path, clean, "--hold", 2, "--at", 3, "release_soon", "--at", 3, "crash")
    assert end.code == 1
    assert "ArithmeticError: the loss is not a number" in end.output
    assert sound(tmp_path) == [SECOND]
    assert read_record(tmp_path / "saves")["checkpoint"] == SECOND
