"""Notices: what a webhook receives, what happens if it fails, and what a notice may not change."""

from __future__ import annotations

import difflib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.planning.preparation import Request
from clusterrun.planning.script import NOTIFY, render
from clusterrun.planning.template_folders import template_folder
from clusterrun.run_folder.index import Index
from clusterrun.run_status.control import status, wait
from clusterrun.submission.submitting import submit
from clusterrun.upkeep.notification import notify
from tests.slurm.desk import until
from tests.support.planned import plan_of

FUNCTIONS = template_folder() / "functions"
SECRET = "T0pSecretPath"  # noqa: S105 - what must not be found
HOOK = {"on": ["finished", "gave-up", "requeued"], "to": {"webhook": "HOOK"}}


class Hook:
    """A web server on loopback that records what it receives, and the process list meanwhile."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.received: list[Any] = []
        self.processes = ""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.received.append(json.loads(body))
                hook.processes += subprocess.run(
                    ["ps", "axww", "-o", "args"], text=True, capture_output=True, check=True
                ).stdout
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/{SECRET}"


def well(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()


@pytest.fixture
def hooks() -> Iterator[Callable[..., Hook]]:
    started: list[Hook] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None] = well) -> Hook:
        started.append(Hook(answer))
        return started[-1]

    yield start
    for hook in started:
        hook.server.shutdown()
        hook.server.server_close()


class End:
    """The end of an attempt: a shell with the job script's functions that exits with a given code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "events").mkdir()

    def exit_like_main(self, notices: str, *, code: int = 7, before: str = "", environment: dict[str, str] | None = None,
              **end: object) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Write an end record, if there is one, and exit as `main` does."""
        record = "\n".join(f"{key}={value}" for key, value in end.items())
        if end:
            (self.folder / "events" / "attempt-0002.end").write_text(f"{record}\n")
            (self.folder / "events" / "attempt-0002.notified").unlink(missing_ok=True)
        lines = [
            *((FUNCTIONS / name).read_text() for name in ("10-records.sh", NOTIFY)),
            f"run_dir={self.folder} run_id=tiny-1 attempt=0002 term_seen=",
            f"notices=({notices})",
            "trap notify_at_exit EXIT",
            before,
            f"(exit 0); printf 'in the job\\n'; exit {code}",
        ]
        given = {"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "12", **(environment or {})}
        return subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            text=True,
            capture_output=True,
            env=given,
            check=False,
            timeout=60,
        )


@pytest.fixture
def end(tmp_path) -> End:
    return End(tmp_path)


def test_a_webhook_receives_all_facts(end, hooks):
    """Any character in a reason gives valid JSON; the exit code is the job's."""
    hook = hooks()
    reason = 'it said "no\\way" at 100% of $HOME `x`, in Köln\ttab'
    done = end.exit_like_main("'webhook json HOOK gave-up'", environment={"HOOK": hook.url}, cause="crash", next="end",
                     reason=reason, step=30)  # fmt: skip
    assert (done.returncode, done.stdout) == (7, "in the job\n")
    plain = reason.replace("ö", "??").replace("\t", "?")
    assert hook.received == [{
        "run": "tiny-1", "event": "gave-up", "cause": "crash", "reason": plain, "step": 30, "attempt": 2, "job_id": "12",
        "text": f"tiny-1: gave up: {plain} (attempt 2, step 30, job 12)",
    }]  # fmt: skip
    assert done.stderr == "clusterrun: notify: sent gave-up to HOOK\n"


@pytest.mark.parametrize(("shape", "key"), [("slack", "text"), ("discord", "content")])
def test_slack_and_discord_get_a_message(end, hooks, shape, key):
    """Their webhooks take an object with the message under their own key."""
    hook = hooks()
    end.exit_like_main(
        f"'webhook {shape} HOOK finished'",
        environment={"HOOK": hook.url},
        cause="finished",
        next="end",
        step=300,
    )
    assert hook.received == [{key: "tiny-1: finished (attempt 2, step 300, job 12)"}]


@pytest.mark.parametrize(("cause", "following", "event"), [
    ("finished", "end", "finished"), ("crash", "end", "gave-up"), ("failed-start", "end", "gave-up"),
    ("no-restart", "end", "gave-up"), ("time-limit", "end", "gave-up"), ("preemption", "by-slurm", "requeued"),
    ("time-limit", "continue", "requeued"), ("crash", "continue", "requeued"), ("stop", "end", None),
    ("cancel", "end", None), (None, None, None),
])  # fmt: skip
def test_which_end_is_which_event(end, hooks, cause, following, event):
    """A requested end, and an attempt without an end record, send nothing."""
    hook = hooks()
    written = {"cause": cause, "next": following} if cause else {}
    end.exit_like_main(
        "'webhook json HOOK finished gave-up requeued'", environment={"HOOK": hook.url}, **written
    )
    assert [one["event"] for one in hook.received] == ([event] if event else [])
    other = " ".join({"finished", "gave-up", "requeued"} - {event})
    end.exit_like_main(f"'webhook json HOOK {other}'", environment={"HOOK": hook.url}, **written)
    assert len(hook.received) == (1 if event else 0)


