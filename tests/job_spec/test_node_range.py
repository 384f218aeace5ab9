"""`slurm.nodes: 2-8`: what a spec means then, and how many of the allocated nodes are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.planning.plan import LaunchPlan
from clusterrun.planning.script import render
from tests.support.bash_functions import bash
from tests.support.planned import plan_of


def planned(folder: Path, slurm: dict[str, Any], **accelerate: Any) -> LaunchPlan:
    path = folder / "job.yaml"
    path.write_text(
        yaml.safe_dump(
            {"name": "x", "script": "train.py", "slurm": slurm, "accelerate": accelerate}
        )
    )
    return plan_of(load_spec(path, folder=folder).spec)


def test_the_processes_are_those_of_the_most_nodes(tmp_path: Path) -> None:
    """num_processes counts the processes on the most nodes; each node always has the same number."""
    plan = planned(tmp_path, {"nodes": "2-8"}, num_processes=16)
    assert (plan.least_nodes, plan.nodes, plan.launch.processes, plan.processes_a_node) == (
        2,
        8,
        16,
        2,
    )
    script = render(plan)
    assert "#SBATCH --nodes=2-8\n" in script
    assert "#SBATCH --ntasks-per-node" not in script
    assert (
        "\nexport CLUSTERRUN_MOST_NODES=8  # at least 2\n"
        "processes_per_node=2\nnum_processes=  # processes_per_node times the nodes\n" in script
    )


def test_one_number_is_not_a_range(tmp_path: Path) -> None:
    """Without a range the script does not mention the most nodes."""
    assert (
        "CLUSTERRUN_MOST_NODES="
        not in render(planned(tmp_path, {"nodes": 4})).split("# ---- clusterrun's")[0]
    )


@pytest.mark.parametrize(
    ("slurm", "accelerate", "what"),
    [
        (
            {"nodes": "2-4", "gpus": 8},
            {},
            "is a total over all nodes, but slurm.nodes is the range 2-4",
        ),
        ({"nodes": "2-4"}, {"num_processes": 6}, "6 processes are not divisible by 4 nodes"),
        ({"nodes": "3-5"}, {}, "5 batches of a step are not divisible by 3 nodes"),
        (
            {"nodes": "3-8"},
            {"gradient_accumulation_steps": 2},
            "16 batches of a step are not divisible",
        ),
        ({"nodes": "4-2"}, {}, "4-2 is an empty range"),
        ({"nodes": "0-2"}, {}, "'0-2' is not a number of nodes"),
        ({"nodes": "2-"}, {}, "'2-' is not a number of nodes"),
    ],
)
def test_options_that_exclude_a_node_range(
    tmp_path: Path, slurm: dict[str, Any], accelerate: dict[str, Any], what: str
) -> None:
    """Invalid combinations are reported before submission."""
    with pytest.raises(SpecError) as refused:
        planned(tmp_path, slurm, **accelerate)
    assert what in str(refused.value)


USED = [
    # most nodes, their accumulation steps, allocated nodes, nodes in use
    ("", "", 3, 3),
    (8, "", 8, 8),
    (8, "", 7, 4),
    (8, 1, 3, 2),
    (8, 3, 6, 6),
    (8, 3, 7, 6),
    (5, 1, 4, 1),
]


@pytest.mark.parametrize(("most", "accumulation", "given", "used"), USED)
def test_as_many_nodes_are_used_as_share_a_step_equally(
    most: object, accumulation: object, given: int, used: int
) -> None:
    """The largest allocated number that keeps the samples per step is used; all without a range."""
    variables = {
        "CLUSTERRUN_MOST_NODES": most,
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": accumulation,
    }
    done = bash('choose_node_count; echo "$num_machines"', SLURM_JOB_NUM_NODES=given, **variables)
    assert int(done.stdout) == used
    assert (f"using {used} of {given} nodes:" in done.stderr) == (used < given)
