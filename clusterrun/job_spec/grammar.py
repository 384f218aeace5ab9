"""The grammars of sbatch's values: time limits, numbers of nodes, arrays, signals.

Source: sbatch(1), Slurm 22.05 to 26.05.
"""

from __future__ import annotations

import re

from clusterrun import units

NODES = re.compile(r"(?P<least>[0-9]{1,7})(?:-(?P<most>[0-9]{1,7}))?")
_SIGNAL = re.compile(r"(?:SIG)?(?P<name>[A-Z][A-Z0-9]*|[0-9]{1,3})(?:@(?P<lead>[0-9]{1,9}))?")
_TASKS = re.compile(r"(?P<first>[0-9]{1,7})(?:-(?P<last>[0-9]{1,7})(?::(?P<step>[0-9]{1,7}))?)?")
_AT_ONCE = re.compile(r"[1-9][0-9]{0,6}")


def check_time_limit(text: str) -> str:
    """Check a time limit and return it as written.

    Zero is refused: sbatch reads it as no limit.
    """
    if units.seconds_of_slurm_time(text) == 0:
        raise ValueError(
            "a time limit of zero means no limit to sbatch\nwrite UNLIMITED if you want no limit"
        )
    return text


def check_nodes(text: str) -> str:
    """Check a number of nodes, `4`, or a range from which Slurm chooses, `2-8`."""
    match = NODES.fullmatch(text)
    if not match or int(match["least"]) < 1:
        raise ValueError(
            f"{text[:80]!r} is not a number of nodes\nwrite a whole number, or a range such as 2-8"
        )
    if least_nodes(text) > most_nodes(text):
        least, most = least_nodes(text), most_nodes(text)
        raise ValueError(f"{text} is an empty range\nwrite {most}-{least}")
    return text


def least_nodes(text: str) -> int:
    """Return the smallest number of nodes that Slurm may allocate."""
    return int(text.partition("-")[0])


def most_nodes(text: str) -> int:
    """Return the largest number of nodes that Slurm may allocate; a job's totals refer to it."""
    return int(text.rpartition("-")[2])


def check_array(text: str) -> str:
    """Check the indexes of a job array: `0-3`, `1,3,5`, `0-15:4`, with `%2` two at a time."""
    tasks, percent, at_once = text.partition("%")
    fault = (
        f"{text[:80]!r} is not a list of array indexes\n"
        "write 0-3, 1,3,5 or 0-15:4; append %2 to run two at a time"
    )
    if percent and not _AT_ONCE.fullmatch(at_once):
        raise ValueError(fault)
    for part in tasks.split(","):
        match = _TASKS.fullmatch(part)
        if not match or (match["step"] and int(match["step"]) == 0):
            raise ValueError(fault)
        if match["last"] and int(match["last"]) < int(match["first"]):
            raise ValueError(f"{part} is an empty range\nwrite {match['last']}-{match['first']}")
    return text


def read_signal_lead(text: str) -> int:
    """Return the seconds of `USR1@120`.

    Raises ValueError for `B:` and for other signals: the node shells handle USR1 only.
    """
    match = _SIGNAL.fullmatch(text)
    if not match or match["name"] not in {"USR1", "10"} or not match["lead"]:
        lead = (match["lead"] if match else "") or "120"
        raise ValueError(
            f"{text[:80]!r} is not USR1@<seconds>, the only signal that the node shells handle\n"
            f"write USR1@{lead}"
        )
    return int(match["lead"])
