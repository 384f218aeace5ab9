"""The pages of the documentation that a script in tools/docs/ writes."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

SCRIPTS = Path(__file__).resolve().parents[2] / "tools" / "docs"


@functools.cache
def _script(name: str) -> ModuleType:
    """Load a script that is not in a package; its own folder is on its path, as when it is run."""
    place = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    if str(SCRIPTS) not in sys.path:
        sys.path.append(str(SCRIPTS))
    place.loader.exec_module(module)
    return module


def written_by(script: str) -> str:
    """Return the page that `python tools/docs/SCRIPT.py` would write."""
    return str(_script(script).page())


def page_of(script: str) -> Path:
    """Return the path of the page that a script writes."""
    return Path(_script(script).PAGE)
