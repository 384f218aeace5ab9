"""A run's status as text, as table rows, and as a JSON object."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from clusterrun.cli.output.screen import coloured, draw_bar, draw_sparkline, is_terminal, style_of
from clusterrun.run_folder.attempts import Attempt, list_attempts
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.activities import ACTIVITIES
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.forecast import Outlook, outlook
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint
from clusterrun.units import format_clock, format_duration

HEADINGS = ("ATTEMPT", "STARTED", "ENDED BY", "STEPS", "STEPS LOST", "DURATION", "JOB", "NODES")


def format_status(status: RunStatus, ahead: Outlook | None = None) -> str:
    """Format a status for people, one fact per line, without unknown facts."""
    earlier = ", ".join(job for job in status.job_ids if job != status.job_id)
    facts = {
        "run": status.run_id,
        "state": _colour_state(status, ahead),
        "job": status.job_id + (f" (previously: {earlier})" if earlier else ""),
        "attempt": status.attempt or "",
        "step": _format_step(status),
        "loss": _format_loss(status, ahead),
        "speed": _format_speed(ahead) if ahead else "",
        "remaining": _format_remaining(status, ahead),
        "checkpoint": _format_saved(ahead.last_checkpoint)
        if ahead and ahead.last_checkpoint
        else "",
        "next checkpoint": _format_next_save(status, ahead) if ahead else "",
        "nodes": status.nodes,
        "excluded nodes": ", ".join(status.excluded_nodes),
        "tags": ", ".join(status.tags),
        "parameters": status.parameters,
        "code": status.code,
        "exit code": "" if status.exit_code is None else str(status.exit_code),
        "folder": status.folder,
    }
    return "\n".join(f"{name:<17}{value}" for name, value in facts.items() if value != "")


def attempt_row(attempt: Attempt, status: RunStatus) -> tuple[str, ...]:
    """Return an attempt's table row."""
    last = attempt.number == status.attempt
    runs = last and not attempt.summary and not status.state.final
    ended = attempt.summary or (
        status.reason if last and status.state.final else "-" if runs else ""
    )
    start, end = (
        "?" if step is None else str(step)
        for step in (attempt.resumed_from_step, attempt.last_step)
    )
    steps = "" if start == end == "?" else f"{start} to {end}"
    lost = "" if attempt.steps_lost is None else str(attempt.steps_lost)
    began = (
        ""
        if attempt.started_at is None
        else time.strftime("%Y-%m-%d %H:%M", time.localtime(attempt.started_at))
    )
    seconds = (
        int(time.time()) - attempt.started_at if runs and attempt.started_at else attempt.seconds
    )
    return (
        str(attempt.number),
        began,
        ended,
        steps,
        lost,
        format_clock(seconds),
        attempt.job_id,
        attempt.nodes,
    )


def format_status_line(status: RunStatus, ahead: Outlook) -> str:
    """Format the changing parts of a status as one line."""
    saved = f"checkpoint {ahead.last_checkpoint.name}" if ahead.last_checkpoint else ""
    attempt = f"attempt {status.attempt}" if status.attempt else ""
    step = "" if status.step is None else f"step {_format_plain_step(status)}"
    loss = "" if status.loss is None else f"loss {status.loss:.4f}"
    parts = [status.run_id, _format_state(status, ahead), attempt, step, loss, saved]
    return "  ".join(part for part in parts if part)


def complete_status(status: RunStatus) -> dict[str, object]:
    """Return a run's status, outlook and attempts as plain values."""
    attempts = list_attempts(RunPaths(Path(status.folder)))
    return {
        **status.as_dict(),
        **outlook(status).as_dict(),
        "attempts": [asdict(attempt) for attempt in attempts],
    }


def _format_state(status: RunStatus, ahead: Outlook | None) -> str:
    doing = ACTIVITIES.get(ahead.activity, "") if ahead else ""
    why = status.reason if status.reason not in ("", "None") else doing
    return status.state.value + (f" ({why})" if why else "")


def _colour_state(status: RunStatus, ahead: Outlook | None) -> str:
    return coloured(_format_state(status, ahead), style_of(status.state.value))


def _format_plain_step(status: RunStatus) -> str:
    return f"{status.step}" + (f" of {status.total_steps}" if status.total_steps else "")


def _format_step(status: RunStatus) -> str:
    if status.step is None:
        return ""
    drawn = (
        f"  {draw_bar(status.step, status.total_steps)} {status.step / status.total_steps:.0%}"
        if status.total_steps and is_terminal()
        else ""
    )
    return _format_plain_step(status) + drawn


def _format_loss(status: RunStatus, ahead: Outlook | None) -> str:
    if status.loss is None:
        return ""
    if status.loss_not_finite_since is not None:
        return coloured(describe_loss(status), style_of("bad"))
    losses: Sequence[float] = [loss for _, loss in ahead.losses] if ahead else ()
    return f"{status.loss:.4f}" + (
        f"  {draw_sparkline(losses)}" if len(losses) > 1 and is_terminal() else ""
    )


def describe_loss(found: RunStatus) -> str:
    """Describe a loss that is not finite; empty for a finite one."""
    if found.loss_not_finite_since is None:
        return ""
    return f"{found.loss}, not finite since step {found.loss_not_finite_since}"


def _format_speed(ahead: Outlook) -> str:
    parts = (
        [f"{ahead.samples_per_second:.4g} samples/s"]
        if ahead.samples_per_second is not None and ahead.seconds_per_step is not None
        else []
    )
    parts += (
        [f"{ahead.seconds_per_step:.3g} s per step"] if ahead.seconds_per_step is not None else []
    )
    return ", ".join(parts)


def _format_remaining(status: RunStatus, ahead: Outlook | None) -> str:
    parts = (
        [f"{format_duration(ahead.seconds_left)} to the last step"]
        if ahead and ahead.seconds_left is not None
        else []
    )
    parts += (
        [f"{format_duration(status.time_limit_at - time.time())} to the job's time limit"]
        if status.time_limit_at
        else []
    )
    return ", ".join(parts)


def _format_saved(saved: SavedCheckpoint) -> str:
    condition = (
        "written by the script, cannot be verified"
        if saved.kind == "script"
        else f"incomplete: {saved.fault}"
        if saved.fault
        else "complete"
    )
    return f"{saved.name}, {format_duration(time.time() - saved.saved_at)} ago, {condition}"


def _format_next_save(status: RunStatus, ahead: Outlook) -> str:
    if ahead.next_checkpoint_at is not None:
        seconds = ahead.next_checkpoint_at - time.time()
        return f"in {format_duration(seconds)}" if seconds > 0 else "due"
    if ahead.next_checkpoint_step is None:
        return ""
    steps = max(ahead.next_checkpoint_step - (status.step or 0), 0)
    when = (
        ""
        if ahead.seconds_per_step is None
        else f", in {format_duration(steps * ahead.seconds_per_step)}"
    )
    return f"at step {ahead.next_checkpoint_step}{when}"
