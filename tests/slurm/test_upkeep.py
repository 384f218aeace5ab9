"""`clean` and `notify` on a real cluster: who is notified of which end, and which runs are removed.
Takes 50 seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until

SECRET = "T0pSecretPath"  # noqa: S105 - what must not be found
PORT = 18080
NOTICE = {"on": ["finished", "gave-up", "requeued"], "to": {"webhook": "HOOK"}}


@pytest.fixture
def received(cluster: Cluster) -> Iterator[Path]:
    """The file with the messages that a webhook on the login machine receives."""
    file = cluster.home("alice") / "received"
    with cluster.popen_as(
        "alice", [sys.executable, SCRIPTS / "hook.py", str(PORT), file]
    ) as server:
        yield file
        server.kill_group()


def test_slurm_mails_that_a_run_finished() -> None:
    """If the nodes have no mail program, Slurm mails the last end of a run, and no end after which
    it continues.
    """
    with TemporaryDirectory(prefix="slurm-mail-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        program = folder / "mail"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {folder}/cluster/scratch/mails\n')
        program.chmod(0o755)
        extra = [f"MailProg={program}"]
        with Cluster.start(
            folder / "cluster", accounting=False, nodes=1, bind=[program], config_extra=extra
        ) as own:
            desk = Desk(own, "alice")
            notice = {
                "on": ["finished", "gave-up", "requeued"],
                "to": {"mail": "alice@example.org"},
            }
            command = '[ "$CLUSTERRUN_ATTEMPT" -gt 1 ] || exit 3'
            run = desk.submit("mailed", command=command, notify=[notice], node_check=False)
            assert desk.wait(run) == "COMPLETED"
            until((own.scratch / "mails").exists, 30, "Slurm's mail")
            until(lambda: desk.jobs() == [], 30, "the job has ended")
            (mail,) = (own.scratch / "mails").read_text().splitlines()
    assert f"Job_id={run.job_id} Name=mailed Ended" in mail
    assert mail.endswith(" alice@example.org")


def events_of(received: Path, run: Submitted) -> list[tuple[Any, ...]]:
    lines = map(json.loads, received.read_text().splitlines() if received.exists() else [])
    return [(line["event"], line["attempt"]) for line in lines if line["run_id"] == run.run_id]


def submit(desk: Desk, name: str, command: str, **values: Any) -> Submitted:
    environment = {"secrets": ["HOOK"]}
    spec = desk.spec(
        name, command=command, notify=[NOTICE], environment=environment, node_check=False, **values
    )
    hook = {"HOOK": f"http://login:{PORT}/{SECRET}"}
    return desk.submitted(desk.cli("submit", "--json", str(spec), env=hook))


def test_a_run_notifies_of_its_ends_and_is_cleaned(cluster: Cluster, received: Path) -> None:
    """A webhook receives each attempt's end once; then `clean` removes the runs that have ended,
    and keeps the others.
    """
    desk = Desk(cluster, "alice")
    well = submit(desk, "well", "true")
    again = submit(desk, "again", '[ "$CLUSTERRUN_ATTEMPT" -gt 1 ] || sleep 120')
    taken = submit(
        desk, "taken", '[ "$CLUSTERRUN_ATTEMPT" -gt 1 ] || exit 3', requeue={"by": "successor"}
    )
    ill = submit(desk, "ill", "exit 3", requeue={"crashes": 0})
    lives = desk.submit("lives", command="sleep 300")
    waits = desk.submit("waits", command="true", slurm={"begin": "now+2hours"})
    until(lambda: desk.status(again)["state"] == "RUNNING", 60, "it runs")
    cluster.run_as(
        "alice", ["scontrol", "requeue", again.job_id]
    )  # it does not exit by itself, and is killed
    ends = {run.run_id: desk.wait(run) for run in (well, again, taken, ill)}
    assert ends == {
        well.run_id: "COMPLETED",
        again.run_id: "COMPLETED",
        taken.run_id: "COMPLETED",
        ill.run_id: "FAILED",
    }
    until(lambda: events_of(received, again)[-1:] == [("finished", 2)], 15, "its end is received")
    assert events_of(received, well) == [("finished", 1)]
    assert events_of(received, again) == [("requeued", 1), ("finished", 2)]
    until(
        lambda: events_of(received, taken) == [("requeued", 1), ("finished", 2)],
        15,
        "a successor's, too",
    )
    until(lambda: events_of(received, ill) == [("gave-up", 1)], 15, "that it gave up")
    listing = subprocess.run(
        ["grep", "-rl", SECRET, desk.run_root], text=True, capture_output=True, check=False
    ).stdout
    assert listing == ""
    what_may_go(desk, [well, again, taken, ill], [lives, waits])


def what_may_go(desk: Desk, ended: list[Submitted], living: list[Submitted]) -> None:
    until(lambda: len(desk.jobs()) == len(living), 30, "the ended jobs have left the queue")
    names = {run.run_id for run in ended + living}
    desk.cluster.stop_daemon("slurmctld")
    try:
        answer = json.loads(desk.cli("clean", "--keep", "0", "--dry-run", "--json").stdout)
    finally:
        desk.cluster.start_daemon("slurmctld")
    assert {one["run_id"] for one in answer["removals"]} & names == {run.run_id for run in ended}
    unsure = {note.partition(" stays: Slurm is not responding")[0] for note in answer["notes"]}
    assert {run.run_id for run in living} <= unsure
    until(lambda: desk.status(living[0])["state"] == "RUNNING", 30, "slurmctld responds")
    done = json.loads(desk.cli("clean", "--keep", "0", "--yes", "--json").stdout)
    assert {one["run_id"] for one in done["removals"] if one["removed"]} & names == {
        run.run_id for run in ended
    }
    assert [run.folder.exists() for run in ended] == [False] * len(ended)
    listed = {run["run_id"]: run["state"] for run in json.loads(desk.cli("list", "--json").stdout)}
    assert listed.keys() & names == {run.run_id for run in living}
    assert desk.status(living[0])["state"] == "RUNNING"
    assert (living[0].folder / "events" / "attempt-0001.begin").exists()
