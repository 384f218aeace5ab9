"""The model that a training script's own text shows."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import transformers

from clusterrun import cli
from clusterrun.estimation.architecture import architecture_of
from clusterrun.estimation.config_classes import DEFAULTS, MODEL_TYPES
from clusterrun.estimation.families import FAMILIES
from clusterrun.estimation.parameters import parameters_of
from clusterrun.estimation.script_model import Built, Named, model_in
from clusterrun.estimation.script_text import ScriptText, read_script
from clusterrun.job_spec.argument_defaults import defaults_of

ROOT = Path(__file__).parents[2]


def script(text: str, **given: object) -> ScriptText:
    return ScriptText("train.py", ast.parse(text), given)


@pytest.mark.parametrize("name", MODEL_TYPES)
def test_the_defaults_of_a_class_are_those_of_transformers(name):
    """Each value is the class's own, and makes the model that the class makes unasked."""
    config = getattr(transformers, name)()
    kind = MODEL_TYPES[name]
    assert config.model_type == kind
    assert {key: getattr(config, key) for key in DEFAULTS[kind]} == DEFAULTS[kind]
    unasked = architecture_of({"model_type": kind, **DEFAULTS[kind]}, "")
    assert unasked == architecture_of({**config.to_dict(), "architectures": None}, "")


def test_every_counted_architecture_has_its_class():
    """No family can be named by a file and not be built by a script."""
    assert set(MODEL_TYPES.values()) == set(FAMILIES) == set(DEFAULTS)


def test_arguments_have_the_defaults_that_stand_in_the_script():
    """Those of argparse under each of their flags, and those of dataclasses; others are not guessed."""
    text = """
from dataclasses import dataclass, field
parser.add_argument("--block-size", "--block_len", type=int, default=128)
add("--name", default="tiny")
add("--file", default=Path("x"))
add("--none", default=None)
add("--flag", action="store_true", default=False)
add("positional", default=3)
@dataclass(frozen=True)
class Arguments(TrainingArguments):
    n_layer: int = 4
    rate: float = field(default=2e-3, metadata={})
    files: list = field(default_factory=list)
class Other:
    n_layer: int = 9
"""
    assert defaults_of(ast.parse(text)) == {
        "block_size": "128", "block_len": "128", "name": "tiny", "flag": False, "n_layer": "4", "rate": "0.002"
    }  # fmt: skip


@pytest.mark.parametrize("text", [
    "GPT2Config(n_layer=2, n_embd=64)",
    "GPT2LMHeadModel(transformers.GPT2Config(n_layer=args.layers, n_embd=options.n_embd))",
    "sizes = dict(n_layer=2)\nGPT2Config(**sizes, n_embd=64, bos_token_id=tokenizer.bos_token_id)",
    "sizes = {'n_layer': args.layers, 'n_embd': 64}\ndef make():\n  return GPT2Config(**sizes)",
    "width = 64\nGPT2Config(n_layer=2, n_embd=width, **{'resid_pdrop': 0.1})",
    "GPT2Config(n_layer=count(), n_embd=64)",  # an argument has its name
])  # fmt: skip
def test_a_config_that_a_script_builds_is_read(text):
    """Literals, arguments, names and unpacked mappings tell its fields; the class tells the rest."""
    found = model_in(script(text, layers="2", n_layer="2", n_embd="64"))
    assert isinstance(found, Built)
    assert (found.kind, found.unknown) == ("GPT2Config", ())
    assert {
        **DEFAULTS["gpt2"],
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 64,
        "architectures": [],
    } == found.config


@pytest.mark.parametrize("text", [
    "", "GPT2Config(n_layer=1)\nGPT2Config(n_layer=2)", "GPT2Config(**read())", "GPT2Config(**sizes)",
    "sizes = {}\nsizes = {'n_layer': 1}\nGPT2Config(**sizes)", "a = b\nb = a\nGPT2Config(**a)",
    "a = dict(**a)\nGPT2Config(**a)", "AutoTokenizer.from_pretrained('gpt2')", "OtherConfig(n_layer=1)",
    "AutoModel.from_pretrained('a')\nAutoModel.from_pretrained('b')", "AutoModel.from_pretrained(find())",
    "AutoModel.from_pretrained(args.model)", "AutoModel.from_pretrained()",
    "AutoConfig.from_pretrained('gpt2', n_layer=48)", "config = AutoConfig.from_pretrained('gpt2')\nconfig.n_layer = 48",
    "LlamaForCausalLM.from_pretrained(big())\nAutoModel.from_pretrained('gpt2')",
    "sizes = dict(n_layer=2)\nsizes['n_layer'] = 48\nGPT2Config(**sizes)",
    "sizes = dict(n_layer=2)\nsizes.update(n_layer=48)\nGPT2Config(**sizes)",
])  # fmt: skip
def test_nothing_is_guessed(text):
    """A script of several models, or of one that its text does not show, has none here."""
    assert model_in(script(text)) is None


def test_what_the_script_computes_is_named():
    """A field that matters and that only the run knows keeps the config from being counted."""
    found = model_in(
        script(
            "LlamaConfig(vocab_size=len(tokenizer), hidden_size=2 * args.width, pad_token_id=f())"
        )
    )
    assert isinstance(found, Built)
    assert found.unknown == ("vocab_size", "hidden_size")


