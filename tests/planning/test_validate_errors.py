"""What `validate` reports of files and of combinations, in full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.planning.preparation import Request
from clusterrun.planning.validation import validate
from tests.support.library_words import masked


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(text: str, *, templates: tuple[str, ...] = ()) -> str:
    """Write a spec and return all that `validate` reports."""
    Path("job.yaml").write_text(text)
    request = Request(
        "job.yaml", templates=templates, environment={"HOME": str(Path.cwd())}, cwd=Path.cwd()
    )
    with pytest.raises(SpecError) as raised:
        validate(request)
    return str(raised.value)


def test_missing_files_of_a_spec(folder):
    """Every file that the spec names is checked, and each is reported at its own line."""
    text = "script: train.py\nenvironment: {venv: .venv}\naccelerate:\n  config_file: zero2.yaml\n"
    hint = "  hint: relative paths start at slurm.chdir, or at the current folder without it"
    assert refused(text) == (
        f"job.yaml:1: script: file not found: {folder}/train.py\n{hint}\n"
        f"job.yaml:2: environment.venv: virtual environment not found: {folder}/.venv\n{hint}\n"
        f"job.yaml:4: accelerate.config_file: file not found: {folder}/zero2.yaml\n{hint}"
    )
    Path("train.py").touch()
    assert refused("script: train.py\nslurm: {chdir: gone}\n") == (
        f"job.yaml:1: script: file not found: {folder}/gone/train.py\n{hint}\n"
        f"job.yaml:2: slurm.chdir: folder not found: {folder}/gone\n{hint}"
    )
    deepspeed = "script: train.py\naccelerate: {deepspeed_config: {deepspeed_config_file: ds.json}}\nslurm: {gpus-per-node: 2}\n"
    where = "accelerate.deepspeed_config.deepspeed_config_file"
    assert refused(deepspeed) == f"job.yaml:2: {where}: file not found: {folder}/ds.json\n{hint}"


SPEC = "job.yaml:3: accelerate.config_file: "
NO_TYPE = SPEC + "{path} is not an accelerate config: distributed_type is missing"
IS_JSON = SPEC + "{path} is a DeepSpeed JSON, not an accelerate config"
DEEPSPEED = "use accelerate.deepspeed_config.deepspeed_config_file for a DeepSpeed JSON"
ALONE = "config:1: distributed_type: NO starts independent processes, each with world size 1"
CONFIGS = [
    (json.dumps({"zero_optimization": {"stage": 2}}), f"{IS_JSON}\n  hint: {DEEPSPEED}"),
    ("num_processes: 2\n", f"{NO_TYPE}\n  hint: {DEEPSPEED}"),
    (
        "distributed_type: 'NO'\n",
        f"{ALONE}\n  hint: write distributed_type: MULTI_GPU, with use_cpu: true on CPUs",
    ),
    ("distributed_type: [", SPEC + "{path} is not valid YAML: line 1: <LIBRARY>"),
    ("when: 2001-13-45\n", SPEC + "{path} is not valid YAML: <LIBRARY>"),
]


@pytest.mark.parametrize(("config", "expected"), CONFIGS)
def test_a_config_file_that_accelerate_could_not_use(folder, config, expected):
    """accelerate's config file is checked before submission."""
    Path("train.py").touch()
    Path("config").write_text(config)
    text = refused("script: train.py\nslurm: {nodes: 2}\naccelerate: {config_file: config}\n")
    expected = expected.format(path=folder / "config")
    assert masked(text, expected) == expected


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("if true", "line 2: <LIBRARY>"),
        ("echo 'a", "line 1: <LIBRARY>"),
        ("cat <<END", "line 1: <LIBRARY>"),
        ("}", "line 1: <LIBRARY>"),
    ],
)
def test_shell_lines_that_bash_cannot_read(line, fault):
    """bash checks the user's shell lines before submission."""
    spec = "command: 'true'\nenvironment:\n  setup:\n"
    where = "environment.setup[0]"
    expected = f"job.yaml:4: {where}: bash syntax error: {fault}"
    assert masked(refused(f"{spec}  - {json.dumps(line)}\n"), expected) == expected
    expected = f"job.yaml:1: command: bash syntax error: {fault}"
    assert masked(refused(f"command: {json.dumps(line)}\n"), expected) == expected


OPEN = "warning: here-document at line 1 delimited by end-of-file (wanted `X')"
NODE_CHECKS = [
    (")", "line 1: syntax error near unexpected token `)'"),
    ("}", "line 1: syntax error near unexpected token `}'"),
    ("<<X", f"line 1: {OPEN}"),
    ("cat <<X", f"line 1: {OPEN}"),
    ("true; }; touch canary; {", "line 1: syntax error near unexpected token `}'"),
    ("fi", "line 1: syntax error near unexpected token `fi'"),
    ("# nothing yet", "no command, only comments"),
    ("echo 'no GPU", "line 1: unexpected EOF while looking for matching `''"),
]


@pytest.mark.parametrize(("line", "fault"), NODE_CHECKS)
def test_a_node_check_that_bash_cannot_read(line, fault):
    """A node check becomes the body of a function: lines that would break out are refused."""
    text = f"name: x\ncommand: 'true'\nnode_check: {json.dumps(line)}\n"
    assert refused(text) == f"job.yaml:3: node_check: bash syntax error: {fault}"
    assert not Path("canary").exists()


