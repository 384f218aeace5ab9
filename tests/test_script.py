"""Whole scripts: each job spec has its golden one, bash and shellcheck read it, and users' templates extend it.

`make golden` (CLUSTERRUN_GOLDEN=write) writes the golden scripts again; read the difference before you commit it.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from clusterrun.errors import SpecError
from clusterrun.plan import Identity, LaunchPlan, make_plan
from clusterrun.prepare import Request, prepare
from clusterrun.script import render
from clusterrun.spec import load_spec

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
SPECS = sorted((ROOT / "job_specs").glob("*.yaml"))
# The project as the golden scripts see it, on any machine.
PROJECT = Path("/project")
RUN = Identity("a-run-20260102-030405-abcd", PurePosixPath("/scratch/50%/a-run-20260102-030405-abcd"))

each_spec = pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])


def plan_of(path: Path, identity: Identity | None = None) -> LaunchPlan:
    """Plan a job spec of this project as if the project lay in /project."""
    loaded = load_spec(path, folder=PROJECT / "job_specs")
    work_dir = Path(loaded.chdir or PROJECT)
    config = loaded.spec.accelerate.config_file
    text = (ROOT / (work_dir / config).relative_to(PROJECT)).read_text() if config else None
    return make_plan(
        loaded.spec, source=f"job_specs/{path.name}", version="golden", chdir=loaded.chdir,
        run_root=loaded.run_root, config_text=text, identity=identity,
    )  # fmt: skip


def script_of(text: str, **options) -> str:
    """Render the text of a spec."""
    Path("job.yaml").write_text(text)
    loaded = load_spec("job.yaml")
    return render(make_plan(loaded.spec, source="job.yaml", version="golden", chdir=loaded.chdir), **options)


@each_spec
def test_a_job_spec_gives_its_golden_script(path):
    """The whole script of a job spec is the one that was read and agreed to."""
    golden = GOLDEN / f"{path.stem}.sbatch"
    script = render(plan_of(path))
    if os.environ.get("CLUSTERRUN_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(script)
    assert golden.is_file(), "no golden script: `make golden` writes it"
    assert script == golden.read_text(), "`make golden` writes it again; read the difference"


def test_every_golden_script_has_its_job_spec():
    """A golden script without a job spec is left over from one that is gone."""
    assert SPECS
    assert {path.stem for path in GOLDEN.iterdir()} == {path.stem for path in SPECS}


@each_spec
def test_bash_and_shellcheck_read_every_script(path):
    """Neither bash nor shellcheck has anything to say about a script, with and without a run of its own."""
    for identity in (None, RUN):
        script = render(plan_of(path, identity))
        for command in (["bash", "-n"], ["shellcheck", "-"]):
            answer = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
            assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


@each_spec
def test_the_same_spec_gives_the_same_text(path):
    """Planning and rendering depend on nothing but the spec."""
    assert render(plan_of(path)) == render(plan_of(path))


@each_spec
def test_a_spec_decides_no_more_than_eighty_lines(path):
    """All that depends on the spec stands before the fixed functions, short enough to read at night."""
    before, found, functions = render(plan_of(path)).partition("\n# ---- clusterrun's functions, version 1 ")
    assert found
    assert before.count("\n") <= 80
    assert "\nmain() {\n" in before
    assert functions.endswith('\nmain "$@"\n')
    fixed = (ROOT / "templates" / "functions.sh").read_text()
    assert fixed.endswith(functions.removesuffix('\nmain "$@"\n'))


def test_a_submitted_script_differs_only_in_which_run_it_is():
    """`render` and `submit` are one path: the run's id and folder are all that submit adds."""
    path = ROOT / "job_specs" / "two_nodes.yaml"
    without, with_run = (render(plan_of(path, identity)).splitlines() for identity in (None, RUN))
    changes = [line for line in difflib.ndiff(without, with_run) if line[0] in "+-"]
    assert changes == [
        "+ #SBATCH --output=/scratch/50%%/a-run-20260102-030405-abcd/logs/slurm-%j.out",
        "-   run_id=tiny-gpt2-$SLURM_JOB_ID",
        "-   run_dir=$(absolute runs)/$run_id",
        "+   run_id=a-run-20260102-030405-abcd",
        "+   run_dir=/scratch/50%/a-run-20260102-030405-abcd",
    ]


def test_the_scripts_own_variables_cannot_be_set(folder):
    """What main sets before the environment must be there after it, so no spec may name it."""
    names = set(re.findall(r"^  ([a-z_]+)=", (ROOT / "templates" / "_run.j2").read_text(), re.MULTILINE))
    assert names >= {"run_dir", "run_id"}
    for name in names:
        with pytest.raises(SpecError, match=f"{name} is a variable of the job script itself"):
            script_of(f"script: train.py\nenvironment: {{variables: {{{name}: x}}}}\n")


def test_a_run_folder_with_a_backslash_is_refused():
    """sbatch reads no pattern in an --output with a backslash, so such a folder is refused before it is used."""
    with pytest.raises(SpecError) as raised:
        plan_of(SPECS[0], Identity("r", PurePosixPath("/scratch/a\\b/r")))
    assert str(raised.value) == (
        f"job_specs/{SPECS[0].name}: the run folder's path has a backslash: /scratch/a\\b/r\n"
        "  hint: another run_root, in the profile, would do"
    )


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


