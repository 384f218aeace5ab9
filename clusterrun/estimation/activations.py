"""The activations that the forward pass keeps on each GPU for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.estimation.architecture import Architecture

# Functions of `transformers.activations` that consist of several operations, each of which saves
# its input.
_COMPOSED = {"gelu_new", "gelu_fast", "quick_gelu"}


@dataclass(frozen=True)
class Work:
    """The work of one GPU at a time. `batch` is in samples, `sequence` in tokens."""

    batch: int
    sequence: int
    checkpointing: bool = False
    """Whether only the input of each layer is kept, and the rest recomputed."""
    eager: bool = False
    """Whether attention keeps its matrix of scores; flash attention and sdpa recompute it."""
    mixed: bool = True
    autocast: bool = True
    """Whether mixed precision is torch.autocast, which keeps fp32 between the layers."""

    @property
    def element(self) -> int:
        """The bytes of a number inside a layer."""
        return 2 if self.mixed else 4

    @property
    def between(self) -> int:
        """The bytes of a number between two layers."""
        return 4 if self.autocast else self.element


def activations_of(model: Architecture, work: Work) -> float:
    """Return the largest number of bytes of activations in a training step, including logits.

    Source: Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer
    Models", arXiv:2205.05198, section 4: a layer keeps s b h (34 + 5 a s / h) bytes, 34 s b h if
    attention recomputes its scores, and 2 s b h with full recomputation, plus everything of one
    layer while it is recomputed.
    """
    tokens = work.batch * work.sequence
    layer = tokens * layer_bytes_of_token(model, work)
    kept = model.layers * layer
    if work.checkpointing:
        kept = model.layers * tokens * model.hidden * work.between + layer
    return kept + tokens * _head_bytes_of_token(model, work)


def layer_bytes_of_token(model: Architecture, work: Work) -> float:
    """Return the bytes that a layer keeps per token: the paper's sum, with the model's widths.

    For a GPT with 16-bit numbers, an inner width of 4 h and dropout, it is the paper's 34 h + 5 a
    s. Beyond the paper: fewer key heads, a gated MLP, RMSNorm (which transformers computes in
    fp32), no dropout, fp32.
    """
    masks = 2 * model.hidden if model.dropout else 0
    return (
        _attention_bytes(model, work)
        + _mlp_bytes(model, work)
        + 2 * _norm_bytes(model, work)
        + masks
    )


def _attention_bytes(model: Architecture, work: Work) -> float:
    """Return the inputs of query, key, value and the last matrix, with the scores if kept."""
    kept = work.element * (model.hidden + 2 * model.query + 2 * model.key)
    return kept + (model.heads * work.sequence * _score_bytes(model, work) if work.eager else 0)


def _score_bytes(model: Architecture, work: Work) -> int:
    """Return the bytes of one score: the softmax, and with dropout its mask and output.

    autocast and Llama's code compute it in fp32 and cast it.
    """
    upcast = 4 if work.mixed and (work.autocast or model.family.rms_norm) else 0
    return work.element + upcast + (1 + work.element if model.dropout else 0)


def _mlp_bytes(model: Architecture, work: Work) -> float:
    """Return the input, the activation's input and output, and with a gate its product."""
    wide = 4 if model.family.gated else 2
    if model.activation in _COMPOSED:
        wide += 3
    chosen = 2 if model.family.experts else 1
    return work.element * (model.hidden + chosen * wide * model.inner)


def _norm_bytes(model: Architecture, work: Work) -> float:
    """Return the input; RMSNorm keeps it in fp32, and also the normalized values."""
    return model.hidden * ((4 + work.between) if model.family.rms_norm else work.between)


def _head_bytes_of_token(model: Architecture, work: Work) -> float:
    """Return the last norm and, for a language model, its logits.

    The logits are kept as computed, and in fp32 as logits, log-softmax and gradient. The paper
    counts 4 s b v for the fp32 logits alone; the loss of transformers holds all four at once
    (`loss/loss_utils.py`; measured).
    """
    logits = model.vocabulary * (work.element + 12) if model.head == "lm" else 0
    return _norm_bytes(model, work) + work.element * model.hidden + logits
