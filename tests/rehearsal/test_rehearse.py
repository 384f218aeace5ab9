"""A rehearsal tells a job that survives from one that does not, and says why: on this machine, and as a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterrun.errors import SpecError
from clusterrun.local import kill_processes
from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import Request, prepare
from clusterrun.rehearsal.comparison import compare_losses, compare_weights
from clusterrun.rehearsal.observation import SeenCheckpoint, SeenStep
from clusterrun.rehearsal.outcome_text import format_outcome
from clusterrun.rehearsal.plan import RehearsalPlan, plan_runs
from clusterrun.rehearsal.rehearsing import rehearse
from clusterrun.rehearsal.result import NOT_SURVIVED, OUT_OF_TIME, SURVIVED, Rehearsal
from clusterrun.rehearsal.verdict import judge_resume, judge_training
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.paths import RunPaths
from clusterrun.training.protocol import AttemptContext
from clusterrun.training.records.losses import Losses, open_losses

CHECKOUT = Path(__file__).parents[2]
SCRIPT = CHECKOUT / "tests" / "slurm" / "scripts" / "rehearsed.py"
TOLERANCE = 1e-3


@pytest.mark.parametrize(("values", "changes"), [
    ({"command": "true"}, ["checkpoint.every=7 steps", "environment.variables.CLUSTERRUN_LOSSES=1"]),
    ({"command": "true", "checkpoint": {"every": "2h"}, "environment": {"variables": {"A": "b"}}},
     ["checkpoint.every=7 steps", "environment.variables.CLUSTERRUN_LOSSES=1"]),
    ({"script": "train.py", "checkpoint": {"path": "{run_dir}/step-*"}}, []),
])  # fmt: skip
@pytest.mark.parametrize("name", ["a", "n" * 64])
def test_the_two_runs_of_a_rehearsal(
    tmp_path: Path, name: str, values: dict[str, Any], changes: list[str]
) -> None:
    """They are what the same spec with `--set` would be: a name, the first save, and the losses that are compared."""
    (tmp_path / "train.py").touch()
    asked = request(tmp_path, name, **values)
    for found, word in zip(
        plan_runs(prepare(asked), RehearsalPlan(7)), ("rehearsal", "reference"), strict=True
    ):
        typed = prepare(replace(asked, overrides=(f"name={name[:54]}-{word}", *changes)))
        assert (found.loaded.spec, found.launch) == (typed.loaded.spec, typed.launch)
        assert make_plan(found) == make_plan(typed)


# ---- on this machine


def environment_of(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "USER": "someone"}


def request(folder: Path, name: str, **values: Any) -> Request:
    """A job spec of a command, in a folder that is its user's home."""
    folder.mkdir(exist_ok=True)
    (folder / "site.yaml").write_text(f"run_root: {folder}/runs\n")
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, "slurm": {"chdir": str(folder)}, **values}))
    return Request(
        str(path), profile=str(folder / "site.yaml"), environment=environment_of(folder), cwd=folder
    )


def counting(folder: Path, how: str) -> Request:
    return request(folder, how, command=f"PYTHONPATH={CHECKOUT} {sys.executable} {SCRIPT} {how}")


WAYS = (
    "survives",
    "ignores-it",
    "counts-anew",
    "crashes",
    "forgets-its-state",
    "unseeded",
    "saves-nothing",
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Rehearsal]]]:
    """The rehearsals of all ways, beside each other, each in a home of its own."""
    base = tmp_path_factory.mktemp("rehearsals")
    with ThreadPoolExecutor(len(WAYS)) as pool:
        asked = {how: counting(base / how, how) for how in WAYS}
        yield {
            how: pool.submit(rehearse, what, local=True, timeout=240) for how, what in asked.items()
        }
    for folder in base.glob("*/runs/*"):
        kill_processes(str(folder))


def ended(outcomes: dict[str, Future[Rehearsal]], how: str) -> Rehearsal:
    return outcomes[how].result(300)


def checkpoints(found: Rehearsal) -> list[Path]:
    return [
        path
        for folder in (found.folder, found.reference_folder)
        for path in Path(folder).glob("checkpoints/*")
    ]


