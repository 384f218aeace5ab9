"""The transformers config classes that are supported, with the fields that memory depends on."""

from __future__ import annotations

from collections.abc import Iterator

from clusterrun.estimation.config_classes import DEFAULTS, MODEL_TYPES
from clusterrun.estimation.families import FAMILIES
from clusterrun.training_script.models import ConfigClass

_COMMON = (
    "hidden_size",
    "num_attention_heads",
    "vocab_size",
    "num_hidden_layers",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "num_local_experts",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "hidden_act",
)


def _config_fields(model_type: str) -> Iterator[str]:
    """Yield the fields of a config that memory depends on, by this architecture's names."""
    family = FAMILIES[model_type]
    yield from (family.names.get(key, key) for key in _COMMON)
    yield from family.dropouts
    yield "num_labels"


COUNTED_CLASSES = {
    name: ConfigClass(model_type, DEFAULTS[model_type], frozenset(_config_fields(model_type)))
    for name, model_type in MODEL_TYPES.items()
}
"""The supported classes by name, such as GPT2Config."""
