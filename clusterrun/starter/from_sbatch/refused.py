"""The error for an old script that cannot be translated, with the mistakes found in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from clusterrun.errors import Problem, SpecError


class TranslationRefusedError(SpecError):
    """An old script cannot be translated; `mistakes` are its mistakes, which are shown first."""

    def __init__(self, problems: Iterable[Problem], mistakes: Iterable[Problem]) -> None:
        super().__init__(problems)
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        refusal = super().__str__()
        if not self.mistakes:
            return refusal
        listed = "\n".join(
            str(replace(one, hint=one.hint.replace("fixed: ", "a translation fixes it: ", 1)))
            for one in self.mistakes
        )
        return f"{count_mistakes(self.mistakes)}:\n\n{listed}\n\nNo spec was written:\n\n{refusal}"


def count_mistakes(mistakes: tuple[Problem, ...]) -> str:
    """Return the heading of a list of mistakes."""
    return f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in the old script"
