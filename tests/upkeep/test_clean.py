"""`clean`: what it removes, what it keeps, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from clusterrun import cli
from clusterrun.errors import ClusterError, SpecError
from clusterrun.run_folder import removal as trash
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import locked
from clusterrun.slurm.states import State
from clusterrun.submission.resuming import resume
from clusterrun.training.checkpointing import manifest
from clusterrun.upkeep.cleaning import carry_out, clean
from clusterrun.upkeep.cleanup_plan import Criteria, plan_clean

DAY = 86400
MONTH = Criteria(older_than=30 * DAY)


class Disk:
    """A user's run folders and index, and a squeue whose output the test sets."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "runs"
        self.programs = folder / "bin"
        self.environment = {"HOME": str(folder), "PATH": f"{self.programs}:/usr/bin:/bin"}
        self.index = Index(self.environment)
        self.programs.mkdir()
        self.queue()

    def queue(self, *lines: str) -> None:
        """Set the output of squeue and scontrol from now on: lines of `job state`."""
        jobs = list(map(str.split, lines))
        rows = [f"echo '{job}|{job}|{job}|{state}|None|N/A|n1|/x'" for job, state in jobs]
        self.command("squeue", "\n".join([*rows, "exit 0"]))
        self.known(*jobs)
        self.command("sbatch", "exit 1")
        self.command("sacct", "exit 1")

    def known(self, *jobs: Sequence[str]) -> None:
        """Set scontrol's output for a job that is requested by id."""
        facts = "UserId=me({}) JobState={} Command=/x WorkDir=/"
        cases = [
            f"{job}) echo 'JobId={job} JobName=x {facts.format(os.getuid(), state)}';;"
            for job, state in jobs
        ]
        unknown = "*) echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1;;"
        self.command("scontrol", "\n".join(["case ${@: -1} in", *cases, unknown, "esac"]))

    def command(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def age(self, paths: RunPaths, days: float) -> None:
        """Make all files of a run this many days old."""
        then = time.time() - days * DAY
        for path in (*paths.events.iterdir(), *paths.logs.iterdir()):
            os.utime(path, (then, then))

    def run(
        self,
        run_id: str,
        *,
        days: float = 0,
        job: str = "1",
        cause: str = "finished",
        ends: bool = True,
    ) -> RunPaths:
        """A run that started, and ended this many days ago if `ends`."""
        paths = RunPaths(self.root / run_id)
        for path in (paths.events, paths.logs, paths.checkpoints):
            path.mkdir(parents=True)
        paths.begin("0001").write_text(f"job_id={job}\n")
        paths.log("0001").write_text("x" * 100_000)
        if ends:
            paths.end("0001").write_text(
                f"cause={cause}\nnext=end\nended={int(time.time() - days * DAY)}\n"
            )
        self.age(paths, days)
        self.index.add(RunRef(run_id, paths, job))
        return paths

    def checkpoint(
        self, paths: RunPaths, step: int, *, days: float = 0, damaged: bool = False
    ) -> Path:
        """A complete checkpoint, without its last byte if it is damaged."""
        folder = paths.checkpoints / f"step-{step:08d}-0001"
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"weights" * 1000)
        manifest.seal(folder, {"step": step, "attempt": 1})
        if damaged:
            (folder / "model.bin").write_bytes(b"weightz" * 1000)
        then = time.time() - days * DAY
        os.utime(folder / manifest.NAME, (then, then))
        return folder

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir())

    def clean(self, criteria: Criteria) -> list[str]:
        return [removal.path.name for removal in clean(criteria, self.index)]

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
        return subprocess.run([sys.executable, "-m", "clusterrun", "clean", *words], env=environment, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False)  # fmt: skip


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Disk:
    made = Disk(tmp_path)
    monkeypatch.setenv("PATH", made.environment["PATH"])
    return made


def test_old_runs_are_removed_and_recent_ones_kept(disk):
    """A run older than the age limit is removed whole; the reported size is that of its files."""
    disk.run("old", days=40)
    disk.run("young", days=2)
    plan = plan_clean(MONTH, disk.index)
    assert [(one.path.name, one.state, round(one.age / DAY)) for one in plan.removals] == [
        ("old", "COMPLETED", 40)
    ]
    assert 100_000 < plan.size < 200_000
    assert disk.names() == ["old", "young"]
    carry_out(plan, disk.index)
    assert disk.names() == ["young"]
    assert [run.run_id for run in disk.index.all()] == ["young"]


