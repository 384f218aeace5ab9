"""The text output of a rehearsal."""

from __future__ import annotations

from clusterrun.rehearsal.result import Phase, Rehearsal
from clusterrun.rehearsal.verdict import describe_losses, describe_weights


def format_outcome(rehearsal: Rehearsal) -> str:
    """Format the outcome, the facts and the times, one per line."""
    lines = [f"{rehearsal.name}: {rehearsal.outcome}"]
    lines += [f"  {line}" for reason in rehearsal.reasons for line in reason.splitlines()]
    facts = {
        "interrupted": rehearsal.interruption,
        "stopped": ""
        if rehearsal.stopped_at_step is None
        else f"at step {rehearsal.stopped_at_step}; "
        f"the newest checkpoint is from {_describe_step(rehearsal.saved_step)}",
        "resumed": _describe_resume(rehearsal),
        "losses": describe_losses(rehearsal.losses) if rehearsal.losses else "",
        "weights": describe_weights(rehearsal.weights) if rehearsal.weights else "",
        "nodes": ", then ".join(nodes for nodes in rehearsal.nodes[:2])
        + _describe_reference_nodes(rehearsal),
        "run": rehearsal.folder,
        "reference": rehearsal.reference_folder,
    }
    lines += ["", *(f"{name:<12}{value}" for name, value in facts.items() if value)]
    lines += [f"{'note':<12}{note}" for note in rehearsal.notes]
    if rehearsal.phases:
        lines += ["", *map(_format_phase, rehearsal.phases)]
    return "\n".join(lines)


def _describe_resume(rehearsal: Rehearsal) -> str:
    if rehearsal.resumed_from_step is None:
        return ""
    first = (
        ""
        if rehearsal.first_step_after is None
        else f"; the first step was {rehearsal.first_step_after}"
    )
    return f"from the checkpoint of {_describe_step(rehearsal.resumed_from_step)}{first}"


def _describe_reference_nodes(rehearsal: Rehearsal) -> str:
    return (
        f"; the reference: {rehearsal.nodes[2]}"
        if rehearsal.reference_run_id and len(rehearsal.nodes) > 2
        else ""
    )


def _describe_step(step: int | None) -> str:
    return "an unknown step" if step is None else f"step {step}"


def _format_phase(phase: Phase) -> str:
    seconds = "unknown" if phase.seconds is None else f"{phase.seconds:.1f} s"
    return f"{phase.name:<34}{seconds:>10}" + (f"  {phase.note}" if phase.note else "")
