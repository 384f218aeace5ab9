"""The pages of the documentation that a script in tools/docs/ writes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "tools" / "docs"


def written_by(script: str) -> str:
    """Return the page that `python tools/docs/SCRIPT.py` would write."""
    place = importlib.util.spec_from_file_location(script, SCRIPTS / f"{script}.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return str(module.page())
