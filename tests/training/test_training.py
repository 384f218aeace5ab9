"""Ranks agree, checkpoints are complete, mistakes are refused: TrainingRun in real processes on
CPUs.
"""

from __future__ import annotations

import pytest

from tests.training_scripts.launches import (
    COUNT_STEPS,
    attempt_of,
    clean_environment,
    count_steps,
    marker,
    names,
    result_of_rank,
    start_two,
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf"))


def test_a_signal_on_one_rank_stops_all(tmp_path, clean):
    """Every rank saves and exits, all at the same step."""
    environment = clean | attempt_of(tmp_path) | {"ACCELERATE_USE_CPU": "true"}
    environment["CLUSTERRUN_STOP_FILE"] = str(tmp_path / "signal-{rank}")
    (tmp_path / "signal-1").touch()
    log = tmp_path / "log"
    end = start_two(COUNT_STEPS, tmp_path, environment=environment, log=log).wait()
    assert end.code == 0, end.output
    assert (
        result_of_rank(tmp_path, 0)
        == result_of_rank(tmp_path, 1)
        == {"began": 0, "ended": 2, "stopped": True}
    )
    assert names(tmp_path) == ["step-00000002-0001"]


def test_timed_saves_are_agreed(tmp_path, clean):
    """One rank's clock decides for all."""
    environment = clean | attempt_of(tmp_path, CHECKPOINT_EVERY="0.001s")
    environment["ACCELERATE_USE_CPU"] = "true"
    log = tmp_path / "log"
    end = start_two(COUNT_STEPS, tmp_path, "--steps", 40, environment=environment, log=log).wait()
    assert end.code == 0, end.output
    saved = names(tmp_path)
    assert saved
    assert all((tmp_path / "checkpoints" / name / "random_states_1.pkl").exists() for name in saved)


def test_processes_that_accelerate_does_not_join_are_refused(tmp_path, clean):
    """Two separate processes, as without ACCELERATE_USE_CPU, would each train alone."""
    log = tmp_path / "log"
    end = start_two(COUNT_STEPS, tmp_path, environment=clean, log=log).wait()
    assert end.code != 0
    assert "accelerate sees 1 process, but the launcher started 2 (WORLD_SIZE)" in end.output
    assert not list(tmp_path.glob("rank-*"))


def test_a_world_smaller_than_the_job_is_refused(tmp_path, clean):
    """All processes of the job must take part, or none trains."""
    end = count_steps(tmp_path, environment=clean | attempt_of(tmp_path, WORLD_SIZE=2))
    assert end.code != 0
    assert "this job is for 2 processes (CLUSTERRUN_WORLD_SIZE), but has 1" in end.output


def test_another_accumulation_than_requested_is_refused(tmp_path, clean):
    """A script that hides the job's gradient accumulation does not train with another one."""
    environment = clean | {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}
    end = count_steps(tmp_path, "--hide_accumulation", environment=environment)
    assert end.code != 0
    assert "accumulated over 1 batches, but ACCELERATE_GRADIENT_ACC" in end.output


def test_the_newest_checkpoints_are_kept(tmp_path, clean):
    """With keep=2 the two newest complete checkpoints stay, and nothing incomplete is left."""
    (tmp_path / "staging" / "step-00000001-0001").mkdir(parents=True)
    (tmp_path / "staging" / "step-00000001-0001" / "model.safetensors").touch()
    environment = clean | attempt_of(tmp_path, CHECKPOINT_EVERY="2 steps", CHECKPOINT_KEEP=2)
    assert count_steps(tmp_path, "--steps", 9, environment=environment).code == 0
    assert names(tmp_path) == ["step-00000006-0001", "step-00000008-0001"]
    assert marker(tmp_path, "0001")["checkpoint"] == "step-00000008-0001"
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_checkpoint_without_a_manifest_is_skipped(tmp_path, clean):
    """An incomplete folder is named, not resumed from, and replaced by the next save."""
    options = ["--every", "2 steps", "--steps", 5]
    assert count_steps(tmp_path, *options, environment=clean).code == 0
    broken = tmp_path / "checkpoints" / "step-00000004-0001"
    (broken / "manifest.json").unlink()
    end = count_steps(tmp_path, *options, environment=clean)
    assert end.code == 0, end.output
    assert "skipping step-00000004-0001" in end.output
    assert result_of_rank(tmp_path)["began"] == 2
    assert (broken / "manifest.json").exists()


def test_a_stop_without_a_new_step_uses_the_existing_checkpoint(tmp_path, clean):
    """A stop at a step that is already saved names that checkpoint, and writes no second one."""
    environment = clean | attempt_of(tmp_path, CHECKPOINT_EVERY="3 steps")
    assert count_steps(tmp_path, "--steps", 3, environment=environment).code == 0
    (tmp_path / "signal-0002").touch()
    again = environment | attempt_of(tmp_path, "0002")
    assert count_steps(tmp_path, "--overflow", environment=again).code == 0
    assert result_of_rank(tmp_path) == {"began": 3, "ended": 3, "stopped": True}
    second = marker(tmp_path, "0002")
    assert (second["outcome"], second["checkpoint"]) == ("stopped", "step-00000003-0001")
    assert names(tmp_path) == ["step-00000003-0001"]
