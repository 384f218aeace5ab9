"""Experiment trackers show one run, however many attempts it took: the files they wrote on this
machine are read back.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from clusterrun.training.records.trackers import run_arguments
from tests.support.bash_functions import FUNCTIONS, LOAD, said
from tests.support.tracker_files import OfflineRun, tensorboard_curve, tensorboard_shows
from tests.training_scripts.launches import ROOT, attempt_of, clean_environment, start, start_two

TRACKED = ROOT / "tests" / "training_scripts" / "tracked.py"
TINY = ROOT / "tests" / "training_scripts" / "train_tiny.py"
NAMES = "WANDB_RUN_ID", "WANDB_RESUME", "TENSORBOARD_LOGGING_DIR", "MLFLOW_RUN_ID"
AIM = importlib.util.find_spec("aim") is not None
FIRST, SECOND = (
    [1, 2, 3, 4, 5],
    [4, 5, 6, 7, 8],
)  # the steps of the attempts: saved at 3, crashed at 5


def variables_of_the_script(run_dir: Path, run_id: str, **given: str) -> dict[str, str]:
    """Return what the job script's environment step adds to the user's variables; a name that it
    has unset is absent.
    """
    text = f"run_id=$1 run_dir=$2; continue_trackers; env -0 | grep -zE '^({'|'.join(NAMES)})=' || true"
    command = ["bash", "-c", f"{LOAD}\n{text}", FUNCTIONS, run_id, run_dir]
    done = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", **given}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def environment_of(folder: Path, attempt: str, **more: object) -> dict[str, str]:
    """Return the environment of an attempt, with all trackers' files below the run folder."""
    run = folder / "tiny-1"
    ours = attempt_of(run, attempt, **more)
    trackers = {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(folder),
        "WANDB_ERROR_REPORTING": "false",
        "MLFLOW_TRACKING_URI": f"file:{folder}/mlruns",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "ACCELERATE_USE_CPU": "true",
    }
    theirs = {
        key: value
        for key, value in clean_environment(folder).items()
        if not key.startswith("MLFLOW_")
    }
    return theirs | trackers | ours | variables_of_the_script(run, run.name)


def offline_runs(folder: Path) -> list[OfflineRun]:
    return [OfflineRun(path) for path in sorted((folder / "wandb").glob("offline-run-*"))]


def mlflow_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MlflowClient, list]:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(f"file:{folder}/mlruns")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return client, list(client.search_runs(experiments))


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """A run of two attempts under `accelerate launch`, of which the first crashed two steps after
    its checkpoint.
    """
    folder = tmp_path_factory.mktemp("crashed")
    words = [
        folder / "tiny-1",
        "--log_with",
        "wandb",
        "tensorboard",
        "mlflow",
        *(["aim"] if AIM else []),
    ]
    for attempt, more, good in [("0001", ["--crash_at", "5"], False), ("0002", [], True)]:
        environment = environment_of(folder, attempt, CHECKPOINT_EVERY="3 steps")
        ended = start_two(
            TRACKED, *words, *more, environment=environment, log=folder / f"log-{attempt}"
        ).wait()
        assert (ended.code == 0) == good, ended.output
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A Trainer's run of two attempts, the first one stopped; only the environment configures its
    trackers.
    """
    folder = tmp_path_factory.mktemp("stopped")
    words = [
        "--output_dir",
        folder / "out",
        "--max_steps",
        "6",
        "--logging_steps",
        "1",
        "--save_strategy",
        "no",
    ]
    for attempt, more in [("0001", ["--stop_at", "3"]), ("0002", [])]:
        environment = environment_of(folder, attempt)
        log = folder / f"log-{attempt}"
        ended = start(
            TINY, *words, *more, "--report_to", "all", environment=environment, log=log
        ).wait()
        assert ended.code == 0, ended.output
    return folder


def steps(curve: list[tuple[int, float]]) -> list[int]:
    return [step for step, _ in curve]


def test_wandb_continues_the_same_run_in_each_attempt(crashed):
    first, second = offline_runs(crashed)
    assert (first.run.run_id, second.run.run_id) == ("tiny-1", "tiny-1")
    assert first.run.resume, "wandb sync continues a run only if its file says so"
    assert second.run.resume
    assert (steps(first.curve("loss")), steps(second.curve("loss"))) == (FIRST, SECOND)


def test_tensorboard_shows_one_curve_without_the_lost_steps(crashed):
    logs = crashed / "tiny-1" / "tiny"
    assert steps(tensorboard_curve(logs, "loss")) == FIRST + SECOND
    shown = tensorboard_shows(crashed / "tiny-1")
    curves = {run: steps(tags["loss"]) for run, tags in shown.items() if "loss" in tags}
    assert curves == {"tiny": [1, 2, 3, 4, 5, 6, 7, 8]}
    assert dict(shown["tiny"]["loss"])[5] == dict(tensorboard_curve(logs, "loss")[-5:])[5], (
        "the later value counts"
    )


def test_tensorboard_has_the_hyperparameters_of_a_run_once(crashed):
    assert len(list((crashed / "tiny-1" / "tiny").glob("*/hparams.yml"))) == 1


def test_mlflow_has_one_run_with_the_first_attempts_parameters(crashed, monkeypatch):
    client, (run,) = mlflow_runs(crashed, monkeypatch)
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted(metric.step for metric in history) == sorted(FIRST + SECOND)
    assert run.data.params == {"lr": "0.1", "attempt": "0001"}
    assert run.info.status == "FINISHED"


@pytest.mark.skipif(not AIM, reason="aim is not installed; it has no wheels for Python 3.13")
def test_aim_has_one_run_in_which_the_last_value_of_a_step_counts(crashed):
    text = """