@pytest.mark.parametrize("text", [
    "config = GPT2Config()\nconfig.n_layer = 48", "n_layer = 12\nn_layer *= 4\nGPT2Config(n_layer=n_layer)",
    "n_layer = 2\ndef make(n_layer):\n    return GPT2Config(n_layer=n_layer)",
    "for n_layer in (1, 2):\n    pass\nn_layer = 3\nGPT2Config(n_layer=n_layer)",
])  # fmt: skip
def test_a_field_that_changes_is_not_known(text):
    """What is set a second time, or may be, is asked for."""
    found = model_in(script(text))
    assert isinstance(found, Built)
    assert found.unknown == ("n_layer",)


@pytest.mark.parametrize(("given", "layers"), [
    ({}, 24), ({"n_layers": "3"}, 3), ({"l": "3"}, None), ({"n_lay": "3"}, None), ({"n_layers": None}, 24),
    ({"n_layers": False}, 24), ({"twice": "1"}, 24),
])  # fmt: skip
def test_a_default_counts_where_the_argument_is_not_given(given, layers):
    """Neither by another flag of it, nor shortened; null leaves an argument out."""
    text = """
parser.add_argument("-l", "--n_layers", default=24)
parser.add_argument("--twice", default=1)
other.add_argument("--twice", default=2)
parser.add_argument("--set", default=1)
parser.set_defaults(set=2)
GPT2Config(n_layer=args.n_layers, n_head=args.twice, n_embd=args.set)
"""
    found = model_in(ScriptText("train.py", ast.parse(text), given))
    assert isinstance(found, Built)
    known = {"n_head", "n_embd"} - given.keys() if "twice" not in given else {"n_embd"}
    assert set(found.unknown) == known | ({"n_layer"} if layers is None else set())
    assert layers is None or found.config["n_layer"] == layers


@pytest.mark.parametrize(("text", "name"), [
    ("LlamaForCausalLM.from_pretrained('org/four')", "org/four"),
    ("AutoModelForCausalLM.from_pretrained('org/one')", "org/one"),
    ("AutoConfig.from_pretrained(args.model)\nAutoModel.from_pretrained(args.model)", "org/two"),
    ("NAME = 'org/three'\nBertForSequenceClassification.from_pretrained(NAME)\nBertConfig(num_labels=1)", "org/three"),
])  # fmt: skip
def test_a_model_that_a_script_loads_is_named(text, name):
    """By a literal, by an argument, by a name; it goes before a config."""
    assert model_in(script(text, model="org/two")) == Named(
        "train.py:1" if "NAME" not in text else "train.py:2", name
    )


def test_a_classifier_has_its_labels():
    """What is built of the config is what is counted."""
    text = "config = BertConfig(num_labels=5)\nmodel = BertForSequenceClassification(config)"
    found = model_in(script(text))
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
def test_the_examples_models_are_counted(example, given, sizes):
    """As many parameters as transformers' model has."""
    text = read_script(ROOT / "examples" / example, given)
    assert text is not None
    found = model_in(text)
    assert isinstance(found, Built)
    assert found.config.items() >= sizes.items()
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
    assert parameters_of(architecture_of(found.config, "")) == sum(
        one.numel() for one in model.parameters()
    )


@pytest.mark.parametrize("job", ["quickstart", "module", "trainer", "zero3"])
def test_a_job_spec_of_ours_is_estimated(capsys, monkeypatch, tmp_path, job):
    """Model, batch and sequence come from the script, which the spec names as a file or as a module."""
    monkeypatch.chdir(tmp_path)
    path = ROOT / "job_specs" / f"{job}.yaml"
    assert cli.main(["estimate", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] > 10**5
    assert found["strategies"][0]["activations"] > 0
    assert cli.main(["estimate", str(path)]) == 0
    assert "note: the model is the GPT2Config at train_" in capsys.readouterr().err


def test_what_is_not_known_before_the_run_is_told(capsys, monkeypatch, tmp_path):
    """With the script's line, the field and the options that help."""
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(
        "import transformers\nconfig = transformers.GPT2Config(n_embd=8 * width())\n"
    )
    Path("job.yaml").write_text("script: train.py\n")
    assert cli.main(["estimate", "job.yaml"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(
        "train.py:2: n_embd: GPT2Config takes values that are known when the script runs only"
    )
    assert "--config" in err
    Path("train.py").write_text("model = AutoModel.from_pretrained('org/model')\n")
    assert cli.main(["estimate", "job.yaml"]) == 2
    assert capsys.readouterr().err.startswith(
        "train.py:1: no config.json of org/model on this machine"
    )
    assert cli.main(["estimate", "job.yaml", "--parameters", "7B"]) == 0


@pytest.mark.parametrize("text", ["def broken(", "\x00", "x = " + "(" * 5000])
def test_a_script_that_is_no_python_says_nothing(tmp_path, text):
    """Its own error comes when it runs."""
    path = tmp_path / "train.py"
    path.write_text(text)
    assert read_script(path, {}) is None
    assert read_script(tmp_path / "absent.py", {}) is None
