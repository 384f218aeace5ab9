"""`render --explain` shows where each value of a run comes from."""

from __future__ import annotations

import json

import pytest

from tests.support.cli_desk import Desk


@pytest.fixture
def desk(tmp_path) -> Desk:
    made = Desk(tmp_path)
    made.write("", "train.py")
    made.write(
        "run_root: /scratch\nslurm:\n  partition: gpu\n  time: 1-00\nenvironment: {variables: {A: 1}}\n",
        "site.yaml",
    )
    made.write(
        "script: train.py\nargs: {lr: 3e-4}\nslurm:\n  time: 12:00:00\n  gpus_per_node: 4\n  nodes: 1\n"
    )
    return made


def explained(desk: Desk, *words: str) -> dict[str, tuple[object, str, str]]:
    done = desk.type("render", "job.yaml", "--explain", "--json", *words)
    assert done.returncode == 0, done.stderr
    return {
        one["key"]: (one["value"], one["layer"], one["where"]) for one in json.loads(done.stdout)
    }


def test_each_layer_is_named(desk):
    """Default, shell, profile and spec have their lines, `--set` its key; the highest layer wins."""
    explanation = explained(
        desk, "--profile", "site.yaml", "--set", "slurm.nodes=2", "--set", "args.lr=1"
    )
    assert explanation["slurm.partition"] == ("gpu", "profile", "site.yaml:3")
    assert explanation["slurm.time"] == ("12:00:00", "spec", "job.yaml:4")
    assert explanation["slurm.gpus-per-node"] == ("4", "spec", "job.yaml:5")
    assert explanation["slurm.nodes"] == ("2", "--set", "slurm.nodes")
    assert explanation["args.lr"] == ("1", "--set", "args.lr")
    assert explanation["environment.venv"] == (f"{desk.folder}/venv", "shell", "")
    assert explanation["environment.variables.A"] == ("1", "profile", "site.yaml:5")
    assert explanation["checkpoint.every"] == ("10min", "default", "")
    assert explanation["name"] == ("job", "default", "")
    assert explanation["run_root"] == ("/scratch", "profile", "site.yaml:1")


def test_without_a_profile(desk):
    explanation = explained(desk)
    assert explanation["run_root"] == (f"{desk.folder}/runs", "default", "")
    assert {layer for _, layer, _ in explanation.values()} == {"default", "shell", "spec"}


def test_the_table_is_for_people(desk):
    """A pipe gets plain columns with a heading; stderr has only the notes."""
    done = desk.type("render", "job.yaml", "--explain")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["KEY", "VALUE", "FROM", "WHERE"]
    assert ["slurm.time", "12:00:00", "spec", "job.yaml:4"] in [line.split() for line in lines]
    assert "\033" not in done.stdout


def test_json_is_of_the_explanation_only(desk):
    done = desk.type("render", "job.yaml", "--json")
    assert done.returncode == 2
    assert done.stderr == "--json: requires --explain\n  hint: use render --explain --json\n"
