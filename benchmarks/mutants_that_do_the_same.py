"""Mutants that do what the original does, so that no test can notice them: each with the reason."""

from __future__ import annotations

from mutants import Mutant

# By the file's name and what is changed, in the words of the results; `*` is any.
_REASONS: dict[tuple[str, str], str] = {}


def reason_for_the_same(file: str, mutant: Mutant) -> str:
    """Return why a mutant does the same as the original; empty if it does not."""
    return _REASONS.get((file.rpartition("/")[2], mutant.what), "")