SPEC = "script: train.py\nenvironment: {setup: ulimit -n 4096}\n"
EXTENDED = """\
{% extends "clusterrun/base.sbatch.j2" %}
{% block environment %}
  export SITE=here
{{ super() | plain }}{% endblock %}
{% block directives %}
{{ super() | plain -}}
#SBATCH --comment={{ "it's " ~ spec.name }}
{% endblock %}
"""


def test_a_users_template_extends_ours_block_by_block(folder):
    """A base.sbatch.j2 of the user adds to a block and leaves all else as it is."""
    (folder / "mine").mkdir()
    (folder / "mine" / "base.sbatch.j2").write_text(EXTENDED)
    ours, theirs = script_of(SPEC), script_of(SPEC, templates=[folder / "mine"])
    changes = [line for line in difflib.ndiff(ours.splitlines(), theirs.splitlines()) if line[0] in "+-"]
    assert changes == ["+ #SBATCH --comment='it'\"'\"'s job'", "+   export SITE=here"]


def test_templates_beside_the_spec_are_found_and_an_option_goes_before_them(folder):
    """The folder `templates` beside a spec is used; a folder of --templates is searched before it."""
    (folder / "train.py").touch()
    (folder / "job.yaml").write_text(SPEC)
    for name, word in (("templates", "beside"), ("option", "option")):
        (folder / name).mkdir()
        (folder / name / "_launch.j2").write_text(f"  echo {word}\n")
    for options, word in (((), "beside"), (("option",), "option")):
        script = prepare(Request("job.yaml", templates=options, environment={"HOME": str(folder)})).script()
        assert f"\nlaunch() {{\n  echo {word}\n}}\n" in script


def test_a_partial_of_the_user_is_used_by_our_base(folder):
    """One partial can be replaced alone, and ours of the same name stays within reach."""
    (folder / "_configs.j2").write_text('  echo configs\n{% include "clusterrun/_configs.j2" %}')
    script = script_of("command: hostname\n", templates=[folder])
    assert "\nwrite_configs() {\n  echo configs\n  :\n}\n" in script


FAULTS = [
    ("{{ spec.nmae }}", "job.yaml: template: 'clusterrun.spec.model.JobSpec object' has no attribute 'nmae'"),
    ("{{ nothing }}", "job.yaml: template: 'nothing' is undefined"),
    ('{{ "a\nb" }}', "job.yaml: template: newline (U+000A) in 'a\\nb'"),
    ('{% include "gone.j2" %}', "job.yaml: template: gone.j2"),
    ('{% include "../job.yaml" %}', "job.yaml: template: ../job.yaml"),
    ("\n{% if %}", "{folder}/base.sbatch.j2:2: template: Expected an expression, got 'end of statement block'"),
]


@pytest.mark.parametrize(("template", "expected"), FAULTS)
def test_a_fault_in_a_users_template(folder, template, expected):
    """A name that does not exist, and whatever else is wrong with a template, is the user's mistake and told as one."""
    (folder / "base.sbatch.j2").write_text(template)
    with pytest.raises(SpecError) as raised:
        script_of(SPEC, templates=[folder])
    assert str(raised.value) == expected.format(folder=folder)


TRICKS = [
    "{{ plan.__class__.__mro__[-1].__subclasses__() }}",
    "{{ ''.__class__ }}",
    "{{ spec.model_dump.__globals__ }}",
    "{{ plan.launch.__init__.__globals__['__builtins__'] }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('touch canary').read() }}",
    "{{ ('%s' | attr('format'))(plan).__class__ }}",
    "{{ '{0.__class__}'.format(plan) }}",
]


@pytest.mark.parametrize("template", TRICKS)
def test_a_template_reaches_nothing_but_the_plan(folder, template):
    """A template from elsewhere cannot climb from a value to Python's own objects."""
    (folder / "base.sbatch.j2").write_text(template)
    with pytest.raises(SpecError, match=r"template: (access to attribute '__\w+__'|'\w+' is undefined|.*__\w+__)"):
        script_of(SPEC, templates=[folder])
    assert not (folder / "canary").exists()


def test_a_config_file_cannot_end_its_here_document(folder):
    """A line of an accelerate config that would end the here-document early is refused."""
    (folder / "job.yaml").write_text("script: train.py\naccelerate: {config_file: a.yaml}\n")
    spec = load_spec("job.yaml").spec
    text = 'distributed_type: MULTI_GPU\nmain_training_function: "main\nEND_OF_CONFIG\ntouch canary"\n'
    plan = make_plan(spec, source="job.yaml", version="golden", config_text=text)
    with pytest.raises(SpecError, match="a config file has a line END_OF_CONFIG, which ends it early"):
        render(plan)


def test_a_script_that_slurm_would_not_take(folder):
    """A script beyond Slurm's four megabytes is refused with its size."""
    quotes = "'" * 60_000  # each is five characters in a shell word
    variables = "".join(f'    V{number}: "{quotes}"\n' for number in range(14))
    with pytest.raises(SpecError, match=r"^job.yaml: the script has 42\d{5} bytes; Slurm takes 4 MB$"):
        script_of(f"script: train.py\nenvironment:\n  variables:\n{variables}")
