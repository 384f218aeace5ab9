"""Explain Slurm's reason for a pending job from its text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clusterrun.diagnosis.reasons import REASONS, RESOURCES, SENTENCES, SMALLER, Reason

_RESOURCE = "|".join(sorted(RESOURCES, key=len, reverse=True))
_TIMES = "Minutes|RunMinutes|RunMins"
# QOSGrpCPURunMinutesLimit, AssocMaxNodePerJobLimit, QOSMaxGRESPerUser, MaxGRESPerAccount ...
_LIMIT = re.compile(
    rf"(?P<whose>QOS|Assoc)?(?P<sum>Grp|Max|Min)(?P<what>{_RESOURCE})(?P<time>{_TIMES})?"
    r"(?:Per(?P<per>Job|User|Node|Account)s?)?(?:Limit|NotSatisfied)?"
)
_DETAIL = re.compile(r"UnavailableNodes:(?P<nodes>\S+)")


@dataclass(frozen=True)
class Explanation:
    """The explanation of a reason."""

    code: str
    """The reason as Slurm prints it."""
    meaning: str
    fix: str
    temporary: bool
    known: bool = True
    """Whether the reason is in the table."""


def explain_reason(text: str) -> Explanation:
    """Explain a reason as squeue's %r or %R, or scontrol's `Reason=`, prints it."""
    code = text.strip().removeprefix("(").removesuffix(")").replace("_", " ")
    reason = (
        _find_sentence(code) or REASONS.get(re.split(r"[ ,:]", code)[0]) or _explain_limit(code)
    )
    if reason is None:
        means = f"unknown reason {code!r}"
        return Explanation(
            code,
            means,
            "see squeue(1), JOB REASON CODES, or ask your administrators",
            temporary=True,
            known=False,
        )
    nodes = _DETAIL.search(code)
    means = f"{reason.meaning} (unavailable: {nodes['nodes']})" if nodes else reason.meaning
    return Explanation(code, means, reason.fix, reason.temporary)


def _find_sentence(code: str) -> Reason | None:
    return next((reason for words, reason in SENTENCES.items() if words in code), None)


def _explain_limit(code: str) -> Reason | None:
    """Explain a limit from the parts of its name."""
    match = _LIMIT.fullmatch(code.split(",", maxsplit=1)[0])
    if match is None:
        return None
    whose = "your account (association)" if match["whose"] == "Assoc" else "the QOS"
    if match["sum"] == "Min":
        return Reason(
            f"it requests less {RESOURCES[match['what']]} than the minimum of {whose} per job",
            "request more",
            temporary=False,
        )
    what = RESOURCES[match["what"]] + _describe_minutes(match["time"])
    where = (
        "`sacctmgr show associations user=$USER`"
        if match["whose"] == "Assoc"
        else "`sacctmgr show qos`"
    )
    if match["sum"] == "Grp":
        return Reason(
            f"the jobs of {whose} have together reached its limit on {what}",
            f"wait until some of them end; {where} shows the limit",
        )
    if match["per"] in ("Job", "Node") or match["what"] in ("Wall", "WallDuration"):
        each = {"Node": "each node"}.get(match["per"] or "", "one job")
        return Reason(
            f"it requests more {what} than {whose} allows for {each}",
            f"{SMALLER}; {where} shows it",
            temporary=False,
        )
    each = {"User": "a user", "Account": "an account"}.get(match["per"] or "", "a user")
    return Reason(
        f"{each} has reached the limit of {whose} on {what}",
        f"wait until some of those jobs end; {where} shows the limit",
    )


def _describe_minutes(word: str | None) -> str:
    if not word:
        return ""
    return " minutes of running jobs" if word.startswith("Run") else " minutes"
