"""Judge a rehearsal: where the run resumed, and whether it trains as if uninterrupted."""

from __future__ import annotations

from clusterrun.rehearsal.comparison import LossComparison, WeightComparison
from clusterrun.rehearsal.result import Rehearsal

_CAUSES = (
    "\nusual causes: random numbers (dropout) or a state that the checkpoint does not hold "
    "(register_for_checkpointing), an order of data that cannot be restored, or kernels that are "
    "not deterministic"
)


def judge_resume(found: Rehearsal) -> None:
    """Say what is wrong with the step at which the run came back."""
    if (
        found.saved_step is not None
        and found.resumed_from_step is not None
        and found.resumed_from_step != found.saved_step
    ):
        where = (
            f"came back with the checkpoint of step {found.resumed_from_step}"
            if found.resumed_from_step
            else "came back at step 0"
        )
        found.reasons.append(f"{where}, though step {found.saved_step} was saved")
    elif (
        found.resumed_from_step is not None
        and found.first_step_after is not None
        and found.first_step_after != found.resumed_from_step + 1
    ):
        what = (
            f"was handed the checkpoint of step {found.resumed_from_step}, "
            f"and then did step {found.first_step_after}"
        )
        found.reasons.append(f"{what}: the script does not count on from its checkpoint")
    if (
        found.stopped_at_step is not None
        and found.saved_step is not None
        and found.stopped_at_step > found.saved_step
    ):
        lost = found.stopped_at_step - found.saved_step
        found.notes.append(
            f"{lost} steps were lost: it left at step {found.stopped_at_step}, "
            f"and step {found.saved_step} was saved last"
        )


def judge_training(found: Rehearsal) -> None:
    """Report what is wrong with the losses and weights after the resume, or was not compared."""
    losses, weights = found.losses, found.weights
    if losses and losses.same is False:
        found.reasons.append(_describe_differing_losses(losses))
    if weights and weights.same is False and not (losses and losses.same is not None):
        what = (
            f"the weights at step {weights.step} differ from the reference's, and before the stop "
            "they did not"
        )
        found.reasons.append(f"{what}{_CAUSES}")
    if losses and losses.same is None:
        found.notes.append(_explain_no_comparison(losses))
    if (
        weights
        and weights.differing_weight_files
        and (weights.repeatable is False or (losses and losses.same))
    ):
        words = (
            "nor were they before the stop"
            if weights.repeatable is False
            else "though the losses are the same"
        )
        found.notes.append(
            f"the weights at step {weights.step} are not the same bit for bit, {words}"
        )
    if not found.reasons and not (losses and losses.same) and not (weights and weights.same):
        found.notes.append("that it came back at the right step is all that is proved")


def _describe_differing_losses(losses: LossComparison) -> str:
    alike = (
        "bit for bit"
        if not losses.largest_difference_before
        else f"within {losses.largest_difference_before:.1e}"
    )
    before = f"; before the stop they are the same, {alike}" if losses.compared_before else ""
    return (
        f"the losses differ from step {losses.diverged_at_step} on, "
        f"by up to {losses.largest_difference:.2g} times the reference's "
        f"(step {losses.largest_difference_step}){before}{_CAUSES}"
    )


def _explain_no_comparison(losses: LossComparison) -> str:
    if not losses.compared_after:
        return (
            "the losses were not compared: the script tells none (run.log(loss=...), or a "
            "Trainer's logging_steps)"
        )
    return (
        f"the losses could not be compared: the two runs differ before the stop already, "
        f"by up to {losses.largest_difference_before:.2g}, so the training cannot be repeated "
        "(is a seed set?)"
    )


def describe_losses(losses: LossComparison) -> str:
    """Say how the losses compare, on one line."""
    if losses.same is None:
        return "not compared"
    steps = f"{losses.compared_after} steps, {losses.first_step} to {losses.last_step}"
    if losses.same is False:
        return f"differ from step {losses.diverged_at_step} on ({steps})"
    if not losses.largest_difference:
        return f"the same, bit for bit ({steps})"
    return (
        f"the same within {losses.largest_difference:.1e} of each, "
        f"the most at step {losses.largest_difference_step} ({steps})"
    )


def describe_weights(weights: WeightComparison) -> str:
    """Say how the weights compare, on one line."""
    if not weights.weight_files:
        return (
            f"not compared: no file of the checkpoint at step {weights.step} is known to hold them"
        )
    if weights.differing_weight_files:
        differing = _name_few(weights.differing_weight_files)
        return f"not the same, bit for bit, at step {weights.step}: {differing}"
    beside = (
        f"; other files that differ: {_name_few(weights.differing_other_files)}"
        if weights.differing_other_files
        else ", nor does any other file differ"
    )
    return (
        f"the same, bit for bit, at step {weights.step}: {_name_few(weights.weight_files)}{beside}"
    )


def _name_few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
