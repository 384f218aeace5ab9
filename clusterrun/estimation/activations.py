"""What the forward pass leaves on each GPU for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.estimation.architecture import Architecture

# Functions of `transformers.activations` that are composed of several operations, each of which
# saves its input.
_COMPOSED = {"gelu_new", "gelu_fast", "quick_gelu"}


@dataclass(frozen=True)
class Work:
    """What one GPU computes at a time. `batch` is in samples, `sequence` in tokens."""

    batch: int
    sequence: int
    checkpointing: bool = False
    """Whether only the input of each layer is kept, and the rest computed again."""
    eager: bool = False
    """Whether attention keeps its matrix of scores; flash attention and sdpa compute it again."""
    mixed: bool = True
    autocast: bool = True
    """Whether mixed precision is torch.autocast: what runs between the layers stays in fp32."""

    @property
    def element(self) -> int:
        """The bytes of a number that is computed with."""
        return 2 if self.mixed else 4

    @property
    def between(self) -> int:
        """The bytes of a number between two layers."""
        return 4 if self.autocast else self.element


def activations_of(model: Architecture, work: Work) -> float:
    """Return the bytes that a training step needs at most for activations, the logits included.

    Source: Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer
    Models", arXiv:2205.05198, section 4: a layer keeps s b h (34 + 5 a s / h) bytes, s b h 34 where
    attention computes its scores again, and 2 s b h with full recomputation, plus one layer's all
    while it is computed again.
    """
    tokens = work.batch * work.sequence
    layer = tokens * layer_bytes_of_token(model, work)
    kept = model.layers * layer
    if work.checkpointing:
        kept = model.layers * tokens * model.hidden * work.between + layer
    return kept + tokens * _head_bytes_of_token(model, work)


def layer_bytes_of_token(model: Architecture, work: Work) -> float:
    """Return what one layer keeps of one token: the paper's sum, with the model's own widths.

    For a GPT of 16-bit numbers, an inner width of 4 h and dropout it is the paper's 34 h + 5 a s.
    Beyond the paper: fewer key heads, a gated MLP, RMSNorm (which transformers computes in fp32),
    no dropout, fp32.
    """
    masks = 2 * model.hidden if model.dropout else 0
    return (
        _attention_bytes(model, work)
        + _mlp_bytes(model, work)
        + 2 * _norm_bytes(model, work)
        + masks
    )


def _attention_bytes(model: Architecture, work: Work) -> float:
    """Return the input of query, key and value, and of the last matrix, with the scores if kept."""
    kept = work.element * (model.hidden + 2 * model.query + 2 * model.key)
    return kept + (model.heads * work.sequence * _score_bytes(model, work) if work.eager else 0)


def _score_bytes(model: Architecture, work: Work) -> int:
    """Return the softmax, with dropout its mask and output.

    autocast, and Llama's own code, compute it in fp32 and cast it.
    """
    upcast = 4 if work.mixed and (work.autocast or model.family.rms_norm) else 0
    return work.element + upcast + (1 + work.element if model.dropout else 0)


def _mlp_bytes(model: Architecture, work: Work) -> float:
    """Return the input, what enters and leaves the activation, and with a gate its product."""
    wide = 4 if model.family.gated else 2
    if model.activation in _COMPOSED:
        wide += 3
    chosen = 2 if model.family.experts else 1
    return work.element * (model.hidden + chosen * wide * model.inner)


def _norm_bytes(model: Architecture, work: Work) -> float:
    """Return the input; RMSNorm keeps it in fp32, and what it has normalized."""
    return model.hidden * ((4 + work.between) if model.family.rms_norm else work.between)


def _head_bytes_of_token(model: Architecture, work: Work) -> float:
    """Return the last norm and, for a language model, its logits.

    They are kept as computed, and in fp32 as logits, log-softmax and gradient.

    The paper counts 4 s b v for the fp32 logits alone; the loss of transformers holds all four at
    once (`loss/loss_utils.py`; measured).
    """
    logits = model.vocabulary * (work.element + 12) if model.head == "lm" else 0
    return _norm_bytes(model, work) + work.element * model.hidden + logits
