"""The pages of the documentation that a script in docs/ writes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def written_by(script: str) -> str:
    """Return the page that `python docs/SCRIPT.py` would write."""
    place = importlib.util.spec_from_file_location(script, DOCS / f"{script}.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return str(module.page())
