"""The commands as functions, and a run as an object, in Python programs."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.support.cli_desk import Desk
from tests.support.python_programs import ROOT, SPEC, python

PROGRAM = """
import clusterrun
run = clusterrun.submit("job.yaml", overrides=["slurm.nodes=2"])
assert clusterrun.Run.find("last") == run, run
print(run.job_id, run.status().state.value, run.why().run_id == run.run_id, run.checkpoints())
print(run.attempts(), run.outlook().samples_per_second)
run.stop()
print(run.status().state.value, run.wait(5).reason)
try:
    list(run.logs(rank=1))
except clusterrun.ClusterError as error:
    print(error)
same = clusterrun.status(run), clusterrun.status(run.folder), clusterrun.status(run.status())
print(*[found.run_id == run.run_id for found in same], [found.run_id for found in clusterrun.list()] == [run.run_id])
"""


@pytest.fixture
def cluster(desk: Desk) -> Desk:
    """A desk whose Slurm queues one job, and drops it when it is cancelled."""
    desk.command("sbatch", f'echo "$*" > {desk.folder}/words; echo "Submitted batch job 7"')
    desk.command("srun", "")
    desk.command("squeue", f"[ -e {desk.folder}/gone ] || echo '7|7|7|PENDING|Resources|N/A||'")
    desk.command("scancel", f"echo >> {desk.folder}/gone")
    desk.command(
        "scontrol",
        f"""for script in {desk.folder}/runs/*/job.sbatch; do
  echo "JobId=7 JobName=x UserId=me({os.getuid()}) JobState=PENDING Command=$script WorkDir=/"
done""",
    )
    return desk


def test_a_run_is_an_object(cluster: Desk) -> None:
    """The result of `submit` has the commands as methods."""
    lines = python(PROGRAM, cluster).splitlines()
    assert lines[0] == "7 PENDING True ()"
    assert lines[1] == "() None"
    assert lines[2] == "STOPPED removed from the queue by `clusterrun stop`"
    assert any("has printed nothing yet" in line for line in lines)
    assert lines[-1] == "True True True True"
    assert "#SBATCH --nodes=2\n" in next((cluster.folder / "runs").glob("*/job.sbatch")).read_text()


def test_a_mapping_is_a_spec_too(cluster: Desk) -> None:
    """A file, a mapping and a loaded spec give one script; later overrides win over earlier ones."""
    cluster.write(SPEC)
    print_all = """
import clusterrun
from pathlib import Path
mapping = {"name": "tiny", "command": "true", "slurm": {"nodes": 2, "time": "1:00:00"}}
first = clusterrun.render("job.yaml")
assert clusterrun.render(mapping).replace("<mapping>", "job.yaml") == first
loaded = clusterrun.load_spec("job.yaml", overrides=["slurm.nodes=3", "slurm.mem=1G"])
assert clusterrun.render(clusterrun.load_spec("job.yaml")) == first
print(loaded.spec.slurm.nodes, clusterrun.validate(loaded).nodes, clusterrun.validate(loaded, overrides=["slurm.nodes=4"]).nodes)
paths = {"name": "a", "script": Path("train.py"), "environment": {"venv": Path("a: b #c")}}
loaded = clusterrun.load_spec(paths)
print(loaded.spec.script, loaded.spec.environment.venv)
print(clusterrun.dry_run(mapping).slurm_response == "", clusterrun.submit(mapping).job_id)
try:
    clusterrun.validate({"name": "tiny", "command": "true", "slurm": {"nods": 2}})
except clusterrun.SpecError as error:
    print(error.problems[0].key, error.problems[0].hint)
"""
    cluster.command("sbatch", "echo Submitted batch job 7")
    lines = python(print_all, cluster).splitlines()
    assert lines[0] == "3 3 4"
    assert lines[1] == "train.py a: b #c"
    assert lines[2].endswith("7")
    assert lines[3] == "slurm.nods did you mean nodes?"


def test_a_loaded_spec_overrides_the_profile(desk: Desk) -> None:
    """`load_spec` reads the site's profile, and its result is submitted with the same profile."""
    desk.write("slurm: {partition: other}\n", "site.yaml")
    desk.write(SPEC)
    code = """
import clusterrun
loaded = clusterrun.load_spec("job.yaml", profile="site.yaml")
print(loaded.spec.slurm.partition, "--partition=other" in clusterrun.render(loaded))
print("--partition" in clusterrun.render(clusterrun.load_spec("job.yaml", profile="")))
"""
    assert python(code, desk).splitlines() == ["other True", "False"]


