"""If sbatch refuses a partition, the error has the spec's line and the existing partitions."""

from __future__ import annotations

import pytest

REFUSAL = (
    "sbatch: error: invalid partition specified: {}\n"
    "sbatch: error: Batch job submission failed: Invalid partition name specified"
)


@pytest.mark.parametrize(
    ("partition", "words", "where", "hint"),
    [
        ("mian", (), "job.yaml:3: ", "did you mean main? this cluster has main, low"),
        ("main,mian", (), "job.yaml:3: ", "did you mean main? this cluster has main, low"),
        (
            "main",
            ("--set", "slurm.partition=zz"),
            "--set slurm.partition: ",
            "use another one: this cluster has main, low",
        ),
    ],
)
@pytest.mark.parametrize("command", [("submit",), ("submit", "--dry-run")])
def test_an_unknown_partition(desk, command, partition, words, where, hint):
    """Like every error in a spec it has place, cause and hint; and nothing is left behind."""
    refused = "zz" if words else partition
    desk.command("sbatch", f"printf '{REFUSAL.format(refused)}' >&2; exit 1")
    desk.command("srun", "exit 0")
    desk.command("squeue", "exit 0")
    desk.command("sinfo", "printf 'main\\nlow\\n'")
    desk.write(f"name: tiny\nslurm:\n  partition: {partition}\ncommand: sleep 1\n")
    done = desk.type(command[0], "job.yaml", *command[1:], *words)
    wrong = "zz" if words else "mian"
    expected = f"{where}slurm.partition: partition {wrong!r} does not exist\n  hint: {hint}\n"
    assert done.stderr.endswith(expected), done.stderr
    assert (done.returncode, done.stdout) == (2, "")
    assert not list((desk.folder / "runs").glob("tiny-*"))


def test_without_sinfo_the_error_of_sbatch_is_shown(desk):
    """A refusal is never hidden."""
    desk.command("sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1")
    desk.command("srun", "exit 0")
    desk.command("squeue", "exit 0")
    desk.command("sinfo", "exit 1")
    desk.write("name: tiny\nslurm: {partition: x}\ncommand: sleep 1\n")
    done = desk.type("submit", "job.yaml")
    assert (done.returncode, done.stderr) == (1, "sbatch: invalid partition specified: x\n")
