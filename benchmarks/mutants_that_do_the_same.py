"""Mutants that are equivalent to the original, so that no test can detect them, with reasons."""

from __future__ import annotations

from mutants import Mutant

_STATUS = "callers check whether it failed, not how"
_TRIES = "the tries are counted, but their numbers are not used"
_PATIENCE = "the same result, later; a job has KillWait (30 s) for it, and tests measure no time"
_NO_POWER = "the pauses are 5, 15, 45, 135 and 405 s: none is 300"
_THREADS = "the number of reading threads does not change the result"
# By file name and part of the change, as the results describe it.
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
    """Return why a mutant is equivalent to the original; empty if it is not."""
    name = file.rpartition("/")[2]
    reasons = (reason for of, part, reason in _REASONS if of == name and part in mutant.what)
    return next(reasons, "")
