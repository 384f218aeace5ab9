"""The commands as functions, and a run as an object, as a Python program on a login node uses them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import clusterrun
from tests.cli_desk import Desk

PROGRAM = """
import clusterrun
run = clusterrun.submit("job.yaml", overrides=["slurm.nodes=2"])
assert clusterrun.Run.find("last") == run, run
print(run.job_id, run.status().state.value, run.why().run_id == run.run_id, run.checkpoints())
run.stop()
print(run.status().state.value, run.wait(5).reason)
try:
    list(run.logs(rank=1))
except clusterrun.errors.ClusterError as error:
    print(error)
print(clusterrun.status(run.run_id).run_id == run.run_id, [found.run_id for found in clusterrun.list_runs()] == [run.run_id])
"""


def test_a_run_is_an_object(desk: Desk) -> None:
    """What `submit` gives back can be asked and told what the commands ask and tell."""
    desk.command("sbatch", f'echo "$*" > {desk.folder}/words; echo "Submitted batch job 7"')
    desk.command("srun", "")
    desk.command("squeue", f"[ -e {desk.folder}/gone ] || echo '7|7|7|PENDING|Resources|N/A||'")
    desk.command("scancel", f"echo >> {desk.folder}/gone")
    script = f"{desk.folder}/runs/tiny-*/job.sbatch"
    desk.command(
        "scontrol", f"echo 'JobId=7 JobName=x UserId=me({os.getuid()}) JobState=PENDING Command='{script}' WorkDir=/'"
    )
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=desk.environment, cwd=desk.folder, text=True,
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "7 PENDING True []"
    assert done.stdout.splitlines()[1] == "STOPPED left the queue, as asked"
    assert "has printed nothing yet" in done.stdout
    assert done.stdout.splitlines()[-1] == "True True"
    assert "#SBATCH --nodes=2\n" in next((desk.folder / "runs").glob("*/job.sbatch")).read_text()


def test_every_public_name_is_there() -> None:
    """Each name is a function or a class, also after modules of the same names were imported."""
    code = "import clusterrun.submit, clusterrun.logs, clusterrun; names = {n: getattr(clusterrun, n) for n in clusterrun.__all__}\n"
    code += "assert all(callable(found) for found in names.values()), names\n"
    code += "assert clusterrun.submit is clusterrun.run.submit"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(clusterrun.__file__).parent.parent)
