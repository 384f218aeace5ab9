"""Whole scripts: each spec has a golden head, bash and shellcheck accept it, templates extend it.

`make golden` (CLUSTERRUN_GOLDEN=write) rewrites the golden heads; review the diff before you commit
it.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
import yaml

from clusterrun.errors import SpecError
from clusterrun.job_spec import JobSpec, load_spec
from clusterrun.planning.accelerate_config import deepspeed_json_path
from clusterrun.planning.launch import Configs
from clusterrun.planning.plan import Identity, LaunchPlan
from clusterrun.planning.script import render
from clusterrun.planning.sections import SECTIONS, WITHOUT
from tests.support.planned import START, script_of
from tests.support.planned import plan_of as planned

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parents[1] / "golden"
FUNCTIONS = ROOT / "templates" / "functions"


# The project's specs, and test specs for what no job spec shows.
SPECS = [*sorted((ROOT / "job_specs").glob("*.yaml")), *sorted((GOLDEN / "specs").glob("*.yaml"))]
# The project as the golden scripts see it, on any machine.
PROJECT = Path("/project")
RUN = Identity(
    "a-run-20260102-030405-abcd", PurePosixPath("/scratch/50%/a-run-20260102-030405-abcd")
)

each_spec = pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])


def plan_of(path: Path, identity: Identity | None = None) -> LaunchPlan:
    """Plan a job spec of this project as if the project were in /project."""
    loaded = load_spec(path, folder=PROJECT / "job_specs")
    work_dir = Path(loaded.chdir or PROJECT)
    configs = config_texts(
        loaded.spec, lambda name: (ROOT / (work_dir / name).relative_to(PROJECT)).read_text()
    )
    return planned(
        loaded.spec, source=str(path.relative_to(ROOT)), version="golden", chdir=loaded.chdir,
        run_root=loaded.run_root, configs=configs, identity=identity,
    )  # fmt: skip


def config_texts(spec: JobSpec, read: Callable[[str], str]) -> Configs:
    """The config files that a spec names."""
    text = read(spec.accelerate.config_file) if spec.accelerate.config_file else None
    section = (
        yaml.safe_load(text).get("deepspeed_config") if text else spec.accelerate.deepspeed_config
    )
    path = deepspeed_json_path(section)
    return Configs(text, read(path) if path else None)


@each_spec
def test_a_spec_gives_its_golden_head(path):
    """All of a script that depends on its spec equals the reviewed head."""
    golden = GOLDEN / "heads" / f"{path.stem}.sbatch"
    head, _, _ = render(plan_of(path)).partition(START)
    if os.environ.get("CLUSTERRUN_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(head)
    assert golden.is_file(), "no golden head: `make golden` writes it"
    assert head == golden.read_text(), "`make golden` writes it again; read the difference"


def test_every_golden_head_has_its_spec():
    """Every golden head belongs to a spec, and no two specs have one name."""
    assert sorted(path.stem for path in (GOLDEN / "heads").iterdir()) == sorted(
        path.stem for path in SPECS
    )


@each_spec
def test_a_script_is_its_head_and_the_sections_that_it_lists(path):
    """Each section is the unchanged file; a section not listed has at most stubs that others call."""
    head, _, functions = render(plan_of(path)).partition(START)
    listed = re.findall(
        r"^# ([a-z-]+) {2,}\w", head.partition("\n# ---- contents")[2], re.MULTILINE
    )
    absent = re.findall(
        r"[a-z-]+(?=, |\n)",
        head.partition("\n# not needed by this run: ")[2].partition("\n\n")[0] + "\n",
    )
    names = {name.partition("-")[2]: name for name in SECTIONS}
    assert {*listed, *absent} == set(names)
    assert not {*listed} & {*absent}
    files = [FUNCTIONS / f"{names[name]}.sh" for name in listed]
    stubs = [FUNCTIONS / WITHOUT / f"{names[name]}.sh" for name in absent]
    texts = [file.read_text() for file in files]
    if found := [file.read_text() for file in stubs if file.is_file()]:
        texts += [
            "# ---- absent: stubs for functions of the sections that this run does not need\n",
            *found,
        ]
    assert functions.partition("\n\n")[2] == "\n".join([*texts, 'install_traps\nmain "$@"\n'])
    for name, text in zip(listed, texts, strict=False):
        assert text.startswith(f"# ---- {name}: ")


@each_spec
def test_bash_reads_every_script(path):
    """bash reports no syntax error in a script."""
    assert output_of(["bash", "-n"], render(plan_of(path))) == (0, "", "")


# The scripts share nine tenths of their text, and shellcheck takes a second for each.
UNLIKE = ("two_nodes", "elastic", "plain_script", "zero3", "cpu")
CHECKED = [
    pytest.param(path, marks=() if path.stem in UNLIKE else pytest.mark.extended, id=path.stem)
    for path in SPECS
]


@pytest.mark.parametrize("path", CHECKED)
def test_shellcheck_reads_the_scripts(path):
    """shellcheck reports nothing on a script; one script is also checked as submitted."""
    for identity in (None, RUN) if path.stem == "two_nodes" else (None,):
        assert output_of(["shellcheck", "-"], render(plan_of(path, identity))) == (0, "", "")


def output_of(command, script):
    """The exit code and the output of a command that reads a script."""
    answer = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
    return answer.returncode, answer.stdout, answer.stderr


@each_spec
def test_the_same_spec_gives_the_same_text(path):
    """Planning and rendering depend only on the spec."""
    assert render(plan_of(path)) == render(plan_of(path))


@each_spec
def test_a_spec_determines_at_most_eighty_lines(path):
    """All that depends on the spec comes before the functions, short enough to read at night.

    The contents are titles of sections; a DeepSpeed JSON is the user's own file, of any length.
    """
    head, _, functions = render(plan_of(path)).partition(START)
    own = re.sub(
        r"(?<=/deepspeed.json\" <<'END_OF_CONFIG'\n).*?(?=^END_OF_CONFIG$)|^# ---- contents.*?^$",
        "",
        head,
        flags=re.DOTALL | re.MULTILINE,
    )
    assert len([line for line in own.splitlines() if line]) <= 80
    assert "\nmain() {\n" in head
    assert functions.endswith('\nmain "$@"\n')


def test_a_submitted_script_differs_only_in_its_run():
    """`render` and `submit` share one path: submit adds only the run's id and folder."""
    path = ROOT / "job_specs" / "two_nodes.yaml"
    without, with_run = (render(plan_of(path, identity)).splitlines() for identity in (None, RUN))
    changes = [line for line in difflib.ndiff(without, with_run) if line[0] in "+-"]
    assert changes == [
        "+ #SBATCH --output=/scratch/50%%/a-run-20260102-030405-abcd/logs/slurm-%j.out",
        "- run_id=tiny-gpt2-${CLUSTERRUN_FIRST_JOB:-$SLURM_JOB_ID}",
        "- run_dir=$work_dir/runs/$run_id",
        "+ run_id=a-run-20260102-030405-abcd",
        "+ run_dir=/scratch/50%/a-run-20260102-030405-abcd",
        "+ was_submitted=yes",
    ]


