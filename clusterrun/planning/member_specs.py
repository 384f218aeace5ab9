"""The spec of each member of a sweep, from the prepared one of the first member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clusterrun.job_spec import Loaded
from clusterrun.job_spec.layers import split_key
from clusterrun.job_spec.values import read_argument
from clusterrun.planning.preparation import Prepared
from clusterrun.results import SweepMember
from clusterrun.sweeps.settings import Row


def list_member_specs(prepared: Prepared) -> list[tuple[SweepMember, Loaded]]:
    """Return the members of a prepared sweep, each with its spec; empty without a sweep."""
    if prepared.members is None:
        return []
    members = prepared.members
    args = _args_without(prepared, members.every[0].row)
    found = []
    for one in members.every:
        own = {**args, **_args_of(one.row)}
        environment = prepared.loaded.spec.environment.model_copy(
            update={"variables": one.variables}
        )
        spec = prepared.loaded.spec.model_copy(update={"args": own, "environment": environment})
        found.append((one.result, replace(prepared.loaded, spec=spec)))
    return found


def _args_without(prepared: Prepared, row: Row) -> dict[str, Any]:
    """Return the arguments of the spec without those of its first member."""
    args, base = prepared.loaded.spec.args, prepared.members and prepared.members.base.get("args")
    own = _args_of(row)
    kept = {key: value for key, value in args.items() if key not in own} if args else {}
    shared: Mapping[str, Any] = base if isinstance(base, dict) else {}
    restored = {key: read_argument(value) for key, value in shared.items() if key in own}
    return {**restored, **kept}


def _args_of(row: Row) -> dict[str, Any]:
    return {
        split_key(one.path)[-1]: read_argument(one.value)
        for one in row
        if split_key(one.path)[0] == "args"
    }
