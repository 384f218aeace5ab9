"""The supported architectures and how they differ, as in transformers (`modeling_*.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Family:
    """The properties of one `model_type`. The defaults are those of a Llama."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Its names for fields of Llama's config, such as hidden_size."""
    encoder: bool = False
    """Whether norms follow each part and the embeddings, and the head has a layer, as in BERT."""
    rms_norm: bool = True
    """RMSNorm, one weight per channel, computed in fp32; otherwise LayerNorm, weight and bias."""
    query_norms: bool = False
    gated: bool = True
    """Whether the MLP has a gate next to its first matrix, such as SwiGLU."""
    experts: bool = False
    learned_positions: bool = False
    more_positions: int = 0
    token_types: bool = False
    pooler: bool = False
    attention_bias: bool = False
    output_bias: bool | None = None
    """Whether the attention's last matrix has a bias; None: like the others."""
    mlp_bias: bool = False
    tied: bool = False
    dropouts: tuple[str, ...] = ("attention_dropout",)
    activation: str = "silu"


_GPT2_NAMES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "hidden_act": "activation_function",
}
_DISTILBERT_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
_OPT_NAMES = {"intermediate_size": "ffn_dim", "hidden_act": "activation_function"}

_LLAMA = Family()
_GPT = Family(rms_norm=False, gated=False, attention_bias=True, mlp_bias=True)
_BERT = replace(
    _GPT,
    encoder=True,
    learned_positions=True,
    token_types=True,
    pooler=True,
    tied=True,
    activation="gelu",
    dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob"),
)

FAMILIES: Mapping[str, Family] = {
    "gpt2": replace(
        _GPT,
        names=_GPT2_NAMES,
        learned_positions=True,
        tied=True,
        activation="gelu_new",
        dropouts=("resid_pdrop", "attn_pdrop"),
    ),
    "gpt_neox": replace(_GPT, activation="gelu", dropouts=("attention_dropout", "hidden_dropout")),
    "opt": replace(
        _GPT,
        names=_OPT_NAMES,
        learned_positions=True,
        more_positions=2,
        tied=True,
        activation="relu",
        dropouts=("dropout", "attention_dropout"),
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": Family(experts=True),
    "phi3": Family(dropouts=("attention_dropout", "resid_pdrop")),
    "gemma": Family(tied=True, activation="gelu_pytorch_tanh"),
    "qwen2": Family(attention_bias=True, output_bias=False),
    "qwen3": Family(query_norms=True),
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "distilbert": replace(
        _BERT,
        names=_DISTILBERT_NAMES,
        token_types=False,
        pooler=False,
        dropouts=("dropout", "attention_dropout"),
    ),
}
