"""The architecture of a model, as far as memory depends on it, from a transformers config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.estimation.families import FAMILIES, Family

_MOST = 10**9  # the largest value of any size


@dataclass(frozen=True)
class Architecture:
    """The sizes of a model; all are counts of elements."""

    family: Family
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    inner: int
    """The width inside the MLP."""
    positions: int
    """Rows of the learned position embedding; 0 without one."""
    token_types: int
    experts: int
    tied: bool
    """Whether the output layer is the input embedding."""
    attention_bias: bool
    mlp_bias: bool
    dropout: bool
    activation: str
    head: str
    """The head: lm, classes, or base for none."""
    labels: int

    @property
    def query(self) -> int:
        """The width of all query heads together."""
        return self.heads * self.head_size

    @property
    def key(self) -> int:
        """The width of all key heads together, and of all value heads."""
        return self.kv_heads * self.head_size


def architecture_of(config: Mapping[str, Any], where: str) -> Architecture:
    """Return the architecture of a transformers config; `where` is its name in messages.

    Raises SpecError for an unsupported architecture, and for a missing or invalid field.
    """
    kind = str(config.get("model_type"))
    family = FAMILIES.get(kind)
    if family is None:
        known = ", ".join(FAMILIES)
        raise SpecError(
            [
                Problem(
                    where,
                    "model_type",
                    f"{kind} is not supported",
                    f"pass --parameters; supported are {known}",
                )
            ]
        )
    return _make_architecture(family, _Fields(config, family, where))


class _Fields:
    """The fields of a config, by this module's names or by the family's own."""

    def __init__(self, config: Mapping[str, Any], family: Family, where: str) -> None:
        self.config, self.family, self.where = config, family, where

    def number(self, name: str, default: int | None = None) -> int:
        """Return a count, or `default` if it is missing or null."""
        key = self.family.names.get(name, name)
        value = self.config.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
            what = (
                "missing" if value is None else f"must be a whole number, got {str(value)[:80]!r}"
            )
            raise SpecError([Problem(self.where, key, what)])
        return value

    def truth(self, name: str, *, default: bool) -> bool:
        value = self.config.get(name)
        return default if value is None else bool(value)


def _make_architecture(family: Family, fields: _Fields) -> Architecture:
    hidden, heads = fields.number("hidden_size"), fields.number("num_attention_heads")
    head, labels = _read_head(fields)
    return Architecture(
        family=family,
        vocabulary=fields.number("vocab_size"),
        hidden=hidden,
        layers=fields.number("num_hidden_layers"),
        heads=heads,
        kv_heads=fields.number("num_key_value_heads", heads),
        head_size=fields.number("head_dim", hidden // max(heads, 1)),
        inner=fields.number("intermediate_size", 4 * hidden),
        positions=fields.number("max_position_embeddings") + family.more_positions
        if family.learned_positions
        else 0,
        token_types=fields.number("type_vocab_size", 2) if family.token_types else 0,
        experts=fields.number("num_local_experts", 8) if family.experts else 1,
        tied=fields.truth("tie_word_embeddings", default=family.tied),
        attention_bias=fields.truth("attention_bias", default=family.attention_bias),
        mlp_bias=fields.truth("mlp_bias", default=family.mlp_bias),
        dropout=any(fields.config.get(key) for key in family.dropouts),
        activation=str(
            fields.config.get(family.names.get("hidden_act", "hidden_act"), family.activation)
        ),
        head=head,
        labels=labels,
    )


def _read_head(fields: _Fields) -> tuple[str, int]:
    """Return the head and its labels, from `architectures`; by default a language model's."""
    written = fields.config.get("architectures") or [""]
    name = str(written[0]) if isinstance(written, list) else ""
    labels = fields.config.get("id2label")
    if name.endswith("ForSequenceClassification"):
        return "classes", len(labels) if isinstance(labels, dict) and labels else fields.number(
            "num_labels", 2
        )
    return ("base" if name.endswith("Model") and not name.endswith("LMHeadModel") else "lm"), 0
