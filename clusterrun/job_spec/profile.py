"""The path of the site's profile, which has the defaults of every spec and the run root."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from clusterrun.errors import Problem, SpecError


def find_profile(option: str | None, environment: Mapping[str, str]) -> Path | None:
    """Return the profile to use: `--profile`, else CLUSTERRUN_PROFILE, else the user's own.

    Raises SpecError if a named profile does not exist. An empty name means no profile.
    """
    for where, name in (
        ("--profile", option),
        ("CLUSTERRUN_PROFILE", environment.get("CLUSTERRUN_PROFILE")),
    ):
        if name is None:
            continue
        path = Path(os.path.expanduser(name))  # noqa: PTH111 - it keeps an unknown user as written
        if name and not path.is_file():
            raise SpecError(
                [Problem(where, "", f"no such profile: {name}", "give the path of a YAML file")]
            )
        return path if name else None
    path = own_profile(environment)
    return path if path.is_file() else None


def own_profile(environment: Mapping[str, str]) -> Path:
    """Return the path of the user's own profile, which may not exist."""
    base = environment.get("XDG_CONFIG_HOME") or str(
        Path(environment.get("HOME") or "~").expanduser() / ".config"
    )
    return Path(base) / "clusterrun" / "profile.yaml"
