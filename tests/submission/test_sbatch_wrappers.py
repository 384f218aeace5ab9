"""Sites wrap sbatch: the job id is read from what their wrappers print."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.slurm.commands import NoAnswer
from clusterrun.slurm.submitit_seam import ScriptExecutor

PRINTED = {
    "Submitted batch job 12": "12",
    "12": "12",
    "12;wice": "12",
    "Welcome to the cluster\nProject: 7 hours left\n12": "12",
    "Submitted batch job 12\nestimated cost: 3 EUR": "12",
    "\n12  \n": "12",
    "12 EUR\nSubmitted batch job 34": "34",
    "12 jobs are ahead": None,
    "0": None,
    "": None,
}


@pytest.mark.parametrize("printed", PRINTED)
def test_the_id_is_read_from_what_a_wrapper_prints(tmp_path: Path, monkeypatch, printed) -> None:
    """Slurm's sentence, a bare number, or the form of --parsable in the last line; anything else is refused."""
    for name, text in {"sbatch": f"printf '%s\\n' '{printed}'", "srun": "true"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    executor = ScriptExecutor(tmp_path, {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    if PRINTED[printed] is None:
        with pytest.raises(NoAnswer, match="printed no job id"):
            executor.submit_script(tmp_path / "job.sbatch")
    else:
        assert executor.submit_script(tmp_path / "job.sbatch").job_id == PRINTED[printed]
