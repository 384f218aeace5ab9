"""Run folders have a format: 0.1.0's stay readable, and those of a newer clusterrun are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from clusterrun.errors import ClusterError
from clusterrun.job_spec import JobSpec
from clusterrun.planning.plan import Identity, make_plan
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.script import render
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record
from clusterrun.run_folder.settings import FORMAT, read_format, read_settings, refuse_newer
from clusterrun.run_logs.ranks import read_ranks
from tests.support.bash_functions import bash
from tests.support.cli_desk import Desk
from tests.support.planned import plan_of

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[1] / "data"
TINY, PAIR = "tiny-20261130-160428-7388", "pair-20261130-161728-501a"
OLD_SPECS = sorted((DATA / "specs-0.1.0").glob("*.yaml"))


@pytest.fixture
def old(desk: Desk) -> Desk:
    """A desk with the runs of 0.1.0 in its index."""
    for name in (PAIR, TINY):
        paths = RunPaths(desk.folder / "runs" / name)
        shutil.copytree(DATA / "run-folder-0.1.0" / name, paths.folder)
        for folder in (paths.checkpoints, paths.folder / "staging"):  # git stores no empty folders
            folder.mkdir(exist_ok=True)
        Index(desk.environment).add(RunRef(name, paths, read_record(paths.job)["job_id"]))
    return desk


def output_of(desk: Desk, *words: str) -> str:
    done = desk.type(*words)
    assert (done.returncode, done.stderr) == (0, ""), words
    return done.stdout


def test_every_inspecting_command_reads_a_run_of_0_1_0(old: Desk) -> None:
    """A run that ended before the upgrade looks the same as then."""
    status = json.loads(output_of(old, "status", TINY, "--json"))
    assert (status["state"], status["step"], status["reason"], status["tags"]) == (
        "COMPLETED",
        40,
        "finished",
        ["old", "kept"],
    )
    assert [one["summary"] for one in status["attempts"]] == [
        "crashed with exit code 7",
        "finished",
    ]
    listed = json.loads(output_of(old, "list", "--json"))
    assert {one["run_id"]: one["state"] for one in listed} == {TINY: "COMPLETED", PAIR: "COMPLETED"}
    assert "training is complete" in output_of(old, "why", TINY)
    assert [one["name"] for one in json.loads(output_of(old, "checkpoints", TINY, "--json"))] == [
        "step-00000011-0001"
    ]
    assert "attempt 0001 ended: crash" in output_of(old, "logs", TINY, "--attempt", "1")
    assert PAIR in output_of(old, "report", PAIR)


def test_the_ranks_of_a_run_of_0_1_0_are_read_from_its_script(old: Desk) -> None:
    """0.1.0 recorded its settings nowhere else."""
    paths = RunPaths(old.folder / "runs" / PAIR)
    assert (read_format(paths), read_settings(paths)) == (
        1,
        {"num_processes": 4, "max_crashes": 3},
    )
    assert [read_ranks(paths, 1).node_of(rank) for rank in range(4)] == ["n1", "n1", "n2", "n2"]
    lines = output_of(old, "logs", PAIR, "--attempt", "1", "--node", "n2").splitlines()
    assert "[rank3]: RuntimeError: no such sample: 17" in lines
    assert not [line for line in lines if line.startswith("[rank0]")]


def test_a_task_is_of_the_format_of_its_array(tmp_path: Path) -> None:
    """The tasks of an array have their own records only after they have started."""
    array = RunPaths(tmp_path / "grid-1")
    task = RunPaths(array.folder / "task-3")
    for paths in (array, task):
        paths.events.mkdir(parents=True)
    write_record(array.intent, {"format": FORMAT + 1})
    assert (read_format(task), read_format(array)) == (FORMAT + 1, FORMAT + 1)
    with pytest.raises(ClusterError, match="written by a newer clusterrun"):
        refuse_newer(task)


@pytest.mark.parametrize("record", ["submit.intent", "submit.settings"])
def test_a_run_of_a_newer_clusterrun_is_refused(old: Desk, record: str) -> None:
    """A folder of a newer format is not interpreted; the list shows that it exists."""
    file = old.folder / "runs" / TINY / "events" / record
    write_record(file, {**read_record(file), "format": FORMAT + 1})
    for command in (
        "status",
        "why",
        "logs",
        "report",
        "checkpoints",
        "stop",
        "requeue",
        "resume",
        "cancel",
    ):
        done = old.type(command, TINY)
        assert (done.returncode, done.stdout) == (1, ""), command
        assert (
            "was written by a newer clusterrun (format 3; this version reads up to 2)\n  hint: upgrade"
            in done.stderr
        )
    listed = {one["run_id"]: one for one in json.loads(output_of(old, "list", "--json"))}
    assert (listed[TINY]["state"], "newer clusterrun" in listed[TINY]["reason"]) == (
        "UNKNOWN",
        True,
    )
    assert listed[PAIR]["state"] == "COMPLETED"


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 5000, "1.5", "\u0663"])
def test_a_damaged_number_is_format_1(tmp_path: Path, number: str) -> None:
    """A damaged record gives no traceback."""
    paths = RunPaths(tmp_path / "run-1")
    paths.events.mkdir(parents=True)
    write_record(paths.intent, {"format": number})
    assert read_format(paths) == 1


@pytest.mark.parametrize("slurm", [{}, {"nodes": "4"}, {"nodes": "2-4"}])
def test_a_piped_script_writes_the_settings_that_submit_writes(
    tmp_path: Path, slurm: dict[str, str]
) -> None:
    """Both are the plan's, so that a reader need not know how a run was submitted."""
    spec = JobSpec(name="a", script="a.py", slurm=slurm, accelerate={"num_processes": 8})
    plan = plan_of(spec, source="a.yaml", version="0")
    (line,) = [line for line in render(plan).splitlines() if line.startswith("settings=(")]
    text = f'{line}\nmake_run_folder; make_run_folder; cat "$run_dir/events/submit.settings"'
    done = bash(text, run_dir=tmp_path / "run 1", array_job="7_1")
    assert (done.returncode, done.stderr) == (0, "")
    written = read_record(RunPaths(tmp_path / "run 1").settings)
    assert written == {key: str(value) for key, value in plan.settings.items()}
    assert written["format"] == str(FORMAT)
    assert read_settings(RunPaths(tmp_path / "run 1"))["processes_per_node"] == 8 // plan.nodes


