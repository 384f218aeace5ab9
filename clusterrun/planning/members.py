"""The members of a sweep in one job script: what they share, and what each differs in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clusterrun.job_spec.model import JobSpec
from clusterrun.planning.accelerate_config import Words
from clusterrun.planning.launch import Launch
from clusterrun.quoting import Shell
from clusterrun.results import SweepMember
from clusterrun.sweeps.settings import Row

_ARGUMENTS: Words = (Shell('"${member_args[@]}"'),)


@dataclass(frozen=True)
class Member:
    """One member of a sweep, with its complete command."""

    number: int
    name: str
    row: Row
    lines: tuple[Words, ...]
    variables: Mapping[str, str]

    @property
    def result(self) -> SweepMember:
        """The member as commands print it."""
        return SweepMember(self.number, self.name, {one.path: one.text for one in self.row})


@dataclass(frozen=True)
class Members:
    """All members of a sweep, and its section of the spec."""

    every: tuple[Member, ...]
    section: Mapping[str, Any]
    template: str
    """The name as the spec has it, with placeholders."""
    base: Mapping[str, Any]
    """The values of the spec before those of a member."""


@dataclass(frozen=True)
class MemberWords:
    """What one member differs in from the others."""

    number: int
    name: str
    arguments: Words
    variables: Mapping[str, str]


def split_members(
    spec: JobSpec, launch: Launch, members: Members | None
) -> tuple[JobSpec, Launch, tuple[MemberWords, ...]]:
    """Return what all members share, and the words of each; unchanged without a sweep."""
    if members is None:
        return spec, launch, ()
    every = members.every
    lines = [one.lines for one in every]
    first = _count_equal(lines)
    last = _count_equal([tuple(reversed(one[first:])) for one in lines])
    rest = [one[first : len(one) - last] for one in lines]
    tail = lines[0][len(lines[0]) - last :]
    middle = [_ARGUMENTS] if any(rest) else []
    shared = {
        name: value
        for name, value in every[0].variables.items()
        if all(one.variables.get(name) == value for one in every)
    }
    words = tuple(
        MemberWords(
            one.number,
            one.name,
            tuple(word for line in own for word in line),
            {name: value for name, value in one.variables.items() if name not in shared},
        )
        for one, own in zip(every, rest, strict=True)
    )
    environment = spec.environment.model_copy(update={"variables": shared})
    return (
        spec.model_copy(update={"environment": environment}),
        replace(launch, lines=(*lines[0][:first], *middle, *tail)),
        words,
    )


def _count_equal(lines: Sequence[tuple[Words, ...]]) -> int:
    """Return how many lines at the start all members have in common."""
    count = 0
    for column in zip(*lines, strict=False):
        if any(words != column[0] for words in column):
            break
        count += 1
    return count
