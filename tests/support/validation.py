"""What `validate` reports of a spec, as text."""

from __future__ import annotations

from pathlib import Path

from clusterrun.errors import SpecError
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.validation import validate


def reported(spec: str, **files: str) -> str:
    """Return what `validate` reports of a spec on two nodes with four GPUs each: errors and notes."""
    for name, text in files.items():
        Path(name.replace("_", ".")).write_text(text)
    Path("job.yaml").write_text(spec)
    request = Request("job.yaml", environment={"HOME": str(Path.cwd())}, own_python=False)
    notes = [f"note: {note}" for note in prepare(request).notes if "is used unchanged" not in note]
    try:
        validate(request)
        return "\n".join(notes)
    except SpecError as error:
        return "\n".join([str(error), *notes])


ZERO = {"zero_optimization": {"stage": 2}}
