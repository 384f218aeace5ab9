"""Notes on values that do something other than they seem to: literal variables, and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterrun.errors import Problem
from clusterrun.job_spec import Loaded
from clusterrun.job_spec.placeholders import placeholder_of
from clusterrun.job_spec.secret_forms import holds_secret
from clusterrun.job_spec.yaml_text import KeyPath, dotted

_SHELL_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)")
_SYSTEM_FOLDERS = ("/usr/bin", "/bin")


def note_values(loaded: Loaded) -> Iterator[str]:
    """Yield notes on arguments and variables that contain a literal `$NAME`, or a secret."""
    for path, value in _texts(loaded):
        where = f"{loaded.line_of(*path)}: {dotted(path)}"
        found = _SHELL_VARIABLE.search(value)
        if found and path != ("environment", "variables", "PATH"):
            placeholder = placeholder_of(found[1])
            use = f"write {placeholder}" if placeholder else "read it in the script"
            yield f"{where}: ${found[1]} is passed on as written, not expanded by a shell; {use}"
        if holds_secret(str(path[-1]), value):
            yield (
                f"{where}: this looks like a secret, and is written into the run folder; name a "
                "variable in environment.secrets, which the script reads"
            )


def check_path(loaded: Loaded) -> Iterator[Problem]:
    """Yield a problem for a PATH without the system's programs: values are not expanded."""
    path = ("environment", "variables", "PATH")
    value = loaded.spec.environment.variables.get("PATH")
    if value is None:
        return
    folders = str(value).split(":")
    where, key = loaded.line_of(*path), dotted(path)
    hint = f"write environment: {{setup: 'export PATH=\"{str(value)[:200]}\"'}}"
    if _SHELL_VARIABLE.search(str(value)):
        yield Problem(where, key, "variables in it are not replaced, so no program is found", hint)
    elif not set(folders) & set(_SYSTEM_FOLDERS):
        what = f"contains neither {' nor '.join(_SYSTEM_FOLDERS)}, so no program is found"
        yield Problem(where, key, what, "append :/usr/bin:/bin")


def _texts(loaded: Loaded) -> Iterator[tuple[KeyPath, str]]:
    args = loaded.spec.args
    items = args.items() if isinstance(args, dict) else enumerate(args)
    for key, value in items:
        if isinstance(value, str):
            yield ("args", key), value
        elif isinstance(value, (list, tuple)):
            for word in value:
                if isinstance(word, str):
                    yield ("args", key), word
    for name, text in loaded.spec.environment.variables.items():
        if isinstance(text, str):
            yield ("environment", "variables", name), text
