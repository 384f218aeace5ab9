"""The config classes of transformers that are supported: `model_type` and default values.

Source: `configuration_*.py` of transformers 5.23; a test compares each value with the installed
classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BERT = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "vocab_size": 30522,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
_MISTRAL = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 32000,
}
_QWEN = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "intermediate_size": 22016,
    "vocab_size": 151936,
}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gpt2": {
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "n_positions": 1024,
        "vocab_size": 50257,
        "resid_pdrop": 0.1,
        "attn_pdrop": 0.1,
    },
    "gpt_neox": {
        "hidden_size": 6144,
        "num_attention_heads": 64,
        "num_hidden_layers": 44,
        "intermediate_size": 24576,
        "vocab_size": 50432,
    },
    "opt": {
        "hidden_size": 768,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "ffn_dim": 3072,
        "max_position_embeddings": 2048,
        "vocab_size": 50272,
        "dropout": 0.1,
    },
    "llama": {
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "intermediate_size": 11008,
        "vocab_size": 32000,
    },
    "mistral": _MISTRAL,
    "mixtral": {**_MISTRAL, "num_local_experts": 8},
    "phi3": {
        "hidden_size": 3072,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "intermediate_size": 8192,
        "vocab_size": 32064,
    },
    "gemma": {
        "hidden_size": 3072,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "intermediate_size": 24576,
        "vocab_size": 256000,
    },
    "qwen2": _QWEN,
    "qwen3": {**_QWEN, "head_dim": 128},
    "bert": _BERT,
    "roberta": {**_BERT, "vocab_size": 50265},
    "xlm-roberta": _BERT,
    "distilbert": {
        "dim": 768,
        "n_heads": 12,
        "n_layers": 6,
        "hidden_dim": 3072,
        "max_position_embeddings": 512,
        "vocab_size": 30522,
        "dropout": 0.1,
        "attention_dropout": 0.1,
    },
}

MODEL_TYPES: Mapping[str, str] = {
    "GPT2Config": "gpt2",
    "GPTNeoXConfig": "gpt_neox",
    "OPTConfig": "opt",
    "LlamaConfig": "llama",
    "MistralConfig": "mistral",
    "MixtralConfig": "mixtral",
    "Phi3Config": "phi3",
    "GemmaConfig": "gemma",
    "Qwen2Config": "qwen2",
    "Qwen3Config": "qwen3",
    "BertConfig": "bert",
    "RobertaConfig": "roberta",
    "XLMRobertaConfig": "xlm-roberta",
    "DistilBertConfig": "distilbert",
}