# Each pair: a command, and the call with the same result. `values` is in PROGRAM_OF_PAIRS.
PAIRS = {
    "validate": ("validate job.yaml", "values(clusterrun.validate('job.yaml'))"),
    "render": ("render job.yaml --explain", "[values(one) for one in clusterrun.explain('job.yaml')]"),
    "dry-run": ("submit job.yaml --dry-run", "values(clusterrun.dry_run('job.yaml'))"),
    "estimate": ("estimate --parameters 7B --gpus 8 --gpu-memory 80GB",
                 "values(clusterrun.estimate(parameters='7B', gpus=8, gpu_memory='80GB'))"),
    "schema": ("schema", "clusterrun.schema()"),
    "schema-status": ("schema status", "clusterrun.schema('status')"),
    "status": ("status run-1", "{**values(clusterrun.Run.find('run-1').outlook()), **clusterrun.status('run-1').as_dict(),"
               " 'attempts': [values(one) for one in clusterrun.Run.find('run-1').attempts()]}"),
    "list": ("list --state completed", "[one.as_dict() for one in clusterrun.list(state='completed')]"),
    "why": ("why run-1", "values(clusterrun.why('run-1'))"),
    "report": ("report run-1", "clusterrun.report('run-1', html='page.html').as_dict()"),
    "wait": ("wait run-1", "clusterrun.wait('run-1', timeout=5).as_dict()"),
    "stop": ("stop run-1", "clusterrun.stop('run-1').as_dict()"),
    "cancel": ("cancel run-1", "clusterrun.cancel('run-1').as_dict()"),
    "checkpoints": ("checkpoints run-1", "[values(one) for one in clusterrun.checkpoints('run-1')]"),
    "logs": ("logs run-1", "[{'attempt': one.attempt, **values(one.line)} for one in clusterrun.log_lines('run-1')][0]"),
    "clean": ("clean --keep 0 --dry-run", "values(clusterrun.clean(keep=0, dry_run=True))"),
}  # fmt: skip
PROGRAM_OF_PAIRS = "import clusterrun, json\nfrom dataclasses import asdict as values\nprint(json.dumps({%s}, default=str))"


def plain(found: object) -> object:
    """Leave out ages: a second may pass between two queries."""
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items() if key != "age"}
    return [*map(plain, found)] if isinstance(found, list) else found


def test_a_result_has_the_keys_of_json(desk: Desk) -> None:
    """A function returns what its command prints with `--json`: the same keys, the same values."""
    desk.write(SPEC)
    desk.run("run-1", cause="finished", next="end", exit_code="0")
    calls = ", ".join(f"{name!r}: {call}" for name, (_, call) in PAIRS.items())
    results = json.loads(python(PROGRAM_OF_PAIRS % calls, desk))
    for name, (words, _) in PAIRS.items():
        typed = desk.type(*words.split(), *([] if "schema" in words else ["--json"])).stdout
        printed = json.loads(typed.splitlines()[0] if name == "logs" else typed)
        assert plain(results[name]) == plain(printed), name
    assert "<html" in (desk.folder / "page.html").read_text()


def test_init_writes_a_spec(desk: Desk) -> None:
    """`init` writes what the command writes, asks nothing, and replaces a file only with `force`."""
    desk.write("import accelerate\n", "train.py")
    code = """
import clusterrun
text = clusterrun.init(nodes=2, gpus_per_node=4, output="-").text
made = clusterrun.init(nodes=2, gpus_per_node=4)
assert made.text == text == open(made.file).read(), made
print(made.file, made.problems, clusterrun.validate(made.file).nodes)
try:
    clusterrun.init()
except clusterrun.SpecError as error:
    print(error)
clusterrun.init(force=True, mem="1G")
"""
    lines = python(code, desk).splitlines()
    assert lines[0] == "train.yaml () 2"
    assert "train.yaml exists" in lines[1]
    typed = desk.type("init", "--yes", "--mem", "1G", "-o", "-").stdout
    assert (desk.folder / "train.yaml").read_text() == typed


def test_other_functions_can_be_called(desk: Desk) -> None:
    """The doctor runs, a test message is sent, and a shell's completion is returned."""
    desk.write(SPEC)
    code = """
import clusterrun
found = clusterrun.doctor(write_profile="own.yaml")
print(found.problems > 0, all(one.verdict for one in found.findings), "slurm:" in open("own.yaml").read())
print("clusterrun" in clusterrun.completion("bash"))
for call in (lambda: clusterrun.notify("job.yaml"), lambda: clusterrun.clean(), lambda: clusterrun.clean(state="odd"),
             lambda: clusterrun.schema("odd"), lambda: clusterrun.estimate(), lambda: clusterrun.estimate(parameters="x")):
    try:
        call()
    except clusterrun.SpecError as error:
        print(error.problems[0].message)
"""
    lines = python(code, desk).splitlines()
    assert lines[:2] == ["True True True", "True"]
    assert len(lines) == 8


def test_errors_are_imported_from_the_package() -> None:
    """The README's form works: `from clusterrun import SpecError, ClusterError`."""
    code = """
from clusterrun import ClusterError, SpecError, validate
try:
    validate("nowhere.yaml")
except SpecError as error:
    print(error)
"""
    assert python(code).startswith("nowhere.yaml: no such file")


def test_the_reference_example_runs(cluster: Desk) -> None:
    """The program at the top of the reference prints a state."""
    cluster.write(SPEC)
    (program,) = re.findall(
        r"```python\n(import .*?)```", (ROOT / "docs/reference/python.md").read_text(), re.DOTALL
    )
    assert python(program, cluster) == "PENDING\n"
