"""What a spec may contain, and how it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from clusterrun.errors import SpecError
from clusterrun.job_spec import JobSpec, load_spec
from clusterrun.job_spec.yaml_text import read_scalar
from clusterrun.planning.launch import argument_words
from clusterrun.units import seconds_of_slurm_time
from tests.support.loaded_specs import load

pytestmark = pytest.mark.usefixtures("folder")

SCALARS: list[tuple[str, Any]] = [
    ("12:00:00", "12:00:00"),  # YAML 1.1 reads 43200
    ("1:30", "1:30"),
    ("no", "no"),
    ("off", "off"),
    ("on", "on"),
    ("yes", "yes"),
    ("y", "y"),
    ("1_000", "1_000"),
    ("2024-01-31", "2024-01-31"),
    ("0b11", "0b11"),
    ("=", "="),
    ("", None),
    ("~", None),
    ("null", None),
    ("true", True),
    ("False", False),
    ("08", 8),
    ("0o17", 15),
    ("017", 17),
    ("0x1F", 31),
    ("-3", -3),
    ("3e-4", 0.0003),
    ("1e5", 100000.0),
    (".5", 0.5),
    ("-.inf", float("-inf")),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_plain_scalar_is_read_as_yaml_1_2_does(text, value):
    """An unquoted value is read by YAML 1.2's core schema, never by YAML 1.1."""
    assert read_scalar(text) == value
    assert isinstance(read_scalar(text), type(value))


@pytest.mark.parametrize(
    "text", ["3e-4", "08", "0o17", "1_000", "12:00:00", "no", "on", "0.10", "1e5", "-5", "9" * 5000]
)
def test_a_value_reaches_the_script_as_it_was_written(text):
    """A number keeps its spelling in the script, and what only YAML 1.1 reads as a number is text."""
    assert load(f"args: {{lr: {text}}}").args == {"lr": text}


def test_quotes_make_text_of_anything():
    """A quoted value is text, even if it would be a number, true or null without quotes."""
    spec = load("environment: {variables: {A: 'true', B: \"~\", C: '08', D: ''}}")
    assert spec.environment.variables == {"A": "true", "B": "~", "C": "08", "D": ""}


def test_booleans_in_variables_are_words():
    """true and false in environment.variables stay those words, as HF_HUB_OFFLINE expects."""
    assert load("environment: {variables: {A: true, B: False}}").environment.variables == {
        "A": "true",
        "B": "false",
    }


def test_dashes_and_underscores_are_both_read():
    """A key may have dashes, as in sbatch, or underscores, as in accelerate."""
    text = (
        "slurm: {{gpus{0}per{0}node: 4, mail{0}type: END}}\naccelerate: {{mixed{0}precision: bf16}}"
    )
    assert load(text.format("-")) == load(text.format("_"))
    assert load(text.format("-")).slurm.gpus_per_node == "4"


def test_anchors_and_merges_are_read():
    """`<<: *anchor` adds the keys that the mapping itself lacks."""
    spec = load("environment:\n  variables: &base {A: 1, B: 2}\nargs:\n  <<: *base\n  B: 3")
    assert spec.args == {"A": "1", "B": "3"}


def test_files_of_other_systems_are_read():
    """A byte-order mark and Windows line endings are accepted."""
    Path("job.yaml").write_bytes("\ufeffscript: a.py\r\nslurm:\r\n  time: 1:00\r\n".encode())
    spec = load_spec("job.yaml").spec
    assert (spec.script, spec.slurm.time) == ("a.py", "1:00")


def test_untyped_options_are_passed_on_as_written():
    """sbatch options without a type of ours keep their text; true means an option without a value."""
    spec = load(
        "slurm: {constraint: a&b, nice: -5, reboot: true, additional_parameters: {new-option: 08}}"
    )
    assert spec.slurm.model_extra == {"constraint": "a&b", "reboot": True}
    assert spec.slurm.nice == "-5"
    assert spec.slurm.additional_parameters == {"new-option": "08"}


