"""A rehearsal of a sweep."""

from __future__ import annotations

import pytest

from clusterrun.errors import SpecError
from clusterrun.planning.preparation import Request, prepare
from clusterrun.rehearsal.plan import refuse_unfit_job


def test_a_sweep_is_not_rehearsed(tmp_path):
    """The hint selects a member."""
    (tmp_path / "train.py").write_text("print(1)\n")
    text = "script: train.py\nsweep: {grid: {args.a: [1, 2]}}\n"
    request = Request("s.yaml", (), "", environment={}, cwd=tmp_path, own_python=False, text=text)
    with pytest.raises(SpecError, match=r"not a sweep\n  hint: add --member 0"):
        refuse_unfit_job(prepare(request))