def test_the_address_is_never_shown(end, hooks):
    """While curl waits, `ps` does not show the address, and neither does an error message."""
    hook = hooks(lambda handler: handler.send_error(404))
    done = end.exit_like_main(
        "'webhook json HOOK finished'", environment={"HOOK": hook.url}, cause="finished", next="end"
    )
    assert "curl -q " in hook.processes
    assert SECRET not in hook.processes
    assert SECRET not in done.stdout + done.stderr
    assert (
        done.stderr == "clusterrun: notify: HOOK was not notified: curl failed with exit code 22\n"
    )
    for url in (
        f"{SECRET}://x",
        f"http://{SECRET}.invalid/",
        f'http://"{SECRET}"\\',
        f"file:///{SECRET}",
    ):
        done = end.exit_like_main(
            "'webhook json HOOK finished'", environment={"HOOK": url}, cause="finished", next="end"
        )
        assert (done.returncode, SECRET in done.stdout + done.stderr) == (7, False)


def test_a_server_that_hangs_or_refuses_changes_nothing(end, hooks):
    """Two servers that hang share the time; the third is skipped; the exit code is the job's."""
    release = threading.Event()
    hook = hooks(lambda _: release.wait(60))
    three = " ".join(["'webhook json HOOK finished'"] * 3)
    done = end.exit_like_main(
        three, code=0, environment={"HOOK": hook.url}, cause="finished", next="end"
    )
    release.set()
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "clusterrun: notify: HOOK was not notified: curl failed with exit code 28",
        *["clusterrun: notify: no time left to notify HOOK"] * 2,
    ]
    done = end.exit_like_main(
        "'webhook json HOOK finished'",
        environment={"HOOK": "http://127.0.0.1:9/"},
        cause="finished",
        next="end",
    )
    assert (done.returncode, done.stderr) == (
        7,
        "clusterrun: notify: HOOK was not notified: curl failed with exit code 7\n",
    )
    done = end.exit_like_main("'webhook json HOOK finished'", cause="finished", next="end")
    assert (done.returncode, done.stderr) == (7, "clusterrun: notify: HOOK is not set\n")


def test_a_killed_attempt_is_reported_by_the_next(end, hooks):
    """Each end is sent once: what was not sent is sent when the next attempt of the run starts."""
    hook = hooks()
    (end.folder / "events" / "attempt-0001.begin").touch()
    last = f"{(FUNCTIONS / '20-begin.sh').read_text()}\nnotify_of_previous_attempt"
    killed = end.folder / "events" / "attempt-0001.end"
    for record, seen in (("", 0), ("cause=cancel\nnext=end", 0), ("cause=crash\nnext=end", 0),
                         ("cause=node-failure\nnext=continue", 1), ("cause=node-failure\nnext=continue", 1)):  # fmt: skip
        killed.write_text(f"{record}\n")
        end.exit_like_main(
            "'webhook json HOOK requeued gave-up'", environment={"HOOK": hook.url}, before=last
        )
        assert len(hook.received) == seen
    assert (hook.received[0]["event"], hook.received[0]["attempt"]) == ("requeued", 1)
    assert hook.received[0]["text"] == "tiny-1: requeued: node-failure (attempt 1, job 12)"


def test_a_term_while_a_notice_is_sent(end, hooks):
    """Slurm's TERM during a notice neither ends it nor changes the exit code."""
    hook = hooks(
        lambda handler: (
            subprocess.run(["pkill", "-TERM", "-g", str(group[0])], check=False),
            well(handler),
        )
    )
    group: list[int] = []
    (end.folder / "events" / "attempt-0002.end").write_text("cause=finished\nnext=end\n")
    lines = [*((FUNCTIONS / name).read_text() for name in ("10-records.sh", NOTIFY)),
             f"run_dir={end.folder} run_id=tiny-1 attempt=0002", "notices=('webhook json HOOK finished')",
             "trap notify_at_exit EXIT", "read -r; exit 5"]  # fmt: skip
    shell = subprocess.Popen(["bash", "-c", "\n".join(lines)], start_new_session=True, stdin=subprocess.PIPE,
                             stderr=subprocess.PIPE, env={"PATH": "/usr/bin:/bin", "HOOK": hook.url}, text=True)  # fmt: skip
    group.append(shell.pid)
    _, said = shell.communicate("\n", timeout=30)
    assert (shell.returncode, said) == (5, "clusterrun: notify: sent finished to HOOK\n")


