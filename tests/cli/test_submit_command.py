"""What `submit` prints, with and without Slurm."""

from __future__ import annotations

import json

import pytest


def test_submit_without_slurm_suggests_local(desk):
    """If sbatch is not installed, submit suggests --local and leaves nothing behind."""
    done = desk.type("submit", "job.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "sbatch is not installed on this machine" in done.stderr
    assert "submit --local" in done.stderr
    assert list(desk.home.iterdir()) == []
    assert not (desk.folder / "runs").exists()


def test_a_dry_run_without_slurm_shows_the_script(desk):
    """--dry-run prints what would be submitted, and submits nothing."""
    done = desk.type("submit", "--dry-run", "job.yaml")
    assert (done.returncode, done.stdout[:12]) == (0, "#!/bin/bash\n")
    assert "\nrun_id=job-dry-run\n" in done.stdout
    assert not (desk.folder / "runs").exists()


def test_the_output_of_submit(desk):
    """stdout is the run's id; stderr has the next commands and the overriding variables."""
    desk.command("sbatch", '[ -z "${SBATCH_PARTITION:-}" ] && echo "Submitted batch job 4711"')
    desk.command("srun", "exit 1")
    done = desk.type("submit", "job.yaml", SBATCH_PARTITION="debug")
    run_id = done.stdout.strip()
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{run_id}\n"
    assert done.stderr.startswith(
        "note: ignored, because they would override the spec: SBATCH_PARTITION\n"
    )
    assert "queued as job 4711" in done.stderr
    assert f"  clusterrun status {run_id}\n" in done.stderr
    parsable = desk.type("submit", "--parsable", "job.yaml").stdout
    assert parsable.endswith(";4711\n")


def test_a_refusal_by_slurm_exits_with_1(desk):
    """Slurm's own error is printed, and no run is left behind."""
    desk.command("sbatch", 'echo "sbatch: error: invalid partition specified: x" >&2; exit 1')
    desk.command("srun", "exit 1")
    done = desk.type("submit", "job.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "sbatch: invalid partition specified: x"
    assert json.loads(desk.type("list", "--json").stdout) == []
    assert list((desk.folder / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("config", "spec", "option"),
    [
        (
            "SlurmctldParameters     = idle_on_node_suspend,enable_expedited_requeue",
            "",
            " --requeue=expedite ",
        ),
        ("SlurmctldParameters     = (null)", "", " "),
        ("SlurmctldParameters     = enable_expedited_requeue", "requeue: {by: requeue}\n", " "),
        ("SlurmctldParameters     = enable_expedited_requeue", "requeue: {on: []}\n", " "),
    ],
)
def test_an_expedited_requeue_is_requested_if_allowed(desk, config, spec, option):
    """Only the cluster knows whether it is allowed, so submit checks, unless the spec decides."""
    desk.write(f"script: train.py\n{spec}")
    desk.command("scontrol", f'echo "{config}"')
    desk.command("srun", "")
    desk.command("sbatch", f'echo "$*" > {desk.folder}/words; echo "Submitted batch job 7"')
    done = desk.type("submit", "job.yaml")
    assert done.returncode == 0, done.stderr
    folder = next((desk.folder / "runs").iterdir())
    assert (desk.folder / "words").read_text() == f"{option}{folder}/job.sbatch\n".lstrip()