def test_clean_without_a_condition_removes_nothing(disk):
    """`clean` alone is refused, because every ended run would match."""
    disk.run("old", days=40)
    with pytest.raises(SpecError, match="needs at least one condition"):
        plan_clean(Criteria(), disk.index)


def test_conditions_are_joined(disk):
    """State, age and count must all match; the newest N ended runs are kept."""
    disk.run("a", days=50, cause="crash")
    disk.run("b", days=40)
    disk.run("c", days=1, cause="crash")
    disk.run("d", days=0)
    failed = frozenset({State.FAILED})

    def planned(criteria: Criteria) -> list[str]:
        return [one.path.name for one in plan_clean(criteria, disk.index).removals]

    assert planned(Criteria(states=failed)) == ["a", "c"]
    assert planned(Criteria(states=failed, older_than=30 * DAY)) == ["a"]
    assert planned(Criteria(keep=1)) == ["a", "b", "c"]
    assert planned(Criteria(keep=3)) == ["a"]
    assert planned(Criteria(keep=0)) == ["a", "b", "c", "d"]
    assert planned(Criteria(keep=2, states=failed)) == ["a"]


def test_rehearsals_can_be_named(disk):
    """Both runs of a rehearsal are recognised by the names that `rehearse` gives them."""
    for name in (
        "tiny-rehearsal-20260102-030405-abcd",
        "tiny-reference-20260102-030405-abce",
        "tiny-1",
    ):
        disk.run(name)
    assert sorted(disk.clean(Criteria(rehearsals=True))) == [
        "tiny-reference-20260102-030405-abce",
        "tiny-rehearsal-20260102-030405-abcd",
    ]
    assert disk.names() == ["tiny-1"]


@pytest.mark.parametrize(
    "state", ["RUNNING", "PENDING", "COMPLETING", "REQUEUE_HOLD", "A_NEW_STATE"]
)
def test_a_run_with_a_job_in_slurm_is_never_removed(disk, state):
    """This holds for running and pending runs, and finished ones that Slurm has restarted."""
    disk.run("lives", days=40, job="7", ends=False)
    disk.run("again", days=40, job="8")
    disk.queue(f"7 {state}", f"8 {state}")
    assert disk.clean(Criteria(older_than=0, keep=0)) == []
    assert disk.names() == ["again", "lives"]


def test_without_slurm_only_an_end_record_counts(disk):
    """A run that may be active is kept, with a report."""
    disk.run("ended", days=40, job="7")
    disk.run("unknown", days=40, job="8", ends=False)
    disk.command(
        "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"
    )
    plan = plan_clean(MONTH, disk.index)
    assert [one.path.name for one in plan.removals] == ["ended"]
    assert len(plan.notes) == 1
    assert plan.notes[0].startswith("unknown stays: Slurm is not responding (")


def test_a_run_that_was_resumed_since_the_plan_is_kept(disk):
    """Between the plan and the user's confirmation a run may have been resumed."""
    disk.run("one", days=40, job="7")
    plan = plan_clean(MONTH, disk.index)
    disk.queue("7 PENDING")
    assert carry_out(plan, disk.index) == []
    assert disk.names() == ["one"]


def test_no_link_is_followed(disk, tmp_path):
    """The target of a link in a run folder is neither removed nor counted; a linked folder is kept."""
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "data").write_text("x" * 1_000_000)
    paths = disk.run("one", days=40)
    (paths.folder / "data").symlink_to(treasure)
    (paths.checkpoints / "step-00000009-0001").symlink_to(treasure)
    linked = disk.run("two", days=40)
    linked.folder.rename(tmp_path / "elsewhere")
    linked.folder.symlink_to(tmp_path / "elsewhere")
    assert disk.clean(Criteria(checkpoints=True, keep=0)) == []
    plan = plan_clean(MONTH, disk.index)
    assert plan.size < 300_000
    assert plan.notes == (f"two stays: {linked.folder} is a link or not its folder",)
    assert [one.path.name for one in carry_out(plan, disk.index)] == ["one"]
    assert (treasure / "data").stat().st_size == 1_000_000
    assert (tmp_path / "elsewhere" / "events").is_dir()


