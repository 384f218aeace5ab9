"""The model classes whose parameters are counted, also in training scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from clusterrun import cli
from clusterrun.estimation.architecture import architecture_of
from clusterrun.estimation.config_classes import DEFAULTS, MODEL_TYPES
from clusterrun.estimation.counted_classes import COUNTED_CLASSES
from clusterrun.estimation.families import FAMILIES
from clusterrun.estimation.parameters import parameters_of
from clusterrun.training_script.models import Built, find_model
from clusterrun.training_script.reading import parse_script, read_script

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", MODEL_TYPES)
def test_the_defaults_of_a_class_are_those_of_transformers(name):
    """Each default is the class's own, and the class builds the same model from it."""
    config = getattr(transformers, name)()
    kind = MODEL_TYPES[name]
    assert config.model_type == kind
    assert {key: getattr(config, key) for key in DEFAULTS[kind]} == DEFAULTS[kind]
    unasked = architecture_of({"model_type": kind, **DEFAULTS[kind]}, "")
    assert unasked == architecture_of({**config.to_dict(), "architectures": None}, "")


def test_every_counted_architecture_has_its_class():
    """Every family that a config file can name can also be built by a script."""
    assert set(MODEL_TYPES.values()) == set(FAMILIES) == set(DEFAULTS)


def test_a_classifier_has_its_labels():
    """The head that a script builds on the config is counted."""
    text = "config = BertConfig(num_labels=5)\nmodel = BertForSequenceClassification(config)"
    script = parse_script("train.py", text)
    assert script is not None
    found = find_model(script, {}, COUNTED_CLASSES)
    assert isinstance(found, Built)
    model = transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=5))
    assert parameters_of(architecture_of(found.config, "")) == sum(
        one.numel() for one in model.parameters()
    )


@pytest.mark.parametrize(("example", "given", "sizes"), [
    ("train_causal_lm.py", {}, {"vocab_size": 2048, "n_positions": 128, "n_layer": 4, "n_head": 4, "n_embd": 128}),
    ("train_causal_lm.py", {"n_layer": "2", "block_size": "64"},
     {"vocab_size": 2048, "n_positions": 64, "n_layer": 2, "n_head": 4, "n_embd": 128}),
    ("train_with_trainer.py", {"n_embd": "32"}, {"vocab_size": 256, "n_positions": 128, "n_layer": 4, "n_head": 4, "n_embd": 32}),
])  # fmt: skip
def test_the_models_of_the_examples_are_counted(example, given, sizes):
    """The parameter count is that of transformers' model."""
    script = read_script(ROOT / "examples" / example)
    assert script is not None
    found = find_model(script, script.arguments(given), COUNTED_CLASSES)
    assert isinstance(found, Built)
    assert found.config.items() >= sizes.items()
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
    assert parameters_of(architecture_of(found.config, "")) == sum(
        one.numel() for one in model.parameters()
    )


@pytest.mark.parametrize("job", ["quickstart", "module", "trainer", "zero3"])
def test_our_job_specs_are_estimated(capsys, monkeypatch, tmp_path, job):
    """Model, batch and sequence are read from the script, named as a file or as a module."""
    monkeypatch.chdir(tmp_path)
    path = ROOT / "job_specs" / f"{job}.yaml"
    assert cli.main(["estimate", str(path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["parameters"] > 10**5
    assert answer["strategies"][0]["activations"] > 0
    assert cli.main(["estimate", str(path)]) == 0
    assert "note: model: the GPT2Config at train_" in capsys.readouterr().err


def test_values_known_only_at_run_time_are_reported(capsys, monkeypatch, tmp_path):
    """The error has the script's line, the field, and the options that help."""
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(
        "import transformers\nconfig = transformers.GPT2Config(n_embd=8 * width())\n"
    )
    Path("job.yaml").write_text("script: train.py\n")
    assert cli.main(["estimate", "job.yaml"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(
        "train.py:2: n_embd: GPT2Config has values that are known only when the script runs"
    )
    assert "--config" in err
    Path("train.py").write_text("model = AutoModel.from_pretrained('org/model')\n")
    assert cli.main(["estimate", "job.yaml"]) == 2
    assert capsys.readouterr().err.startswith(
        "train.py:1: no config.json of org/model on this machine"
    )
    assert cli.main(["estimate", "job.yaml", "--parameters", "7B"]) == 0
