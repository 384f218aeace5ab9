"""A rehearsal distinguishes a job that survives from one that does not, and reports why, on this
machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clusterrun.errors import SpecError
from clusterrun.local import kill_processes
from clusterrun.rehearsal.rehearsing import rehearse
from clusterrun.rehearsal.result import NOT_SURVIVED, OUT_OF_TIME, SURVIVED, Rehearsal
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.paths import RunPaths
from tests.support.rehearsals import counting, environment_of, request

WAYS = (
    "survives",
    "ignores-it",
    "counts-from-1",
    "crashes",
    "forgets-its-state",
    "unseeded",
    "saves-nothing",
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Rehearsal]]]:
    """The rehearsals of all cases, at the same time, each in a separate home."""
    base = tmp_path_factory.mktemp("rehearsals")
    with ThreadPoolExecutor(len(WAYS)) as pool:
        requests = {how: counting(base / how, how) for how in WAYS}
        yield {
            how: pool.submit(rehearse, what, local=True, timeout=240)
            for how, what in requests.items()
        }
    for folder in base.glob("*/runs/*"):
        kill_processes(str(folder))


def ended(outcomes: dict[str, Future[Rehearsal]], how: str) -> Rehearsal:
    return outcomes[how].result(300)


def checkpoints(rehearsal: Rehearsal) -> list[Path]:
    return [
        path
        for folder in (rehearsal.folder, rehearsal.reference_folder)
        for path in Path(folder).glob("checkpoints/*")
    ]


@pytest.mark.extended
def test_a_job_that_survives(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """It resumes after its last save, trains like the reference, and leaves everything but its
    checkpoints.
    """
    rehearsal = ended(outcomes, "survives")
    assert (rehearsal.outcome, rehearsal.reasons) == (SURVIVED, [])
    assert rehearsal.stopped_at_step == rehearsal.saved_step == rehearsal.resumed_from_step
    assert rehearsal.stopped_at_step is not None
    assert rehearsal.stopped_at_step >= 15
    assert rehearsal.first_step_after == rehearsal.stopped_at_step + 1
    assert rehearsal.losses is not None
    assert rehearsal.weights is not None
    assert (rehearsal.losses.largest_difference, rehearsal.losses.first_step) == (
        0.0,
        rehearsal.first_step_after,
    )
    assert (rehearsal.weights.same, rehearsal.weights.step % 10) == (True, 0)
    assert [phase.name for phase in rehearsal.phases] == [
        "submitted to started", "started to first step", "first step to TERM", "TERM to saved", "TERM to exit",
        "exit to restarted", "restarted to first step",
    ]  # fmt: skip
    assert checkpoints(rehearsal) == []
    assert RunPaths(Path(rehearsal.folder)).log("0002").exists()


@pytest.mark.extended
def test_a_script_that_ignores_its_checkpoint(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """A script that restarts from step 0 does not survive; its checkpoints stay for inspection."""
    rehearsal = ended(outcomes, "ignores-it")
    assert rehearsal.outcome == NOT_SURVIVED
    assert rehearsal.reasons == [
        f"restarted from step 0, although step {rehearsal.saved_step} was saved"
    ]
    assert (
        rehearsal.reference_run_id == ""
        or not RunPaths(Path(rehearsal.reference_folder)).trainer("0001").exists()
    )
    assert checkpoints(rehearsal)


@pytest.mark.extended
def test_a_script_that_counts_from_1_again(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """A script that loads its checkpoint, and then does step 1, does not survive."""
    rehearsal = ended(outcomes, "counts-from-1")
    assert rehearsal.outcome == NOT_SURVIVED
    what = f"loaded the checkpoint of step {rehearsal.saved_step}, but the next step was 1"
    assert rehearsal.reasons == [f"{what}: the script does not count from its checkpoint"]


@pytest.mark.extended
def test_a_script_that_crashes_when_it_resumes(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """The reason has the failing rank's error, and where its log is."""
    rehearsal = ended(outcomes, "crashes")
    assert rehearsal.outcome == NOT_SURVIVED
    assert (
        "crashed with exit code 1\n  ValueError: the checkpoint is of another model\n"
        in rehearsal.reasons[0]
    )
    assert "attempt-0002.log" in rehearsal.reasons[0]


