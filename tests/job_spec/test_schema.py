"""The schema for editors accepts every valid spec, and refuses wrong keys, values and shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec, options
from clusterrun.job_spec.json_schema import json_schema
from clusterrun.job_spec.yaml_text import read_yaml
from tests.support.cli_desk import Desk

ROOT = Path(__file__).parents[2]
SPECS = [
    *sorted((ROOT / "job_specs").glob("*.yaml")),
    *sorted((ROOT / "tests" / "sbatch_scripts").glob("*.yaml")),
]
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def faults(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(read_yaml(text, "job.yaml").value)]


def loads(text: str, folder: Path) -> bool:
    path = folder / "job.yaml"
    path.write_text(text)
    try:
        load_spec(path)
    except SpecError:
        return False
    return True


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_key_is_listed_and_most_are_described():
    """All sections are present; the editor shows the models' descriptions of the keys."""
    assert {"slurm", "accelerate", "environment", "checkpoint", "requeue"} <= set(
        SCHEMA["properties"]
    )
    assert "one launcher" in SCHEMA["properties"]["slurm"]["properties"]["nodes"]["description"]
    assert set(SCHEMA["properties"]["slurm"]["properties"]) >= {
        "gpus-per-node",
        "constraint",
        "mail-type",
    }
    assert not set(SCHEMA["properties"]["slurm"]["properties"]) & {
        *options.OWNED,
        *options.REFUSED,
        *options.TASKS,
    }


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_every_spec_is_valid(path):
    assert faults(path.read_text()) == []


GOOD = """
slurm: {gpus_per_node: 4}
slurm: {gpus-per-node: a100:4, time: 1-00, mem: 8G, nodes: 2-8, array: "0-3%2", signal: SIGUSR1@60, exclusive: true}
slurm: {time: 12:00:00, mem-per-cpu: 500, nodes: 2, time-min: unlimited, gpus: 8, chdir: .., nice: 5}
slurm: {additional_parameters: {brand-new: 1}}
slurm: {additional-parameters: {brand-new: 1}}
slurm: {cpus_per-task: 4, constraint: a&b, mail-type: END}
slurm:
args: [a, 1, b]
args: {a: [1, 2], b: true, c: null}
hang: false
hang: 30min
hang: true
node_check: [a, b]
node-check: false
accelerate: {mixed_precision: no, num_processes: 2, dynamo_config: {a: 1}}
accelerate: {mixed-precision: bf16, downcast_bf16: no}
environment: {modules: [a, 1], setup: x, variables: {A: 1, B: true}, secrets: [C]}
environment: {setup: [x, y], venv: v}
checkpoint: {every: 10min, keep: 3, path: "out/*", resume: "--r {checkpoint}", signal: SIGUSR1}
checkpoint: {every: 500 steps, path: "out/*", resume: false}
checkpoint: {every: auto, async_save: true}
requeue: {on: [crash], crashes: 0, by: successor}
requeue: {on: []}
share: group
"""
WRONG = """
slurm: {gpus-per-nod: 4}
slurm: {time: soon}
slurm: {mem: 8X}
slurm: {nodes: two}
slurm: {cpus-per-task: 0}
slurm: {cpus-per-task: a}
slurm: {output: x}
slurm: {ntasks-per-node: 4}
slurm: {gpus-per-node: a100}
slurm: {signal: TERM@10}
slurm: [a]
slurm: 3
partition: gpu
args: text
accelerate: {mixed_precision: bf8}
accelerate: {num_processes: 1.5}
accelerate: {machine_rank: 0}
accelerate: {deepspeed_config: ds.json}
accelerate: {use_cpu: maybe}
environment: {modules: a}
environment: {modules: {a: b}}
environment: {variables: [a]}
environment: {secrets: HF_TOKEN}
checkpoint: {every: sometimes!, keep: 3}
checkpoint: {keep: 0}
checkpoint: {signal: KILL}
requeue: {on: [sunday]}
requeue: {crashes: -1}
requeue: {by: me}
share: world
name: a b
"""


@pytest.mark.parametrize("text", GOOD.strip().splitlines())
def test_the_schema_accepts_what_the_loader_accepts(tmp_path, text):
    """Both spellings of a key and every shape of a value are accepted."""
    spec = f"script: train.py\n{text}\n"
    assert loads(spec, tmp_path)
    assert faults(spec) == []


@pytest.mark.parametrize("text", WRONG.strip().splitlines())
def test_the_schema_refuses_invalid_forms(tmp_path, text):
    """The editor marks unknown keys, wrong values and wrong shapes."""
    spec = f"script: train.py\n{text}\n"
    assert not loads(spec, tmp_path)
    assert faults(spec) != []


def test_something_must_run(tmp_path):
    assert faults("name: a\n") != []
    assert not loads("name: a\n", tmp_path)


KEYS = [
    (section, key)
    for section, form in SCHEMA["properties"].items()
    for key in (form.get("properties") or {})
]
KEYS += [("", key) for key in SCHEMA["properties"] if key not in ("script", "module", "command")]
VALUES = st.one_of(
    st.sampled_from([True, False, None, 0, 1, 4, -1, 2.5, 10_000_000, "", "4", "a100:4", "8G", "1-00", "12:00:00", "auto", "10min",
                     "bf16", "no", "group", "crash", "USR1", "USR1@30", "0-3%2", "out/*", "x y", "unlimited"]),
    st.lists(st.sampled_from(["a", 1, True, "crash", "HF_TOKEN"]), max_size=2),
    st.dictionaries(st.sampled_from(["A", "b_c"]), st.sampled_from([1, "x", True]), max_size=2),
)  # fmt: skip


@given(place=st.sampled_from(KEYS), value=VALUES)
def test_the_loader_refuses_what_the_schema_refuses(
    tmp_path_factory: Any, place: tuple[str, str], value: object
) -> None:
    """The editor never marks a spec that would run."""
    section, key = place
    spec = {"script": "train.py", **({section: {key: value}} if section else {key: value})}
    text = yaml.safe_dump(spec)
    if faults(text):
        assert not loads(text, tmp_path_factory.mktemp("spec")), (text, faults(text))


def test_the_command_prints_and_writes_it(tmp_path):
    desk = Desk(tmp_path)
    shown = desk.type("schema")
    assert (shown.returncode, shown.stderr, json.loads(shown.stdout)) == (0, "", SCHEMA)
    written = desk.type("schema", "-o", "here.json")
    assert (
        written.returncode,
        written.stdout,
        json.loads((tmp_path / "here.json").read_text()),
    ) == (0, "", SCHEMA)
    refused = desk.type("schema", "-o", "no/here.json")
    assert (refused.returncode, refused.stderr) == (
        2,
        "--output: no/here.json: no such file or directory\n",
    )
