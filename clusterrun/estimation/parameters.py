"""The number of a model's parameters, from its architecture alone."""

from __future__ import annotations

from clusterrun.estimation.architecture import Architecture


def parameters_of(model: Architecture) -> int:
    """Return the number of a model's parameters.

    Source: the modules of each `transformers/models/*/modeling_*.py`; tests compare with the models
    themselves.
    """
    return (
        embedding_parameters(model)
        + model.layers * layer_parameters(model)
        + _head_parameters(model)
    )


def embedding_parameters(model: Architecture) -> int:
    """Return the parameters ahead of the first layer."""
    rows = model.vocabulary + model.positions + model.token_types
    return rows * model.hidden + (_norm_parameters(model) if model.family.encoder else 0)


def layer_parameters(model: Architecture) -> int:
    """Return the parameters of one layer: attention, MLP and two norms."""
    return _attention_parameters(model) + _mlp_parameters(model) + 2 * _norm_parameters(model)


def _norm_parameters(model: Architecture) -> int:
    return model.hidden if model.family.rms_norm else 2 * model.hidden


def _attention_parameters(model: Architecture) -> int:
    matrices = 2 * model.hidden * model.query + 2 * model.hidden * model.key
    biases = model.query + 2 * model.key if model.attention_bias else 0
    own = model.family.output_bias
    if model.attention_bias if own is None else own:
        biases += model.hidden
    return matrices + biases + (2 * model.head_size if model.family.query_norms else 0)


def _mlp_parameters(model: Architecture) -> int:
    first = 2 if model.family.gated else 1
    matrices = (first + 1) * model.hidden * model.inner
    biases = first * model.inner + model.hidden if model.mlp_bias else 0
    router = model.hidden * model.experts if model.family.experts else 0
    return model.experts * (matrices + biases) + router


def _head_parameters(model: Architecture) -> int:
    """Return the parameters after the last layer."""
    hidden, family = model.hidden, model.family
    dense = hidden * hidden + hidden
    if not family.encoder:
        heads = {
            "lm": 0 if model.tied else model.vocabulary * hidden,
            "classes": model.labels * hidden,
            "base": 0,
        }
        return _norm_parameters(model) + heads[model.head]
    output = 0 if model.tied else model.vocabulary * hidden
    return {
        "lm": dense + 2 * hidden + model.vocabulary + output,
        "classes": dense + model.labels * (hidden + 1),
        "base": dense if family.pooler else 0,
    }[model.head]
