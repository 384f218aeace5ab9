"""Parameters: values that a spec names once, and that each submission may set."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import clusterrun
from clusterrun.errors import SpecError
from clusterrun.job_spec.load import Loaded, load_spec
from clusterrun.job_spec.parameters import escape
from clusterrun.planning.preparation import Request, prepare

SPEC = """\
name: "lr-{lr}"
script: train.py
parameters: {lr: 1e-4, size: small, fast: true, layers: [1, 2], nodes: 2, half: false}
args:
  learning_rate: "{lr}"
  output: out/{size}-{lr}
  fast: "{fast}"
  half: "{half}"
  layers: "{layers}"
  json: '{"lr": {"x": 1}, "{{lr}}": "{other}", "s": "${lr}"}'
slurm: {nodes: "{nodes}", time: "{nodes}:00:00"}
environment: {variables: {SIZE: "{size}", FAST: "{fast}"}}
"""


def load(text: str, *overrides: str) -> Loaded:
    return load_spec("job.yaml", text=text, overrides=overrides)


def problems_of(text: str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as raised:
        load(text, *overrides)
    return str(raised.value).splitlines()


def test_a_parameter_alone_keeps_its_type_and_a_number_its_text() -> None:
    spec = load(SPEC).spec
    assert spec.name == "lr-1e-4"
    assert spec.args == {
        "learning_rate": "1e-4",
        "output": "out/small-1e-4",
        "fast": True,
        "half": False,
        "layers": ("1", "2"),
        "json": '{"lr": {"x": 1}, "{lr}": "{other}", "s": "${lr}"}',
    }
    assert (spec.slurm.nodes, spec.slurm.time) == ("2", "2:00:00")
    assert spec.environment.variables == {"SIZE": "small", "FAST": "true"}


def test_each_submission_may_set_them() -> None:
    spec = load(SPEC, "parameters.lr=3e-4", "parameters.fast=false", "parameters.size=a b").spec
    assert spec.args["learning_rate"] == "3e-4"
    assert spec.args["output"] == "out/a b-3e-4"
    assert spec.args["fast"] is False
    assert spec.parameters["lr"] == "3e-4"


START = "script: train.py\n"


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (
            "parameters:\n  lr: null\nname: 'a-{lr}'\n",
            (),
            [
                "job.yaml:3: parameters.lr: no value",
                "  hint: pass --param lr=VALUE, or write a default into the spec",
            ],
        ),
        (
            "parameters: {lr: 1}\n",
            ("parameters.lrr=2",),
            [
                "--param lrr: parameters.lrr: the spec has no such parameter",
                "  hint: did you mean lr?",
            ],
        ),
        (
            "",
            ("parameters.lr=2",),
            [
                "--param lr: parameters.lr: the spec has no such parameter",
                "  hint: add parameters: {lr: null} to it",
            ],
        ),
        (
            "parameters: {run_dir: x}\n",
            (),
            [
                "job.yaml:2: parameters.run_dir: {run_dir} already has a meaning: a value that "
                "the job knows",
                "  hint: use another name",
            ],
        ),
        (
            "parameters: {2x: x}\n",
            (),
            [
                "job.yaml:2: parameters.2x: not a parameter name: letters, digits and '_', not "
                "starting with a digit"
            ],
        ),
        (
            "parameters: {a: {b: 1}}\n",
            (),
            ["job.yaml:2: parameters.a: must be one line of text, got a mapping"],
        ),
        ("parameters: lr\n", (), ["job.yaml:2: parameters: must be a mapping of names to values"]),
        (
            "parameters: {lr: 1}\nargs: {lr: {lr}}\n",
            (),
            ["job.yaml:3: args.lr: a mapping in YAML", '  hint: write "{lr}", in quotes'],
        ),
        (
            "parameters: {a: [1, 2]}\nargs: {x: 'n-{a}'}\n",
            (),
            [
                "job.yaml:3: args.x: {a} is a list, which cannot be part of a text",
                '  hint: write "{a}" alone',
            ],
        ),
        (
            "parameters: {lr: 1}\nenvironment:\n  setup:\n    - echo {lr} ${lr} {{lr}}\n",
            (),
            [
                "job.yaml:5: environment.setup[0]: {lr} is not replaced in shell text",
                '  hint: add environment: {variables: {LR: "{lr}"}}, and write "$LR"',
            ],
        ),
    ],
)
def test_a_mistake_is_reported_at_its_line(
    text: str, overrides: tuple[str, ...], message: list[str]
) -> None:
    assert problems_of(START + text, *overrides) == message


def test_a_profile_has_no_parameters(tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text("parameters: {lr: 1}\n")
    with pytest.raises(SpecError, match="parameters: not allowed in a profile"):
        load_spec("job.yaml", text=START, profile=profile)


def test_shell_keeps_its_own_braces() -> None:
    """`${lr}` is a variable of the shell, `{{lr}}` nothing that the spec replaces."""
    text = "parameters: {lr: 1}\ncommand: 'train ${lr} {{lr}} {a,b}'\n"
    assert load(text).spec.command == "train ${lr} {{lr}} {a,b}"


def test_a_command_reads_a_parameter_from_a_variable() -> None:
    text = (
        "parameters: {lr: it's 1}\nname: c\n"
        "command: 'train --lr \"$LR\"'\nenvironment: {variables: {LR: '{lr}'}}\n"
    )
    assert "export LR='it'\"'\"'s 1'" in clusterrun.render(
        {**yaml.safe_load(text), "slurm": {"time": "1:00:00"}}
    )


def test_a_word_that_is_almost_a_parameter_is_noted(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    text = START + "parameters: {size: 1}\nargs: {a: '{siz}', b: '{other}', c: '{run_dir}'}\n"
    request = Request("job.yaml", environment={}, cwd=tmp_path, text=text)
    assert [note for note in prepare(request).notes if "args" in note] == [
        "job.yaml:3: args.a: {siz} is passed on as written; did you mean {size}?"
    ]


def test_a_saved_spec_loads_to_the_same_values() -> None:
    """A resolved spec has texts in braces that are no parameters any more."""
    first = load(SPEC, "parameters.size='{lr} {{lr}}'").spec
    saved = yaml.safe_dump(
        escape(first.model_dump(mode="json", exclude_defaults=True), first.parameters)
    )
    assert load(saved).spec == first


def test_the_members_of_a_sweep_use_them(tmp_path: Path) -> None:
    """In the name, in values that a sweep does not set, and in those that it sets."""
    (tmp_path / "train.py").write_text("")
    text = START + (
        "name: 'a-{size}-{args.lr}'\nparameters: {size: small, lr: 1e-4}\n"
        "args: {size: '{size}', lr: 0}\nsweep: {grid: {args.lr: ['{lr}', 3e-4]}}\n"
    )
    request = Request("job.yaml", environment={}, cwd=tmp_path, text=text)
    members = prepare(request).members
    assert members is not None
    assert [one.name for one in members.every] == ["a-small-1e-4", "a-small-3e-4"]
    assert [one.lines[-2:] for one in members.every] == [
        (("--size", "small"), ("--lr", "1e-4")),
        (("--size", "small"), ("--lr", "3e-4")),
    ]


def test_a_script_may_find_its_own_checkpoint() -> None:
    text = START + "checkpoint: {path: out/*, resume: --init_from=resume}\n"
    assert load(text).spec.checkpoint.resume == ("--init_from=resume",)
    assert problems_of(START + "checkpoint: {path: out/*, resume: --resume_from_checkpoint}\n") == [
        "job.yaml:2: checkpoint.resume: {checkpoint} is missing",
        "  hint: write it as in --resume_from_checkpoint {checkpoint}",
    ]
