"""Values that a submission sets, and values that only the job knows, reach the program on Slurm.

Budget: 1 minute.
"""

from __future__ import annotations

from tests.slurm.desk import Desk, until
from tests.slurm.light import task_of

# The first attempt waits for the stop, the second one finishes.
COMMAND = (
    'printf "%s|" "$TASK" "$ATTEMPT" "$LR" >> "$OUT"; '
    'until [ "$ATTEMPT" = 0002 ] || [ -e "$CLUSTERRUN_STOP_FILE" ]; do sleep 0.2; done'
)
VARIABLES = {
    "OUT": "{run_dir}/it's {array_task}",
    "TASK": "{array_task}",
    "ATTEMPT": "{attempt}",
    "LR": "{lr} $HOME",
}


def test_the_tasks_of_an_array_have_their_own_values_and_resume_keeps_them(desk: Desk) -> None:
    run = desk.submit(
        "values-{lr}",
        "--param=lr=3e-4",
        command=COMMAND,
        parameters={"lr": None},
        slurm={"array": "0-1"},
        environment={"variables": VARIABLES},
    )
    assert run.run_id.startswith("values-3e-4-")
    files = [task_of(run, number).folder / f"it's {number}" for number in (0, 1)]
    until(lambda: all(file.exists() for file in files), 60, "both tasks write")
    desk.cli("stop", run.run_id)
    desk.wait(run)
    refused = desk.cli("resume", run.run_id, "--set", "parameters.lr=1", check=False)
    assert refused.returncode == 2
    assert "a run keeps the parameters that it was submitted with" in refused.stderr

    desk.submitted(desk.cli("resume", run.run_id, "--json"))
    assert desk.wait(run) == "COMPLETED", run.log()
    assert [file.read_text() for file in files] == [
        f"{number}|0001|3e-4 $HOME|{number}|0002|3e-4 $HOME|" for number in (0, 1)
    ]
    assert desk.status(run)["parameters"] == "lr=3e-4"
    assert "parameters       lr=3e-4" in desk.cli("status", run.run_id).stdout
