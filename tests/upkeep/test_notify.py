"""Notices: what a webhook receives, what happens if it fails, and what a notice may not change."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from clusterrun.planning.script import NOTIFY
from clusterrun.planning.template_folders import template_folder
from tests.support.web_hook import SECRET, well

FUNCTIONS = template_folder() / "functions"


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
        variables = {"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "12", **(environment or {})}
        return subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            text=True,
            capture_output=True,
            env=variables,
            check=False,
            timeout=60,
        )


@pytest.fixture
def end(tmp_path) -> End:
    return End(tmp_path)


def test_a_webhook_receives_all_facts(end, hooks):
    """Any character in a reason gives valid JSON; the exit code is the job's."""
    hook = hooks()
    reason = 'it wrote "no\\way" at 100% of $HOME `x`, in Köln\ttab'
    done = end.exit_like_main("'webhook json HOOK gave-up'", environment={"HOOK": hook.url}, cause="crash", next="end",
                     reason=reason, step=30)  # fmt: skip
    assert (done.returncode, done.stdout) == (7, "in the job\n")
    plain = reason.replace("ö", "??").replace("\t", "?")
    assert hook.received == [{
        "run_id": "tiny-1", "event": "gave-up", "cause": "crash", "reason": plain, "step": 30, "attempt": 2, "job_id": "12",
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
    last = f"{(FUNCTIONS / '24-claim.sh').read_text()}\nnotify_of_previous_attempt"
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
    _, printed = shell.communicate("\n", timeout=30)
    assert (shell.returncode, printed) == (5, "clusterrun: notify: sent finished to HOOK\n")


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