def test_mail_uses_the_nodes_own_program(end, tmp_path):
    """sendmail gets the whole message; without mail and sendmail a warning is printed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sendmail").write_text(f"#!/bin/bash\ncat > {tmp_path}/mail; [ $1 = -t ]\n")
    (programs / "sendmail").chmod(0o755)
    path = {"PATH": f"{programs}:/usr/bin:/bin"}
    done = end.exit_like_main(
        "'mail - me@example.org requeued'",
        environment=path,
        cause="preemption",
        next="by-slurm",
        step=9,
    )
    assert (done.returncode, done.stderr) == (
        7,
        "clusterrun: notify: sent requeued to me@example.org\n",
    )
    assert (tmp_path / "mail").read_text() == (
        "To: me@example.org\nSubject: clusterrun: tiny-1: requeued\n\n"
        "tiny-1: requeued: preemption (attempt 2, step 9, job 12)\n"
    )
    done = end.exit_like_main(
        "'mail - me@example.org requeued'", cause="preemption", next="by-slurm"
    )
    assert done.stderr.startswith(
        "clusterrun: notify: me@example.org was not notified: neither mail nor sendmail found on "
    )


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


def job(folder: Path, command: str, **values: Any) -> Request:
    spec = {"name": "tiny", "command": command, "environment": {"secrets": ["HOOK"]}, "notify": [HOOK], "node_check": False,
            "slurm": {"chdir": str(folder)}, **values}  # fmt: skip
    (folder / "job.yaml").write_text(yaml.safe_dump(spec))
    return Request(str(folder / "job.yaml"), profile="", cwd=folder, own_python=False)


def local(request: Request, folder: Path, hook: str) -> tuple[Request, Index]:
    environment = {
        "HOME": str(folder),
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "USER": "someone",
        "HOOK": hook,
    }
    return Request(
        request.source, profile="", environment=environment, cwd=folder, own_python=False
    ), Index(environment)


def test_whole_runs_report_how_they_ended(tmp_path, hooks):
    """A run that finished and one that gave up send one notice each; no file has the address."""
    hook = hooks()
    for number, (name, command) in enumerate((("well", "true"), ("ill", "exit 3"))):
        folder = tmp_path / name
        folder.mkdir()
        request, index = local(job(folder, command, requeue={"crashes": 0}), folder, hook.url)
        run = submit(request, local=True)
        ended = wait(run.run_id, 60, index)
        assert (
            status(run.run_id, index).state.value == {"well": "COMPLETED", "ill": "FAILED"}[name]
        ), ended
        until(lambda number=number: len(hook.received) > number, 30, "its end is told")
        found = subprocess.run(
            ["grep", "-rl", SECRET, folder], text=True, capture_output=True, check=False
        ).stdout
        assert found == ""
    assert [(one["event"], one["cause"], one["attempt"]) for one in hook.received] == [
        ("finished", "finished", 1),
        ("gave-up", "crash", 1),
    ]
    assert notify(run.run_id, request).failed == 0
    assert (hook.received[-1]["event"], hook.received[-1]["run"]) == ("test", run.run_id)


def test_a_test_message_from_here(tmp_path, hooks):
    """`notify --test` sends to every target with the script's functions, and counts failures."""
    hook = hooks()
    request, _ = local(job(tmp_path, "true"), tmp_path, hook.url)
    done = notify(request.source, request)
    assert (done.failed, done.messages) == (0, ("sent test to HOOK",))
    assert hook.received[0]["event"] == "test"
    assert hook.received[0]["text"].startswith("tiny: test: a test, sent from ")
    typed = [sys.executable, "-m", "clusterrun", "notify", "--test", "job.yaml", "--profile", ""]
    shown = subprocess.run(
        typed,
        cwd=tmp_path,
        env={**request.environment, "HOOK": ""},
        text=True,
        capture_output=True,
        check=False,
    )
    assert (shown.returncode, shown.stdout, shown.stderr) == (1, "", "HOOK is not set\n")
    shown = subprocess.run(
        [*typed, "--json"],
        cwd=tmp_path,
        env=dict(request.environment),
        text=True,
        capture_output=True,
        check=False,
    )
    assert json.loads(shown.stdout) == {"failed": 0, "messages": ["sent test to HOOK"]}
    silent = job(tmp_path, "true", notify=[])
    with pytest.raises(SpecError, match="no notification targets"):
        notify(silent.source, silent)
