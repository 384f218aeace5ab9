"""`clean`: what it removes, what it keeps, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clusterrun import cli
from clusterrun.errors import SpecError
from clusterrun.run_folder import removal as trash
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.slurm.states import State
from clusterrun.upkeep.cleaning import carry_out
from clusterrun.upkeep.cleanup_plan import Criteria, plan_clean
from tests.upkeep.conftest import DAY, MONTH


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
