"""Commands that signal, cancel or remove act on a run's records only if the target is the run's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from clusterrun.run_folder.index import Index, RunRef

INVALID = (
    "-1",
    "0",
    "1",
    "--me",
    "--user=root",
    "-9",
    "1 2",
    "12,13",
    "٣٤",
    "9" * 5000,
    "$(id)",
    "",
    "../self",
    "self",
)


def facts(
    job: str, command: object, *, user: int | None = None, state: str = "RUNNING", name: str = "x"
) -> str:
    """The line of scontrol about a job."""
    owner = os.getuid() if user is None else user
    return f"JobId={job} JobName={name} UserId=me({owner}) JobState={state} Requeue=1 Command={command} WorkDir=/"


class Queue:
    """Stand-ins for Slurm's commands: scontrol prints a line per job, scancel's calls are recorded."""

    def __init__(self, desk) -> None:
        self.desk, self.calls = desk, desk.folder / "calls"
        desk.command("sbatch", "exit 1")
        desk.command("scancel", f'echo "$@" >> {self.calls}')
        self.jobs()

    def jobs(self, **lines: str) -> None:
        """Set the jobs from now on, by their ids prefixed with `j`."""
        words = {name[1:]: line for name, line in lines.items()}
        rows = "\n".join(f"{job}) echo '{line}';;" for job, line in words.items())
        self.desk.command(
            "scontrol",
            f"case ${{@: -1}} in\n{rows}\n*) echo 'Invalid job id specified' >&2; exit 1;;\nesac",
        )
        self.desk.command(
            "squeue",
            "\n".join(
                [*(f"echo '{job}|{job}|{job}|RUNNING|None|N/A|n1|/x'" for job in words), ":"]
            ),
        )

    def cancelled(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def queue(desk) -> Queue:
    return Queue(desk)


def test_cancel_affects_the_runs_own_jobs_only(desk, queue):
    """Of two jobs in the records, only the one made from the run's script is cancelled."""
    paths = desk.run("tiny", job_id="7")
    paths.job.write_text("number=1\njob_id=7\nearlier=5 --me 6\n")
    queue.jobs(
        j7=facts("7", paths.script), j5=facts("5", "/x"), j6=facts("6", "/home/me/precious.sh")
    )
    assert desk.type("cancel", "tiny").returncode == 0
    assert queue.cancelled() == ["-- 7"]


def test_a_job_is_known_by_its_script_on_newer_slurm(desk, queue):
    """Slurm 26.05 prints the line that was typed at sbatch right after the script."""
    paths = desk.run("tiny", job_id="7")
    queue.jobs(j7=facts("7", f"{paths.script} SubmitLine=sbatch {paths.script}"))
    assert desk.type("cancel", "tiny").returncode == 0
    assert queue.cancelled() == ["-- 7"]


@pytest.mark.parametrize("command", ["cancel", "requeue", "stop"])
def test_another_job_of_the_user_is_left_alone(desk, queue, command):
    """If the records name only such a job, the command reports whose it is and exits with 1."""
    desk.run("tiny", job_id="777123")
    queue.jobs(
        j777123=facts(
            "777123", "/home/me/precious.sh", state="PENDING" if command == "stop" else "RUNNING"
        )
    )
    if command == "stop":
        desk.command("squeue", "echo '777123|777123|777123|PENDING|None|N/A|n1|/x'")
    done = desk.type(command, "tiny")
    assert (done.returncode, queue.cancelled()) == (1, []), done.stderr
    assert "job 777123 runs /home/me/precious.sh, so it is not a job of tiny" in done.stderr


def test_a_job_of_another_user_is_not_the_runs(desk, queue):
    """The name of its script does not matter."""
    paths = desk.run("tiny", job_id="7")
    queue.jobs(j7=facts("7", paths.script, user=os.getuid() + 1))
    done = desk.type("cancel", "tiny")
    assert (done.returncode, queue.cancelled()) == (1, [])


def test_a_run_of_a_piped_script_is_known_by_its_name_and_job(desk, queue):
    """`render | sbatch` gives a job without a path: job name and id identify the run."""
    desk.run("tiny-7", job_id="7")
    queue.jobs(j7=facts("7", "(null)", name="tiny"))
    assert desk.type("cancel", "tiny-7").returncode == 0
    assert queue.cancelled() == ["-- 7"]


def test_a_link_in_the_path_of_the_run_folder_is_the_same_script(desk, queue):
    """A run submitted by one path and found by another still owns its job."""
    paths = desk.run("tiny", job_id="7")
    (desk.folder / "scratch").symlink_to(paths.folder.parent)
    queue.jobs(j7=facts("7", desk.folder / "scratch" / "tiny" / "job.sbatch"))
    assert desk.type("cancel", "tiny").returncode == 0
    assert queue.cancelled() == ["-- 7"]


@pytest.mark.parametrize("invalid", [text for text in INVALID if text != "1"])
def test_an_invalid_job_id_reaches_no_command(desk, queue, invalid):
    """In any record, an invalid job id is passed neither to squeue nor to scancel."""
    paths = desk.run("tiny", job_id=invalid)
    Index(desk.environment).add(RunRef("tiny", paths, ""))
    for record in (paths.job, paths.successor("0001"), paths.smaller("0001")):
        record.write_text(f"number=1\njob_id={invalid}\nearlier={invalid}\n")
    for program in ("scontrol", "squeue"):
        desk.command(program, f'echo "{program} $*" >> {queue.calls}')
    for command in ("cancel", "requeue", "stop"):
        done = desk.type(command, "tiny")
        assert done.returncode in (0, 1), done.stderr
    assert [line for line in queue.cancelled() if invalid and invalid in line] == []
    assert not any(line.startswith("--") for line in queue.cancelled())


@pytest.mark.parametrize("invalid", INVALID)
def test_an_unrelated_process_is_not_signalled(desk, invalid):
    """No unrelated process with the recorded id is signalled, nor all processes, nor the group."""
    paths = desk.run("here", job_id="12")
    paths.local.mkdir()
    paths.job.write_text("number=1\njob_id=12\nlocal=1\n")
    stub = desk.folder / "stub" / "clusterrun"
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    (stub / "local.py").write_text("import time; time.sleep(60)")
    argv = [sys.executable, "-m", "clusterrun.local", str(paths.folder)]
    with (
        subprocess.Popen(["sleep", "60"]) as innocent,
        subprocess.Popen(argv, cwd=stub.parent, env={"PYTHONPATH": str(stub.parent)}) as supervisor,
    ):
        (paths.local / "supervisor").write_text(f"job_id={supervisor.pid}\n")
        (paths.local / "batch.pid").write_text(invalid)
        (paths.local / "step.pid").write_text(str(innocent.pid))
        done = [desk.type(command, "here") for command in ("requeue", "cancel")]
        alive = innocent.poll() is None, supervisor.poll() is None
        innocent.kill()
        supervisor.kill()
    assert [one.returncode for one in done] == [0, 0], done
    assert "RUNNING: cancelled" in done[1].stderr
    assert alive == (True, True)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_record_that_is_not_a_file_is_not_read(desk, kind):
    """A link to a file with an id, a pipe without a writer and a folder cause no signal or hang."""
    from clusterrun.run_folder.ownership import read_process_id

    record = desk.folder / "step.pid"
    (desk.folder / "file").write_text("4711\n")
    {
        "link": lambda: record.symlink_to(desk.folder / "file"),
        "pipe": lambda: os.mkfifo(record),
        "folder": record.mkdir,
    }[kind]()
    assert read_process_id(record) is None
    assert read_process_id(desk.folder / "file") == 4711
