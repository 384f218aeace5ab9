"""The verdict of a rehearsal: where the run resumed, and whether it trains as if uninterrupted."""

from __future__ import annotations

from clusterrun.rehearsal.comparison import LossComparison, WeightComparison
from clusterrun.rehearsal.result import Rehearsal

_CAUSES = (
    "\ncommon causes: random numbers (dropout) or state that is not in the checkpoint "
    "(register_for_checkpointing), a data order that cannot be restored, or nondeterministic "
    "kernels"
)


def judge_resume(found: Rehearsal) -> None:
    """Add what is wrong with the step at which the run resumed."""
    if found.saved is not None and found.back is not None and found.back != found.saved:
        what = f"resumed from step {found.back}" if found.back else "restarted from step 0"
        found.reasons.append(f"{what}, although step {found.saved} was saved")
    elif found.back is not None and found.first is not None and found.first != found.back + 1:
        what = f"loaded the checkpoint of step {found.back}, but the next step was {found.first}"
        found.reasons.append(f"{what}: the script does not count from its checkpoint")
    if found.left is not None and found.saved is not None and found.left > found.saved:
        lost = found.left - found.saved
        found.notes.append(
            f"lost {lost} steps: stopped at step {found.left}, but the last one saved is "
            f"{found.saved}"
        )


def judge_training(found: Rehearsal) -> None:
    """Add what is wrong with the losses and weights after the resume, or was not compared."""
    losses, weights = found.losses, found.weights
    if losses and losses.same is False:
        found.reasons.append(_describe_differing_losses(losses))
    if weights and weights.same is False and not (losses and losses.same is not None):
        what = (
            f"the weights at step {weights.step} differ from the reference; before the stop they "
            "were identical"
        )
        found.reasons.append(f"{what}{_CAUSES}")
    if losses and losses.same is None:
        found.notes.append(_explain_no_comparison(losses))
    if weights and weights.differing and (weights.repeatable is False or (losses and losses.same)):
        words = (
            "and already differed before the stop"
            if weights.repeatable is False
            else "although the losses agree"
        )
        found.notes.append(f"the weights at step {weights.step} are not identical, {words}")
    if not found.reasons and not (losses and losses.same) and not (weights and weights.same):
        found.notes.append("only the step at which the run resumed was verified")


def _describe_differing_losses(losses: LossComparison) -> str:
    agreement = (
        f"agree within {losses.largest_before:.1e}" if losses.largest_before else "are identical"
    )
    before = f"; before the stop they {agreement}" if losses.before else ""
    return (
        f"the losses differ from step {losses.differ_from} on, by up to {losses.largest:.2g} "
        f"times the reference (at step {losses.largest_at}){before}{_CAUSES}"
    )


def _explain_no_comparison(losses: LossComparison) -> str:
    if not losses.after:
        return (
            "the losses were not compared: the script reports none (use run.log(loss=...), or "
            "logging_steps of a Trainer)"
        )
    return (
        "the losses could not be compared: the two runs already differ before the stop, by up to "
        f"{losses.largest_before:.2g}, so training is not reproducible (is a seed set?)"
    )


def describe_losses(losses: LossComparison) -> str:
    """Describe the comparison of the losses on one line."""
    if losses.same is None:
        return "not compared"
    steps = f"{losses.after} steps, {losses.first} to {losses.last}"
    if losses.same is False:
        return f"differ from step {losses.differ_from} on ({steps})"
    if not losses.largest:
        return f"identical ({steps})"
    return (
        f"agree within {losses.largest:.1e}, relative; largest difference at step "
        f"{losses.largest_at} ({steps})"
    )


def describe_weights(weights: WeightComparison) -> str:
    """Describe the comparison of the weights on one line."""
    if not weights.files:
        return f"not compared: no known file with weights in the checkpoint at step {weights.step}"
    if weights.differing:
        return f"differ at step {weights.step}: {_format_names(weights.differing)}"
    others = (
        f"; other files differ: {_format_names(weights.others)}"
        if weights.others
        else "; all other files are identical, too"
    )
    return f"identical at step {weights.step}: {_format_names(weights.files)}{others}"


def _format_names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
