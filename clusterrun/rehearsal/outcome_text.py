"""The text output of a rehearsal."""

from __future__ import annotations

from clusterrun.rehearsal.result import Phase, Rehearsal
from clusterrun.rehearsal.verdict import describe_losses, describe_weights


def format_outcome(found: Rehearsal) -> str:
    """Format the outcome, the facts and the times, one per line."""
    lines = [f"{found.name}: {found.outcome}"]
    lines += [f"  {line}" for reason in found.reasons for line in reason.splitlines()]
    facts = {
        "interrupted": found.interruption,
        "stopped": ""
        if found.stopped_at_step is None
        else f"at step {found.stopped_at_step}; "
        f"the newest checkpoint is from {_describe_step(found.saved_step)}",
        "resumed": _describe_resume(found),
        "losses": describe_losses(found.losses) if found.losses else "",
        "weights": describe_weights(found.weights) if found.weights else "",
        "nodes": ", then ".join(nodes for nodes in found.nodes[:2])
        + _describe_reference_nodes(found),
        "run": found.folder,
        "reference": found.reference_folder,
    }
    lines += ["", *(f"{name:<12}{value}" for name, value in facts.items() if value)]
    lines += [f"{'note':<12}{note}" for note in found.notes]
    if found.phases:
        lines += ["", *map(_format_phase, found.phases)]
    return "\n".join(lines)


def _describe_resume(found: Rehearsal) -> str:
    if found.resumed_from_step is None:
        return ""
    first = (
        "" if found.first_step_after is None else f"; the first step was {found.first_step_after}"
    )
    return f"from the checkpoint of {_describe_step(found.resumed_from_step)}{first}"


def _describe_reference_nodes(found: Rehearsal) -> str:
    return (
        f"; the reference: {found.nodes[2]}"
        if found.reference_run_id and len(found.nodes) > 2
        else ""
    )


def _describe_step(step: int | None) -> str:
    return "an unknown step" if step is None else f"step {step}"


def _format_phase(phase: Phase) -> str:
    seconds = "unknown" if phase.seconds is None else f"{phase.seconds:.1f} s"
    return f"{phase.name:<34}{seconds:>10}" + (f"  {phase.note}" if phase.note else "")
