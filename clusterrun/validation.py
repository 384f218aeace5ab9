"""`validate` and `render`: what a spec means, without Slurm."""

from __future__ import annotations

from clusterrun.errors import SpecError
from clusterrun.prepare import Prepared, Request, prepare


def validate(request: Request) -> Prepared:
    """Check a spec and the files it names; raises SpecError with every mistake."""
    prepared = prepare(request)
    if prepared.problems:
        raise SpecError(prepared.problems)
    prepared.script()
    return prepared
