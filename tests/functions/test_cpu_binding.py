"""When the step is started with --cpu-bind=none."""

from __future__ import annotations

import pytest

from tests.support.bash_functions import said


@pytest.mark.parametrize(("config", "binds"), [
    ("TaskPlugin              = task/affinity,task/cgroup", True), ("TaskPlugin = affinity", True),
    ("TaskPlugin              = task/none", False), ("TaskPlugin = (null)", False),
    ("TaskPlugin = task/cgroup\nTaskPluginParam = (null type)", False), ("", True),
    ("ProctrackType = proctrack/cgroup", True),
])  # fmt: skip
def test_only_task_affinity_binds(config, binds):
    """A cluster that may bind gets the option; one that cannot would only log that it cannot."""
    text = 'slurm_may_bind_cpus "$answer" && echo binds; true'
    assert said(text, answer=config) == ("binds\n" if binds else "")