TIMES = {
    "30": 30 * 60, "30:15": 30 * 60 + 15, "2:30:15": 2 * 3600 + 30 * 60 + 15, "1-2": 26 * 3600,
    "1-2:30": 26 * 3600 + 1800, "1-2:30:15": 26 * 3600 + 1815, "0-0:0:1": 1, "UNLIMITED": None, "infinite": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), TIMES.items())
def test_every_form_of_sbatch_time(text, seconds):
    """Each form of an sbatch time means the seconds of sbatch(1), and keeps its spelling."""
    assert seconds_of_slurm_time(text) == seconds
    assert load(f"slurm: {{time: {text}}}").slurm.time == text


@pytest.mark.parametrize(
    ("every", "expected"),
    [("10min", "10min"), ("90 seconds", "90s"), ("1.5h", "90min"), ("2 hours", "2h"), ("500 steps", "500 steps"),
     ("1step", "1 steps"), ("5 minutes", "5min"), ("30sec", "30s"), ("auto", "auto")],
)  # fmt: skip
def test_every_interval(every, expected):
    """An interval reaches the training process in one of four units, or as auto."""
    assert load(f"checkpoint: {{every: {every}}}").checkpoint.every == expected


ARGUMENTS: list[tuple[str, tuple[str, ...]]] = [
    ("{bf16: true}", ("--bf16",)),
    ("{bf16: false}", ()),
    ("{bf16: null}", ()),
    ("{bf16: 'true'}", ("--bf16", "true")),
    ("{lr: 3e-4}", ("--lr", "3e-4")),
    ("{name: ''}", ("--name", "")),
    ("{betas: [0.9, 0.95]}", ("--betas", "0.9", "0.95")),
    ("{files: []}", ("--files",)),
    ("{temperature: -1}", ("--temperature=-1",)),
    ("{text: --help}", ("--text=--help",)),
    ("{-n: 3}", ("-n", "3")),
    ("{--already-dashed: 3}", ("--already-dashed", "3")),
    ("{model.lora.r: 8}", ("--model.lora.r", "8")),
]


@pytest.mark.parametrize(("text", "words"), ARGUMENTS)
def test_an_argument_becomes_words(text, words):
    """true is a bare flag, false and null add nothing, a list repeats; values with a dash use `=`."""
    ((name, value),) = load(f"args: {text}").args.items()
    assert argument_words(name, value) == words


def test_arguments_as_a_list_are_passed_on_word_by_word():
    """A list in args is the command line itself."""
    assert load("args: [train, --lr, 3e-4, '']").args == ["train", "--lr", "3e-4", ""]


def test_a_run_may_be_a_module_or_a_command():
    """A module or a command is accepted in place of a script; a command keeps its lines."""
    Path("job.yaml").write_text("module: pkg.train\n")
    assert load_spec("job.yaml").spec.module == "pkg.train"
    Path("job.yaml").write_text("command: |\n  cd data\n  ./prepare.sh\n")
    spec = load_spec("job.yaml").spec
    assert (spec.command, spec.launch_kind) == ("cd data\n./prepare.sh\n", "command")


def test_one_setup_line_needs_no_list():
    """environment.setup is a text or a list of texts."""
    assert load("environment: {setup: ulimit -n 4096}").environment.setup == ("ulimit -n 4096",)
    assert load("environment: {setup: [a, b]}").environment.setup == ("a", "b")


@pytest.mark.parametrize(
    ("file", "name"), [("job.yaml", "job"), ("a.b.yaml", "a"), ("tiny-gpt2_1", "tiny-gpt2_1")]
)
def test_the_default_name_is_that_of_the_file(file, name):
    """The default name is the file's name up to its first dot."""
    Path(file).write_text("script: a.py\n")
    assert load_spec(file).spec.name == name
    Path(file).write_text("script: a.py\nname: null\n")
    assert load_spec(file).spec.name == name


