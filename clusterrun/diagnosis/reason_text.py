"""An explanation of Slurm's reason for a pending job, from its text."""

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
    """A reason in words."""

    code: str
    """As Slurm printed it."""
    meaning: str
    fix: str
    temporary: bool
    known: bool = True
    """Whether it is in the table; one that is not is shown as it is."""


def explain_reason(text: str) -> Explanation:
    """Explain a reason as squeue's %r or %R, or scontrol's `Reason=`, prints it."""
    code = text.strip().removeprefix("(").removesuffix(")").replace("_", " ")
    found = _find_sentence(code) or REASONS.get(re.split(r"[ ,:]", code)[0]) or _explain_limit(code)
    if found is None:
        means = f"Slurm says {code!r}, which this version does not know"
        return Explanation(
            code,
            means,
            "squeue(1), JOB REASON CODES, may have it; or ask the site",
            temporary=True,
            known=False,
        )
    nodes = _DETAIL.search(code)
    means = f"{found.meaning} (out now: {nodes['nodes']})" if nodes else found.meaning
    return Explanation(code, means, found.fix, found.temporary)


def _find_sentence(code: str) -> Reason | None:
    return next((found for words, found in SENTENCES.items() if words in code), None)


def _explain_limit(code: str) -> Reason | None:
    """Explain a limit by the parts of its name."""
    found = _LIMIT.fullmatch(code.split(",", maxsplit=1)[0])
    if found is None:
        return None
    whose = "your account (association)" if found["whose"] == "Assoc" else "the QOS"
    if found["sum"] == "Min":
        return Reason(
            f"{whose} wants at least so much of {RESOURCES[found['what']]} in a job, and it asks "
            "for less",
            "ask for more",
            temporary=False,
        )
    what = RESOURCES[found["what"]] + _describe_minutes(found["time"])
    where = (
        "`sacctmgr show associations user=$USER`"
        if found["whose"] == "Assoc"
        else "`sacctmgr show qos`"
    )
    if found["sum"] == "Grp":
        return Reason(
            f"all jobs of {whose} together have reached its limit on {what}",
            f"wait until some of them end; {where} has the limit",
        )
    if found["per"] in ("Job", "Node") or found["what"] in ("Wall", "WallDuration"):
        each = {"Node": "each node"}.get(found["per"] or "", "one job")
        return Reason(
            f"it asks for more {what} than {whose} allows {each}",
            f"{SMALLER}; {where} has it",
            temporary=False,
        )
    each = {"User": "a user", "Account": "an account"}.get(found["per"] or "", "a user")
    return Reason(
        f"the limit of {whose} on {what} of {each} is reached",
        f"wait until some of those jobs end; {where} has the limit",
    )


def _describe_minutes(word: str | None) -> str:
    if not word:
        return ""
    return " times minutes, of the jobs that run" if word.startswith("Run") else " times minutes"
