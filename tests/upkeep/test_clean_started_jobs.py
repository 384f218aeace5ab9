"""A run whose old job starts in the moment in which `clean` removes it."""

from __future__ import annotations

from clusterrun.upkeep.cleaning import carry_out
from clusterrun.upkeep.cleanup_plan import Criteria, plan_clean


def test_a_job_that_starts_before_the_rename_keeps_its_run(disk) -> None:
    """`clean` has asked squeue, a person requeues the job, it starts, and then `clean` renames."""
    paths = disk.run("one", days=40, job="7")
    plan = plan_clean(Criteria(older_than=0), disk.index)
    row = f"7|7|7|RUNNING|None|N/A|n1|{paths.script}"
    disk.command("squeue", f"[ -e {paths.folder} ] || echo '{row}'")  # only after the rename
    notes: list[str] = []
    assert carry_out(plan, disk.index, note=notes.append) == []
    assert disk.names() == ["one"]
    assert notes == ["one stays: job 7 has just started"]
    assert paths.begin("0001").exists()


def test_a_run_without_a_job_is_removed(disk) -> None:
    """The second look finds only other runs' jobs."""
    disk.run("one", days=40, job="7")
    plan = plan_clean(Criteria(older_than=0), disk.index)
    disk.command("squeue", "echo '8|8|8|RUNNING|None|N/A|n1|/other/job.sbatch'")
    assert [one.path.name for one in carry_out(plan, disk.index)] == ["one"]
    assert disk.names() == []