@pytest.mark.extended
def test_a_script_that_forgets_some_state(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """At the right step, but with other losses: the reason has the first step, the difference, and
    the usual causes.
    """
    rehearsal = ended(outcomes, "forgets-its-state")
    assert rehearsal.outcome == NOT_SURVIVED
    assert (
        f"the losses differ from step {rehearsal.first_step_after} on, by up to 0."
        in rehearsal.reasons[0]
    )
    assert "before the stop they are identical" in rehearsal.reasons[0]
    assert "random numbers (dropout)" in rehearsal.reasons[0]


@pytest.mark.extended
def test_a_training_that_is_not_deterministic(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """If the runs already differ before the stop, losses prove nothing about the resume."""
    rehearsal = ended(outcomes, "unseeded")
    assert rehearsal.outcome == SURVIVED
    assert any("the two runs already differ before the stop" in note for note in rehearsal.notes)
    assert "only the step at which the run resumed was verified" in rehearsal.notes


@pytest.mark.extended
def test_a_script_that_saves_nothing(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """It is reported as soon as the run has exited, and no reference is trained."""
    rehearsal = ended(outcomes, "saves-nothing")
    assert (rehearsal.outcome, rehearsal.reasons) == (
        NOT_SURVIVED,
        ["it saved no checkpoint when it was asked to stop"],
    )
    assert rehearsal.reference_run_id == ""


@pytest.mark.extended
def test_nothing_is_left_running(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """After any outcome, no process of a rehearsal is alive."""
    marks = {
        f"run_dir={folder}".encode()
        for how in WAYS
        for rehearsal in [ended(outcomes, how)]
        for folder in (rehearsal.folder, rehearsal.reference_folder)
        if folder
    }
    living = [entry for entry in Path("/proc").glob("[0-9]*") if marks & environ(entry)]
    assert living == []


def environ(entry: Path) -> set[bytes]:
    try:
        return set((entry / "environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def test_a_script_without_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without clusterrun.training and checkpoint.path no step is seen; the run is stopped anyway,
    with a message.
    """
    monkeypatch.setattr("clusterrun.rehearsal.stage._SILENT_SECONDS", 1.0)
    (tmp_path / "train.py").write_text("import time\ntime.sleep(100)\n")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "activate").write_text("accelerate() { sleep 100; }\n")
    what = request(tmp_path, "silent", script="train.py", environment={"venv": str(tmp_path / "venv")},
                   accelerate={"num_processes": 1})  # fmt: skip
    rehearsal = rehearse(what, local=True, timeout=120)
    assert rehearsal.outcome == NOT_SURVIVED
    assert (
        "the script does not use clusterrun.training, and checkpoint.path is not set"
        in rehearsal.reasons[-1]
    )


def test_a_rehearsal_that_times_out(tmp_path: Path) -> None:
    """A timeout cancels the runs, reports what the rehearsal was waiting for, and proves nothing."""
    messages: list[str] = []
    rehearsal = rehearse(
        counting(tmp_path, "survives"), steps=1000, local=True, timeout=3, tell=messages.append
    )
    assert (rehearsal.outcome, rehearsal.survived) == (OUT_OF_TIME, False)
    assert rehearsal.reasons[0].startswith("timed out after 3 s; still waiting for ")
    assert messages[-1] == f"cancelled: {rehearsal.run_id}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"slurm": {"array": "0-3"}},
            "slurm.array: not allowed: a rehearsal runs one job, not an array",
        ),
        ({"requeue": {"on": ["crash"]}}, "requeue.on: must include preemption"),
        (
            {"checkpoint": {"path": "out/checkpoint-*"}},
            "checkpoint.path: is outside the run folder",
        ),
    ],
)
def test_a_spec_that_cannot_be_rehearsed_is_refused(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    """Before any run is submitted, at its line of the spec."""
    with pytest.raises(SpecError, match=rf"job.yaml:\d+: {message}"):
        rehearse(request(tmp_path, "job", command="true", **values), local=True)
    assert Index(environment_of(tmp_path)).all() == []