import sys
from aim import Repo
from aim.sdk.index_manager import RepoIndexManager
repo = Repo(sys.argv[1])
(name,) = repo.list_all_runs()
RepoIndexManager.get_index_manager(repo).index(name)
run = Repo(sys.argv[1]).get_run(name)
(metric,) = [metric for metric in run.metrics() if metric.name == "loss"]
print(run["hparams"]["attempt"], len(list(metric.values.values())))
"""
    command = [sys.executable, "-c", text, crashed / "tiny-1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0002", "8"], done.stderr


@pytest.mark.extended
def test_trainers_trackers_continue_by_the_environment(stopped, monkeypatch):
    first, second = offline_runs(stopped)
    assert (first.run.run_id, second.run.run_id) == ("tiny-1", "tiny-1")
    curves = [[step for _, step in run.curve("train/global_step")] for run in (first, second)]
    assert curves[0][-1] < curves[1][0] <= curves[1][-1] == 6
    shown = tensorboard_shows(stopped / "tiny-1" / "tensorboard")
    assert {run: steps(tags["train/loss"]) for run, tags in shown.items()} == {
        ".": [1, 2, 3, 4, 5, 6]
    }
    client, (run,) = mlflow_runs(stopped, monkeypatch)
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_the_job_script_names_the_run_to_trackers(tmp_path):
    set_here = variables_of_the_script(tmp_path, "tiny-20261121-060228-9786")
    assert set_here == {
        "WANDB_RUN_ID": "tiny-20261121-060228-9786",
        "WANDB_RESUME": "allow",
        "TENSORBOARD_LOGGING_DIR": f"{tmp_path}/tensorboard",
    }
    (tmp_path / "trackers").write_text("wandb=other\nmlflow=0123\n")
    assert variables_of_the_script(tmp_path, "tiny-1_3") == {
        **set_here,
        "WANDB_RUN_ID": "tiny-1_3",
        "MLFLOW_RUN_ID": "0123",
    }
    assert variables_of_the_script(tmp_path, "a: b/c'%")["WANDB_RUN_ID"] == "a--b-c--"


def test_the_users_tracker_settings_are_kept(tmp_path):
    (tmp_path / "trackers").write_text("mlflow=0123\n")
    theirs = {name: f"my {name}" for name in NAMES}
    assert variables_of_the_script(tmp_path, "tiny-1", **theirs) == theirs
    assert variables_of_the_script(tmp_path, "tiny-1", **dict.fromkeys(NAMES, "")) == {}
    mine = variables_of_the_script(tmp_path, "tiny-1", WANDB_RUN_ID="mine")
    assert (mine["WANDB_RUN_ID"], mine["WANDB_RESUME"]) == ("mine", "allow")
    assert said('unset HOME; set_default HOME /root; printf %s "$HOME"') == "/root"


def test_a_run_named_by_the_script_has_precedence():
    known = {"wandb": "a", "mlflow": "b", "aim": "c", "tensorboard": "d"}
    assert run_arguments("wandb", known, {"tags": ["x"]}) == {
        "id": "a",
        "resume": "allow",
        "tags": ["x"],
    }
    assert run_arguments("wandb", known, {"resume_from": "z?_step=2"}) == {
        "resume_from": "z?_step=2"
    }
    assert run_arguments("mlflow", known, {"run_id": "mine"}) == {"run_id": "mine"}
    assert run_arguments("mlflow", known, {}) == {"run_id": "b"}
    assert run_arguments("aim", known, {}) == {"run_hash": "c", "force_resume": True}
    assert run_arguments("tensorboard", known, {"flush_secs": 5}) == {"flush_secs": 5}
    assert run_arguments("aim", {}, {}) == {}