def test_an_entry_that_names_another_folder_removes_nothing(disk, tmp_path):
    """An index entry counts only if its folder belongs to the run of that name."""
    home = tmp_path / "precious"
    (home / "events").mkdir(parents=True)
    disk.index.add(RunRef("gone", RunPaths(home), "9"))
    plan = plan_clean(Criteria(keep=0), disk.index)
    assert plan.removals == ()
    assert home.is_dir()


def test_an_entry_whose_folder_was_removed_is_removed(disk):
    """The entry is removed only if the parent folder exists; an unmounted disk removes nothing."""
    paths = disk.run("one", days=40)
    shutil.rmtree(paths.folder)
    disk.run("other")
    os.utime(disk.index.runs / "one", (0, 0))
    assert disk.clean(MONTH) == ["one"]
    assert [run.run_id for run in disk.index.all()] == ["other"]
    shutil.rmtree(disk.root)
    assert disk.clean(Criteria(keep=0)) == []


@pytest.mark.parametrize("when", ["before", "amid"])
def test_an_interrupted_clean_is_finished_by_the_next(disk, monkeypatch, when):
    """A run whose removal was interrupted is hidden, and the next `clean` removes it."""
    disk.run("old", days=40)
    rmtree = shutil.rmtree

    def killed(path: Path) -> None:
        if when == "amid":
            rmtree(path / "events")
        raise KeyboardInterrupt

    monkeypatch.setattr(trash.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        disk.clean(MONTH)
    assert disk.names() == [".trash-old"]
    assert [run.run_id for run in disk.index.all()] == ["old"]
    monkeypatch.setattr(trash.shutil, "rmtree", rmtree)
    assert [
        one.kind
        for one in plan_clean(Criteria(states=frozenset({State.FAILED})), disk.index).removals
    ] == ["rest"]
    assert disk.clean(MONTH) == [".trash-old"]
    assert (disk.names(), disk.index.all()) == ([], [])


def test_the_newest_complete_checkpoint_is_kept(disk):
    """No option removes it; a newer damaged checkpoint does not replace it."""
    paths = disk.run("one", days=40, cause="crash")
    for step in (10, 20, 30):
        disk.checkpoint(paths, step, days=50)
    disk.checkpoint(paths, 40, days=50, damaged=True)
    gone = disk.clean(Criteria(older_than=DAY, checkpoints=True))
    assert gone == ["step-00000010-0001", "step-00000020-0001", "step-00000040-0001"]
    assert [path.name for path in paths.checkpoints.iterdir()] == ["step-00000030-0001"]
    assert list((paths.folder / "staging").iterdir()) == []
    assert paths.log("0001").exists()
    assert disk.clean(Criteria(keep=0, checkpoints=True)) == []


def test_keep_counts_checkpoints_of_each_run(disk):
    """--keep counts per run; active runs are skipped, and the training library's leftovers removed."""
    first, second, active = disk.run("a"), disk.run("b"), disk.run("c", job="7", ends=False)
    disk.queue("7 RUNNING")
    for paths in (first, second, active):
        for step in (10, 20, 30):
            disk.checkpoint(paths, step)
        (paths.folder / "staging" / "pruned").mkdir(parents=True)
    disk.clean(Criteria(keep=2, checkpoints=True))
    assert [len(list(paths.checkpoints.iterdir())) for paths in (first, second, active)] == [
        2,
        2,
        3,
    ]
    assert [
        (paths.folder / "staging" / "pruned").exists() for paths in (first, second, active)
    ] == [False, False, True]


def test_each_task_of_an_array_keeps_its_own(disk):
    """The tasks of an array count as runs of their own here, too."""
    array = disk.run("grid", ends=False)
    array.begin("0001").unlink()
    array.intent.write_text("number=1\narray=0-1\n")
    disk.age(array, 40)
    for number in (0, 1):
        task = RunPaths(array.folder / f"task-{number}")
        for path in (task.events, task.checkpoints, task.logs):
            path.mkdir(parents=True)
        task.begin("0001").write_text(f"job_id=4{number}\n")
        task.end("0001").write_text("cause=finished\nnext=end\nended=1\n")
        disk.age(RunPaths(task.folder), 40)
        for step in (10, 20):
            disk.checkpoint(task, step)
    assert disk.clean(Criteria(keep=1, checkpoints=True)) == ["step-00000010-0001"] * 2
    assert disk.clean(MONTH) == ["grid"]


def test_the_command_asks_and_without_a_terminal_requires_yes(disk):
    """Without --yes and a terminal nothing is removed; --dry-run never removes."""
    disk.run("old", days=40)
    done = disk.type("--older-than", "30d")
    assert (done.returncode, disk.names()) == (2, ["old"])
    assert (
        done.stderr
        == "cannot ask for confirmation without a terminal\n  hint: use --yes to remove what is listed without a confirmation\n"
    )
    assert done.stdout.splitlines()[1].split()[:4] == ["old", "COMPLETED", "40", "d"]
    shown = disk.type("--older-than", "30d", "--dry-run", "--json")
    assert (shown.returncode, disk.names()) == (0, ["old"])
    assert json.loads(shown.stdout)["removals"][0]["removed"] is False
    done = disk.type("--older-than", "30d", "--yes", "--json")
    (removal,) = json.loads(done.stdout)["removals"]
    assert (removal["run_id"], removal["kind"], removal["removed"]) == ("old", "run", True)
    assert (done.returncode, disk.names()) == (0, [])
    assert done.stderr.startswith("1 run removed, ")
    done = disk.type("--older-than", "30d")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing matches\n")


@pytest.mark.parametrize(("words", "error"), [
    ([], "clean needs at least one condition"),
    (["--older-than", "30"], "argument --older-than: 30 has no unit\n  hint: write 30min, 30h or 30s"),
    (["--state", "running"], "'running' is not the state of an ended run"),
    (["--keep", "-1"], "'-1' is not a whole number"),
    (["--runs", "--checkpoints", "--keep", "1"], "not allowed with argument"),
])  # fmt: skip
def test_errors_on_the_command_line(disk, words, error):
    """An invalid option exits with 2 and a hint."""
    done = disk.type(*words)
    assert done.returncode == 2
    assert error in done.stderr


def test_a_yes_at_the_terminal(disk):
    """On a terminal the user is asked, and only yes removes."""
    disk.run("old", days=40)
    environment = {**disk.environment, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    for answer, left in (("n", ["old"]), ("y", [])):
        typed = f"{sys.executable} -m clusterrun clean --older-than 30d"
        subprocess.run(["script", "-qec", typed, "/dev/null"], input=f"{answer}\n", text=True, env=environment,
                       capture_output=True, check=False)  # fmt: skip
        assert disk.names() == left


def test_a_run_that_squeue_hides_is_queried_by_its_id(disk):
    """A filter in the user's environment may hide a running job from squeue, which proves nothing."""
    disk.run("hidden", days=40, job="7", ends=False)
    disk.run("again", days=40, job="8")
    disk.queue()
    disk.known(("7", "RUNNING"), ("8", "PENDING"))
    notes: list[str] = []
    assert (
        carry_out(
            plan_clean(Criteria(older_than=0, keep=0), disk.index), disk.index, note=notes.append
        )
        == []
    )
    assert disk.names() == ["again", "hidden"]
    assert notes == ["again stays: job 8 is in the queue"]
    assert plan_clean(Criteria(keep=0), disk.index).notes == (
        "hidden stays: job 7 is in the queue",
    )


@pytest.mark.parametrize(("days", "stays"), [(0.5, True), (2, False)])
def test_a_run_with_an_unknown_end_must_be_idle_for_a_day(disk, days, stays):
    """Without an end record, and if neither squeue nor sacct knows the job, its files decide."""
    paths = disk.run("lost", job="7", ends=False)
    disk.age(paths, days)
    assert disk.clean(Criteria(keep=0)) == ([] if stays else ["lost"])
    notes = plan_clean(Criteria(keep=0), disk.index).notes
    assert notes == (
        ("lost stays: it left no end record, and its files changed 12.0 h ago, less than a day",)
        if stays
        else ()
    )


def test_a_job_that_sacct_reports_as_ended_needs_no_idle_time(disk):
    """A job that sacct reports as ended needs no idle time."""
    disk.run("limited", job="7", ends=False)
    disk.known(("7", "TIMEOUT"))
    assert disk.clean(Criteria(keep=0)) == ["limited"]


def test_a_run_that_is_written_to_after_its_end_is_kept(disk):
    """Whatever records and Slurm report, a recent log means an active run."""
    paths = disk.run("old", days=40)
    os.utime(paths.log("0001"))
    assert disk.clean(MONTH) == []
    assert disk.names() == ["old"]


def test_a_process_of_a_local_run_keeps_its_folder(disk):
    """After its supervisor was killed a training process may continue: the folder is in use."""
    paths = disk.run("here", days=40, job="12")
    paths.job.write_text("number=1\njob_id=12\nlocal=1\n")
    disk.age(paths, 40)
    with subprocess.Popen(["sleep", "60"], env={"run_dir": str(paths.folder)}) as orphan:
        assert disk.clean(MONTH) == []
        orphan.kill()
    assert disk.clean(MONTH) == ["here"]


def test_a_local_run_of_another_machine_is_kept(disk):
    """Its processes are invisible here: without an end record it stays."""
    paths = disk.run("there", days=40, job="12", ends=False)
    paths.job.write_text("number=1\njob_id=12\nlocal=1\n")
    paths.local.mkdir()
    (paths.local / "supervisor").write_text("job_id=12\nhost=elsewhere\n")
    disk.age(paths, 40)
    assert disk.clean(Criteria(keep=0)) == []
    assert plan_clean(Criteria(keep=0), disk.index).notes == (
        "there stays: it left no end record, and was started on elsewhere",
    )


def test_a_run_that_changed_since_the_plan_is_kept(disk):
    """A run resumed and ended since is recent; one taken up by a killed `resume` is pending."""
    again, begun = disk.run("again", days=40), disk.run("begun", days=40, job="2")
    plan = plan_clean(MONTH, disk.index)
    again.begin("0002").write_text("job_id=1\n")
    again.end("0002").write_text(f"cause=finished\nnext=end\nended={int(time.time())}\n")
    disk.index.make()
    disk.index.resumption(RunRef("begun", begun)).write_text("number=2\n")
    notes: list[str] = []
    assert carry_out(plan, disk.index, note=notes.append) == []
    hint = "a resume was interrupted; finish it with `clusterrun resume begun`"
    assert sorted(notes) == ["again stays: it has been resumed", f"begun stays: {hint}"]


def test_clean_and_resume_exclude_each_other(disk):
    """Both take the same lock: `clean` does not wait for it, and `resume` finds the folder removed."""
    paths = disk.run("one", days=40)
    plan, run = plan_clean(MONTH, disk.index), RunRef("one", paths, "1")
    notes: list[str] = []
    disk.index.make()
    with locked(disk.index.resumption(run).with_suffix(".lock")):
        assert carry_out(plan, disk.index, note=notes.append) == []
    assert notes == ["one stays: it is being resumed"]
    paths.folder.rename(paths.folder.with_name(".trash-one"))
    with pytest.raises(ClusterError, match="one is being removed by `clusterrun clean`"):
        resume("one", environment=disk.environment, index=disk.index)


def test_a_resume_while_clean_works(disk):
    """Between two removals, which may take minutes, the second run is resumed: it is kept."""
    disk.run("first", days=50)
    second = disk.run("second", days=40, job="2")
    plan = plan_clean(MONTH, disk.index)

    def resumed(*_: object) -> None:
        second.intent.write_text("number=2\nafter=0001\n")
        second.job.write_text("number=2\njob_id=9\nafter=0001\n")
        disk.queue("9 RUNNING")

    gone = carry_out(plan, disk.index, report_progress=resumed)
    assert [one.path.name for one in gone] == ["first"]
    assert disk.names() == ["second"]
