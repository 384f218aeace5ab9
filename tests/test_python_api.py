"""The commands as functions, and a run as an object, for Python programs on a login node."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import clusterrun
from clusterrun.cli import COMMANDS
from clusterrun.job_spec.docstrings import field_docstrings
from tests.support.cli_desk import Desk
from tests.support.pages import written_by

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PLACES = {module: names.split() for module, names in clusterrun._PLACES.items()}

# Options that are no keyword of their function, and keywords that are no option. All others have
# the same name: `--gpu-memory` is `gpu_memory`; `--set` is what argparse calls `overrides`.
OPTIONS_ONLY = {
    "*": {"json": "the result is a value"},
    "clean": {"runs": "the default", "yes": "nothing is asked"},
    "init": {"yes": "nothing is asked"},
    "render": {"explain": "another result, so another function: explain"},
    "resume": {"parsable": "the result is a value"},
    "schema": {"output": "the result is a value, for json.dump"},
    "status": {"watch": "drawn on a screen; a program calls wait, or status in a loop"},
    "submit": {
        "dry_run": "another result, so another function: dry_run",
        "parsable": "the result is a value",
    },
}
KEYWORDS_ONLY = {
    "doctor": {"tell": "the progress, which the command prints"},
    "rehearse": {"tell": "the progress, which the command prints"},
}


def python(code: str, desk: Desk | None = None) -> str:
    """Run a program in a new interpreter, at a desk if one is given; return its output."""
    place = {"env": desk.environment, "cwd": desk.folder} if desk else {"cwd": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=False, **place
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- the table of names


def test_every_name_is_the_object_of_its_module() -> None:
    """A name is its module's object in a new process, even if that module was imported first."""
    code = f"""
import importlib, os, sys, types
for module, names in {PLACES!r}.items():
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, module
        continue
    assert not [name for name in sys.modules if name.startswith("clusterrun")]
    home = importlib.import_module(f"clusterrun.{{module}}")
    import clusterrun
    for name in names:
        found = getattr(clusterrun, name)
        assert found is getattr(home, name), name
        assert not isinstance(found, types.ModuleType), name
    break
"""
    python(code)


def test_no_module_is_called_like_a_public_name() -> None:
    """Importing a module adds it to the package under its name, where it would hide a function."""
    package = Path(clusterrun.__file__).parent
    modules = {path.stem for path in package.glob("*.py")} | {
        path.name for path in package.glob("*/")
    }
    assert modules & set(clusterrun.__all__) == set()


def test_type_checkers_see_the_same_names() -> None:
    """The imports for type checkers are those of the table, each exported under its own name."""
    (block,) = [
        node
        for node in ast.parse(Path(clusterrun.__file__).read_text()).body
        if isinstance(node, ast.If)
    ]
    read: dict[str, list[str]] = {}
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        assert all(alias.asname == alias.name for alias in line.names)
        read[str(line.module).removeprefix("clusterrun.")] = [alias.name for alias in line.names]
    assert read == PLACES


def test_the_table_is_listed() -> None:
    """`__all__` and `dir` have every name once, and nothing else."""
    assert set(clusterrun.__all__) <= set(dir(clusterrun))
    assert len(clusterrun.__all__) == sum(map(len, PLACES.values()))
    with pytest.raises(AttributeError, match="no attribute 'valdate'"):
        clusterrun.valdate  # noqa: B018


def test_the_training_library_loads_the_standard_library_only(tmp_path: Path) -> None:
    """A training environment may lack what the commands need."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import clusterrun.training; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, text=True, capture_output=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) - {"clusterrun", "__main__"} == set()


# ---- the same commands, the same options


def options_of(command: str) -> set[str]:
    """Return argparse's names of a command's options."""
    parser = argparse.ArgumentParser(add_help=False)
    importlib.import_module(f"clusterrun.cli.commands.{command}").add_options(parser)
    return {action.dest for action in parser._actions}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_and_its_function_have_the_same_options(command: str) -> None:
    """Options and keywords have the same names; the tables above list and explain each difference."""
    options, keywords = (
        options_of(command),
        set(inspect.signature(getattr(clusterrun, command)).parameters),
    )
    without = {
        **OPTIONS_ONLY.get(command, {}),
        **{name: "" for name in OPTIONS_ONLY["*"] if name in options},
    }
    assert options - keywords == set(without)
    assert keywords - options == set(KEYWORDS_ONLY.get(command, {}))


def test_the_methods_of_a_run_have_the_options_of_the_functions() -> None:
    """A method has the options of its function, without the run."""
    for name in set(COMMANDS) & set(vars(clusterrun.Run)):
        method, function = (
            inspect.signature(found)
            for found in (getattr(clusterrun.Run, name), getattr(clusterrun, name))
        )
        assert list(method.parameters)[1:] == list(function.parameters)[1:], name


def results() -> Iterator[type]:
    for name in clusterrun.__all__:
        found = getattr(clusterrun, name)
        if isinstance(found, type) and dataclasses.is_dataclass(found):
            yield found


@pytest.mark.parametrize("kind", [*results()], ids=lambda kind: kind.__name__)
def test_a_result_is_frozen_and_described(kind: type) -> None:
    """A result is immutable, and each of its fields has a description."""
    assert kind.__dataclass_params__.frozen
    descriptions = field_docstrings(kind)
    assert [one.name for one in dataclasses.fields(kind) if not descriptions.get(one.name)] == []


# ---- as programs use it

SPEC = """\
name: tiny
command: "true"
slurm: {nodes: 2, time: 1:00:00}
"""
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
    given = json.loads(python(PROGRAM_OF_PAIRS % calls, desk))
    for name, (words, _) in PAIRS.items():
        typed = desk.type(*words.split(), *([] if "schema" in words else ["--json"])).stdout
        printed = json.loads(typed.splitlines()[0] if name == "logs" else typed)
        assert plain(given[name]) == plain(printed), name
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


# ---- the pages


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


def test_each_command_is_a_function() -> None:
    """The commands of the README's table, and all others, are functions of the same name."""
    named = set(re.findall(r"^\| `clusterrun (\w+)", README, re.MULTILINE))
    assert len(named) == 8
    assert named <= set(COMMANDS)
    assert all(inspect.isfunction(getattr(clusterrun, name)) for name in COMMANDS)


def test_the_reference_example_runs(cluster: Desk) -> None:
    """The program at the top of the reference prints a state."""
    cluster.write(SPEC)
    (program,) = re.findall(
        r"```python\n(import .*?)```", (ROOT / "docs/reference/python.md").read_text(), re.DOTALL
    )
    assert python(program, cluster) == "PENDING\n"


def test_the_guide_shows_a_loop_that_can_be_read() -> None:
    """The training example for plain Accelerate uses what the training library has."""
    from clusterrun.training import TrainingRun

    guide = (ROOT / "docs" / "guides" / "accelerate.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    program = next(text for text in programs if "TrainingRun" in text)
    tree = ast.parse(program)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    used = {node.attr for node in calls if ast.unparse(node.value) == "run"}
    assert used
    assert all(callable(getattr(TrainingRun, name)) for name in used)


def test_the_reference_matches_the_docstrings() -> None:
    """docs/reference/python.md is what tools/docs/python_api.py writes; run it to update the page."""
    assert (ROOT / "docs" / "reference" / "python.md").read_text() == written_by("python_api")
