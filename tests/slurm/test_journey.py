"""The whole way of a job on a real Slurm, as an ordinary user. Its runs are active at the same
time.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from clusterrun.run_folder.records import read_record
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.slurm.survival import STEPS, SURVIVOR, processes_of

TINY = {
    "per_device_train_batch_size": 2,
    "n_embd": 64,
    "n_layer": 2,
    "block_size": 64,
    "logging_steps": 1,
}
TRAINING: dict[str, Any] = {
    "script": "examples/train_causal_lm.py",
    "args": {**TINY, "max_steps": 300},
    "accelerate": {"use_cpu": True, "gradient_accumulation_steps": 4},
    "checkpoint": {"every": "500 steps"},
}
PACED = {**TRAINING, "script": str(SCRIPTS / "paced.py")}
TWO_RANKS = {"nodes": 2, "gpus-per-node": 1}
TWO_BY_TWO = {"nodes": 2, "gpus-per-node": 2}
# trains until it is cancelled
SLOW = {"script": str(SURVIVOR), "args": {"pace": 1, "slow_at": [1]}, "accelerate": {"use_cpu": True},
        "checkpoint": {"every": "500 steps"}}  # fmt: skip
WHO = str(SCRIPTS / "who.py")
WORLDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gpus-per-node": ({"gpus-per-node": 2}, {"use_cpu": True}),
    "gres": ({"gres": "gpu:2"}, {"use_cpu": True}),
    "gpus": ({"gpus": 4}, {"use_cpu": True}),
    "gpus-per-task": ({"gpus-per-task": 2}, {"use_cpu": True}),
    "num_processes": ({}, {"num_processes": 4}),
}
EXTENDED = ("gres", "gpus-per-task")
REALLY_LAUNCHED = "gpus-per-node"
BACKGROUND = ("journeys",)


@pytest.fixture(scope="module")
def journeys(desk: Desk) -> dict[str, Submitted]:
    """The runs that nothing changes before their test, in the order of the tests."""
    short = {**TRAINING, "args": {**TRAINING["args"], "max_steps": 60}}
    crash = {"accelerate": {"use_cpu": True}, "requeue": {"crashes": 0}}
    return {
        "two-by-two": desk.submit("two-by-two", **short, slurm=TWO_BY_TWO),
        **{name: world(desk, name) for name in WORLDS if name not in EXTENDED},
        "single": desk.submit("single", script=WHO, real_launch=True),
        "crash": desk.submit("crash", script=str(SCRIPTS / "crash.py"), slurm=TWO_BY_TWO, **crash),
        "cancelled": desk.submit("cancelled", **SLOW, slurm=TWO_BY_TWO),
        "stopped": desk.submit("stopped", **SLOW, slurm=TWO_RANKS),
    }


def world(desk: Desk, name: str) -> Submitted:
    """Return the resources of two nodes with four processes, in one of the notations."""
    slurm, accelerate = WORLDS[name]
    words = {"gradient_accumulation_steps": 4, **accelerate}
    real = name == REALLY_LAUNCHED
    resources = {"nodes": 2, **slurm}
    return desk.submit(name, script=WHO, slurm=resources, accelerate=words, real_launch=real)


@pytest.fixture(scope="module")
def reference(desk: Desk) -> list[dict[str, Any]]:
    """The losses of an uninterrupted run.

    Two ranks, because a sum of two is the same in any order: with more, DDP's first step after a
    start adds in another order than later ones (it rebuilds its buckets), and losses differ in the
    last digit.
    """
    run = desk.submit("reference", **TRAINING, slurm={**TWO_RANKS, "partition": "main"})
    assert desk.wait(run, 300) == "COMPLETED"
    assert run.ends() == ["finished"]
    return run.metrics()


def who(run: Submitted) -> list[dict[str, Any]]:
    files = sorted((run.folder / "who").glob("*.json"), key=lambda path: int(path.stem))
    return [json.loads(path.read_text()) for path in files]


def test_the_loss_falls_over_two_nodes_with_two_processes_each(
    desk: Desk, journeys: dict[str, Submitted]
) -> None:
    """A model trained by four processes on two nodes learns, and its world has the requested size."""
    run = journeys["two-by-two"]
    assert desk.wait(run, 240) == "COMPLETED", run.log()
    lines = run.metrics()
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.5
    assert desk.status(run)["step"] == 60


@pytest.mark.parametrize(
    "asked",
    [pytest.param(name, marks=pytest.mark.extended) if name in EXTENDED else name for name in WORLDS],
)  # fmt: skip
def test_two_nodes_make_a_world_of_four(
    desk: Desk, journeys: dict[str, Submitted], asked: str
) -> None:
    """For every notation of GPUs, each node starts two processes, and each rank knows its machine."""
    run = journeys.get(asked) or world(desk, asked)
    assert desk.wait(run) == "COMPLETED", run.log()
    seen = who(run)
    assert [process["rank"] for process in seen] == [0, 1, 2, 3]
    assert {process["world"] for process in seen} == {4}
    assert {process["sum"] for process in seen} == {10}
    assert {process["accumulation"] for process in seen} == {4}
    assert [process["machine_rank"] for process in seen] == [0, 0, 1, 1]
    assert all(process["machine_rank"] == process["node_id"] for process in seen)
    assert len({process["host"] for process in seen}) == 2
    assert all(process["address"].startswith("10.213.") for process in seen)
    assert len({process["port"] for process in seen}) == 1
    assert 10000 <= seen[0]["port"] < 30000


def test_an_existing_accelerate_config_is_used_unchanged(desk: Desk) -> None:
    """A config file written for another machine trains here; five keys are overridden, with a note."""
    config = desk.write("accelerate.yaml", """\
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
downcast_bf16: 'no'
machine_rank: 0
main_process_ip: 192.0.2.1
main_process_port: 29500
main_training_function: main
mixed_precision: bf16
num_machines: 1
num_processes: 8
rdzv_backend: static
same_network: true
tpu_use_cluster: false
use_cpu: true
""")  # fmt: skip
    spec = desk.spec(
        "existing", script=WHO, slurm=TWO_BY_TWO, accelerate={"config_file": str(config)}
    )

    notes = desk.cli("validate", str(spec)).stderr
    run = desk.submitted(desk.cli("submit", "--json", str(spec)))

    assert (
        "is used unchanged, except num_machines, num_processes, machine_rank, main_process_ip, main_process_port"
        in notes
    )
    assert desk.wait(run) == "COMPLETED", run.log()
    assert {(process["world"], process["precision"]) for process in who(run)} == {(4, "bf16")}
    assert config.read_text() in (run.folder / "job.sbatch").read_text()


def test_one_node_is_launched_like_several(desk: Desk, journeys: dict[str, Submitted]) -> None:
    """One node and one process are no special case."""
    run = journeys["single"]
    assert desk.wait(run) == "COMPLETED", run.log()
    assert [(process["world"], process["machine_rank"]) for process in who(run)] == [(1, 0)]


def test_a_failing_rank_is_shown(desk: Desk, journeys: dict[str, Submitted]) -> None:
    """The failing rank's traceback appears in `logs`, and `wait` exits with 1."""
    run = journeys["crash"]
    answer = desk.cli("wait", run.run_id, "--timeout", "120", check=False, timeout=150)

    assert answer.returncode == 1
    assert "FAILED (crashed with exit code" in answer.stdout
    assert "RuntimeError: rank 3 has had enough" in desk.cli("logs", run.run_id).stdout
    assert run.ends() == ["crash"]