def test_the_scripts_own_variables_cannot_be_set(folder):
    """No spec may set a variable that main sets before the environment."""
    names = set(
        re.findall(r"^([a-z_]+)=", (ROOT / "templates" / "_settings.j2").read_text(), re.MULTILINE)
    )
    assert names >= {"run_dir", "run_id"}
    for name in names:
        with pytest.raises(SpecError, match=f"{name} is reserved for the job script"):
            script_of(f"script: train.py\nenvironment: {{variables: {{{name}: x}}}}\n")


def test_a_run_folder_with_a_backslash_is_refused():
    """sbatch reads no pattern in an --output with a backslash, so such a folder is refused."""
    with pytest.raises(SpecError) as raised:
        plan_of(SPECS[0], Identity("r", PurePosixPath("/scratch/a\\b/r")))
    assert str(raised.value) == (
        f"job_specs/{SPECS[0].name}: the path of the run folder contains a backslash: /scratch/a\\b/r\n"
        "  hint: set another run_root in the profile"
    )


def settings_of(script: str) -> list[str]:
    """The settings lines of a run."""
    _, _, after = script.partition("\n# ---- settings of this run\n")
    return after.partition("\n\n")[0].splitlines()


ARRAY = """\
script: train.py
slurm: {array: 0-7%2, time: 4}
share: group
checkpoint: {path: "{run_dir}/it's/{run_dir}-*", signal: SIGTERM}
"""


