"""Mutants that do what the original does, so that no test can notice them: each with the reason."""

from __future__ import annotations

from mutants import Mutant

_STATUS = "callers ask whether it failed, not how"
_TRIES = "the tries are counted, and their numbers are not read"
_PATIENCE = "the same answer, later; a job has KillWait (30 s) for it, and tests measure no time"
_NO_POWER = "the pauses are 5, 15, 45, 135 and 405 s: none is 300"
_THREADS = "how many threads read is no part of the result"
# By a file's name and a part of what is changed, in the words of the results.
_REASONS: tuple[tuple[str, str, str], ...] = (
    ("80-decision.sh", "`return 1` becomes `return 2`", _STATUS),
    ("80-decision.sh", "&& seconds < 301;", _NO_POWER),
    ("80-decision.sh", "seconds < 301 ?", _NO_POWER),
    ("72-cause.sh", "becomes `return 2`", _STATUS),
    ("72-cause.sh", "|| return 2`", _STATUS),
    ("72-cause.sh", "becomes `for try in ", _TRIES),
    ("72-cause.sh", "becomes `sleep_until_signal 1.2`", _PATIENCE),
    ("manifest.py", "`8` becomes `9`", _THREADS),
)


def reason_for_the_same(file: str, mutant: Mutant) -> str:
    """Return why a mutant does the same as the original; empty if it does not."""
    name = file.rpartition("/")[2]
    reasons = (reason for of, part, reason in _REASONS if of == name and part in mutant.what)
    return next(reasons, "")