def test_cancel_ends_every_process_on_every_node(
    desk: Desk, journeys: dict[str, Submitted]
) -> None:
    """After `cancel` nothing of the run remains anywhere, and it does not restart."""
    run = journeys["cancelled"]
    until(lambda: run.step() > 3, 90, "training starts")
    desk.cli("cancel", run.run_id)

    assert desk.wait(run, 60) == "CANCELLED"
    until(lambda: not any(run.run_id in job for job in desk.jobs()), 60, "its job is gone")
    until(lambda: not processes_of(run, 1), 30, "no process is left")
    assert run.ends() == ["cancel"]


def test_stop_saves_a_checkpoint_and_ends_the_run(
    desk: Desk, journeys: dict[str, Submitted]
) -> None:
    """`stop` publishes a checkpoint of the step it stopped at; the run ends without error and does
    not restart.
    """
    run = journeys["stopped"]
    until(lambda: run.step() > 3, 90, "training starts")
    desk.cli("stop", run.run_id)

    assert desk.wait(run, 60) == "STOPPED"
    step = run.step()
    assert (run.folder / "checkpoints" / f"step-{step:08d}-0001" / "manifest.json").exists()
    assert step < STEPS


@pytest.mark.extended
def test_a_preempted_run_resumes_without_losing_a_step(
    desk: Desk, reference: list[dict[str, Any]]
) -> None:
    """Preempted in the middle, it saves, is requeued, and finishes with the losses of an
    uninterrupted run.
    """
    run = desk.submit("preempted", **PACED, slurm={**TWO_RANKS, "partition": "low"})
    until(lambda: run.step() > 20, 120, "training is under way")
    desk.preempt()

    assert desk.wait(run, 300) == "COMPLETED"
    assert run.ends() == ["preemption", "finished"]
    assert without_attempt(run.metrics()) == without_attempt(reference)
    assert "resumed from step-" in run.log(2)


def without_attempt(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key != "attempt"} for line in lines]


def test_render_piped_into_sbatch_is_a_run(desk: Desk) -> None:
    """A rendered script needs nothing else: it names its run after its job and makes its own run
    folder.
    """
    spec = desk.spec("piped", script=WHO, slurm={"chdir": str(desk.cluster.scratch)})
    desk.write("bare.yaml", "")
    script = desk.cli("render", str(spec), env={"CLUSTERRUN_PROFILE": ""}).stdout
    answer = desk.cluster.run_as(
        "alice", ["sbatch", "--parsable"], input=script, cwd=desk.cluster.scratch
    )
    job = answer.stdout.strip()
    folder = desk.cluster.scratch / "runs" / f"piped-{job}"
    until((folder / "events" / "attempt-0001.end").exists, 90, "the run ends")

    run = Submitted(f"piped-{job}", job, folder)
    assert read_record(folder / "events" / "submit.settings")["format"] == "2"
    assert run.ends() == ["finished"], run.log()
    assert len(who(run)) == 1
    assert json.loads(desk.cli("status", str(folder), "--json").stdout)["state"] == "COMPLETED"
