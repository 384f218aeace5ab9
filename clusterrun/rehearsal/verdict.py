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
    if found.saved is not None and found.back is not None and found.back != found.saved:
        where = (
            f"came back with the checkpoint of step {found.back}"
            if found.back
            else "came back at step 0"
        )
        found.reasons.append(f"{where}, though step {found.saved} was saved")
    elif found.back is not None and found.first is not None and found.first != found.back + 1:
        what = f"was handed the checkpoint of step {found.back}, and then did step {found.first}"
        found.reasons.append(f"{what}: the script does not count on from its checkpoint")
    if found.left is not None and found.saved is not None and found.left > found.saved:
        lost = found.left - found.saved
        found.notes.append(
            f"{lost} steps were lost: it left at step {found.left}, and step {found.saved} was "
            "saved last"
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
    if weights and weights.differing and (weights.repeatable is False or (losses and losses.same)):
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
    alike = "bit for bit" if not losses.largest_before else f"within {losses.largest_before:.1e}"
    before = f"; before the stop they are the same, {alike}" if losses.before else ""
    return (
        f"the losses differ from step {losses.differ_from} on, by up to {losses.largest:.2g} "
        "times the reference's "
        f"(step {losses.largest_at}){before}{_CAUSES}"
    )


def _explain_no_comparison(losses: LossComparison) -> str:
    if not losses.after:
        return (
            "the losses were not compared: the script tells none (run.log(loss=...), or a "
            "Trainer's logging_steps)"
        )
    return (
        f"the losses could not be compared: the two runs differ before the stop already, by up to "
        f"{losses.largest_before:.2g}, so the training cannot be repeated (is a seed set?)"
    )


def describe_losses(losses: LossComparison) -> str:
    """Say how the losses compare, on one line."""
    if losses.same is None:
        return "not compared"
    steps = f"{losses.after} steps, {losses.first} to {losses.last}"
    if losses.same is False:
        return f"differ from step {losses.differ_from} on ({steps})"
    if not losses.largest:
        return f"the same, bit for bit ({steps})"
    return (
        f"the same within {losses.largest:.1e} of each, the most at step {losses.largest_at} "
        f"({steps})"
    )


def describe_weights(weights: WeightComparison) -> str:
    """Say how the weights compare, on one line."""
    if not weights.files:
        return (
            f"not compared: no file of the checkpoint at step {weights.step} is known to hold them"
        )
    if weights.differing:
        return f"not the same, bit for bit, at step {weights.step}: {_name_few(weights.differing)}"
    beside = (
        f"; other files that differ: {_name_few(weights.others)}"
        if weights.others
        else ", nor does any other file differ"
    )
    return f"the same, bit for bit, at step {weights.step}: {_name_few(weights.files)}{beside}"


def _name_few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
