"""Send a test message to the places in a spec's `notify`, with the job script's own functions."""

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
from clusterrun.planning.script import FUNCTIONS, NOTIFY, template_folder
from clusterrun.quoting import quote
from clusterrun.run_folder.index import Index
from clusterrun.submission.saved_request import load_request

_SECONDS = 15
"""For all messages of a test; a job's end has five."""


@dataclass(frozen=True)
class NotificationTest:
    """What became of the test messages."""

    failed: int
    """How many places were not reached."""
    messages: tuple[str, ...]
    """What happened, a line a place; no webhook's address stands there."""


def notify(name: str, request: Request) -> NotificationTest:
    """Send a test message to every place of a job spec, or of a run.

    `name` is a file, or what names a run; `request` gives profile, overrides and environment, which
    has the secrets. Raises SpecError where it names no place, ClusterError where there is no bash.
    """
    spec, run_id = _spec_of(name, request)
    if not spec.notify:
        hint = "notify: [{on: [finished], to: {webhook: SLACK_WEBHOOK_URL, shape: slack}}]"
        raise SpecError([Problem(name, "notify", "nobody is to be told", hint)])
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
            f"bash: {error}", "the messages are sent by the job script's own bash functions"
        ) from error
    words = [line.removeprefix("clusterrun: notify: ") for line in done.stderr.splitlines()]
    return NotificationTest(done.returncode, tuple(words))
