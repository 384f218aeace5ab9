"""Send a test message to the targets in a spec's `notify`, with the job script's functions."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.job_spec.model import JobSpec
from clusterrun.planning.plan import notification_words
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.script import FUNCTIONS, NOTIFY
from clusterrun.planning.template_folders import template_folder
from clusterrun.quoting import quote
from clusterrun.run_folder.index import Index
from clusterrun.submission.saved_request import load_request

_SECONDS = 15
"""Timeout of all test messages; at the end of a job it is five seconds."""


@dataclass(frozen=True)
class NotificationTest:
    """The result of the test messages."""

    failed: int
    """Number of targets that were not reached."""
    messages: tuple[str, ...]
    """One line per target, without the address of a webhook."""


def notify(name: str, request: Request) -> NotificationTest:
    """Send a test message to every target of a job spec or a run.

    `name` is a file or the name of a run; `request` has the profile, overrides and environment with
    the secrets. Raises SpecError without a target, ClusterError without bash.
    """
    spec, run_id = _spec_of(name, request)
    if not spec.notify:
        example = "notify: [{on: [finished], to: {webhook: SLACK_WEBHOOK_URL, shape: slack}}]"
        hint = f"add one, such as {example}"
        raise SpecError([Problem(name, "notify", "no notification targets", hint)])
    words = [notification_words(notice) for notice in spec.notify]
    return _send_message(run_id, words, request.environment)


def _spec_of(name: str, request: Request) -> tuple[JobSpec, str]:
    if request.text is not None or Path(name).is_file():
        spec = prepare(request).loaded.spec
        return spec, spec.name
    run = Index(request.environment).find(name)
    kept = load_request(run, run.paths.spec, request.overrides, request.environment)
    return prepare(kept).loaded.spec, run.run_id


def _send_message(
    run_id: str, notices: Sequence[str], environment: Mapping[str, str]
) -> NotificationTest:
    folder = template_folder() / FUNCTIONS
    lines = [
        *(folder.joinpath(file).read_text(encoding="utf-8") for file in ("10-records.sh", NOTIFY)),
        f"run_id={quote(run_id)}",
        f"notices=({' '.join(map(quote, notices))})",
        f"send_all test test 'a test, sent from '{quote(os.uname().nodename)} '' {_SECONDS}",
    ]
    try:
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            errors="replace",
            timeout=4 * _SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(
            f"bash: {error}",
            "bash is required: the messages are sent by functions of the job script",
        ) from error
    words = [line.removeprefix("clusterrun: notify: ") for line in done.stderr.splitlines()]
    return NotificationTest(done.returncode, tuple(words))
