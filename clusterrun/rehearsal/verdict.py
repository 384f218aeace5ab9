"""The verdict of a rehearsal: where the run resumed, and whether it trains as if uninterrupted."""

from __future__ import annotations

from clusterrun.rehearsal.comparison import LossComparison, WeightComparison
from clusterrun.rehearsal.result import Rehearsal

_CAUSES = (
    "\ncommon causes: random numbers (dropout) or state that is not in the checkpoint "
    "(register_for_checkpointing), a data order that cannot be restored, or nondeterministic "
    "kernels"
)


def judge_resume(rehearsal: Rehearsal) -> None:
    """Add what is wrong with the step at which the run resumed."""
    if (
        rehearsal.saved_step is not None
        and rehearsal.resumed_from_step is not None
        and rehearsal.resumed_from_step != rehearsal.saved_step
    ):
        what = (
            f"resumed from step {rehearsal.resumed_from_step}"
            if rehearsal.resumed_from_step
            else "restarted from step 0"
        )
        rehearsal.reasons.append(f"{what}, although step {rehearsal.saved_step} was saved")
    elif (
        rehearsal.resumed_from_step is not None
        and rehearsal.first_step_after is not None
        and rehearsal.first_step_after != rehearsal.resumed_from_step + 1
    ):
        what = (
            f"loaded the checkpoint of step {rehearsal.resumed_from_step}, "
            f"but the next step was {rehearsal.first_step_after}"
        )
        rehearsal.reasons.append(f"{what}: the script does not count from its checkpoint")
    if (
        rehearsal.stopped_at_step is not None
        and rehearsal.saved_step is not None
        and rehearsal.stopped_at_step > rehearsal.saved_step
    ):
        lost = rehearsal.stopped_at_step - rehearsal.saved_step
        rehearsal.notes.append(
            f"lost {lost} steps: stopped at step {rehearsal.stopped_at_step}, "
            f"but the last one saved is {rehearsal.saved_step}"
        )


def judge_training(rehearsal: Rehearsal) -> None:
    """Add what is wrong with the losses and weights after the resume, or was not compared."""
    losses, weights = rehearsal.losses, rehearsal.weights
    if losses and losses.same is False:
        rehearsal.reasons.append(_describe_differing_losses(losses))
    if weights and weights.same is False and not (losses and losses.same is not None):
        what = (
            f"the weights at step {weights.step} differ from the reference; before the stop they "
            "were identical"
        )
        rehearsal.reasons.append(f"{what}{_CAUSES}")
    if losses and losses.same is None:
        rehearsal.notes.append(_explain_no_comparison(losses))
    if (
        weights
        and weights.differing_weight_files
        and (weights.repeatable is False or (losses and losses.same))
    ):
        words = (
            "and already differed before the stop"
            if weights.repeatable is False
            else "although the losses agree"
        )
        rehearsal.notes.append(f"the weights at step {weights.step} are not identical, {words}")
    if not rehearsal.reasons and not (losses and losses.same) and not (weights and weights.same):
        rehearsal.notes.append("only the step at which the run resumed was verified")


def _describe_differing_losses(losses: LossComparison) -> str:
    agreement = (
        f"agree within {losses.largest_difference_before:.1e}"
        if losses.largest_difference_before
        else "are identical"
    )
    before = f"; before the stop they {agreement}" if losses.compared_before else ""
    return (
        f"the losses differ from step {losses.diverged_at_step} on, "
        f"by up to {losses.largest_difference:.2g} times the reference "
        f"(at step {losses.largest_difference_step}){before}{_CAUSES}"
    )


def _explain_no_comparison(losses: LossComparison) -> str:
    if not losses.compared_after:
        return (
            "the losses were not compared: the script reports none (use run.log(loss=...), or "
            "logging_steps of a Trainer)"
        )
    return (
        "the losses could not be compared: the two runs already differ before the stop, by up to "
        f"{losses.largest_difference_before:.2g}, so training is not reproducible (is a seed set?)"
    )


def describe_losses(losses: LossComparison) -> str:
    """Describe the comparison of the losses on one line."""
    if losses.same is None:
        return "not compared"
    steps = f"{losses.compared_after} steps, {losses.first_step} to {losses.last_step}"
    if losses.same is False:
        return f"differ from step {losses.diverged_at_step} on ({steps})"
    if not losses.largest_difference:
        return f"identical ({steps})"
    return (
        f"agree within {losses.largest_difference:.1e}, relative; largest difference at step "
        f"{losses.largest_difference_step} ({steps})"
    )


def describe_weights(weights: WeightComparison) -> str:
    """Describe the comparison of the weights on one line."""
    if not weights.weight_files:
        return f"not compared: no known file with weights in the checkpoint at step {weights.step}"
    if weights.differing_weight_files:
        return f"differ at step {weights.step}: {_format_names(weights.differing_weight_files)}"
    others = (
        f"; other files differ: {_format_names(weights.differing_other_files)}"
        if weights.differing_other_files
        else "; all other files are identical, too"
    )
    return f"identical at step {weights.step}: {_format_names(weights.weight_files)}{others}"


def _format_names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