def test_submit_writes_the_settings(desk: Desk) -> None:
    """They are written before the job is queued; the intent has the folder's format, too."""
    desk.command("sbatch", 'echo "Submitted batch job 7"')
    desk.command("squeue", "")
    desk.command("srun", "")
    desk.write("name: tiny\ncommand: sleep 1\nslurm: {nodes: 2}\n")
    done = desk.type("submit", "job.yaml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    paths = RunPaths(folder)
    assert (read_record(paths.settings)["nodes"], read_record(paths.intent)["format"]) == (
        "2",
        str(FORMAT),
    )
    assert read_format(paths) == FORMAT


@pytest.mark.parametrize("spec", OLD_SPECS, ids=[path.stem for path in OLD_SPECS])
def test_a_spec_of_0_1_0_is_valid_and_renders(tmp_path: Path, spec: Path) -> None:
    """A job spec of 0.1.0 is still valid."""
    for name in ("job_specs", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    for name in ("examples", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(spec, tmp_path / "job_specs")
    prepared = prepare(
        Request(
            str(tmp_path / "job_specs" / spec.name),
            profile="",
            environment={},
            cwd=tmp_path,
            own_python=False,
        )
    )
    assert prepared.problems == ()
    assert render(make_plan(prepared, Identity("a-1", tmp_path / "runs" / "a-1"))).endswith(
        '\nmain "$@"\n'
    )
