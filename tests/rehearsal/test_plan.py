"""The two runs of a rehearsal, and the step to which they train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import prepare
from clusterrun.rehearsal.plan import RehearsalPlan, plan_runs
from tests.support.rehearsals import request


@pytest.mark.parametrize(("values", "changes"), [
    ({"command": "true"}, ["checkpoint.every=7 steps", "environment.variables.CLUSTERRUN_LOSSES=1"]),
    ({"command": "true", "checkpoint": {"every": "2h"}, "environment": {"variables": {"A": "b"}}},
     ["checkpoint.every=7 steps", "environment.variables.CLUSTERRUN_LOSSES=1"]),
    ({"script": "train.py", "checkpoint": {"path": "{run_dir}/step-*"}}, []),
])  # fmt: skip
@pytest.mark.parametrize("name", ["a", "n" * 64])
def test_the_two_runs_of_a_rehearsal(
    tmp_path: Path, name: str, values: dict[str, Any], changes: list[str]
) -> None:
    """They equal the same spec with `--set`: a name, the first save, and the recorded losses."""
    (tmp_path / "train.py").touch()
    original = request(tmp_path, name, **values)
    for planned, word in zip(
        plan_runs(prepare(original), RehearsalPlan(7)), ("rehearsal", "reference"), strict=True
    ):
        typed = prepare(replace(original, overrides=(f"name={name[:54]}-{word}", *changes)))
        assert (planned.loaded.spec, planned.launch) == (typed.loaded.spec, typed.launch)
        assert make_plan(planned) == make_plan(typed)


def test_the_goal_is_after_the_resume() -> None:
    """Wherever the run stopped, both save at the goal, with a save and at least one step in
    between.
    """
    plan = RehearsalPlan(10)
    assert plan.stop_at == 15
    for left in range(15, 100):
        goal = plan.goal(left)
        assert goal % 10 == 0
        assert left + 10 < goal <= left + 20