def test_a_task_of_an_array_is_a_separate_run(folder):
    """Each task has its own id and folder below the array's; Slurm's log has array and task id."""
    assert settings_of(script_of(ARRAY)) == [
        "share='' processes_per_node='' checkpoint_path='' checkpoint='' stop_signal='' reads_stop_file='' skip_node_check='' gpus_without_gres='' shrink_to='' "
        "shrink_after='' exclude='' secrets='' sweep_id='' was_submitted='' member_name='' script_file='' launch_kind='' srun_options=() FUNCNEST=''  # a login profile may have set them",
        "work_dir=$SLURM_SUBMIT_DIR",
        "run_id=job-${CLUSTERRUN_FIRST_JOB:-$SLURM_ARRAY_JOB_ID}",
        "run_dir=$work_dir/runs/$run_id",
        "run_id=$run_id-$SLURM_ARRAY_TASK_ID  # each task is a separate run",
        "run_dir=$run_dir/task-$SLURM_ARRAY_TASK_ID",
        "share=group",
        "num_processes=1",
        """checkpoint_path=$(printf %s "$run_dir" | sed 's/[[*?]/[&]/g')"""
        """'/it'"'"'s/'"""
        """$(printf %s "$run_dir" | sed 's/[[*?]/[&]/g')""" + "'-*'",
        "stop_signal=TERM",
        "script_file=train.py",
        "signal_lead=60  # seconds before the time limit",
        "hang=auto",
        "requeue_on='preemption time-limit node-failure crash hang'",
        "requeue_by=auto",
        "max_crashes=3",
        "settings=(format=2 version=golden nodes=1 min_nodes=1 processes_per_node=1 num_processes=1 max_crashes=3 handles_stop=1)  # recorded for readers",
    ]
    plan = planned(load_spec("job.yaml").spec, identity=RUN)
    assert settings_of(render(plan))[2:4] == [
        f"run_id={RUN.run_id}",
        f"run_dir={RUN.folder}",
    ]
    assert (
        f"#SBATCH --output=/scratch/50%%/{RUN.run_id}/logs/slurm-%A_%a.out"
        in render(plan).splitlines()
    )
    assert "#SBATCH --array=0-7%2" in render(plan).splitlines()


@pytest.mark.parametrize(("slurm", "lead"), [("{}", 120), ("{time: 4}", 60), ("{time: UNLIMITED}", 120),
                                             ("{time: 1-0, signal: USR1@600}", 600), ("{time: '0:3'}", 1)])  # fmt: skip
def test_the_script_knows_the_lead_time_of_the_signal(folder, slurm, lead):
    """The script has the seconds of --signal: its own timer requests the save before that."""
    script = script_of(f"script: train.py\nslurm: {slurm}\n")
    assert f"#SBATCH --signal=USR1@{lead}\n" in script
    assert f"\nsignal_lead={lead}  # seconds" in script


def test_a_config_file_cannot_end_its_here_document(folder):
    """A config line that would end the here-document early is refused."""
    (folder / "job.yaml").write_text("script: train.py\naccelerate: {config_file: a.yaml}\n")
    spec = load_spec("job.yaml").spec
    text = (
        'distributed_type: MULTI_GPU\nmain_training_function: "main\nEND_OF_CONFIG\ntouch canary"\n'
    )
    plan = planned(spec, configs=Configs(text))
    with pytest.raises(
        SpecError,
        match="a config file has the line END_OF_CONFIG, which would end its here-document early",
    ):
        render(plan)


def test_a_script_too_large_for_slurm(folder):
    """A script over Slurm's limit of four megabytes is refused with its size."""
    quotes = "'" * 60_000  # each is five characters in a shell word
    variables = "".join(f'    V{number}: "{quotes}"\n' for number in range(14))
    with pytest.raises(
        SpecError,
        match=r"^job.yaml: the job script has 4[23]\d{5} bytes; Slurm accepts at most 4 MB$",
    ):
        script_of(f"script: train.py\nenvironment:\n  variables:\n{variables}")