def test_a_node_check_of_several_lines():
    """bash gets a list as one text, and each of its lines has a line in the file."""
    spec = "command: 'true'\nnode_check:\n  - if true; then\n  - true; fi\n"
    Path("job.yaml").write_text(spec)
    validate(Request("job.yaml", environment={}, own_python=False))
    assert refused(f"{spec}  - )\n") == (
        "job.yaml:5: node_check: bash syntax error: line 3: syntax error near unexpected token `)'"
    )


def test_a_command_of_comments_alone():
    """A function without a command is a syntax error, although its text alone is not."""
    assert (
        refused("command: '# later'\n")
        == "job.yaml:1: command: bash syntax error: no command, only comments"
    )


def test_all_shell_lines_are_reported_at_once():
    """Each text is checked alone: an open quote in one hides nothing in the next."""
    text = 'command: echo \'a\nnode_check: )\nenvironment: {setup: ["true", "echo \\"b", "}"]}\n'
    found = [line.split(": bash")[0] for line in refused(text).splitlines()]
    assert found == [
        "job.yaml:1: command", "job.yaml:2: node_check", "job.yaml:3: environment.setup[1]",
        "job.yaml:3: environment.setup[2]",
    ]  # fmt: skip


def test_a_template_that_breaks_the_script(folder):
    """The whole script is checked, too: a template's syntax error is reported before submission."""
    (folder / "mine").mkdir()
    (folder / "mine" / "_launch.j2").write_text("  true )\n")
    text = refused("command: 'true'\n", templates=("mine",))
    assert text.startswith("job.yaml: bash syntax error in the rendered script: line ")
    assert text.endswith(
        ": syntax error near unexpected token `)'\n"
        "  hint: check the templates in mine; show the script with clusterrun render"
    )


def test_a_missing_template_folder():
    """A misspelt --templates is reported; the default script is not used instead."""
    Path("train.py").touch()
    text = refused("script: train.py\n", templates=("tempaltes",))
    assert text == "--templates: folder not found: tempaltes"


def test_a_command_that_is_too_long_for_its_node():
    """A command over srun's argument limit is refused here, not on the node."""
    Path("train.py").touch()
    quotes = "'" * 60_000
    text = refused(f"script: train.py\nargs: {{lr: {json.dumps(quotes)}}}\n")
    assert text.startswith("job.yaml: the launch command with its config files is too long: 300")
    assert text.endswith("bytes, at most 120319\n  hint: put long values into a file")


def reported_by_validate(text: str) -> str:
    """Return all that `validate` reports of a spec, in a folder without a script."""
    Path("job.yaml").write_text(text)
    with pytest.raises(SpecError) as raised:
        validate(Request("job.yaml", environment={}, own_python=False))
    return str(raised.value)


CHDIR = "  hint: relative paths start at slurm.chdir, or at the current folder without it"
NO_SCRIPT = f"job.yaml:1: script: file not found: {{folder}}/train.py\n{CHDIR}\n"
TOGETHER = {
    "files and keys": (
        "accelerate: {mixed_precision: bf17, deepspeed_config: {zero_stag: 3}}\nenvironment: {venv: nowhere}",
        f"{NO_SCRIPT}job.yaml:2: accelerate.deepspeed_config.zero_stag: unknown key; accelerate silently ignores it\n"
        "  hint: did you mean zero_stage?\n"
        "job.yaml:2: accelerate.mixed_precision: must be one of no, fp16, bf16, fp8; got 'bf17'\n"
        "  hint: did you mean bf16?\n"
        f"job.yaml:3: environment.venv: virtual environment not found: {{folder}}/nowhere\n{CHDIR}",
    ),
    "the whole strategy": (
        "checkpoint: {keep: 0}\nslurm: {gpus: 4}\n"
        "accelerate: {fsdp_config: {fsdp_version: 2, fsdp_offload: 1}, num_processes: 3}",
        f"{NO_SCRIPT}job.yaml:2: checkpoint.keep: must be at least 1, got 0\n"
        "job.yaml:4: accelerate.fsdp_config.fsdp_offload: unknown key; accelerate silently ignores it\n"
        "  hint: did you mean fsdp_offload_params?\n"
        "job.yaml:4: accelerate.num_processes: 3 processes, but 1 x 4 GPUs are requested\n"
        "  hint: delete it: each node starts one process per GPU",
    ),
    "not FSDP without GPUs": (
        "slurm: {gpus-per-nod: 4}\naccelerate: {fsdp_config: {fsdp_version: 2}}",
        f"{NO_SCRIPT}job.yaml:2: slurm.gpus-per-nod: unknown key\n  hint: did you mean gpus-per-node?",
    ),
    "not a script elsewhere": (
        "slurm: {chdr: elsewhere}", "job.yaml:2: slurm.chdr: unknown key\n  hint: did you mean chdir?",
    ),
    "not what a lost section says": (
        "slrum: {chdir: elsewhere}", "job.yaml:2: slrum: unknown key\n  hint: did you mean slurm?",
    ),
    "the rest is not a spec": (
        "module: train\nrequeue: {crashes: x}",
        "job.yaml:2: module: cannot be combined with script\n  hint: use exactly one of script, module, command\n"
        "job.yaml:3: requeue.crashes: must be a whole number, got 'x'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), TOGETHER.values(), ids=TOGETHER)
def test_errors_of_form_hide_no_others(lines, expected, folder):
    """Missing files and strategies are reported with errors of form, but not their consequences."""
    assert reported_by_validate(f"script: train.py\n{lines}\n") == expected.replace(
        "{folder}", str(folder)
    )
