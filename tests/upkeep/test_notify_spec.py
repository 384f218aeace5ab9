"""Notices in a job spec: what they add to the script, and errors at their line."""

from __future__ import annotations

import difflib
import subprocess
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.planning.script import NOTIFY, render
from tests.support.planned import plan_of
from tests.upkeep.test_notify import FUNCTIONS


def script_of(text: str, folder: Path) -> list[str]:
    (folder / "job.yaml").write_text(text)
    loaded = load_spec(folder / "job.yaml")
    return render(plan_of(loaded.spec, chdir=loaded.chdir)).splitlines()


def test_a_script_without_notices_has_no_code_for_them(tmp_path):
    """Notices add a setting, a line of main and a section; shellcheck reports nothing."""
    section = (FUNCTIONS / NOTIFY).read_text().splitlines()
    without = script_of("command: 'true'\nenvironment: {secrets: [HOOK]}\n", tmp_path)
    notices = "notify: [{on: [finished], to: {webhook: HOOK}}, {on: [requeued, gave-up], to: {mail: me@x.org}}]\n"
    having = script_of(f"command: 'true'\nenvironment: {{secrets: [HOOK]}}\n{notices}", tmp_path)
    changes = list(difflib.ndiff(without, having))
    added = [line[2:] for line in changes if line[0] == "+" and line[2:] not in section]
    gone = [line[2:] for line in changes if line[0] == "-"]
    assert [line for line in added if not line.startswith("# ")] == [
        "notices=('webhook json HOOK finished' 'mail - me@x.org requeued gave-up')",
        "  notify_of_previous_attempt  # notify",
    ]
    assert "notify_at_exit() { :; }" in gone
    assert {*section} <= {*having}
    assert not {line for line in section if line.endswith("() {")} & {*without}
    answer = subprocess.run(
        ["shellcheck", "-"], input="\n".join(having), text=True, capture_output=True, check=False
    )
    assert answer.stdout == ""


@pytest.mark.parametrize(("notify", "what"), [
    ("{on: [finished], to: {mail: me@x.org}}", "job.yaml:2: notify: must be a list"),
    ("[{on: [finished], to: {webhook: OTHER}}]", "notify[0].to.webhook: OTHER is not in environment.secrets"),
    ("[{on: [finished], to: {webhook: HOOK, mail: me@x.org}}]", "notify[0].to: has both mail and webhook"),
    ("[{on: [finished], to: {}}]", "notify[0].to: has neither mail nor webhook"),
    ("[{on: [finished], to: {mail: me@x.org, shape: slack}}]", "notify[0].to.shape: only webhooks have a shape"),
    ("[{on: [finised], to: {webhook: HOOK}}]", "did you mean finished?"),
    ("[{on: [], to: {webhook: HOOK}}]", "notify[0].on: "),
    ("[{to: {webhook: HOOK}}]", "notify[0].on: "),
    ("[{on: [finished], to: {mail: '-oQ/tmp x'}}]", "is not an e-mail address"),
    ("[{on: [finished], to: {webhook: 'https://hooks.slack.com/x'}}]", "is not the name of an environment variable"),
])  # fmt: skip
def test_errors_in_notices(tmp_path, monkeypatch, notify, what):
    """An error is reported at its line before submission."""
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(
        f"{{command: 'true', environment: {{secrets: [HOOK]}},\nnotify: {notify}}}\n"
    )
    with pytest.raises(SpecError) as error:
        load_spec("job.yaml")
    assert what in str(error.value)
