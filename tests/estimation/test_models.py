"""Model sizes read from transformers' configs, compared with the models that transformers builds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

from clusterrun.errors import SpecError
from clusterrun.estimation.architecture import architecture_of
from clusterrun.estimation.families import FAMILIES
from clusterrun.estimation.model_file import find_config, read_architecture
from clusterrun.estimation.parameters import parameters_of

SIZES = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 144,
         "vocab_size": 211, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
GROUPED = SIZES | {"num_key_value_heads": 2}
CASES = [
    ("gpt2", {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 32, "vocab_size": 211, "bos_token_id": 1, "eos_token_id": 2}),
    ("gpt2", {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_inner": 100, "vocab_size": 211, "bos_token_id": 1, "eos_token_id": 2}),
    ("gpt_neox", SIZES), ("gpt_neox", SIZES | {"attention_bias": False}),
    ("opt", SIZES | {"ffn_dim": 144, "word_embed_proj_dim": 64}),
    ("llama", GROUPED), ("llama", GROUPED | {"tie_word_embeddings": True}),
    ("llama", GROUPED | {"attention_bias": True, "mlp_bias": True}), ("llama", SIZES | {"head_dim": 48}),
    ("mistral", GROUPED | {"head_dim": 32}), ("mixtral", GROUPED), ("mixtral", GROUPED | {"num_local_experts": 4}),
    ("phi3", GROUPED), ("gemma", GROUPED | {"head_dim": 32}), ("qwen2", GROUPED), ("qwen3", GROUPED | {"head_dim": 24}),
    ("bert", SIZES), ("bert", SIZES | {"type_vocab_size": 5}), ("roberta", SIZES), ("xlm-roberta", SIZES),
    ("distilbert", {"dim": 64, "n_layers": 3, "n_heads": 4, "hidden_dim": 144, "vocab_size": 211, "max_position_embeddings": 32}),
]  # fmt: skip
IDS = [f"{kind}-{number}" for number, (kind, _) in enumerate(CASES)]


def test_every_counted_architecture_is_compared():
    """Every family in the list is compared with a real model."""
    assert {kind for kind, _ in CASES} == set(FAMILIES)


@pytest.mark.parametrize(("kind", "fields"), CASES, ids=IDS)
def test_parameters_are_those_of_the_model(tmp_path, kind, fields):
    """The count is exact for each architecture: language model, classifier and bare model."""
    config = AutoConfig.for_model(kind, **fields, num_labels=3)
    language = AutoModelForMaskedLM if "bert" in kind else AutoModelForCausalLM
    for auto in (language, AutoModelForSequenceClassification, AutoModel):
        with torch.device("meta"):
            model = auto.from_config(config)
            model.tie_weights()  # transformers 5.0 omits it on the meta device
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(tmp_path)
        assert parameters_of(read_architecture(tmp_path)) == sum(
            one.numel() for one in model.parameters()
        )


@pytest.mark.parametrize(("config", "billions"), [
    # the configs of public models, reduced to the fields that count
    ({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}, 0.124439808),
    ({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
      "num_attention_heads": 32, "vocab_size": 32000}, 6.738415616),
    ({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
      "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256}, 8.030261248),
    ({"model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
      "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000, "num_local_experts": 8}, 46.702792704),
    ({"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 768, "intermediate_size": 3072,
      "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 30522, "max_position_embeddings": 512}, 0.10948224),
], ids=["gpt2", "llama-2-7b", "llama-3-8b", "mixtral-8x7b", "bert-base"])  # fmt: skip
def test_published_models_have_their_published_sizes(config, billions):
    """The configs give the sizes that the model cards print."""
    assert parameters_of(architecture_of(config, "config.json")) == round(billions * 1e9)


@pytest.mark.parametrize(("config", "message"), [
    ({"model_type": "mamba"}, "config.json: model_type: mamba is not supported"),
    ({}, "config.json: model_type: None is not supported"),
    ({"model_type": "llama"}, "config.json: hidden_size: missing"),
    ({"model_type": "gpt2", "n_embd": "wide"}, "config.json: n_embd: must be a whole number, got 'wide'"),
    ({"model_type": "gpt2", "n_embd": 10**12}, "config.json: n_embd: must be a whole number"),
])  # fmt: skip
def test_an_incomplete_config_is_reported(config, message):
    """The error has the config's own key."""
    with pytest.raises(SpecError) as error:
        architecture_of(config, "config.json")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ("[]", "must be a mapping"), ("\x00", "not JSON")]
)
def test_a_file_that_is_not_a_config_is_reported(tmp_path, text, message):
    """A broken file is the user's error, and is named."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SpecError, match=message) as error:
        read_architecture(tmp_path)
    assert str(tmp_path / "config.json") in str(error.value)


def cached(home: Path, name: str) -> Path:
    path = home / "hub" / f"models--{name}" / "snapshots" / "abc" / "config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"model_type": "gpt2"}))
    return path


def test_a_model_is_found_where_transformers_would_find_it(tmp_path):
    """A folder next to the script wins over the hub's cache; an unknown name is not found."""
    path = cached(tmp_path, "org--name")
    environment = {"HF_HOME": str(tmp_path)}
    assert find_config("org/name", tmp_path / "work", environment) == path
    assert find_config("org/other", tmp_path / "work", environment) is None
    assert find_config("x" * 5000, tmp_path / "work", environment) is None
    here = tmp_path / "work" / "org" / "name"
    here.mkdir(parents=True)
    (here / "config.json").touch()
    assert find_config("org/name", tmp_path / "work", environment) == here
