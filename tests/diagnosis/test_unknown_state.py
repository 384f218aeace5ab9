"""`why` of a run whose state is unknown distinguishes a silent Slurm from a squeue that refuses."""

from __future__ import annotations

import pytest

from clusterrun.diagnosis.run_diagnosis import _describe_unknown

REFUSED = (
    "rc-squeue: error: unrecognized arguments: --states=all",
    "squeue: invalid option -- 'M'",
    "squeue: unrecognized option '--array'",
    "Error: no such option: --me",
    "usage: squeue [-u USER]",
)
SILENT = (
    "squeue did not respond within 4.5 s",
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    "slurm_load_jobs error: Socket timed out on send/recv operation",
    "",
)


@pytest.mark.parametrize("reason", REFUSED)
def test_a_squeue_of_the_site_that_refuses_the_query(reason: str) -> None:
    described = _describe_unknown(reason)
    assert described.startswith(f"squeue refuses what clusterrun asks ({reason}): ")
    assert "/usr/bin/squeue" in described


@pytest.mark.parametrize("reason", SILENT)
def test_a_slurm_that_does_not_respond(reason: str) -> None:
    shown = f" ({reason})" if reason else ""
    assert _describe_unknown(reason) == (
        f"Slurm is not responding{shown}, so the state of the run is unknown; try again later"
    )
