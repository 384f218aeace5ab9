"""The tiny training under submitit, as a Checkpointable.

Usage: `with_submitit.py FOLDER --partition P --time MINUTES`.

accelerate runs as a subprocess of each task; with --in-process, the task itself trains and saves in
`checkpoint()`. Prints the job id.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path
from typing import Any

import submitit
from submitit.helpers import Checkpointable, DelayedSubmission


class Launch(Checkpointable):
    """Run `accelerate launch` on each node, and again after a requeue; the script resumes."""

    def __call__(self, script: str) -> None:
        """Run the task of one node."""
        job = submitit.JobEnvironment()
        machines = ["--num_machines", str(job.num_nodes), "--num_processes", str(job.num_tasks)]
        meet = [
            "--main_process_ip",
            job.hostnames[0],
            "--main_process_port",
            str(20000 + int(job.raw_job_id) % 10000),
        ]
        usual = ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
        argv = [
            "accelerate",
            "launch",
            *usual,
            *machines,
            "--machine_rank",
            str(job.node),
            *meet,
            script,
        ]
        subprocess.run(argv, check=True)


class Train(Checkpointable):
    """Train in submitit's own process.

    submitit calls `checkpoint` in its signal handler, on task 0 only.
    """

    training: Any = None

    def __call__(self, folder: str) -> None:
        """Run the process of one node."""
        from plain import Training  # noqa: PLC0415 - on the nodes

        submitit.helpers.TorchDistributedEnvironment().export()
        self.training = Training(Path(folder))
        self.training.run()

    def checkpoint(self, folder: str) -> DelayedSubmission:
        """Save, and return what to run after the requeue."""
        if self.training is not None:
            self.training.save_alone()
        return DelayedSubmission(Train(), folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--partition", required=True)
    parser.add_argument("--time", type=int, required=True, help="minutes")
    parser.add_argument("--in-process", action="store_true")
    options = parser.parse_args()
    executor = submitit.AutoExecutor(Path(options.folder, "submitit"), cluster="slurm")
    executor.update_parameters(
        nodes=2, tasks_per_node=1, timeout_min=options.time, slurm_signal_delay_s=30
    )
    executor.update_parameters(slurm_partition=options.partition, name="with-submitit")
    if options.in_process:
        job = executor.submit(Train(), options.folder)
    else:
        job = executor.submit(Launch(), os.environ["SCRIPT"])
    print(job.job_id)


if __name__ == "__main__":
    main()