@pytest.mark.extended
def test_a_job_that_survives(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """It comes back behind its last save, trains as the reference does, and leaves no checkpoints, but all else."""
    found = ended(outcomes, "survives")
    assert (found.outcome, found.reasons) == (SURVIVED, [])
    assert found.stopped_at_step == found.saved_step == found.resumed_from_step
    assert found.stopped_at_step is not None
    assert found.stopped_at_step >= 15
    assert found.first_step_after == found.stopped_at_step + 1
    assert found.losses is not None
    assert found.weights is not None
    assert (found.losses.largest_difference, found.losses.first_step) == (
        0.0,
        found.first_step_after,
    )
    assert (found.weights.same, found.weights.step % 10) == (True, 0)
    assert [phase.name for phase in found.phases] == [
        "submitted to started", "started to first step", "first step to TERM", "TERM to saved", "TERM to exit",
        "exit to restarted", "restarted to first step",
    ]  # fmt: skip
    assert checkpoints(found) == []
    assert RunPaths(Path(found.folder)).log("0002").exists()


@pytest.mark.extended
def test_a_script_that_ignores_its_checkpoint(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """A script that begins at step 0 does not survive; its checkpoints stay, for a look."""
    found = ended(outcomes, "ignores-it")
    assert found.outcome == NOT_SURVIVED
    assert found.reasons == [f"restarted from step 0, although step {found.saved_step} was saved"]
    assert (
        found.reference_run_id == ""
        or not RunPaths(Path(found.reference_folder)).trainer("0001").exists()
    )
    assert checkpoints(found)


@pytest.mark.extended
def test_a_script_that_counts_anew(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """A script that loads its checkpoint, and then does step 1, does not survive."""
    found = ended(outcomes, "counts-anew")
    assert found.outcome == NOT_SURVIVED
    what = f"loaded the checkpoint of step {found.saved_step}, but the next step was 1"
    assert found.reasons == [f"{what}: the script does not count from its checkpoint"]


@pytest.mark.extended
def test_a_script_that_crashes_at_its_return(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """The failing rank's own words are told, and where the rest stands."""
    found = ended(outcomes, "crashes")
    assert found.outcome == NOT_SURVIVED
    assert (
        "crashed with exit code 1\n  ValueError: the checkpoint is of another model\n"
        in found.reasons[0]
    )
    assert "attempt-0002.log" in found.reasons[0]


@pytest.mark.extended
def test_a_script_that_forgets_some_state(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """At the right step, but with other losses: from which step on, by how much, and what usually does that."""
    found = ended(outcomes, "forgets-its-state")
    assert found.outcome == NOT_SURVIVED
    assert (
        f"the losses differ from step {found.first_step_after} on, by up to 0." in found.reasons[0]
    )
    assert "before the stop they are identical" in found.reasons[0]
    assert "random numbers (dropout)" in found.reasons[0]


@pytest.mark.extended
def test_a_training_that_cannot_be_repeated(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """Where the runs differ before the stop already, nothing is said against the return, nor for its losses."""
    found = ended(outcomes, "unseeded")
    assert found.outcome == SURVIVED
    assert any("the two runs already differ before the stop" in note for note in found.notes)
    assert "only the step at which the run resumed was verified" in found.notes


@pytest.mark.extended
def test_a_script_that_saves_nothing(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """It is said as soon as it has left, and no reference is trained."""
    found = ended(outcomes, "saves-nothing")
    assert (found.outcome, found.reasons) == (
        NOT_SURVIVED,
        ["it saved no checkpoint when it was asked to stop"],
    )
    assert found.reference_run_id == ""


@pytest.mark.extended
def test_nothing_is_left_running(outcomes: dict[str, Future[Rehearsal]]) -> None:
    """Whatever the outcome, no process of a rehearsal lives on."""
    marks = {
        f"run_dir={folder}".encode()
        for how in WAYS
        for found in [ended(outcomes, how)]
        for folder in (found.folder, found.reference_folder)
        if folder
    }
    living = [entry for entry in Path("/proc").glob("[0-9]*") if marks & environ(entry)]
    assert living == []


def environ(entry: Path) -> set[bytes]:
    try:
        return set((entry / "environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def test_a_script_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without clusterrun.training and checkpoint.path nothing is seen; it is stopped all the same, and that is said."""
    monkeypatch.setattr("clusterrun.rehearsal.stage._SILENT_SECONDS", 1.0)
    (tmp_path / "train.py").write_text("import time\ntime.sleep(100)\n")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "activate").write_text("accelerate() { sleep 100; }\n")
    what = request(tmp_path, "silent", script="train.py", environment={"venv": str(tmp_path / "venv")},
                   accelerate={"num_processes": 1})  # fmt: skip
    found = rehearse(what, local=True, timeout=120)
    assert found.outcome == NOT_SURVIVED
    assert (
        "the script does not use clusterrun.training, and checkpoint.path is not set"
        in found.reasons[-1]
    )


def test_the_time_is_over(tmp_path: Path) -> None:
    """A timeout cancels what was started, says what was waited for, and proves nothing."""
    said: list[str] = []
    found = rehearse(
        counting(tmp_path, "survives"), steps=1000, local=True, timeout=3, tell=said.append
    )
    assert (found.outcome, found.survived) == (OUT_OF_TIME, False)
    assert found.reasons[0].startswith("timed out after 3 s; still waiting for ")
    assert said[-1] == f"cancelled: {found.run_id}"


@pytest.mark.parametrize(
    ("values", "told"),
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
def test_what_cannot_be_rehearsed_is_refused(
    tmp_path: Path, values: dict[str, Any], told: str
) -> None:
    """Before anything is begun, at its line of the spec."""
    with pytest.raises(SpecError, match=rf"job.yaml:\d+: {told}"):
        rehearse(request(tmp_path, "job", command="true", **values), local=True)
    assert Index(environment_of(tmp_path)).all() == []


# ---- what is compared


def steps(losses: dict[int, float | None], width: int = 1) -> list[SeenStep]:
    return [SeenStep(step, step - width, loss, 0.0) for step, loss in losses.items()]


REFERENCE = {step: 10.0 / step for step in range(1, 31)}
EARLY = {step: REFERENCE[step] for step in range(1, 16)}


@pytest.mark.parametrize(
    ("before", "after", "same", "differ_from"),
    [
        pytest.param(EARLY, {16: 10 / 16, 17: 10 / 17}, True, None, id="bit-for-bit"),
        pytest.param(EARLY, {16: 10 / 16 * (1 + 1e-5)}, True, None, id="within-the-tolerance"),
        pytest.param(
            EARLY, {16: 10 / 16, 17: 0.6, 18: 0.6}, False, 17, id="from-the-second-step-on"
        ),
        pytest.param(EARLY, {16: float("nan")}, False, 16, id="nan"),
        pytest.param({3: 9.0}, {16: 0.7}, None, 16, id="differ-before-the-stop"),
        pytest.param({}, {16: 0.7}, False, 16, id="no-control"),
        pytest.param(EARLY, {16: None, 17: None}, None, None, id="no-losses"),
        pytest.param(EARLY, {31: 1.0}, None, None, id="no-step-in-common"),
    ],
)
def test_losses_are_compared(
    before: dict[int, float | None],
    after: dict[int, float | None],
    same: bool | None,
    differ_from: int | None,
) -> None:
    """Relative to the reference's; what differs before the stop is the control."""
    found = compare_losses(steps(before), steps(after), steps(dict(REFERENCE)), TOLERANCE)
    assert (found.same, found.diverged_at_step) == (same, differ_from)


def test_losses_over_other_steps_are_not_compared() -> None:
    """A Trainer's first mean after a return is over fewer steps than the reference's."""
    found = compare_losses(
        [],
        [SeenStep(20, 15, 9.0, 0.0), SeenStep(30, 20, 2.0, 0.0)],
        steps({20: 1.0, 30: 2.0}, 10),
        TOLERANCE,
    )
    assert (found.compared_after, found.first_step, found.same) == (1, 30, True)


def saved(step: int, attempt: int, model: str = "aa", **others: str) -> SeenCheckpoint:
    files = {
        "model.safetensors": model,
        **{name.replace("_", "."): crc for name, crc in others.items()},
    }
    return SeenCheckpoint(
        Path(f"step-{step}"),
        attempt,
        step,
        0.0,
        {name: {"size": 1, "crc32": crc} for name, crc in files.items()},
    )


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        pytest.param([saved(10, 1)], [saved(20, 2)], True, id="same"),
        pytest.param([saved(10, 1)], [saved(20, 2, "bb")], False, id="other-weights"),
        pytest.param([saved(10, 1, "bb")], [saved(20, 2, "bb")], None, id="not-repeatable"),
        pytest.param([], [saved(20, 2, "bb")], None, id="no-control"),
        pytest.param([saved(10, 1)], [saved(20, 2, optimizer_bin="cc")], True, id="another-file"),
        pytest.param([saved(10, 1)], [saved(15, 2), saved(20, 2)], True, id="the-last-in-common"),
    ],
)
def test_weights_are_compared(
    before: list[SeenCheckpoint], after: list[SeenCheckpoint], same: bool | None
) -> None:
    """By the checksums that a checkpoint's manifest has; no tensor is loaded."""
    found = compare_weights(before, after, [saved(10, 1), saved(20, 1)])
    assert found is not None
    assert (found.same, found.step) == (same, 20)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "model_1.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin",
     "pytorch_model/mp_rank_00_model_states.pt", "pytorch_model/zero_pp_rank_1_mp_rank_00_model_states.pt",
     "pytorch_model_fsdp_0/__1_0.distcp", "pytorch_model_fsdp.bin", "adapter_model.safetensors"],
)  # fmt: skip
def test_files_of_weights_are_known(name: str) -> None:
    """Each strategy writes its weights under other names."""
    one, other = (
        {name: {"size": 1, "crc32": crc}, "optimizer.bin": {"size": 1, "crc32": crc}}
        for crc in ("aa", "bb")
    )
    reference = [SeenCheckpoint(Path("step"), 1, 20, 0.0, one)]
    found = compare_weights([], [SeenCheckpoint(Path("step"), 2, 20, 0.0, other)], reference)
    assert found is not None
    assert (found.differing_weight_files, found.differing_other_files) == (
        (name,),
        ("optimizer.bin",),
    )


@pytest.mark.parametrize(
    ("saved_step", "back", "first", "reason"),
    [
        (15, 15, 16, ""),
        (15, 0, 1, "restarted from step 0, although step 15 was saved"),
        (15, 10, 11, "resumed from step 10, although step 15 was saved"),
        (15, 15, 1, "but the next step was 1"),
        (15, 15, 17, "but the next step was 17"),
        (15, 15, None, ""),
    ],
)
def test_the_step_of_the_return(saved_step: int, back: int, first: int | None, reason: str) -> None:
    """The first step after the return is the one behind the last save."""
    found = Rehearsal(
        "job",
        stopped_at_step=15,
        saved_step=saved_step,
        resumed_from_step=back,
        first_step_after=first,
    )
    judge_resume(found)
    assert len(found.reasons) == bool(reason)
    assert reason in "".join(found.reasons)


def test_steps_that_were_lost_are_told() -> None:
    """A run that was killed before it could save comes back all the same, from further back."""
    found = Rehearsal(
        "job", stopped_at_step=18, saved_step=10, resumed_from_step=10, first_step_after=11
    )
    judge_resume(found)
    assert found.reasons == []
    assert found.notes == ["lost 8 steps: stopped at step 18, but the last one saved is 10"]


def test_weights_decide_where_no_losses_are_told() -> None:
    """Other weights than the reference's are a fault, unless equal losses say that it is rounding."""
    weights = compare_weights([saved(10, 1)], [saved(20, 2, "bb")], [saved(10, 1), saved(20, 1)])
    found = Rehearsal("job", losses=compare_losses([], [], [], TOLERANCE), weights=weights)
    judge_training(found)
    assert "the weights at step 20 differ from the reference" in found.reasons[0]
    close = compare_losses(
        steps(dict(EARLY)), steps({16: 10 / 16 * (1 + 1e-6)}), steps(dict(REFERENCE)), TOLERANCE
    )
    found = Rehearsal("job", losses=close, weights=weights)
    judge_training(found)
    assert found.reasons == []
    assert "although the losses agree" in found.notes[0]
    assert "within 1.0e-06" in format_outcome(found)


def test_the_goal_lies_behind_the_return() -> None:
    """Wherever it left, both runs save at the goal, and it has a save between, and at least one step."""
    plan = RehearsalPlan(10)
    assert plan.stop_at == 15
    for left in range(15, 100):
        goal = plan.goal(left)
        assert goal % 10 == 0
        assert left + 10 < goal <= left + 20


# ---- what a trainer writes down


def test_every_loss_is_written_down_where_it_is_asked_for(tmp_path: Path) -> None:
    """With all its digits; a loss that is not told is null, and nobody who does not ask has a file."""
    (tmp_path / "events").mkdir()
    attempt = AttemptContext(RunPaths(tmp_path), "0001", tmp_path / "stop", 1, None, None)
    asked = open_losses(attempt, main=True, environment={"CLUSTERRUN_LOSSES": "1"})
    asked.note(1, 0.1 + 0.2)
    asked.note(2, None)
    asked.note(3, float("inf"), since=1)
    asked.write()
    lines = [
        json.loads(line) for line in RunPaths(tmp_path).losses("0001").read_text().splitlines()
    ]
    assert [(line["step"], line["since"], line["loss"]) for line in lines] == [
        (1, 0, 0.30000000000000004), (2, 1, None), (3, 1, float("inf")),
    ]  # fmt: skip
    for other in (
        open_losses(attempt, main=False, environment={"CLUSTERRUN_LOSSES": "1"}),
        open_losses(attempt, main=True, environment={}),
        open_losses(None, main=True, environment={"CLUSTERRUN_LOSSES": "1"}),
        Losses(tmp_path / "no such folder" / "losses"),
    ):
        other.note(9, 1.0)
        other.write()
    assert len(RunPaths(tmp_path).losses("0001").read_text().splitlines()) == 3
