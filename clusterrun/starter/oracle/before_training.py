"""Comparison of what happens before the training: modules, activations and other programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clusterrun.starter.oracle.steps import Step

# They change nothing that a program reads, so the activation before them does not matter.
PLAIN = frozenset(
    """mkdir cp mv rm ln touch chmod rsync tar unzip tee ls find du sync scancel scontrol squeue
    sacct sed awk grep git kill trap rmdir install dd wget curl""".split()
)


_Seen: TypeAlias = tuple[tuple[str, ...], int, tuple[tuple[str, ...], ...], tuple[str, ...]]
"""The words of a step, its node, the activations that it depends on, and its container."""


@dataclass(frozen=True)
class Difference:
    """One difference; `kind` is what differs, `line` the old script's, `what` a sentence's end."""

    kind: str
    line: int
    what: str


def secret_value(name: str) -> str:
    """Return the placeholder of a secret, which equals any text in a comparison."""
    return f"\x1a{name}\x1a"


def same_text(old: str, new: str) -> bool:
    """Return whether two texts are the same, or the new one has a secret there."""
    if "\x1a" not in new:
        return old == new
    pattern = "".join(
        ".+" if place % 2 else re.escape(part) for place, part in enumerate(new.split("\x1a"))
    )
    return re.fullmatch(pattern, old, re.DOTALL) is not None


def without_change(
    changes: Sequence[tuple[str, ...]], inherited: tuple[str, ...]
) -> tuple[tuple[str, ...], ...]:
    """Return changes without one of them."""
    return tuple(change for change in changes if change != inherited)


def compare_changes(
    old: Sequence[tuple[str, ...]], new: Sequence[tuple[str, ...]], line: int
) -> Iterator[Difference]:
    """Compare modules, activations and sourced files, in their order."""
    before, after = _effective(old), _effective(new)
    for one, other in zip(before, after, strict=False):
        if one != other:
            what = f"{shown(other[1:])} comes where {shown(one[1:])} was"
            yield Difference("order", line, what)
            return
    if len(before) != len(after):
        rest = before[len(after) :] or after[len(before) :]
        what = "missing" if len(before) > len(after) else "new"
        yield Difference("order", line, f"{shown(rest[0])} is {what}")


def _effective(changes: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the changes, one module a line, without what has no effect in a new shell."""
    found: list[tuple[str, ...]] = []
    for kind, *words in changes:
        if kind == "module":
            names = [word for word in words if not word.startswith("-")]
            if names[:1] in (["purge"], ["reset"]) and not found:
                continue
            if names[:1] in (["load"], ["add"]):
                found += [("module", "load", name) for name in names[1:]]
                continue
            if names[:1] == ["use"] and names == words:
                found += [("module", "use", name) for name in names[1:]]
                continue
        if (
            kind == "activate"
            and "deactivate" in words
            and not any(one[0] in ("activate", "source") for one in found)
        ):
            continue
        if kind == "source" and words and words[0].endswith("/etc/profile.d/conda.sh"):
            continue
        if kind == "source" and len(words) == 2 and words[0].rsplit("/", 1)[-1] == "activate":
            found.append(("activate", "conda", "activate", words[1]))
            continue
        found.append((kind, *words))
    return found


def compare_before(old: Sequence[Step], new: Sequence[Step]) -> Iterator[Difference]:
    """Compare the other programs: the same words in the same order, with the same activations."""
    ours, theirs = [_seen(step) for step in old], [_seen(step) for step in new]
    for place, step in enumerate(old):
        other = theirs[place] if place < len(theirs) else None
        if other is not None and _same_step(ours[place], other):
            continue
        if other is not None and ours[place][:2] == other[:2]:
            what = f"{shown(step.words)} starts in another environment or order"
        else:
            what = f"{shown(step.words)} is not started before the training"
        yield Difference("before", step.line, what)
        return
    for step in new[len(old) :]:  # its line is that of the new job script
        yield Difference("before", 0, f"{shown(step.words)} is started before the training")


def _same_step(old: _Seen, new: _Seen) -> bool:
    equal = len(old[0]) == len(new[0]) and all(map(same_text, old[0], new[0]))
    return equal and old[1:] == new[1:]


def _seen(step: Step) -> _Seen:
    plain = step.words[0].rsplit("/", 1)[-1] in PLAIN
    return (step.words, step.node, () if plain else tuple(_effective(step.changes)), step.container)


def shown(words: Sequence[str]) -> str:
    """Return words as a short text for a message."""
    text = " ".join(words)
    return f"`{text[:77]}...`" if len(text) > 80 else f"`{text}`"