@pytest.mark.parametrize(
    ("chdir", "absolute"),
    [("..", "/project"), (".", "/project/jobs"), ("a/../b", "/project/jobs/b"), ("/scratch/", "/scratch"),
     ("~/x", "/home/ada/x"), ("~nobody-of-that-name/x", "/project/jobs/~nobody-of-that-name/x")],
)  # fmt: skip
def test_chdir_is_relative_to_the_spec(chdir, absolute):
    """slurm.chdir is relative to the folder of the spec file; `~` is expanded as in a shell."""
    Path("job.yaml").write_text(f"script: a.py\nslurm: {{chdir: {chdir}}}\n")
    assert load_spec("job.yaml", folder=Path("/project/jobs")).chdir == absolute


def test_chdir_is_relative_to_the_file_not_the_shell(folder):
    """The current folder of the shell does not affect slurm.chdir."""
    (folder / "specs").mkdir()
    (folder / "specs" / "job.yaml").write_text("script: a.py\nslurm: {chdir: ..}\n")
    assert load_spec("specs/job.yaml").chdir == str(folder)
    assert load("").slurm.chdir is None


def test_a_spec_cannot_be_changed():
    """A validated spec cannot be modified."""
    spec = load("")
    with pytest.raises(ValidationError) as raised:
        spec.name = "other"
    assert [error["type"] for error in raised.value.errors()] == ["frozen_instance"]


def test_more_than_one_task_per_node_is_refused():
    """The script starts one task per node, so no spec or command may request more."""
    for what, why in (
        ("script: a.py", "the launcher starts"),
        ("command: python a.py", "the command runs once"),
    ):
        Path("job.yaml").write_text(f"{what}\nslurm: {{ntasks-per-node: 4}}\n")
        with pytest.raises(SpecError, match=f"slurm.ntasks-per-node: managed by clusterrun; {why}"):
            load_spec("job.yaml")


@pytest.mark.parametrize(
    "array", ["0-3", "1,3,5", "0-15:4", "7", "0-99%4", "1,5-9,20-40:5%2", "3-3"]
)
def test_every_array(array):
    """Every form of array indices of sbatch is accepted and passed on unchanged."""
    assert load(f"slurm: {{array: '{array}'}}").slurm.array == array


RESUMES: list[tuple[str, tuple[str, ...]]] = [
    ("", ("--resume_from_checkpoint", "{checkpoint}")),
    ("resume: null", ("--resume_from_checkpoint", "{checkpoint}")),
    ("resume: false", ()),
    ("resume: []", ()),
    ("resume: --ckpt={checkpoint}", ("--ckpt={checkpoint}",)),
    (
        "resume: --init 'a b' \"$(x) {checkpoint}\" `y` $Z \\\\ a#b",
        ("--init", "a b", "$(x) {checkpoint}", "`y`", "$Z", "\\", "a#b"),
    ),
    ("resume: [--step, 3, 'a b {checkpoint}', '']", ("--step", "3", "a b {checkpoint}", "")),
]


@pytest.mark.parametrize(("text", "words"), RESUMES)
def test_the_resume_arguments_of_a_script(text, words):
    """checkpoint.resume is a list, or a line split as in a shell, with nothing evaluated."""
    assert load(f"checkpoint:\n  path: out/*\n  {text}").checkpoint.resume == words


def test_a_resolved_spec_can_be_read_again():
    """The spec stored in a run folder means the same when it is read again."""
    for resume in ("false", "--ckpt={checkpoint}", "null"):
        spec = load(f"share: group\ncheckpoint: {{path: 'x-*', resume: '{resume}', signal: SIGTERM, every: auto}}"
                    .replace("'false'", "false").replace("'null'", "null"))  # fmt: skip
        resolved = spec.model_dump(mode="json", exclude_defaults=True)
        assert JobSpec.model_validate(resolved) == spec


@pytest.mark.parametrize(
    ("text", "name"), [("USR1", "USR1"), ("SIGUSR2", "USR2"), ("SIGTERM", "TERM"), ("null", None)]
)
def test_a_signal_has_two_spellings(text, name):
    """A signal may have the prefix SIG or not, as for kill."""
    assert load(f"checkpoint: {{signal: {text}}}").checkpoint.signal == name
