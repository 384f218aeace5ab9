"""The model that a training script's own text shows."""

from __future__ import annotations

import pytest

from clusterrun.estimation.config_classes import DEFAULTS
from clusterrun.estimation.counted_classes import COUNTED_CLASSES
from clusterrun.training_script.models import Built, Named, find_model
from clusterrun.training_script.reading import parse_script


def model_in(text: str, **given: object) -> Named | Built | None:
    script = parse_script("train.py", text)
    assert script is not None
    return find_model(script, script.arguments(given), COUNTED_CLASSES)


@pytest.mark.parametrize("text", [
    "GPT2Config(n_layer=2, n_embd=64)",
    "GPT2LMHeadModel(transformers.GPT2Config(n_layer=args.layers, n_embd=options.n_embd))",
    "sizes = dict(n_layer=2)\nGPT2Config(**sizes, n_embd=64, bos_token_id=tokenizer.bos_token_id)",
    "sizes = {'n_layer': args.layers, 'n_embd': 64}\ndef make():\n  return GPT2Config(**sizes)",
    "width = 64\nGPT2Config(n_layer=2, n_embd=width, **{'resid_pdrop': 0.1})",
    "GPT2Config(n_layer=count(), n_embd=64)",  # an argument has its name
])  # fmt: skip
def test_a_config_that_a_script_builds_is_read(text):
    """Literals, arguments, names and unpacked mappings set its fields; the class sets the rest."""
    model = model_in(text, layers="2", n_layer="2", n_embd="64")
    assert isinstance(model, Built)
    assert (model.kind, model.unknown) == ("GPT2Config", ())
    assert {
        **DEFAULTS["gpt2"],
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 64,
        "architectures": [],
    } == model.config


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
    "AutoModel.from_pretrained(['gpt2'])", "AutoModel.from_pretrained({})", "AutoModel.from_pretrained(name='gpt2')",
    "a = dict(n_layer=1)\nGPT2Config(**a, **a)", "GPT2Config(**{1: 2})", "GPT2Config(**{**sizes})",
    "sizes = dict(n_layer=2)\nfrom config import sizes\nGPT2Config(**sizes)",
])  # fmt: skip
def test_nothing_is_guessed(text):
    """A script of several models, or of one that its text does not show, has no model here."""
    assert model_in(text) is None


def test_values_that_the_script_computes_are_named():
    """If a field that matters is known only at run time, the config is not counted."""
    model = model_in(
        "LlamaConfig(vocab_size=len(tokenizer), hidden_size=2 * args.width, pad_token_id=f())"
    )
    assert isinstance(model, Built)
    assert model.unknown == ("vocab_size", "hidden_size")


@pytest.mark.parametrize("text", [
    "config = GPT2Config()\nconfig.n_layer = 48", "n_layer = 12\nn_layer *= 4\nGPT2Config(n_layer=n_layer)",
    "n_layer = 2\ndef make(n_layer):\n    return GPT2Config(n_layer=n_layer)",
    "for n_layer in (1, 2):\n    pass\nn_layer = 3\nGPT2Config(n_layer=n_layer)",
    "n_layer = 2\ndef n_layer(): pass\nGPT2Config(n_layer=n_layer)",
    "n_layer = 2\nimport sizes as n_layer\nGPT2Config(n_layer=n_layer)",
])  # fmt: skip
def test_a_field_that_changes_is_not_known(text):
    """A field that is set twice, or may be, is reported as unknown."""
    model = model_in(text)
    assert isinstance(model, Built)
    assert model.unknown == ("n_layer",)


@pytest.mark.parametrize(("given", "layers"), [
    ({}, 24), ({"n_layers": "3"}, 3), ({"l": "3"}, None), ({"n_lay": "3"}, None), ({"n_layers": None}, 24),
    ({"n_layers": False}, 24), ({"twice": "1"}, 24),
])  # fmt: skip
def test_a_default_counts_if_the_argument_is_not_given(given, layers):
    """It does not count if another flag or a short form is given; null leaves an argument out."""
    text = """
parser.add_argument("-l", "--n_layers", default=24)
parser.add_argument("--twice", default=1)
other.add_argument("--twice", default=2)
parser.add_argument("--set", default=1)
parser.set_defaults(set=2)
GPT2Config(n_layer=args.n_layers, n_head=args.twice, n_embd=args.set)
"""
    model = model_in(text, **given)
    assert isinstance(model, Built)
    known = {"n_head", "n_embd"} - given.keys() if "twice" not in given else {"n_embd"}
    assert set(model.unknown) == known | ({"n_layer"} if layers is None else set())
    assert layers is None or model.config["n_layer"] == layers


@pytest.mark.parametrize(("text", "name"), [
    ("LlamaForCausalLM.from_pretrained('org/four')", "org/four"),
    ("AutoModelForCausalLM.from_pretrained('org/one')", "org/one"),
    ("AutoConfig.from_pretrained(args.model)\nAutoModel.from_pretrained(args.model)", "org/two"),
    ("NAME = 'org/three'\nBertForSequenceClassification.from_pretrained(NAME)\nBertConfig(num_labels=1)", "org/three"),
])  # fmt: skip
def test_a_model_that_a_script_loads_is_named(text, name):
    """By a literal, an argument or a name; it takes precedence over a config."""
    assert model_in(text, model="org/two") == Named(
        "train.py:1" if "NAME" not in text else "train.py:2", name
    )


def test_mappings_that_unpack_each_other_end_at_once():
    """Thirty names, each with the next one twice, would give a billion keywords."""
    lines = [f"a{n} = dict(**a{n + 1}, **a{n + 1})" for n in range(30)]
    assert model_in("\n".join([*lines, "a30 = {}", "GPT2Config(**a0)"])) is None


@pytest.mark.parametrize("given", ["{[]: 1}", "-'a'", "(" * 500, "9" * 5000])
def test_an_argument_that_is_not_a_literal_is_a_text(given):
    """The argument is not evaluated, and causes no error."""
    model = model_in("GPT2Config(n_layer=args.layers)", layers=given)
    assert isinstance(model, Built)
    assert model.config["n_layer"] == given
